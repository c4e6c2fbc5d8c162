"""What an experiment is: which networks, on which data, with which settings.

Two rules make a comparison fair. Every network has the same trials to find its learning rate, scored on images of
digits that are kept apart from the test. And each seed draws the data anew, the same for every network, so that
differences can be taken pair by pair.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..data import ImageSet, cifar10, cued_digits, digits
from ..models import AttentionCNN
from .objective import Objective, cross_entropy

FIRST_TRIAL_SEED = 1000
FIRST_UNSEEN_SEED = 5
"""Of 4.2 and 4.3: the test of seeds 0 to 4 was looked at while each rate had a single trial."""


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
        arguments: what sets it apart, written into each result.
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
    `measure(network, image_set)` gives further numbers from 0 to 1 by name, such as where a mask lies; those that a
    network does not have it leaves out.
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


def _digit_images(split: str, seed: int) -> ImageSet:
    """3,200 of the training digits, drawn by the seed; the other splits are always the same."""
    images = digits(split)
    if split != "train":
        return images
    return images.subset(torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:3200])


def _cued_images(split: str, seed: int) -> ImageSet:
    return cued_digits(6000 if split in ("train", "fit") else 2000, seed, split)


def _cifar_images(split: str, seed: int) -> ImageSet:
    """10,000 of the training photographs, drawn by the seed, and all test photographs."""
    return cifar10(split, {"train": 10_000, "fit": 8_000, "validation": 2_000}.get(split), seed)


DIGITS = Task("digits", "Handwritten digits", _digit_images, in_channels=1, image_size=28)
CUED = Task("cued", "Cued digits", _cued_images, in_channels=3, image_size=40)
CIFAR = Task("cifar10", "CIFAR-10, 10,000 photographs", _cifar_images, in_channels=3, image_size=32)
