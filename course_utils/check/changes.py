"""Mistakes as they are made: a solution with other texts in it, or a port with some of its faults left."""

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from .engine import Mistake

Changes = Mapping[str, str]
"""Texts of the solution's body, each with what is written in its place."""

PORT_WORDS = ("as it was", "noun")
"""What exercises.toml says about a port beside its faults: the message where all are left, and what one is called."""

_COUNTS = ("One", "Two", "Three", "Four")


def changed(official: Callable[..., Any], changes: Changes) -> Callable[..., Any]:
    """A solution with other texts in its body, each put everywhere where the old one stands, one after the other.

    Raises:
        ValueError: if a text does not stand in the body.
    """
    head, body = _parted(official)
    for old, new in changes.items():
        if old not in body:
            raise ValueError(f"{old!r} does not stand in the body of {official.__name__}; write it as it stands there.")
        body = body.replace(old, new)
    scope = dict(official.__globals__)
    exec(head + body, scope)
    return scope[official.__name__]


@functools.cache
def _parted(official: Callable[..., Any]) -> tuple[str, str]:
    """The source of a solution: up to the end of its description, and the body."""
    source = textwrap.dedent(inspect.getsource(official))
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    lines = source.splitlines(keepends=True)
    begin = function.body[0].end_lineno
    return "".join(lines[:begin]), "".join(lines[begin:])


def port_mistakes(
    official: Callable[..., Any], places: Sequence[Mapping[str, Changes]], words: Mapping[str, str]
) -> Iterator[Mistake]:
    """Every mixture of faults that may be left in a port.

    Args:
        official: the solution, the port without faults.
        places: for each place where it may be wrong, the faults possible there by name; the first of each is the
            port's own.
        words: what the learner reads about each fault, and `PORT_WORDS`.
    """
    own = [next(iter(place)) for place in places]
    for found in product(*((*place, "") for place in places)):
        if faults := [fault for fault in found if fault]:
            plural = " is" if len(faults) == 1 else "s are"
            named = "; ".join(words[fault] for fault in faults)
            left = f"{_COUNTS[len(faults) - 1]} {words['noun']}{plural} left: {named}."
            changes = {old: new for place in places for fault in faults for old, new in place.get(fault, {}).items()}
            yield Mistake(words["as it was"] if faults == own else left, changed(official, changes))
