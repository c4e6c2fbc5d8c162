"""A picture cut into patches, and a network that sees them all: for exercises that blank some."""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from .engine import Draw


class _Linear:
    """A network of one linear layer on all pixels, so that every patch counts."""

    def __init__(self, weight: Tensor):
        self.weight = weight

    def __call__(self, images: Tensor) -> Tensor:
        return F.linear(images.flatten(1).to(self.weight), self.weight)


def draw_picture(draw: Draw) -> tuple[Callable[[Tensor], Tensor], Tensor, int, int]:
    """A network, a picture (3, H, W), a class, and the side of a patch; the class is not the likeliest, nor a size."""
    size, rows, columns, classes = 2, 3, draw.integer(5, 6), 8
    numbers = 3 * rows * columns * size * size
    image = 0.5 + 0.5 * draw.uniform(3, rows * size, columns * size)
    network = _Linear(draw.normal(classes, numbers, std=2.5 * numbers**-0.5))
    order = network(image[None])[0].argsort(descending=True).tolist()
    return network, image, next(each for each in order[1:] if each in (1, 7)), size


def blanked(
    image: Tensor,
    order: Iterable[int],
    size: int,
    *,
    keep: bool = True,
    reveal: bool = False,
    down: bool = False,
    from_one: bool = False,
) -> Tensor:
    """A picture (C, H, W), and again with each further patch blank: (patches + 1, C, H, W).

    Args:
        image: the picture.
        order: the patches to blank, counted row after row from 0.
        size: the side of a patch.
        keep: whether a blanked patch stays blank.
        reveal: begin with a blank picture and reveal the patches.
        down: count the patches down the columns.
        from_one: count the patches from 1.
    """
    rows, columns = image.shape[1] // size, image.shape[2] // size
    shown = torch.zeros_like(image) if reveal else image.clone()
    pictures = [shown.clone()]
    for patch in order:
        patch = (patch - from_one) % (rows * columns)
        top, left = (patch % rows, patch // rows) if down else (patch // columns, patch % columns)
        here = slice(None), slice(top * size, top * size + size), slice(left * size, left * size + size)
        shown = shown if keep else image.clone()
        shown[here] = image[here] if reveal else 0
        pictures.append(shown.clone())
    return torch.stack(pictures)
