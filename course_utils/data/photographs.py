"""The photographs that ship with the course; resource/LICENSES.md says who took each."""

import difflib

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..resources import checksums, resource


def photograph_names() -> list[str]:
    """The names that `photograph` knows."""
    photos = (name for name in checksums() if name.startswith("photos/"))
    return sorted(name.removeprefix("photos/").removesuffix(".jpg") for name in photos)


def photograph(name: str) -> Tensor:
    """A shipped photograph.

    Args:
        name: one of `photograph_names()`, such as "german_shepherd".

    Returns:
        (3, H, W) float32 in [0, 1]; photograph(name)[None] is a batch of one.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest.
    """
    names = photograph_names()
    if name not in names:
        near = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else "choose one of these."
        raise ValueError(f"There is no photograph {name!r}; {hint} There are: {', '.join(names)}.")
    with Image.open(resource(f"photos/{name}.jpg")) as picture:
        pixels = np.array(picture.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float() / 255
