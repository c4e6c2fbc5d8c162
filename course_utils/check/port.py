"""A port with several faults to fix: a message for each mixture of faults that are left in it."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from types import MappingProxyType
from typing import Any, NamedTuple

from .engine import Mistake
from .tasks import Changes, changed

_COUNTS = ("One", "Two", "Three", "Four")


class Fault(NamedTuple):
    """A fault of a port: the words for a learner, and the changes that put it into the solution."""

    words: str
    changes: Changes


def port_mistakes(
    official: Callable[..., Any],
    places: Sequence[Mapping[str, Fault]],
    noun: str,
    as_it_was: str,
    together: Mapping[tuple[str, ...], str] = MappingProxyType({}),
) -> tuple[Mistake, ...]:
    """Every way to leave faults in a port.

    Args:
        official: the solution, the port without faults.
        places: for each place where it may be wrong, the faults possible there by name; the first of each is the
            port's own.
        noun: what one of them is called, such as "fault".
        as_it_was: the message where nothing has been fixed.
        together: names of faults that make the same numbers as one other fault, with the words for that one.
    """
    known = {name: fault for place in places for name, fault in place.items()}
    own = tuple(next(iter(place)) for place in places)
    mistakes = []
    for found in product(*((*place, None) for place in places)):
        if faults := tuple(filter(None, found)):
            alike = next((each for each in together if set(each) <= set(faults)), ())
            said = [together[alike]] if alike else []
            said += [known[fault].words for fault in faults if fault not in alike]
            left = f"{_COUNTS[len(said) - 1]} {noun}{' is' if len(said) == 1 else 's are'} left: {'; '.join(said)}."
            changes = {old: new for fault in faults for old, new in known[fault].changes.items()}
            mistakes.append(Mistake(as_it_was if faults == own else left, changed(official, changes)))
    return tuple(mistakes)
