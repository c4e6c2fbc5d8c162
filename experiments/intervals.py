"""How far a measured number may be trusted: 95 % intervals."""

import functools
import math
import operator
from collections.abc import Iterable, Sequence

_NORMAL = 1.959964


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and the ends of its 95 % t interval: the values are runs that differ in seed and data.

    Raises:
        ValueError: for fewer than two values: one run says nothing about the spread.
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"An interval needs at least two values, but was given {n}; run more seeds.")
    mean = _total(values) / n
    variance = _total((value - mean) ** 2 for value in values) / (n - 1)
    half = t_quantile(n - 1) * math.sqrt(variance / n)
    return mean, mean - half, mean + half


def _total(values: Iterable[float]) -> float:
    """The sum, added one by one: `sum` rounds otherwise from Python 3.12 on, and a tie such as 0.3555 shows it."""
    return functools.reduce(operator.add, values)


def share_interval(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share counted on n images, such as one network's accuracy."""
    if n < 1:
        raise ValueError(f"A share needs at least one image, but n={n}.")
    square = _NORMAL**2
    centre = (share + square / (2 * n)) / (1 + square / n)
    half = _NORMAL / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def t_quantile(degrees: int) -> float:
    """The t that 97.5 % of Student's distribution lie below."""
    from scipy.stats import t

    return float(t.ppf(0.975, degrees))
