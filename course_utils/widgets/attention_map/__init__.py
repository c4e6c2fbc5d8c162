"""One image, one or many attention maps over it."""
