"""What an experiment is: which networks, on which data, with which settings.

Two rules make a comparison fair. Every network has the same trials to find its learning rate, scored on images of
digits that are kept apart from the test. And each seed draws its own data, the same for every network, so that
differences can be taken seed by seed.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from course_utils.data import ImageSet
from course_utils.models import AttentionCNN
from course_utils.training.objective import Objective, cross_entropy

FIRST_TRIAL_SEED = 1000
FIRST_UNSEEN_SEED = 5
"""Of 4.2 and 4.3: the test images of seeds 0 to 4 were looked at while each rate had a single trial."""


@dataclass(frozen=True)
class Task:
    """Where images come from; `images(split, seed)` knows the splits fit, validation, train and test."""

    name: str
    title: str
    images: Callable[[str, int], ImageSet]
    in_channels: int
    image_size: int


@dataclass(frozen=True)
class Entry:
    """A network of a study.

    Args:
        name: short, for file names.
        title: for tables.
        build: gives the network with freshly drawn weights, fit for the task.
        arguments: what distinguishes it from the others; recorded with the runs.
        objective: what its training lowers.
    """

    name: str
    title: str
    build: Callable[[Task], nn.Module]
    arguments: Mapping[str, Any]
    objective: Objective = cross_entropy


@dataclass(frozen=True)
class Study:
    """Every entry on every task, and which pairs are compared: (first, second) asks what first adds to second.

    Results ship with the course, except where `shipped` is False: those of a study that needs a download.
    `measure(network, image_set)` gives further numbers from 0 to 1 by name, such as where a mask lies; it leaves out
    those that a network does not have.
    Each learning rate is tried on `trials` seeds: one alone may take a rate at which every other seed fails.
    Seeds are counted from `first_seed`; one above 0 leaves out seeds whose test has been looked at.
    """

    name: str
    title: str
    tasks: tuple[Task, ...]
    entries: tuple[Entry, ...]
    pairs: tuple[tuple[str, str], ...]
    learning_rates: tuple[float, ...]
    epochs: int
    batch_size: int
    measure: Callable[[nn.Module, ImageSet], dict[str, float]] | None = None
    shipped: bool = True
    trials: int = 1
    first_seed: int = 0

    @property
    def trial_seeds(self) -> range:
        """The seeds that choose the learning rates; none of them is tested on."""
        return range(FIRST_TRIAL_SEED, FIRST_TRIAL_SEED + self.trials)

    def seeds(self, count: int) -> range:
        """Which seeds `count` of them are: those from `first_seed` on."""
        return range(self.first_seed, self.first_seed + count)


def cnn(name: str, title: str, **arguments: Any) -> Entry:
    """An `AttentionCNN` with these arguments besides those that the task gives."""
    return Entry(name, title, functools.partial(_attention_cnn, arguments), arguments)


def _attention_cnn(arguments: Mapping[str, Any], task: Task) -> AttentionCNN:
    return AttentionCNN(10, in_channels=task.in_channels, image_size=task.image_size, **arguments)
