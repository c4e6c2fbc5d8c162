"""The mask playground of lesson 4.1: photographs as stills, clips and branches; a readable g and a trained one."""

import base64
import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...data import photograph
from ...data.images import decode_image
from ...models import load_network
from ...models.page_graph import page_graph
from ...names import check_name
from ..base import image_file
from ..pictures import as_input
from .widget import CATEGORIES, FRAMES_ACROSS, MaskPlayground

HEIGHT, WIDTH = 216, 288
FRAMES = FRAMES_ACROSS**2
PICTURES = {"astronaut": "astronaut", "german_shepherd": "dog", "owl": "owl", "kitten": "kitten"}

_CODE = """import torch

from course_utils.widgets.mask_playground.explore import deviation_mask, local_mean, person_mask, playground_input
"""

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
    """A g that you can read: what is far from the mean colour gets a large weight. It has no parameters.

    Args:
        x: (3, H, W); (frames, 3, H, W) for the two temporal categories; (branches, 3, H, W) for "branch".
        category: which axes the mask has, a key of `AXES_OF_THE_MASK`.

    Returns:
        The mask; an axis has length 1 where one weight serves all. The largest weight is 1; over branches the
        weights are shared out, so that they sum to 1. If x has only one colour, all weights are the same.
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
        (3, 216, 288); for the two temporal categories (9, 3, 72, 96): a camera moving over the photograph, from the
        lower left to the upper right; for "branch" (2, 3, 216, 288): the photograph, and its local means. The values
        are those of the JPEG files that the page has.

    Raises:
        ValueError: for an unknown photograph or category.
    """
    check_name("category", category, CATEGORIES)
    if "temporal" in category:
        sheet = as_input(decode_image(_files(name)[1]))
        frames = sheet.unflatten(2, (FRAMES_ACROSS, -1)).unflatten(1, (FRAMES_ACROSS, -1))  # (3, 3, 72, 3, 96)
        return frames.permute(1, 3, 0, 2, 4).flatten(0, 1)
    still = as_input(decode_image(_files(name)[0]))
    return torch.stack([still, local_mean(still)]) if category == "branch" else still


@torch.no_grad()
def person_mask(x: Tensor) -> Tensor:
    """A g that was trained: the person segmenter's probability of each position.

    Args:
        x: (3, H, W) in [0, 1].

    Returns:
        (1, H, W), between 0 and 1.
    """
    square = F.interpolate(x[None], size=(256, 256), mode="bilinear")
    return F.interpolate(_segmenter()(square), size=x.shape[1:], mode="bilinear")[0]


@functools.cache
def _segmenter() -> nn.Module:
    return load_network("person_segmenter")


def explore_mask_playground(**settings: Any) -> MaskPlayground:
    """The mask playground on four photographs and the learner's own pictures; `settings` as in `MaskPlayground`."""
    pictures = []
    for name, title in PICTURES.items():
        still, clip = (base64.b64encode(file).decode() for file in _files(name))
        pictures.append({"key": name, "title": title, "still": still, "clip": clip})
    return MaskPlayground(network=page_graph(_segmenter()), pictures=pictures, code=_CODE, **settings)


@functools.cache
def _files(name: str) -> tuple[bytes, bytes]:
    """A photograph as the page has it: the still, and the nine frames on one sheet."""
    picture = _four_by_three(photograph(name))
    frames = torch.stack([_resized(frame, FRAMES_ACROSS) for frame in _pan(picture)])
    lines = [torch.cat([*three], dim=2) for three in frames.split(FRAMES_ACROSS)]
    still, sheet = (image_file(one, "JPEG", quality=92) for one in (_resized(picture, 1), torch.cat(lines, dim=1)))
    return still, sheet


def _four_by_three(picture: Tensor) -> Tensor:
    height, width = picture.shape[1:]
    rows, columns = min(height, width * 3 // 4), min(width, height * 4 // 3)
    top, left = (height - rows) // 8, (width - columns) // 2  # of a portrait the upper part: there is the head
    return picture[:, top : top + rows, left : left + columns]


def _resized(picture: Tensor, parts: int) -> Tensor:
    size = (HEIGHT // parts, WIDTH // parts)
    small = F.interpolate(picture[None], size=size, mode="bicubic", antialias=True, align_corners=False)[0]
    return small.clamp(0, 1)


def _pan(picture: Tensor) -> list[Tensor]:
    """Windows of half the height and width along a line from the lower left to the upper right."""
    rows, columns = picture.shape[1] // 2, picture.shape[2] // 2
    ways = [step / (FRAMES - 1) for step in range(FRAMES)]
    corners = [(round((1 - way) * rows), round(way * columns)) for way in ways]
    return [picture[:, top : top + rows, left : left + columns] for top, left in corners]
