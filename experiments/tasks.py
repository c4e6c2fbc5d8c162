"""The data of the studies: which images each seed draws for each split."""

import functools

import torch

from course_utils.data import ImageSet, cifar10, cued_digits, cued_scenes, digits

from .study import Task


def _digit_images(split: str, seed: int) -> ImageSet:
    """3,200 of the training digits, drawn by the seed; the other splits are always the same."""
    images = digits(split)
    if split != "train":
        return images
    return images.subset(torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:3200])


def _cued_images(split: str, seed: int) -> ImageSet:
    return cued_digits(6000 if split in ("train", "fit") else 2000, seed, split)


def _cifar_images(split: str, seed: int) -> ImageSet:
    """10,000 of the training photographs, drawn by the seed, and all test photographs."""
    return cifar10(split, {"train": 10_000, "fit": 8_000, "validation": 2_000}.get(split), seed)


def _scenes(cues: int, split: str, seed: int) -> ImageSet:
    sizes = {"fit": 4000, "train": 4000, "validation": 1000, "test": 2000}
    return cued_scenes(sizes[split], seed, split, cues=cues)


DIGITS = Task("digits", "Handwritten digits", _digit_images, in_channels=1, image_size=28)
CUED = Task("cued", "Cued digits", _cued_images, in_channels=3, image_size=40)
CIFAR = Task("cifar10", "CIFAR-10, 10,000 photographs", _cifar_images, in_channels=3, image_size=32)
SCENES = Task("scenes", "Cued scenes", functools.partial(_scenes, 1), in_channels=3, image_size=64)
TWO_CUES = Task("two", "Cued scenes, two digits to name", functools.partial(_scenes, 2), in_channels=3, image_size=64)
