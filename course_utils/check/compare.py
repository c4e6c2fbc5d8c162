"""How an answer differs from what was expected, in words with index, given and expected."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from torch import Tensor

RELATIVE, ABSOLUTE = 1e-4, 1e-5
_WHOLE = "Your result"


def difference(given: Any, expected: Any, axes: Sequence[str] = (), parts: Sequence[str] = ()) -> str | None:
    """Say how `given` differs from `expected`: kind and shape first, then dtype, then values.

    Args:
        given: what a learner returned; anything.
        expected: a tensor, an array, a number, a string, or a tuple or list of these.
        axes: what the axes of an expected tensor count, such as ("image", "channel").
        parts: the names of an expected tuple's elements.

    Returns:
        None if they agree, else one or two sentences.
    """
    found = _compare(given, expected, _WHOLE, axes, parts)
    return found and found[0].upper() + found[1:]


def _compare(given: Any, expected: Any, what: str, axes: Sequence[str], parts: Sequence[str]) -> str | None:
    if isinstance(expected, Tensor | np.ndarray):
        return _compare_arrays(given, expected, what, axes)
    if isinstance(expected, tuple | list):
        return _compare_sequences(given, expected, what, parts)
    return _compare_scalars(given, expected, what)


def _compare_arrays(given: Any, expected: Tensor | np.ndarray, what: str, axes: Sequence[str]) -> str | None:
    if expected.ndim == 0 and isinstance(given, Real) and not isinstance(given, bool):
        return _compare_scalars(given, expected.item(), what)
    wanted = tuple(expected.shape)
    kind = "a tensor" if isinstance(expected, Tensor) else "a NumPy array"
    if not isinstance(given, Tensor if isinstance(expected, Tensor) else np.ndarray):
        return f"{what} is {_kind(given)}; it should be {kind} of shape {wanted}."
    if tuple(given.shape) != wanted:
        meaning = f", one entry for each {' and '.join(axes)}" if axes else ""
        shape = wanted or "a single number, shape ()"
        return f"{what} has shape {tuple(given.shape)}; it should be {shape}{meaning}."
    if given.dtype != expected.dtype and not (_is_float(given) and _is_float(expected)):
        return f"{what} has dtype {given.dtype}; it should be {expected.dtype}."
    ours, theirs = _numpy(expected), _numpy(given)
    wrong = ~np.isclose(theirs, ours, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)
    if not wrong.any():
        return None
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    if not index:
        return f"{_in(what)}{_given_expected(theirs[index], ours[index])}."
    place = f"[{', '.join(map(str, index))}]"
    if axes and len(axes) == len(index):
        place += f" ({', '.join(f'{axis} {i}' for axis, i in zip(axes, index, strict=True))})"
    share = f" ({int(wrong.sum())} of {wrong.size} values differ)" if wrong.size > 1 else ""
    return f"At {place} {_given_expected(theirs[index], ours[index])}{share}."


def _compare_sequences(given: Any, expected: Sequence[Any], what: str, parts: Sequence[str]) -> str | None:
    if isinstance(given, Tensor | np.ndarray) and given.ndim == 1:
        given = given.tolist()
    if not isinstance(given, tuple | list):
        named = f" of {len(expected)}: {', '.join(parts)}" if parts else ""
        return f"{what} is {_kind(given)}; it should be a {type(expected).__name__}{named}."
    if len(given) != len(expected):
        named = f" ({', '.join(parts)})" if parts else f", {brief(expected)}"
        shown = "" if parts else f", {brief(given)}"
        return f"{what} has {_count(len(given))}{shown}; it should have {_count(len(expected))}{named}."
    for index, (theirs, ours) in enumerate(zip(given, expected, strict=True)):
        inner = f"`{parts[index]}`" if parts else f"Entry [{index}]"
        found = _compare(theirs, ours, inner, (), ())
        if found:
            return found
    return None


def _compare_scalars(given: Any, expected: Any, what: str) -> str | None:
    if isinstance(given, Tensor | np.ndarray) and given.ndim == 0:
        given = given.item()
    if expected is None or isinstance(expected, str | bool):
        agrees = type(given) is type(expected) and given == expected
        return None if agrees else f"{what} is {brief(given)}; it should be {brief(expected)}."
    if not isinstance(given, Real) or isinstance(given, bool):
        return f"{what} is {_kind(given)}; it should be a number, {number(expected)}."
    if isinstance(expected, Integral):
        if given != expected:
            return f"{_in(what)}{_given_expected(given, expected)}."
        if not isinstance(given, Integral):
            return f"{what} is {given!r}, a {type(given).__name__}; a count is a whole number: divide with `//`."
        return None
    if math.isclose(float(given), float(expected), rel_tol=RELATIVE, abs_tol=ABSOLUTE):
        return None
    return f"{_in(what)}{_given_expected(given, expected)}."


def number(value: Any, digits: int = 4) -> str:
    """A number as a learner reads it: whole numbers in full, others with a few digits."""
    if isinstance(value, Integral | np.bool_ | bool | str):
        return str(value)
    return f"{float(value):.{digits}g}" if isinstance(value, Real | np.floating) else str(value)


def brief(value: Any, limit: int = 60) -> str:
    """A value's repr, cut where it grows long."""
    try:
        text = " ".join(repr(value).split())
    except Exception as error:
        return f"{_kind(value)} whose repr raises {type(error).__name__}"
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."


def _given_expected(given: Any, expected: Any) -> str:
    for digits in (4, 7, 12):
        theirs, ours = number(given, digits), number(expected, digits)
        if theirs != ours:
            break
    return f"you gave {theirs}, expected {ours}"


def _in(what: str) -> str:
    return "" if what == _WHOLE else f"{what}: "


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of shape {value.shape}"
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _is_float(value: Tensor | np.ndarray) -> bool:
    """Whether these are floats of any precision: float64 inside an answer is as good as float32."""
    return value.is_floating_point() if isinstance(value, Tensor) else value.dtype.kind == "f"


def _count(length: int) -> str:
    return "1 entry" if length == 1 else f"{length} entries"


def _numpy(value: Tensor | np.ndarray) -> np.ndarray:
    return value.detach().cpu().resolve_conj().numpy() if isinstance(value, Tensor) else value
