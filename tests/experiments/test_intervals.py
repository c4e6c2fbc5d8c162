import numpy as np
import pytest

from experiments.intervals import mean_interval, share_interval, t_quantile


def test_intervals_are_those_of_the_t_distribution():
    assert t_quantile(4) == pytest.approx(2.7764, abs=1e-4)
    mean, low, high = mean_interval([0.51, 0.80, 0.90])
    assert mean == pytest.approx(0.7367, abs=1e-4)
    assert high - mean == pytest.approx(4.3027 * np.std([0.51, 0.80, 0.90], ddof=1) / np.sqrt(3), abs=1e-4)
    assert mean - low == pytest.approx(high - mean)
    with pytest.raises(ValueError, match="at least two"):
        mean_interval([0.9])


def test_the_interval_of_a_share_stays_within_0_and_1():
    low, high = share_interval(0.9, 1000)
    assert (low, high) == (pytest.approx(0.8799, abs=1e-4), pytest.approx(0.9171, abs=1e-4))
    assert share_interval(1.0, 20)[1] == pytest.approx(1) and share_interval(1.0, 20)[0] < 0.9
    with pytest.raises(ValueError, match="n=0"):
        share_interval(0.5, 0)
