"""`head-grid`: every head of a small transformer side by side, for one query; heads knocked out, keys masked."""
