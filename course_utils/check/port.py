"""A port with several faults to fix: a message for each mixture of faults that are left in it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import Any

from .engine import Mistake

_COUNTS = ("One", "Two", "Three", "Four")


def port_mistakes(
    places: Sequence[Mapping[str, str]],
    ported: Callable[..., Any],
    noun: str,
    as_it_was: str,
    together: Mapping[tuple[str, ...], str] = MappingProxyType({}),
) -> tuple[Mistake, ...]:
    """Every way to leave faults in a port.

    Args:
        places: for each place where it may be wrong, the faults possible there, each with the words for a learner;
            the first of each is the port's own.
        ported: the port, whose `faults` are those that are left.
        noun: what one of them is called, such as "fault".
        as_it_was: the message where nothing has been fixed.
        together: faults that make the same numbers as one other fault, with the words for that one.
    """
    words = {fault: said for place in places for fault, said in place.items()}
    own = tuple(next(iter(place)) for place in places)
    mistakes = []
    for found in product(*((*place, None) for place in places)):
        if faults := tuple(filter(None, found)):
            alike = next((each for each in together if set(each) <= set(faults)), ())
            said = [together[alike]] if alike else []
            said += [words[fault] for fault in faults if fault not in alike]
            left = f"{_COUNTS[len(said) - 1]} {noun}{' is' if len(said) == 1 else 's are'} left: {'; '.join(said)}."
            mistakes.append(Mistake(as_it_was if faults == own else left, partial(ported, faults=faults)))
    return tuple(mistakes)
