"""How the recorded numbers and networks of the course are made: `python -m experiments list` says what there is."""
