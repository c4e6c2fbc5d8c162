"""What is learned from: digits, cued digits and photographs, with the true place where it is known."""

from .cued import cued_digits
from .dataset import ImageSet
from .handwritten import digits
from .photographs import photograph, photograph_names

__all__ = ["ImageSet", "cued_digits", "digits", "photograph", "photograph_names"]
