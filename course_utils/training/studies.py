"""The experiments of the course by name."""

import difflib

from .comparison import Study
from .study_gates import GATES, GATES_TWO
from .study_league import LEAGUE, LEAGUE_CIFAR, ORIGINAL
from .study_se import SE

STUDIES = {chosen.name: chosen for chosen in (SE, LEAGUE, LEAGUE_CIFAR, ORIGINAL, GATES, GATES_TWO)}


def study(name: str) -> Study:
    """A study by its name.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest.
    """
    if name not in STUDIES:
        near = difflib.get_close_matches(name, STUDIES, n=1, cutoff=0.3)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"There is no study {name!r}.{hint} There are: {', '.join(STUDIES)}.")
    return STUDIES[name]
