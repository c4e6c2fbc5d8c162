"""Each exercise refuses every wrong version of its solution: 5 tries of each here, 200 in `make strict`."""

import pytest
import torch
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


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The tensors here are tiny: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.filterwarnings("ignore")
def test_every_wrong_version_is_refused_in_every_try(name, pytestconfig):
    exercise = EXERCISES[name]
    versions = list(wrong_versions(exercise.official))
    assert versions
    tries = pytestconfig.getoption("tries")
    accepted = dict.fromkeys(range(len(versions)), 0)
    for seed in range(tries):
        rounds = exercise.rounds(seed * 1000)
        for i, version in enumerate(versions):
            accepted[i] += not refused(exercise, version.function, rounds)
    wide = wide_rounds(exercise, WIDE, beyond=name not in DRAWN_ONLY)
    assert len(wide) > WIDE / 4
    wrong = [
        f"accepted in {count} of {tries} tries: {versions[i].change}"
        for i, count in accepted.items()
        if count and refused(exercise, versions[i].function, wide)
    ]
    assert not wrong, "\n".join(wrong)
