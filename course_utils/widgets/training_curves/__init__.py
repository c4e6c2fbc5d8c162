"""Several training runs, drawn as they go."""
