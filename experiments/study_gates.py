"""Lesson 4.5: VGG alone, with gates by sigmoid and by softmax, and with the true place as a regulariser."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_utils.data import DIGIT_PAIRS, ImageSet
from course_utils.models import AttentionVGG
from course_utils.training.attention_maps import mask_objective, place_scores, ranking_scores
from course_utils.training.metrics import predict
from course_utils.training.pets_comparison import MASK_WEIGHTS

from .small_vgg import SMALL_VGG, TwoDigitsVGG, small_vgg
from .study import Entry, Study, Task
from .tasks import SCENES, TWO_CUES

LEARNING_RATES = (2e-3, 6e-3)
"""Tried for each network. At 1.8e-2, whether a network learns within eight epochs depends on the seed."""

FIRST_SEED = 5
"""The larger rates were left out after a look at the test of seeds 0 to 4; so those seeds are not measured with."""


def _small_vgg(alignment: str | None, task: Task) -> AttentionVGG:
    return small_vgg(alignment)


def _two_digits(alignment: str, task: Task) -> AttentionVGG:
    return TwoDigitsVGG(10, alignment, **SMALL_VGG)  # type: ignore[arg-type]


def _measure(network: nn.Module, image_set: ImageSet) -> dict[str, float]:
    assert isinstance(network, AttentionVGG)
    return {**_ranked(predict(network, image_set.images), image_set), **place_scores(network, image_set)}


def _ranked(logits: Tensor, image_set: ImageSet) -> dict[str, float]:
    return ranking_scores(logits, F.one_hot(image_set.labels, logits.shape[1]).bool())


def both_digits(labels: Tensor) -> Tensor:
    """Which digits are to be named where there are two cues: labels (N,), places in `DIGIT_PAIRS` -> (N, 10) bool."""
    return F.one_hot(torch.tensor(DIGIT_PAIRS), 10).sum(1).bool()[labels]


def _measure_pairs(network: nn.Module, image_set: ImageSet) -> dict[str, float]:
    assert isinstance(network, TwoDigitsVGG)
    with torch.no_grad():
        logits = torch.cat([network.eval().digits(batch) for batch in image_set.images.split(250)])
    return {**ranking_scores(logits, both_digits(image_set.labels)), **place_scores(network, image_set)}


def _entry(name: str, title: str, alignment: str | None) -> Entry:
    return Entry(name, title, functools.partial(_small_vgg, alignment), {"alignment": alignment, **SMALL_VGG})


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
            functools.partial(_small_vgg, "sigmoid"),
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
