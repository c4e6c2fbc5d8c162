"""What the experiments compare: which networks, on which data, with which settings.

Two rules make a comparison fair. Every network has the same trials to find its learning rate, scored on images of
digits that are kept apart from the test. And each seed draws the data anew, the same for every network, so that
differences can be taken pair by pair.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..data import ImageSet, cued_digits, digits
from ..models import AttentionCNN

TUNING_SEED = 1000


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
    """A network of a study: the arguments of `AttentionCNN` besides those that the task gives."""

    name: str
    title: str
    arguments: Mapping[str, Any]

    def build(self, task: Task) -> AttentionCNN:
        """The network with freshly drawn weights."""
        return AttentionCNN(10, in_channels=task.in_channels, image_size=task.image_size, **self.arguments)


@dataclass(frozen=True)
class Study:
    """Every entry on every task, and which pairs are compared: (first, second) asks what first adds to second."""

    name: str
    title: str
    tasks: tuple[Task, ...]
    entries: tuple[Entry, ...]
    pairs: tuple[tuple[str, str], ...]
    learning_rates: tuple[float, ...]
    epochs: int
    batch_size: int


def _digit_images(split: str, seed: int) -> ImageSet:
    """3,200 of the training digits, drawn by the seed; the other splits are always the same."""
    images = digits(split)
    if split != "train":
        return images
    return images.subset(torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:3200])


def _cued_images(split: str, seed: int) -> ImageSet:
    return cued_digits(6000 if split in ("train", "fit") else 2000, seed, split)


DIGITS = Task("digits", "Handwritten digits", _digit_images, in_channels=1, image_size=28)
CUED = Task("cued", "Cued digits", _cued_images, in_channels=3, image_size=40)

_ORIGINAL = {"layout": "original"}
STUDIES = {
    "4.2": Study(
        name="4.2",
        title="The original course's network with and without squeeze-and-excitation",
        tasks=(DIGITS, CUED),
        entries=(
            Entry("plain", "plain", _ORIGINAL),
            Entry("se", "with SE, r = 4", {**_ORIGINAL, "attention": "se", "attention_options": {"reduction": 4}}),
            Entry("wider", "plain, as many parameters as SE", {**_ORIGINAL, "widths": (12, 25, 32)}),
            Entry("deeper", "plain, one more hidden layer", {**_ORIGINAL, "hidden": (200, 200)}),
            Entry("pooled", "plain, pooled linear head", {**_ORIGINAL, "head": "linear"}),
            Entry("pooled-hidden", "plain, pooled head with a hidden layer", {**_ORIGINAL, "head": "hidden"}),
            Entry(
                "pooled-se",
                "with SE, pooled linear head",
                {**_ORIGINAL, "head": "linear", "attention": "se", "attention_options": {"reduction": 4}},
            ),
        ),
        pairs=(
            ("se", "plain"),
            ("se", "wider"),
            ("se", "deeper"),
            ("se", "pooled-hidden"),
            ("deeper", "plain"),
            ("pooled-hidden", "pooled"),
            ("pooled-se", "pooled"),
        ),
        learning_rates=(7e-4, 2e-3, 6e-3, 1.8e-2),
        epochs=8,
        batch_size=128,
    ),
    "4.2-pooling": Study(
        name="4.2-pooling",
        title="Another network, with max-pooling: a hidden layer in the head as SE's rival",
        tasks=(CUED,),
        entries=(
            Entry("plain", "plain, pooled linear head", {}),
            Entry("se", "with SE, r = 4, pooled linear head", {"attention": "se"}),
            Entry("hidden", "plain, pooled head with a hidden layer", {"head": "hidden"}),
        ),
        pairs=(("se", "plain"), ("hidden", "plain"), ("se", "hidden")),
        learning_rates=(2e-3, 6e-3, 1.8e-2),
        epochs=8,
        batch_size=128,
    ),
}


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
