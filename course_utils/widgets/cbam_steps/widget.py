"""`cbam-steps`: CBAM one step after another; its order swapped, its pools off, and what the network answers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import traitlets

from ..base import CourseWidget, encode
from ..limits import check_indices, check_place

ORDERS = ("channel first", "spatial first")


@dataclass(frozen=True, eq=False)
class CBAMStage:
    """The numbers of one stage: convolution, batch norm, ReLU, CBAM, max-pooling.

    Args:
        name: of the CBAM block in the network.
        weight: (C, before, 3, 3), of the convolution, with padding 1 and without bias.
        scale: (C,), what batch norm multiplies by.
        shift: (C,), what it adds afterwards.
        reduce_weight: (C // r, C); reduce_bias: (C // r,).
        expand_weight: (C, C // r); expand_bias: (C,).
        kernel: (2, k, k), of the spatial part, for [max, mean].
        spatial_scale: what the spatial part's batch norm multiplies by.
        spatial_shift: what it adds afterwards.
        pool: side of the max-pooling after the block.
    """

    name: str
    weight: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    reduce_weight: np.ndarray
    reduce_bias: np.ndarray
    expand_weight: np.ndarray
    expand_bias: np.ndarray
    kernel: np.ndarray
    spatial_scale: float
    spatial_shift: float
    pool: int


@dataclass(frozen=True, eq=False)
class CBAMPicture:
    """One picture.

    Args:
        label: what it is, in words: "the answer is 7".
        image: (H, W, 3) or (H, W), uint8; the network is given these bytes divided by 255.
        code: a line that makes it, as `image`, a batch of one.
    """

    label: str
    image: np.ndarray
    code: str = ""


class CBAMSteps(CourseWidget):
    """CBAM's steps on pictures; the page runs the whole network, so every switch is answered at once.

    Args:
        stages: the network up to its head, in order.
        head_weight: (K, C), the layer on the last stage's channel means.
        head_bias: (K,).
        pictures: what the learner may choose from.
        label, caption, code: as in `CourseWidget`; `code` are the lines that make `network`.
        traits: other traits, such as `picture`, `stage`, `step`, `order`.

    Attributes:
        picture: index of the picture shown.
        stage: index of the stage shown; the switches act on its block alone.
        step: how many of the five steps are shown.
        order: "channel first", as CBAM has it, or "spatial first".
        channel_mean, channel_max: which pools the channel part uses.
        spatial_max, spatial_mean: which pools the spatial part uses.
        query: (row, column) of the place that is locked; empty while none is.

    Raises:
        ValueError: if there is no stage or picture, shapes do not fit together, a number is not finite, the pictures
            are too small for the poolings, or an index or the query lies outside.
    """

    _module = "cbam_steps"

    stages: traitlets.List = traitlets.List().tag(sync=True)
    head = traitlets.Dict().tag(sync=True)
    pictures: traitlets.List = traitlets.List().tag(sync=True)
    picture = traitlets.Int(0).tag(sync=True, echo_update=False)
    stage = traitlets.Int(0).tag(sync=True, echo_update=False)
    step = traitlets.Int(5, min=1, max=5).tag(sync=True, echo_update=False)
    order = traitlets.Enum(ORDERS, ORDERS[0]).tag(sync=True, echo_update=False)
    channel_mean = traitlets.Bool(True).tag(sync=True, echo_update=False)
    channel_max = traitlets.Bool(True).tag(sync=True, echo_update=False)
    spatial_max = traitlets.Bool(True).tag(sync=True, echo_update=False)
    spatial_mean = traitlets.Bool(True).tag(sync=True, echo_update=False)
    query = traitlets.List(traitlets.Int(min=0)).tag(sync=True, echo_update=False)

    def __init__(
        self,
        stages: Sequence[CBAMStage],
        head_weight: np.ndarray,
        head_bias: np.ndarray,
        pictures: Sequence[CBAMPicture],
        label: str = "CBAM step by step: its channel gates, its spatial mask, and the network's answer",
        **traits: Any,
    ) -> None:
        if not stages or not pictures:
            raise ValueError(
                f"CBAMSteps needs at least one stage and one picture, but was given {len(stages)} and {len(pictures)}."
            )
        for picture in pictures:
            if picture.image.ndim not in (2, 3) or 0 in picture.image.shape:
                raise ValueError(
                    f"{picture.label!r} has shape {picture.image.shape}, but (H, W, 3) or (H, W) is needed."
                )
            if picture.image.shape != pictures[0].image.shape:
                raise ValueError(
                    f"{picture.label!r} has shape {picture.image.shape}, but the first picture "
                    f"{pictures[0].image.shape}; give pictures of one shape."
                )
        before = _channels(pictures[0].image)
        sizes = [pictures[0].image.shape[:2]]  # of the map that each stage's block is given
        for each in stages:
            _check(each, before)
            before = len(each.weight)
            sizes.append((sizes[-1][0] // each.pool, sizes[-1][1] // each.pool))
        if 0 in sizes[-1]:
            raise ValueError(
                f"Pictures of {sizes[0][0]} x {sizes[0][1]} pixels are too small: after the poolings of all stages, "
                f"{' and '.join(str(each.pool) for each in stages)}, nothing is left of them."
            )
        if head_weight.shape != (len(head_bias), before):
            raise ValueError(
                f"head_weight has shape {head_weight.shape}; ({len(head_bias)}, {before}) is needed: a row for each "
                "class, a column for each channel of the last stage."
            )
        check_indices(traits, {"picture": len(pictures), "stage": len(stages)})
        check_place(traits.get("query", ()), sizes[traits.get("stage", 0)], "(row, column) of the stage's map")
        super().__init__(
            stages=[_encode_stage(each) for each in stages],
            head={"weight": encode(head_weight, "float32"), "bias": encode(head_bias, "float32")},
            pictures=[
                {"label": each.label, "image": encode(each.image, "uint8"), "code": each.code} for each in pictures
            ],
            label=label,
            **traits,
        )


def _channels(image: np.ndarray) -> int:
    return 1 if image.ndim == 2 else image.shape[2]


def _check(stage: CBAMStage, before: int) -> None:
    channels, hidden = len(stage.weight), len(stage.reduce_bias)
    side = stage.kernel.shape[-1]
    if side % 2 == 0 or stage.pool < 1:
        raise ValueError(
            f"{stage.name} has a spatial kernel of side {side} and pool={stage.pool}; the side must be odd, so that a "
            "position is in its middle, and pool at least 1, which is no pooling."
        )
    for name in ("spatial_scale", "spatial_shift"):
        if not math.isfinite(getattr(stage, name)):
            raise ValueError(f"{stage.name} has {name}={getattr(stage, name)}; a finite number is needed.")
    needed = {
        "weight": (channels, before, 3, 3),
        "scale": (channels,),
        "shift": (channels,),
        "reduce_weight": (hidden, channels),
        "expand_weight": (channels, hidden),
        "expand_bias": (channels,),
        "kernel": (2, side, side),
    }
    for name, shape in needed.items():
        found = getattr(stage, name).shape
        if found != shape:
            raise ValueError(f"{stage.name} has {name} of shape {found}, but {shape} is needed.")


def _encode_stage(stage: CBAMStage) -> dict[str, Any]:
    arrays = ["weight", "scale", "shift", "reduce_weight", "reduce_bias", "expand_weight", "expand_bias", "kernel"]
    return {
        "name": stage.name,
        **{name: encode(getattr(stage, name), "float32") for name in arrays},
        "spatial_scale": float(stage.spatial_scale),
        "spatial_shift": float(stage.spatial_shift),
        "pool": stage.pool,
    }
