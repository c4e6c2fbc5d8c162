"""What is touched: the Python side of each widget. Takes arrays, knows no network."""

from .base import CourseWidget, as_array, encode, standalone_page

__all__ = ["CourseWidget", "as_array", "encode", "standalone_page"]
