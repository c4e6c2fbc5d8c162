"""The mask playground of lesson 4.1: photographs as stills, as clips and as branches, and one readable g for all."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...data import photograph
from ..base import image_bytes
from .widget import CATEGORIES, FRAMES_ACROSS, MaskPlayground

HEIGHT, WIDTH = 144, 192
FRAMES = FRAMES_ACROSS**2
PICTURES = {"german_shepherd": "dog", "owl": "owl", "kitten": "kitten"}

AXES_OF_THE_MASK = {
    "channel": (-3,),
    "spatial": (-2, -1),
    "channel & spatial": (-3, -2, -1),
    "temporal": (-4,),
    "spatial & temporal": (-4, -2, -1),
    "branch": (-4,),
}
"""The axes along which each category's mask differs. x is (channels, rows, columns), -3 to -1; before them, -4, a clip
has its frames and a pair of branches its branches."""


def deviation_mask(x: Tensor, category: str) -> Tensor:
    """A g that one can read: what is far from the mean colour gets a large weight. It has no parameter.

    Args:
        x: (3, H, W); (frames, 3, H, W) for the two temporal categories; (branches, 3, H, W) for "branch".
        category: which axes the mask has, a key of `AXES_OF_THE_MASK`.

    Returns:
        The mask, an axis of length 1 where it does not differ. The largest weight is 1; over branches the
        weights are shared out, so that they sum to 1. Where x is one colour throughout, all weights are alike.
    """
    every = range(-x.dim(), 0)
    kept = AXES_OF_THE_MASK[category]
    colour = x.mean(dim=[axis for axis in every if axis != -3], keepdim=True)  # one mean for each channel
    deviation = (x - colour).abs()
    if -1 in kept:
        deviation = local_mean(deviation)
    rest = [axis for axis in every if axis not in kept]
    mask = deviation.mean(dim=rest, keepdim=True) if rest else deviation
    if not mask.any():  # one colour throughout: nothing stands out
        mask = torch.ones_like(mask)
    return mask / (mask.sum() if category == "branch" else mask.max())


def local_mean(x: Tensor) -> Tensor:
    """The mean of each position's square neighbourhood, about a sixteenth of the width: (..., H, W), shape kept."""
    reach = x.shape[-1] // 32
    return F.avg_pool2d(x, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)


def playground_input(name: str, category: str) -> Tensor:
    """What the playground calls x.

    Args:
        name: one of `course_utils.data.photograph_names()`.
        category: one of the six.

    Returns:
        (3, 144, 192); for the two temporal categories (9, 3, 48, 64): a camera moving over the photograph, from the
        lower left to the upper right; for "branch" (2, 3, 144, 192): the photograph, and its local means.

    Raises:
        ValueError: for an unknown photograph or category.
    """
    if category not in CATEGORIES:
        raise ValueError(
            f"category={category!r} is not one of {', '.join(map(repr, CATEGORIES))}; choose one of these."
        )
    picture = _four_by_three(photograph(name))
    if "temporal" in category:
        return torch.stack([_resized(frame, FRAMES_ACROSS) for frame in _pan(picture)])
    still = _resized(picture, 1)
    return torch.stack([still, local_mean(still)]) if category == "branch" else still


def explore_mask_playground(**settings: Any) -> MaskPlayground:
    """The mask playground on three photographs; `settings` as in `MaskPlayground`."""
    pictures = [
        {
            "key": name,
            "title": title,
            "still": image_bytes(playground_input(name, "spatial")),
            "clip": np.stack([image_bytes(frame) for frame in playground_input(name, "temporal")]),
        }
        for name, title in PICTURES.items()
    ]
    settings.setdefault(
        "code",
        "import torch\n\nfrom course_utils.widgets.mask_playground.explore import deviation_mask, playground_input\n",
    )
    return MaskPlayground(pictures, **settings)


def _four_by_three(picture: Tensor) -> Tensor:
    height, width = picture.shape[1:]
    rows, columns = min(height, width * 3 // 4), min(width, height * 4 // 3)
    top, left = (height - rows) // 2, (width - columns) // 2
    return picture[:, top : top + rows, left : left + columns]


def _resized(picture: Tensor, parts: int) -> Tensor:
    """Made smaller, and rounded to 256 levels, so that the page's bytes are exactly these numbers."""
    size = (HEIGHT // parts, WIDTH // parts)
    small = F.interpolate(picture[None], size=size, mode="bicubic", antialias=True, align_corners=False)[0]
    return (small.clamp(0, 1) * 255).round() / 255


def _pan(picture: Tensor) -> list[Tensor]:
    """Windows of half the height and width along a line from the lower left to the upper right."""
    rows, columns = picture.shape[1] // 2, picture.shape[2] // 2
    ways = [step / (FRAMES - 1) for step in range(FRAMES)]
    corners = [(round((1 - way) * rows), round(way * columns)) for way in ways]
    return [picture[:, top : top + rows, left : left + columns] for top, left in corners]
