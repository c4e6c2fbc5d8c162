"""Lesson 4.5: VGG alone, with gates by sigmoid and by softmax, and with the true place as a regulariser.

On cued scenes as a study of several seeds; on photographs of pets once, for whoever has the internet and the hours.
"""

import functools
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from safetensors.torch import save
from torch import Tensor, nn

from ..attention import AttentionBlock
from ..data import DIGIT_PAIRS, ImageSet, both_digits, cued_scenes
from ..data.photographs import normalised
from ..models import AttentionVGG, AttentionVGG16
from .attention_maps import gate_maps, grad_cam, mask_objective, place_scores, ranking_scores, stage_names
from .checkpoints import write_whole
from .comparison import Entry, Study, Task
from .loop import train
from .metrics import predict
from .objective import Objective, cross_entropy
from .runs import chosen_lr, results_folder
from .tables import plain_table

SMALL_VGG: Mapping[str, Any] = {"widths": (12, 24, 48, 64), "convolutions": (1, 2, 2, 2), "hidden_channels": 32}
"""What makes an `AttentionVGG` that learns the scenes in about a minute on one core."""

MASK_WEIGHTS = (0.5, 0.5)
"""Of the Dice losses of both gates."""

LEARNING_RATES = (2e-3, 6e-3)
"""Tried for each network. At 1.8e-2 it hangs on the seed whether a network takes off within eight epochs."""

FIRST_SEED = 5
"""The larger rates were left out after a look at the test of seeds 0 to 4; so those seeds are not measured with."""


class EvenGate(AttentionBlock):
    """Takes the place of a gate and treats every position alike: the shortcut that a gate brings, without its choice.

    Shape:
        local (N, C, H, W), global (any) -> (N, C); mask (N, 1, H, W), all ones.
    """

    def mask(self, local: Tensor, guide: Tensor) -> Tensor:  # type: ignore[override]
        """One for every position."""
        return torch.ones_like(local[:, :1])

    def forward(self, local: Tensor, guide: Tensor) -> Tensor:  # type: ignore[override]
        """The mean over all positions."""
        return (local * self.record(self.mask(local, guide))).mean(dim=(2, 3))


class TwoDigitsVGG(AttentionVGG):
    """An `AttentionVGG` that names two digits: the logit of a pair is the sum of its digits' logits.

    The softmax over the pairs is then what ten independent yes-or-no answers give once it is known that two are yes.

    Shape:
        input (N, 3, H, W) -> logits (N, 45), in the order of `DIGIT_PAIRS`.
    """

    def forward(self, images: Tensor) -> Tensor:
        """The logits of the pairs."""
        return self.digits(images)[:, DIGIT_PAIRS].sum(2)

    def digits(self, images: Tensor) -> Tensor:
        """The logits of the digits, (N, 10)."""
        return super().forward(images)


def small_vgg(alignment: str | None, task: Task | None = None) -> AttentionVGG:
    """The study's network; "even" has shortcuts in place of gates."""
    network = AttentionVGG(10, None if alignment == "even" else alignment, **SMALL_VGG)  # type: ignore[arg-type]
    if alignment == "even":
        final, *gated = SMALL_VGG["widths"][:-4:-1]
        network.gates = nn.ModuleList(EvenGate() for _ in gated)
        network.classifier = nn.Linear(final + sum(gated), 10)
    return network


def _two_digits(alignment: str, task: Task) -> AttentionVGG:
    return TwoDigitsVGG(10, alignment, **SMALL_VGG)  # type: ignore[arg-type]


def _scenes(cues: int, split: str, seed: int) -> ImageSet:
    sizes = {"fit": 4000, "train": 4000, "validation": 1000, "test": 2000}
    return cued_scenes(sizes[split], seed, split, cues=cues)


def _measure(network: nn.Module, image_set: ImageSet) -> dict[str, float]:
    assert isinstance(network, AttentionVGG)
    return {**_ranked(predict(network, image_set.images), image_set), **place_scores(network, image_set)}


def _ranked(logits: Tensor, image_set: ImageSet) -> dict[str, float]:
    return ranking_scores(logits, F.one_hot(image_set.labels, logits.shape[1]).bool())


def _measure_pairs(network: nn.Module, image_set: ImageSet) -> dict[str, float]:
    assert isinstance(network, TwoDigitsVGG)
    with torch.no_grad():
        logits = torch.cat([network.eval().digits(batch) for batch in image_set.images.split(250)])
    return {**ranking_scores(logits, both_digits(image_set.labels)), **place_scores(network, image_set)}


def _entry(name: str, title: str, alignment: str | None) -> Entry:
    return Entry(name, title, functools.partial(small_vgg, alignment), {"alignment": alignment, **SMALL_VGG})


