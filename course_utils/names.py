"""What is said of a name that is not known: the one that was probably meant, and all there are."""

import difflib
from collections.abc import Iterable


def suggestion(names: Iterable[str], given: object) -> str:
    """The end of a sentence about an unknown name: the name that was probably meant, or all there are."""
    names = list(names)
    near = difflib.get_close_matches(str(given), names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(names)}."


def check_name(what: str, name: object, names: Iterable[str]) -> None:
    """Refuse a name that is none of `names`, `what` says of what: a ValueError suggests the nearest and lists all."""
    names = list(names)
    if name not in names:
        near = difflib.get_close_matches(str(name).lower(), names, n=1)
        meant = f"did you mean {near[0]!r}? There are" if near else "there are"
        raise ValueError(f"There is no {what} {name!r}; {meant}: {', '.join(names)}.")
