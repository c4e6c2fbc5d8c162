"""`branch-weights`: how much each channel takes from each kernel, for things of growing size."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import traitlets

from ..base import CourseWidget, encode
from ..limits import check_indices, check_place

ORDERS = ("channel", "change")


@dataclass(frozen=True, eq=False)
class BranchStage:
    """What was measured in one block.

    Args:
        name: of the block in the network.
        kernels: how many pixels of its input each branch sees across, such as (3, 5).
        stride: how many pixels of the picture lie between two neighbouring places of its input.
        shares: (sizes, branches, C), the mean share of each branch in each channel, over the pictures of a size.
        spread: (sizes, branches), the standard deviation, over those pictures, of the mean share over the channels.
        example_shares: (sizes, examples, branches, C), of the pictures shown.
    """

    name: str
    kernels: Sequence[int]
    stride: int
    shares: np.ndarray
    spread: np.ndarray
    example_shares: np.ndarray


class BranchWeights(CourseWidget):
    """A table of channels by sizes, coloured by the share of one kernel; beside it the mean over the channels.

    Args:
        sizes: of the thing in the picture, in pixels, in growing order.
        counts: how many pictures of each size were measured.
        pictures: (sizes, examples, H, W), uint8: pictures to look at.
        squares: (sizes, examples, 3), whole numbers: row, column and side of the thing's square in each of them.
        stages: one for each block.
        label, caption, code: as in `CourseWidget`; `code` are the lines that make `network` and `picture`, with
            {size} and {example} where the picture's indices stand.
        traits: other traits, such as `stage`, `branch`, `order`, `example`.

    Attributes:
        stage: index of the block shown.
        branch: index of the kernel whose share is shown.
        order: "channel", or "change": those first whose share grows most from the smallest to the largest size.
        example: which of the pictures of a size is shown.
        query: (row of the table, index of the size) of the cell that is locked; empty while none is.

    Raises:
        ValueError: if shapes do not fit together, sizes do not grow, shares are negative or do not sum to 1 over the
            branches, or an index or the query lies outside.
    """

    _module = "branch_weights"

    sizes = traitlets.List(traitlets.Int()).tag(sync=True)
    counts = traitlets.List(traitlets.Int()).tag(sync=True)
    pictures = traitlets.Dict().tag(sync=True)
    squares: traitlets.List = traitlets.List().tag(sync=True)
    stages: traitlets.List = traitlets.List().tag(sync=True)
    stage = traitlets.Int(0).tag(sync=True, echo_update=False)
    branch = traitlets.Int(1).tag(sync=True, echo_update=False)
    order = traitlets.Enum(ORDERS, ORDERS[1]).tag(sync=True, echo_update=False)
    example = traitlets.Int(0).tag(sync=True, echo_update=False)
    query = traitlets.List(traitlets.Int(min=0)).tag(sync=True, echo_update=False)

    def __init__(
        self,
        sizes: Sequence[int],
        counts: Sequence[int],
        pictures: np.ndarray,
        squares: np.ndarray,
        stages: Sequence[BranchStage],
        label: str = "Branch weights: which kernel each channel takes, by the size of the digit",
        **traits: Any,
    ) -> None:
        if not stages or len(sizes) < 2:
            raise ValueError(
                f"BranchWeights needs at least one stage and two sizes, but was given {len(stages)} and {len(sizes)}."
            )
        if len(counts) != len(sizes) or len(pictures) != len(sizes) or squares.shape != (*pictures.shape[:2], 3):
            raise ValueError(
                f"{len(sizes)} sizes need as many counts, pictures (sizes, examples, H, W) and squares (sizes, "
                f"examples, 3), but there are {len(counts)} counts, pictures {pictures.shape}, squares {squares.shape}."
            )
        if any(larger <= smaller for smaller, larger in pairwise(sizes)):
            raise ValueError(f"sizes={tuple(sizes)} must grow from one to the next.")
        if pictures.ndim != 4 or 0 in pictures.shape:
            raise ValueError(
                f"pictures has shape {pictures.shape}, but (sizes, examples, H, W) is needed, none of it 0."
            )
        for stage in stages:
            _check(stage, pictures.shape[:2])
        shown = traits.get("stage", 0)
        check_indices(traits, {"stage": len(stages), "example": pictures.shape[1]})
        check_indices(traits, {"branch": len(stages[shown].kernels)})
        check_place(
            traits.get("query", ()), (stages[shown].shares.shape[2], len(sizes)), "(row, size) of the stage's table"
        )
        super().__init__(
            sizes=[int(size) for size in sizes],
            counts=[int(count) for count in counts],
            pictures=encode(pictures, "uint8"),
            squares=squares.tolist(),
            stages=[_encode_stage(stage) for stage in stages],
            label=label,
            **traits,
        )


def _check(stage: BranchStage, pictures: tuple[int, ...]) -> None:
    branches, channels = len(stage.kernels), stage.shares.shape[-1]
    needed = {
        "shares": (pictures[0], branches, channels),
        "spread": (pictures[0], branches),
        "example_shares": (*pictures, branches, channels),
    }
    for name, shape in needed.items():
        if getattr(stage, name).shape != shape:
            raise ValueError(
                f"{stage.name} has {name} of shape {getattr(stage, name).shape}, but {shape} is needed: sizes, "
                "examples, branches and channels, in this order."
            )
    for name in ("shares", "example_shares"):
        least = getattr(stage, name).min(initial=0)
        if least < 0:
            raise ValueError(f"The {name} of {stage.name} are shares, from 0 to 1, but {least:.3g} is one.")
        sums = getattr(stage, name).sum(axis=-2)
        if not np.allclose(sums, 1, atol=1e-3):
            raise ValueError(
                f"The {name} of {stage.name} must sum to 1 over the branches, but {sums.min():.3g} is one."
            )


def _encode_stage(stage: BranchStage) -> dict[str, Any]:
    return {
        "name": stage.name,
        "kernels": [int(side) for side in stage.kernels],
        "stride": stage.stride,
        "shares": encode(stage.shares, "float16"),
        "spread": encode(stage.spread, "float16"),
        "example_shares": encode(stage.example_shares, "float16"),
    }