SCENES = Task("scenes", "Cued scenes", functools.partial(_scenes, 1), in_channels=3, image_size=64)
TWO_CUES = Task("two", "Cued scenes, two digits to name", functools.partial(_scenes, 2), in_channels=3, image_size=64)

GATES = Study(
    name="4.5",
    title="VGG with attention gates, and where it looks",
    tasks=(SCENES,),
    entries=(
        _entry("plain", "VGG alone (maps by Grad-CAM)", None),
        _entry("even", "shortcuts without gates", "even"),
        _entry("sigmoid", "gates by sigmoid", "sigmoid"),
        _entry("softmax", "gates by softmax", "softmax"),
        Entry(
            "masked",
            "gates by sigmoid, with the mask as regulariser",
            functools.partial(small_vgg, "sigmoid"),
            {"alignment": "sigmoid", **SMALL_VGG, "mask_weights": MASK_WEIGHTS},
            mask_objective(MASK_WEIGHTS),
        ),
    ),
    pairs=(
        ("sigmoid", "plain"),
        ("softmax", "plain"),
        ("masked", "plain"),
        ("even", "plain"),
        ("sigmoid", "even"),
        ("softmax", "even"),
        ("masked", "even"),
        ("softmax", "sigmoid"),
        ("masked", "sigmoid"),
        ("masked", "softmax"),
    ),
    learning_rates=LEARNING_RATES,
    epochs=8,
    batch_size=64,
    measure=_measure,
    first_seed=FIRST_SEED,
)

GATES_TWO = Study(
    name="4.5-two",
    title="Two digits to name, with gates by sigmoid and by softmax",
    tasks=(TWO_CUES,),
    entries=tuple(
        Entry(
            alignment,
            f"gates by {alignment}",
            functools.partial(_two_digits, alignment),
            {"alignment": alignment, **SMALL_VGG},
        )
        for alignment in ("sigmoid", "softmax")
    ),
    pairs=(("softmax", "sigmoid"),),
    learning_rates=LEARNING_RATES,
    epochs=8,
    batch_size=64,
    measure=_measure_pairs,
    first_seed=FIRST_SEED,
)


RECORDED_EPOCHS = (1, 5, 8)
RECORDED_IMAGES = 8
RECORDED_SEED = 0
"""Not one of the study's: which maps are shown was decided after they had been seen."""
RECORDED = ("sigmoid", "softmax", "masked", "plain")


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


def record_maps(out: str | Path | None = None, say: Callable[[str], object] = print) -> Path:
    """Train the study's networks once more with another seed, and keep their maps of a few test images on the way.

    Args:
        out: folder of results, as for `run_study`; the learning rates are those that its trials chose.
        say: called with a line for each network.

    Returns:
        The file, maps.safetensors in the study's folder: images (N, 64, 64, 3) and places (N, 64, 64) in bytes,
        labels (N,); for each network NAME/pool2 and NAME/pool3, (epochs, N, h, w) float16, Grad-CAM for the one
        without gates; and NAME/answers (epochs, N). Its metadata names the epochs and the stages.
    """
    folder = results_folder(GATES, out)
    images = SCENES.images("test", RECORDED_SEED).subset(slice(RECORDED_IMAGES))
    assert images.masks is not None
    tensors = {
        "images": (images.images * 255).round().byte().permute(0, 2, 3, 1).contiguous(),
        "places": images.masks.byte(),
        "labels": images.labels,
    }
    for entry in (entry for entry in GATES.entries if entry.name in RECORDED):
        torch.manual_seed(RECORDED_SEED)
        network = entry.build(SCENES)
        assert isinstance(network, AttentionVGG)
        lr = chosen_lr(GATES, SCENES, entry, folder)
        kept = learn_with_maps(
            network,
            SCENES.images("train", RECORDED_SEED),
            images.images,
            RECORDED_EPOCHS,
            epochs=GATES.epochs,
            batch_size=GATES.batch_size,
            lr=lr,
            seed=RECORDED_SEED,
            precision="float32",
            progress=False,
            objective=entry.objective,
        )
        tensors |= {f"{entry.name}/{part}": one for part, one in kept.items()}
        say(f"{entry.name}: maps after epochs {', '.join(map(str, RECORDED_EPOCHS))}, lr {lr:g}")
    about = {"epochs": json.dumps(RECORDED_EPOCHS), "stages": json.dumps(stage_names(small_vgg(None)))}
    path = folder / "maps.safetensors"
    write_whole(path, save(tensors, about))
    return path


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
        ranked, places = _ranked(logits, test_set), place_scores(network, test_set, batch_size)
        scores[title] = {"accuracy": right, **ranked, **places}
        answers[title] = [[_KINDS[answer] for answer in row] for row in kept.pop("answers").tolist()]
        maps[title] = [map_.float() for map_ in kept.values()]
    return PetsComparison(scores, at, stage_names(network), maps, answers)


if __name__ == "__main__":
    print(record_maps())
