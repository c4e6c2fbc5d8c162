"""The widget of lesson 4.1, section 3: the trained network and the digits that it runs on."""

from typing import Any

import torch

from ...data import digits
from ...models import load_network
from ...models.page_graph import page_graph
from .widget import PixelBudget

NETWORK = "se_digits"
_SHOWN = 10
_CODE = f"""import torch

from course_utils.data import digits
from course_utils.models import load_network

network, test = load_network("{NETWORK}"), digits("test")
picture = test.images[test.labels == {{picture}}][0]
count = {{count}}  # of 784 pixels
kept = picture.flatten().topk(count).indices  # the brightest of this picture
mask = torch.zeros(784).scatter(0, kept, 1.0).view(1, 28, 28)
print(network((mask * picture)[None]).softmax(dim=1))"""


def explore_pixel_budget(budget: float = 0.1, **traits: Any) -> PixelBudget:
    """Let a network see only some of a digit's pixels: random ones, fixed ones, or the brightest of this digit.

    Args:
        budget: the share of the pixels that is kept at the start, from 0.01 to 0.6.
        traits: other traits of `PixelBudget`, such as `picture` or `steps`.

    Raises:
        ValueError: if there is no such picture.

    Example:
        >>> explore_pixel_budget(budget=0.05)
    """
    test = digits("test")
    shown = test.subset(torch.stack([(test.labels == digit).nonzero()[0, 0] for digit in range(_SHOWN)]))
    scores = {
        "random": torch.rand(28, 28, generator=torch.Generator().manual_seed(0)),
        "fixed": digits("train").images.mean(dim=(0, 1)),
    }
    return PixelBudget(
        pictures=(shown.images[:, 0] * 255).round().byte(),
        labels=shown.labels.tolist(),
        scores=scores,
        **page_graph(load_network(NETWORK)),
        budget=budget,
        code=_CODE,
        **traits,
    )
