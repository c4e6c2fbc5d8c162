"""The lesson's widget on selective kernels: which kernel a trained network takes for digits of which size."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ...attention import SelectiveKernel, record_masks
from ...data import ImageSet, sized_digits
from ...models import load_network
from ..base import image_bytes
from ..limits import check_stage
from .widget import BranchWeights

NETWORK = "sk_sized_digits"
SIDES = tuple(range(8, 41, 4))
_EXAMPLES = 4
_PICTURES = 60
_SEED = 3
_CODE = f"""import torch

from course_utils.attention import record_masks
from course_utils.data import sized_digits
from course_utils.models import load_network

network = load_network("{NETWORK}")
pictures = sized_digits({_PICTURES}, seed={_SEED}, split="test", sides=({{size}}, {{size}}))
picture = pictures.images[{{example}}][None]"""


def explore_branch_weights(
    network: nn.Module | None = None, stage: int = 1, branch: int = 1, query: Sequence[int] = ()
) -> BranchWeights:
    """See how much each channel takes from each kernel while the digits grow; measured when this is called.

    The same 60 test digits are drawn at nine sizes, at random places, and go through the network.

    Args:
        network: `AttentionCNN(10, "sk", in_channels=1)`; by default the trained one that ships with the course.
        stage: the number of the stage whose block is shown first, from 1.
        branch: the kernel whose share is shown first: 0 for 3 x 3, 1 for 5 x 5.
        query: (row, column) of a cell of the table to show at the start.

    Raises:
        ValueError: if the network has no selective kernels, or there is no such stage, kernel or cell.

    Example:
        >>> explore_branch_weights(stage=2)
    """
    sets = [pictures_of(side) for side in SIDES]
    stages = _measure(load_network(NETWORK) if network is None else network.eval(), sets)
    check_stage(stage, len(stages))
    shown = [pictures.subset(slice(_EXAMPLES)) for pictures in sets]
    return BranchWeights(
        sizes=SIDES,
        counts=[len(pictures) for pictures in sets],
        pictures=np.stack([[image_bytes(image) for image in pictures.images] for pictures in shown]),
        squares=[_squares(pictures) for pictures in shown],
        stages=stages,
        stage=stage - 1,
        branch=branch,
        query=query,
        code=_CODE,
    )


@functools.cache
def pictures_of(side: int) -> ImageSet:
    """The pictures that are measured at one size: the same digits at every size, 60 of them."""
    return sized_digits(_PICTURES, _SEED, "test", sides=(side, side))


@torch.no_grad()
def _measure(network: nn.Module, sets: Sequence[ImageSet]) -> list[dict[str, Any]]:
    blocks = {name: block for name, block in network.named_modules() if isinstance(block, SelectiveKernel)}
    if not blocks:
        raise ValueError(
            f"{type(network).__name__} has no SelectiveKernel block; build it as AttentionCNN(10, 'sk', in_channels=1)."
        )
    found: dict[str, list[np.ndarray]] = {name: [] for name in blocks}
    for pictures in sets:
        with record_masks(network) as masks:
            network(pictures.images)
        for name in blocks:
            found[name].append(masks[name][..., 0, 0].numpy())  # (pictures, branches, C)
    every = [np.stack(shares) for shares in found.values()]  # each (sizes, pictures, branches, C)
    return [
        {
            "name": name,
            "kernels": [2 * index + 3 for index in range(len(block.branches))],
            "stride": 2**number,
            "shares": shares.mean(axis=1),
            "spread": shares.mean(axis=3).std(axis=1),
            "example_shares": shares[:, :_EXAMPLES],
        }
        for number, ((name, block), shares) in enumerate(zip(blocks.items(), every, strict=True))
    ]


def _squares(pictures: ImageSet) -> list[list[int]]:
    """Row, column and side of the digit's square in each picture."""
    assert pictures.masks is not None
    found = []
    for mask in pictures.masks:
        rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        found.append([int(rows[0]), int(columns[0]), len(rows)])
    return found
