"""Lesson 4.3: every block of the course in one network, beside rivals without attention and a small transformer."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.attention import record_masks
from course_utils.data import ImageSet
from course_utils.models import AttentionCNN, VisionTransformer, class_token_maps
from course_utils.training.attention_maps import share_on_object

from .study import FIRST_UNSEEN_SEED, Entry, Study, Task, cnn
from .tasks import CIFAR, CUED, DIGITS

SHARE = "share of the mask on the digit"
LEARNING_RATES = (2.3e-4, 7e-4, 2e-3, 6e-3, 1.8e-2, 5.4e-2)
_LOOKED_AT = 500


def vit(name: str, title: str, **arguments: Any) -> Entry:
    """A `VisionTransformer` that cuts each picture into 4 x 4 patches."""
    return Entry(name, title, functools.partial(_small_vit, arguments), arguments)


def _small_vit(arguments: Mapping[str, Any], task: Task) -> VisionTransformer:
    sizes = {"image_size": task.image_size, "patch_size": task.image_size // 4}
    return VisionTransformer(**sizes, **arguments, num_classes=10, in_channels=task.in_channels)


@torch.no_grad()
def place_maps(network: nn.Module, images: Tensor) -> Tensor | None:
    """Where a network's last mask lies, (N, h, w); None if it has none, or one without places, as over channels.

    Of self-attention the mean over all queries is taken, since the head averages over all positions; of CBAM the mean
    over the channels; of the transformer the class token's weights in the last block, the mean over its heads.
    """
    network.eval()
    if isinstance(network, VisionTransformer):
        return class_token_maps(network.attention_weights(images)[:, -1].mean(1))
    with record_masks(network) as masks:
        network(images)
    if not masks or not isinstance(network, AttentionCNN):
        return None
    mask = list(masks.values())[-1]
    if mask.dim() == 3:  # (N, positions, positions): the keys are a square
        side = round(mask.shape[2] ** 0.5)
        return mask.mean(1).view(len(images), side, side)
    return mask.mean(1) if mask.shape[2] > 1 else None


def share_on_answer(network: nn.Module, image_set: ImageSet) -> dict[str, float]:
    """Which share of the mask lies on the digit that is the answer, the mean over the first test images."""
    if image_set.masks is None:
        return {}
    maps = place_maps(network, image_set.images[:_LOOKED_AT])
    return {} if maps is None else {SHARE: float(share_on_object(maps, image_set.masks[:_LOOKED_AT]).mean())}


_BLOCKS = ("se", "eca", "cbam", "gsop", "self_attention")
_RIVALS = ("plain", "wider", "hidden")
_ENTRIES = (
    cnn("plain", "plain"),
    # As many parameters as the largest, which is GSoP's.
    cnn("wider", "plain, wider", widths=(30, 57, 57)),
    cnn("hidden", "plain, hidden layer", head="hidden"),
    cnn("se", "SE", attention="se"),
    cnn("eca", "ECA", attention="eca"),
    cnn("cbam", "CBAM", attention="cbam"),
    cnn("gsop", "GSoP", attention="gsop"),
    cnn("self_attention", "self-attention", attention="self_attention"),
    vit("vit", "small vision transformer", depth=3, embed_dim=36, num_heads=4, mlp_dim=72),
)
LEAGUE = Study(
    name="4.3",
    title="A league of attention blocks, with their rivals",
    tasks=(DIGITS, CUED),
    entries=_ENTRIES,
    pairs=(
        *((block, rival) for block in _BLOCKS for rival in _RIVALS),
        ("hidden", "plain"),
        *((block, "se") for block in _BLOCKS if block != "se"),
        ("vit", "plain"),
    ),
    learning_rates=LEARNING_RATES,
    trials=3,
    epochs=8,
    batch_size=128,
    measure=share_on_answer,
    first_seed=FIRST_UNSEEN_SEED,
)
LEAGUE_CIFAR = replace(LEAGUE, name="4.3-cifar10", tasks=(CIFAR,), measure=None, shipped=False)
ORIGINAL = Study(
    name="4.3-original",
    title="The original course's network with and without self-attention",
    tasks=(DIGITS,),
    entries=(
        cnn("plain", "plain", layout="original"),
        cnn("self_attention", "with self-attention", layout="original", attention="self_attention"),
    ),
    pairs=(("self_attention", "plain"),),
    learning_rates=LEARNING_RATES,
    trials=3,
    epochs=8,
    batch_size=128,
    first_seed=FIRST_UNSEEN_SEED,
)
