"""What several explorers need: pictures as tensors, what a module is given, and a trained network with its pictures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ..data import ImageSet, cued_digits
from ..data.images import square_image
from ..models import load_network


def as_input(image: np.ndarray, channels: int = 3) -> Tensor:
    """Bytes (H, W, 3) as a tensor (channels, H, W) from 0 to 1; one channel is the mean of the three."""
    x = torch.from_numpy(image.copy()).permute(2, 0, 1) / 255
    return x if channels == 3 else x.mean(0, keepdim=True)


def square_input(image: np.ndarray, side: int, channels: int = 3) -> Tensor:
    """The middle square of a picture (H, W, 3), uint8, as a tensor (channels, side, side) from 0 to 1."""
    return as_input(square_image(image, side), channels)


@contextmanager
def inputs_of(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Copies of what some modules of a network are given in the passes meanwhile, by the modules' names."""
    given: dict[str, Tensor] = {}
    handles = [
        network.get_submodule(name).register_forward_pre_hook(
            lambda module, arguments, name=name: given.update({name: arguments[0].clone()})
        )
        for name in names
    ]
    try:
        yield given
    finally:
        for handle in handles:
            handle.remove()


def on_cued_digits(name: str, count: int, seed: int) -> tuple[nn.Module, ImageSet, str]:
    """A network that ships, cued digits of the test split, and the lines that make both, `network` and `images`."""
    code = (
        "from course_utils.data import cued_digits\nfrom course_utils.models import load_network\n\n"
        f'network = load_network("{name}")\nimages = cued_digits({count}, seed={seed}, split="test").images'
    )
    return load_network(name), cued_digits(count, seed=seed, split="test"), code
