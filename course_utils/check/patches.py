"""A picture cut into patches, and a network that sees them all: for exercises that blank some."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from .engine import Draw


def draw_picture(draw: Draw) -> tuple[Callable[[Tensor], Tensor], Tensor, int, int]:
    """A network, a picture (3, H, W), a class, and the side of a patch; the class is not the likeliest, nor a size."""
    size, rows, columns, classes = 2, 3, draw.integer(5, 6), 8
    numbers = 3 * rows * columns * size * size
    image = 0.5 + 0.5 * draw.uniform(3, rows * size, columns * size)
    weight = draw.normal(classes, numbers, std=2.5 * numbers**-0.5)

    def network(images: Tensor) -> Tensor:
        return F.linear(images.flatten(1).to(weight), weight)  # of all pixels, so that every patch counts

    order = network(image[None])[0].argsort(descending=True).tolist()
    return network, image, next(each for each in order[1:] if each in (1, 7)), size
