"""Indices and places that a widget is given, checked before the page meets them."""

from collections.abc import Mapping, Sequence
from typing import Any


def check_indices(traits: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    """Refuse an index of something that is not there.

    Args:
        traits: what the widget is given; what is not among them is not checked.
        counts: how many there are, by the trait's name.

    Raises:
        ValueError: if an index is negative or too large.
    """
    for name, count in counts.items():
        if name in traits and not 0 <= traits[name] < count:
            raise ValueError(f"{name}={traits[name]}, but there are {count}; give a number from 0 to {count - 1}.")


def check_place(query: Sequence[int], size: Sequence[int], words: str) -> None:
    """Refuse a place outside; an empty one is none, and fits.

    Args:
        query: the place, a number for each axis.
        size: how long each axis is.
        words: what the axes count, such as "(row, column) of the map".

    Raises:
        ValueError: if there are too few or too many numbers, or one lies outside.
    """
    if len(query) == 0:
        return
    if len(query) != len(size) or not all(0 <= place < end for place, end in zip(query, size, strict=True)):
        raise ValueError(f"query={tuple(query)} is not a {words}, which has {' x '.join(map(str, size))} cells.")
