"""The photographs that ship with the course; resource/LICENSES.md says who took each."""

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from ..names import check_name
from ..resources import checksums, resource

_CROP = 448
_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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
    check_name("photograph", name, photograph_names())
    with Image.open(resource(f"photos/{name}.jpg")) as picture:
        pixels = np.array(picture.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float() / 255


def normalised(images: Tensor) -> Tensor:
    """Photographs as torchvision's networks know them: each colour by its mean and deviation on ImageNet.

    Shape:
        images (..., 3, H, W) in [0, 1] -> the same shape.
    """
    mean, deviation = images.new_tensor([_IMAGENET_MEAN, _IMAGENET_DEVIATION])[:, :, None, None]
    return (images - mean) / deviation


def feature_crop(name: str) -> Tensor:
    """The part of a photograph that `photograph_features` describes: its largest middle square.

    Args:
        name: one of `photograph_names()`.

    Returns:
        (3, 448, 448) float32 in [0, 1]: each of the 14 x 14 positions of the features is a square of 32 x 32 pixels.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest.
    """
    picture = photograph(name)
    side = min(picture.shape[1:])
    top, left = ((length - side) // 2 for length in picture.shape[1:])
    square = picture[None, :, top : top + side, left : left + side]
    return F.interpolate(square, size=_CROP, mode="bicubic", antialias=True)[0].clamp(0, 1)


def photograph_features(name: str) -> Tensor:
    """What a network trained on ImageNet makes of a photograph: a vector at each of 14 x 14 positions.

    EfficientNet-Lite0's last stage of convolutions on `feature_crop(name)`. Over the positions of all nine
    photographs, its 320 channels were brought to mean 0 and variance 1, reduced to their first 16 principal
    components, and these to variance 1 again; experiments/features.py made them. So a dot product of two positions
    says how far they resemble each other, within one photograph or across two.

    Args:
        name: one of `photograph_names()`.

    Returns:
        (16, 14, 14) float32.

    Raises:
        ValueError: for an unknown name; the message suggests the nearest.
    """
    check_name("photograph", name, photograph_names())
    return _features()[name].float()


@cache
def _features() -> dict[str, Tensor]:
    return load_file(resource("features/photographs.safetensors"))
