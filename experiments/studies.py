"""The experiments of the course by name; NAME-short is one of a minute, to see that everything works."""

import difflib
import functools
from collections.abc import Callable
from dataclasses import replace

from course_utils.data import ImageSet

from .study import Study
from .study_gates import GATES, GATES_TWO
from .study_league import LEAGUE, LEAGUE_CIFAR, ORIGINAL
from .study_se import SE

STUDIES = {chosen.name: chosen for chosen in (SE, LEAGUE, LEAGUE_CIFAR, ORIGINAL, GATES, GATES_TWO)}


def study(name: str) -> Study:
    """A study by its name; with "-short" behind it the same networks on 640 images of one task, for two epochs.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest.
    """
    whole = name.removesuffix("-short")
    if whole != name and whole in STUDIES:
        return _short(STUDIES[whole])
    if name not in STUDIES:
        titled = {word.strip(",:"): key for key, one in reversed(STUDIES.items()) for word in one.title.lower().split()}
        near = difflib.get_close_matches(name, STUDIES, n=1, cutoff=0.6) or [
            titled[word] for word in difflib.get_close_matches(name.lower(), titled, n=1, cutoff=0.6)
        ]
        hint = f" Did you mean {near[0]!r} ({STUDIES[near[0]].title})?" if near else ""
        raise ValueError(
            f"There is no study {name!r}.{hint} There are: {', '.join(STUDIES)}; '-short' behind one makes it short."
        )
    return STUDIES[name]


def _short(chosen: Study) -> Study:
    task = chosen.tasks[0]
    return replace(
        chosen,
        name=f"{chosen.name}-short",
        title=f"{chosen.title}: a trial of a minute",
        tasks=(replace(task, images=functools.partial(_few, task.images)),),
        learning_rates=(6e-3,),
        trials=1,
        epochs=2,
        shipped=False,
    )


def _few(images: Callable[[str, int], ImageSet], split: str, seed: int) -> ImageSet:
    return images(split, seed).subset(slice(640))
