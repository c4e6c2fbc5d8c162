"""The interval of a mean difference between two networks trained on the same seeds, right and wrong."""

import numpy as np


def interval(
    first: np.ndarray,
    second: np.ndarray,
    *,
    quantile: float = 0.975,
    df: int | None = None,
    ddof: int = 1,
    root: float | None = None,
    factor: float | None = None,
    error: np.ndarray | float | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean difference and its t interval along the last axis, with any of its choices changed.

    Args:
        first: accuracies (..., seeds).
        second: accuracies (..., seeds) of the same seeds.
        quantile: of Student's t.
        df: its degrees of freedom; seeds - 1 if None.
        ddof: what is taken off the number of seeds in the standard deviation.
        root: what the standard deviation is divided by; the root of the number of seeds if None.
        factor: how many standard errors the interval reaches to each side; the quantile of t if None.
        error: the standard error; that of the paired differences if None.
    """
    from scipy import stats

    gaps = first - second
    seeds = gaps.shape[-1]
    if error is None:
        error = gaps.std(axis=-1, ddof=ddof) / (np.sqrt(seeds) if root is None else root)
    if factor is None:
        factor = stats.t.ppf(quantile, df=seeds - 1 if df is None else df)
    mean = gaps.mean(axis=-1)
    return mean, mean - factor * error, mean + factor * error
