"""Names, indices and places that a widget is given; what is not there is refused with a ValueError."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..names import check_name


def one_of(what: str, key: object, choices: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The one of the choices that has this `key`."""
    keys = [choice["key"] for choice in choices]
    check_name(what, key, keys)
    return choices[keys.index(key)]


def check_index(name: str, index: int, count: int) -> None:
    """Refuse an index that is negative or too large."""
    if not 0 <= index < count:
        raise ValueError(f"{name}={index}, but there are {count}; give a number from 0 to {count - 1}.")


def check_stage(number: int, count: int) -> None:
    """Refuse the number of a stage that is not there; stages count from 1."""
    if not 1 <= number <= count:
        raise ValueError(f"There is no stage {number}; give a number from 1 to {count}.")


def check_place(query: Sequence[int], size: Sequence[int], words: str) -> None:
    """Refuse a place outside; `words` says what its axes count, "(row, column) of the map". An empty one is none."""
    if len(query) == 0:
        return
    if len(query) != len(size) or not all(0 <= place < end for place, end in zip(query, size, strict=True)):
        raise ValueError(f"query={tuple(query)} is not a {words}, which has {' x '.join(map(str, size))} cells.")


def checked_head(name: str, head: Iterable[int], layers: int, heads: int) -> list[int]:
    """(layer, head), each counted from 1."""
    found = [int(i) for i in head]
    if not (len(found) == 2 and 1 <= found[0] <= layers and 1 <= found[1] <= heads):
        raise ValueError(
            f"{name} names {tuple(found)}, which is no (layer, head) of {layers} layers with {heads} heads, counted "
            "from 1."
        )
    return found
