"""The lesson's widget on the vision transformer: a network and pictures joined to `PatchTokens`."""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...data import ImageSet
from ...models import VisionTransformer, rollout
from ..base import both_or_neither, image_bytes
from ..pictures import on_cued_digits, square_input
from .widget import PatchTokens

_MOST_PICTURES = 6
_SEED = 9  # of these pictures some answers depend on one patch, some on none
_ALL_CLASSES = 10  # so many are shown whole, of more the likeliest
_LIKELIEST = 5
_BATCH = 49  # pictures at a time: a quarter of the 196 patches of ViT-B/16

Prepare = Callable[[Tensor], Tensor]


def blank_patches(image: Tensor, patches: Iterable[int], patch_size: int, level: float = 0.0) -> Tensor:
    """A copy of a picture in which some patches hold nothing but one grey.

    Args:
        image: (C, H, W).
        patches: their indices, row after row from 0.
        patch_size: side of a patch.
        level: the grey, from 0, black, to 1.
    """
    blanked = image.clone()
    columns = image.shape[2] // patch_size
    for patch in patches:
        top, left = patch // columns * patch_size, patch % columns * patch_size
        blanked[:, top : top + patch_size, left : left + patch_size] = level
    return blanked


def picture_input(image: np.ndarray, network: VisionTransformer) -> Tensor:
    """The middle square of a picture as a network takes it.

    Args:
        image: (H, W, 3), uint8.
        network: says how large its pictures are, and how many channels they have.

    Returns:
        (C, side, side) in [0, 1].
    """
    return square_input(image, network.image_size, network.in_channels)


