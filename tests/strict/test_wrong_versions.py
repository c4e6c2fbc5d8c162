"""Each exercise refuses every wrong version of its solution: 5 tries of each here, 200 in `make strict`."""

from collections import Counter

import pytest
from wrong_versions import refused, wide_rounds, wrong_versions

from course_utils import check

EXERCISES = check.exercises()
WIDE = 60  # draws beyond the exercise's own; a version that agrees on all of them is the same function

# Exercises without one right answer beyond their own draws, where those alone tell which versions are equal.
DRAWN_ONLY = {
    "equal_width": "a target below the smallest network, or half-way between two",
    "rankings": "keys with equal scores have no order",
    "newton_schulz_root": "on a matrix that is no covariance the steps diverge, and rounding decides",
    "fool_se": "maps that are flat, or alike in two directions, cannot be moved in every way",
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.filterwarnings("ignore")
def test_every_wrong_version_is_refused_in_every_try(name, pytestconfig):
    exercise = EXERCISES[name]
    wide = wide_rounds(exercise, WIDE, beyond=name not in DRAWN_ONLY)
    assert len(wide) > WIDE / 4
    wrong = [each for each in wrong_versions(exercise.official) if refused(exercise, each.function, wide)]
    assert wrong
    tries = pytestconfig.getoption("tries")
    accepted: Counter[str] = Counter()
    for seed in range(tries):
        rounds = exercise.rounds(seed * 1000)
        accepted.update(each.change for each in wrong if not refused(exercise, each.function, rounds))
    assert not accepted, "\n".join(f"accepted in {n} of {tries} tries: {change}" for change, n in accepted.items())
