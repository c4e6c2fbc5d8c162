"""What is learned from: digits, cued digits and scenes, photographs, pets, with the true place where it is known."""

from .cued import cued_digits
from .dataset import ImageSet
from .handwritten import digits
from .pets import DataError, pets
from .photographs import photograph, photograph_names
from .scenes import DIGIT_PAIRS, both_digits, cued_scenes

__all__ = [
    "DIGIT_PAIRS",
    "DataError",
    "ImageSet",
    "both_digits",
    "cued_digits",
    "cued_scenes",
    "digits",
    "pets",
    "photograph",
    "photograph_names",
]
