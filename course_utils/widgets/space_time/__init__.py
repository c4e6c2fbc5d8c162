"""`space-time`: what one query of a clip sees, in joint attention and in the two steps of divided attention."""
