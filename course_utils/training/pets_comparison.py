"""Lesson 4.5 on photographs of pets: four networks trained once each, and what their maps show on the way."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from ..data import ImageSet
from ..data.photographs import normalised
from ..models import AttentionVGG, AttentionVGG16
from ..tables import plain_table
from .attention_maps import gate_maps, grad_cam, mask_objective, place_scores, ranking_scores, stage_names
from .loop import train
from .metrics import predict
from .objective import Objective, cross_entropy

MASK_WEIGHTS = (0.5, 0.5)
"""Of the Dice losses of both gates."""


def learn_with_maps(
    network: AttentionVGG, train_set: ImageSet, images: Tensor, at: Collection[int], **training: Any
) -> dict[str, Tensor]:
    """Train a network, and keep its maps of a few images on the way.

    Args:
        network: with or without gates; of one without, Grad-CAM's maps are kept.
        train_set: what to learn from.
        images: (N, C, H, W), whose maps are kept.
        at: after which epochs.
        training: for `train`.

    Returns:
        By stage, such as "pool2" and "pool3", its maps (epochs, N, h, w) in float16; and "answers" (epochs, N).
    """
    kept: list[dict[str, Tensor]] = []

    def keep(epoch: Mapping[str, Any]) -> None:
        if epoch["epoch"] in at:
            seen = (gate_maps if len(network.gates) else grad_cam)(network, images)
            answers = predict(network, images).argmax(1)
            kept.append({**{stage: map_.half() for stage, map_ in seen.items()}, "answers": answers})

    train(network, train_set, on_epoch=keep, **training)
    return {part: torch.stack([one[part] for one in kept]) for part in kept[0]}


class PhotographVGG16(AttentionVGG16):
    """An `AttentionVGG16` that takes photographs from 0 to 1, brought to the range that its trained features know."""

    def forward(self, images: Tensor) -> Tensor:
        """The logits: (N, 3, H, W) -> (N, num_classes)."""
        return super().forward(normalised(images))


ON_PETS: Mapping[str, tuple[str | None, Objective]] = {
    "VGG alone (Grad-CAM)": (None, cross_entropy),
    "gates by sigmoid": ("sigmoid", cross_entropy),
    "gates by softmax": ("softmax", cross_entropy),
    "sigmoid, shown the mask": ("sigmoid", mask_objective(MASK_WEIGHTS)),
}
"""The networks of `compare_on_pets` by title: the alignment of their gates, and what their training lowers."""


_KINDS = ("cat", "dog")


@dataclass(frozen=True, repr=False)
class PetsComparison:
    """What `compare_on_pets` found; as text it is one table.

    Attributes:
        scores: by network and measure, one number each, from 0 to 1.
        epochs: after which the maps were taken.
        stages: names of the maps' stages, finer first.
        maps: by network, for each stage (epochs, images, h, w).
        answers: by network, epoch and image: "cat" or "dog".
    """

    scores: dict[str, dict[str, float]]
    epochs: list[int]
    stages: list[str]
    maps: dict[str, list[Tensor]]
    answers: dict[str, list[list[str]]]

    def __repr__(self) -> str:
        names = list(next(iter(self.scores.values())))
        rows = [[title, *(f"{row[name]:.3f}" for name in names)] for title, row in self.scores.items()]
        return plain_table("One seed each", ["network", *names], rows)


def compare_on_pets(
    train_set: ImageSet, test_set: ImageSet, epochs: int, weights: str | None = "DEFAULT", batch_size: int = 32
) -> PetsComparison:
    """Train the four networks of the lesson on photographs with masks, and measure what the study measures.

    Each network is trained once, so the numbers come without intervals.

    Args:
        train_set: photographs, labels and masks, as `pets` gives them.
        test_set: what is measured on; maps are kept of its first eight, after epochs 1, 5 and the last.
        epochs: how often to see all of train_set.
        weights: of the features, for `AttentionVGG16`.
        batch_size: images a step, and at a time while measuring.

    Example:
        >>> compare_on_pets(pets(n=1000, size=160), pets(split="test", n=1000, size=160), epochs=3)
    """
    at = sorted({epoch for epoch in (1, 5) if epoch < epochs} | {epochs})
    scores, maps, answers = {}, {}, {}
    for title, (alignment, objective) in ON_PETS.items():
        torch.manual_seed(0)
        network = PhotographVGG16(len(_KINDS), alignment, weights)  # type: ignore[arg-type]
        images = test_set.images[:8]
        training = {"epochs": epochs, "batch_size": batch_size, "lr": 2e-4, "run": title, "objective": objective}
        kept = learn_with_maps(network, train_set, images, at, **training)
        network.to(Accelerator().device)
        logits = predict(network, test_set.images, batch_size)
        right = float((logits.argmax(1) == test_set.labels).float().mean())
        ranked = ranking_scores(logits, F.one_hot(test_set.labels, len(_KINDS)).bool())
        places = place_scores(network, test_set, batch_size)
        scores[title] = {"accuracy": right, **ranked, **places}
        answers[title] = [[_KINDS[answer] for answer in row] for row in kept.pop("answers").tolist()]
        maps[title] = [map_.float() for map_ in kept.values()]
    return PetsComparison(scores, at, stage_names(network), maps, answers)
