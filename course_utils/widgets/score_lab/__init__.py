"""`score-lab`: one query, two combinations of a score and an alignment, and all that follows from them."""