@torch.no_grad()
def occlude(network: VisionTransformer, image: Tensor, level: float = 0.0, prepare: Prepare | None = None) -> Tensor:
    """What the network answers when each patch in turn is blanked.

    Args:
        network: in evaluation mode.
        image: (C, H, W) in [0, 1].
        level: the grey of a blanked patch.
        prepare: what the network needs done to pictures in [0, 1] first, such as normalising them.

    Returns:
        (P, num_classes), probabilities; row p belongs to the picture without its patch p.
    """
    size = network.settings["patch_size"]
    count = (network.image_size // size) ** 2
    blanked = (blank_patches(image, [patch], size, level) for patch in range(count))
    return _probabilities(network, list(blanked), prepare)


def explore_patch_tokens(
    network: VisionTransformer | None = None,
    data: ImageSet | Tensor | None = None,
    *,
    classes: Sequence[str] | None = None,
    prepare: Prepare | None = None,
    level: float = 0.0,
    **shown: Any,
) -> PatchTokens:
    """Cut pictures into patches, see what the class token looks at, and blank patches.

    Args:
        network: a vision transformer; yours stays as it is. None: the course's, on six cued digits.
        data: pictures in [0, 1] for `network`, (N, C, H, W), with labels or without; the first six are shown. The
            occlusion map is that of the label, without labels that of the likeliest class.
        classes: a name for each class; numbers by default.
        prepare: what the network needs done to pictures in [0, 1] first, such as normalising them.
        level: the grey of a blanked patch, from 0, black, to 1.
        shown: what is shown first: `picture`, `cut`, `view`, `layer`, `head`, `query`, `blanked`, `blanking`,
            `own_range`, `caption`.

    Raises:
        ValueError: if only one of network and data is given, pictures, classes or level do not fit, or what is to be
            shown is not there.

    Example:
        >>> explore_patch_tokens(layer=3, head=4)
        >>> explore_patch_tokens(network, images, prepare=normalise, classes=names, level=0.45)
    """
    both_or_neither("explore_patch_tokens", network=network, data=data)
    if network is None or data is None:
        trained, pictures, made = on_cued_digits("vit_cued_digits", _MOST_PICTURES, _SEED)
        assert isinstance(trained, VisionTransformer)
        return _show(trained, pictures, _names(trained, None), None, level, f"{made}\n", shown)
    if not 0 <= level <= 1:
        raise ValueError(f"level={level} is no grey; give a number from 0, black, to 1, white.")
    given = ", prepare" if prepare else ""
    images = "data.images" if isinstance(data, ImageSet) else "data"
    made = f"images = {images}  # network, data{given}: what you gave\n"
    return _show(network, data, _names(network, classes), prepare, level, made, shown)


def _names(network: VisionTransformer, classes: Sequence[str] | None) -> list[str]:
    count = network.settings["num_classes"]
    names = [str(i) for i in range(count)] if classes is None else [str(name) for name in classes]
    if len(names) != count:
        raise ValueError(f"There are {len(names)} names for {count} classes; give one for each.")
    return names


def _show(
    network: VisionTransformer,
    data: ImageSet | Tensor,
    names: list[str],
    prepare: Prepare | None,
    level: float,
    code: str,
    shown: dict[str, Any],
) -> PatchTokens:
    given = data.images if isinstance(data, ImageSet) else data
    expected = (network.in_channels, network.image_size, network.image_size)
    if given.dim() != 4 or given.shape[1:] != expected or not len(given):
        raise ValueError(
            f"The network reads pictures (N, {', '.join(map(str, expected))}), but was given {tuple(given.shape)}; "
            "resize or crop them."
        )
    images = list(given[:_MOST_PICTURES].cpu())
    labels = data.labels[:_MOST_PICTURES].tolist() if isinstance(data, ImageSet) else [None] * len(images)
    seeing = copy.deepcopy(network).eval().requires_grad_(False)  # on its own device: there it is quick
    asked: list[list[int]] = []
    pictures = []
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        picture, chosen = _look(seeing, image, label, names, prepare, level)
        asked.append(chosen)
        lines = _code(f"{code}image = images[{i}]", level, prepare)
        pictures.append({**picture, "label": _label(i, label, names), "code": lines})
    positions = seeing.positions[0].cpu()  # (P + 1, embed_dim)
    similarity = F.cosine_similarity(positions[:, None], positions[None], dim=2)
    device = seeing.head.weight.device
    small = seeing.cpu()  # questions come one at a time

    def answer(picture: int, patches: Sequence[int]) -> Tensor:
        blanked = blank_patches(images[picture], patches, small.settings["patch_size"], level)
        return _probabilities(small, [blanked], prepare)[0, asked[picture]]

    def add(image: np.ndarray, name: str) -> dict[str, Any]:
        x = picture_input(image, small)
        picture, chosen = _look(small.to(device), x, None, names, prepare, level)
        small.cpu()
        images.append(x)
        asked.append(chosen)
        made = f"{code}# image: (C, H, W) in [0, 1], what your camera took"
        if name:
            made = f"from pathlib import Path\n\nfrom course_utils.data.images import decode_image\n{code}"
            made += f"image = picture_input(decode_image(Path({name!r}).read_bytes()), network)"
        return {**picture, "label": name or "your picture", "code": _code(made, level, prepare)}

    return PatchTokens(pictures, network.settings["patch_size"], similarity.half(), answer, add, **shown)


@torch.no_grad()
def _look(
    network: VisionTransformer,
    image: Tensor,
    label: int | None,
    names: list[str],
    prepare: Prepare | None,
    level: float,
) -> tuple[dict[str, Any], list[int]]:
    """What one picture shows, and the classes that are shown of it."""
    batch = image[None].to(network.head.weight.device)
    weights = network.attention_weights(prepare(batch) if prepare else batch)  # (1, depth, heads, L, L)
    whole = _probabilities(network, [image], prepare)[0]
    if len(names) <= _ALL_CLASSES:
        chosen = list(range(len(names)))
    else:
        chosen = whole.topk(_LIKELIEST).indices.tolist()
        chosen += [label] if label is not None and label not in chosen else []
    steps = [rollout(weights[:, : depth + 1])[0, 0] for depth in range(weights.shape[1])]
    return {
        "image": image_bytes(image.clamp(0, 1)),
        "attention": weights[0, :, :, 0],
        "rollout": torch.stack(steps),
        "probabilities": whole[chosen],
        "single": occlude(network, image, level, prepare)[:, chosen],
        "classes": [names[index] for index in chosen],
        "asked": chosen.index(index := int(whole.argmax()) if label is None else label),
        "index": index,
    }, chosen


@torch.no_grad()
def _probabilities(network: VisionTransformer, images: list[Tensor], prepare: Prepare | None) -> Tensor:
    device = network.head.weight.device
    answers = []
    for start in range(0, len(images), _BATCH):
        batch = torch.stack(images[start : start + _BATCH]).to(device)
        answers.append(network(prepare(batch) if prepare else batch).softmax(dim=1).cpu())
    return torch.cat(answers)


def _label(index: int, label: int | None, names: list[str]) -> str:
    return f"picture {index + 1}" if label is None else f"picture {index + 1}, class {names[label]}"


def _code(made: str, level: float, prepare: Prepare | None) -> str:
    before = "prepare(image[None])" if prepare else "image[None]"
    after = f", level={level}" if level or prepare else ""
    after += ", prepare=prepare" if prepare else ""
    return (
        "import torch\n\nfrom course_utils.widgets.patch_tokens.explore import occlude, picture_input\n"
        f"from course_utils.models import class_token_maps, rollout\n{made}\n"
        f"with torch.no_grad():\n    weights = network.eval().attention_weights({before})\n"
        f"    whole = network({before}).softmax(dim=1)[0]\n"
        f"single = occlude(network, image{after})  # probabilities, a row for each blanked patch"
    )
