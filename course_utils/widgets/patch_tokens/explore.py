"""The lesson's widget on the vision transformer: a network and pictures joined to `PatchTokens`."""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

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
        shown: what is shown first: `picture`, its index; `cut`, the side of the patches in pixels; `view`, "attention",
            "rollout", "positions", "occlusion" or "sequence"; `layer` and `head`, from 1, or head 0 for their mean;
            `query`, (row, column) of a patch; `blanked`, indices of patches, and `blanking`, whether a press blanks
            one; `own_range`, a colour scale for every map; `caption`.

    Raises:
        ValueError: if only one of network and data is given, pictures, classes or level do not fit, or what is to be
            shown is not there.

    Example:
        >>> explore_patch_tokens(layer=3, head=4)
        >>> explore_patch_tokens(network, images, prepare=normalise, classes=names, level=0.45)
    """
    both_or_neither("explore_patch_tokens", network=network, data=data)
    if not 0 <= level <= 1:
        raise ValueError(f"level={level} is no grey; give a number from 0, black, to 1, white.")
    if network is None or data is None:
        trained, data, made = on_cued_digits("vit_cued_digits", _MOST_PICTURES, _SEED)
        network = cast(VisionTransformer, trained)
    else:
        made = "images = data.images" if isinstance(data, ImageSet) else "images = data"
        made += f"  # network, data{', prepare' if prepare else ''}: what you gave"
    images, labels = (data.images, data.labels.tolist()) if isinstance(data, ImageSet) else (data, [None] * len(data))
    masks = data.masks if isinstance(data, ImageSet) else None
    expected = (network.in_channels, network.image_size, network.image_size)
    if images.dim() != 4 or images.shape[1:] != expected or not len(images):
        raise ValueError(
            f"The network reads pictures (N, {', '.join(map(str, expected))}), but was given {tuple(images.shape)}; "
            "resize or crop them."
        )
    seen = _Seen(network, classes, prepare, level, made)
    pictures = []
    for i, (image, label) in enumerate(zip(images[:_MOST_PICTURES].cpu(), labels, strict=False)):
        words = f"picture {i + 1}" + ("" if label is None else f", class {seen.names[label]}")
        shown_picture = seen.described(image, label, words, f"{made}\nimage = images[{i}]")
        if masks is not None:
            shown_picture["place"] = F.avg_pool2d(masks[i][None].float(), network.settings["patch_size"]).flatten()
        pictures.append(shown_picture)
    seen.network.cpu()  # questions come one at a time
    positions = seen.network.positions[0]  # (P + 1, embed_dim)
    similarity = F.cosine_similarity(positions[:, None], positions[None], dim=2)
    return PatchTokens(pictures, network.settings["patch_size"], similarity.half(), seen.answer, seen.add, **shown)


class _Seen:
    """A copy of a network, what its pictures need, and those that it has seen."""

    def __init__(
        self,
        network: VisionTransformer,
        classes: Sequence[str] | None,
        prepare: Prepare | None,
        level: float,
        code: str,
    ) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)  # on its own device: there it is quick
        self.device = network.head.weight.device
        self.prepare, self.level, self.code = prepare, level, code
        count = network.settings["num_classes"]
        self.names = [str(name) for name in (range(count) if classes is None else classes)]
        if len(self.names) != count:
            raise ValueError(f"There are {len(self.names)} names for {count} classes; give one for each.")
        self.images: list[Tensor] = []
        self.chosen: list[list[int]] = []  # the classes that are shown of each

    @torch.no_grad()
    def described(self, image: Tensor, label: int | None, words: str, code: str) -> dict[str, Any]:
        """What `PatchTokens` shows of a picture; `code` are the lines that make `network` and `image`."""
        batch = image[None].to(self.device)
        weights = self.network.attention_weights(self.prepare(batch) if self.prepare else batch)
        whole = _probabilities(self.network, [image], self.prepare)[0]
        index = int(whole.argmax()) if label is None else label
        if len(whole) <= _ALL_CLASSES:
            chosen = list(range(len(whole)))
        else:
            chosen = list(dict.fromkeys([*whole.topk(_LIKELIEST).indices.tolist(), index]))
        steps = [rollout(weights[:, : depth + 1])[0, 0] for depth in range(weights.shape[1])]
        self.images.append(image)
        self.chosen.append(chosen)
        return {
            "label": words,
            "image": image_bytes(image.clamp(0, 1)),
            "attention": weights[0, :, :, 0],  # of (1, depth, heads, L, L)
            "rollout": torch.stack(steps),
            "probabilities": whole[chosen],
            "single": occlude(self.network, image, self.level, self.prepare)[:, chosen],
            "classes": [self.names[k] for k in chosen],
            "asked": chosen.index(index),
            "index": index,
            "code": _code(code, self.level, self.prepare),
        }

    def answer(self, picture: int, patches: Sequence[int]) -> Tensor:
        """The probabilities of the shown classes without some patches."""
        blanked = blank_patches(self.images[picture], patches, self.network.settings["patch_size"], self.level)
        return _probabilities(self.network, [blanked], self.prepare)[0, self.chosen[picture]]

    def add(self, image: np.ndarray, name: str) -> dict[str, Any]:
        """A learner's picture: its file's name is empty where the camera took it."""
        code = f"{self.code}\n# image: (C, H, W) in [0, 1], what your camera took"
        if name:
            code = f"from pathlib import Path\n\nfrom course_utils.data.images import decode_image\n{self.code}\n"
            code += f"image = picture_input(decode_image(Path({name!r}).read_bytes()), network)"
        self.network.to(self.device)
        picture = self.described(picture_input(image, self.network), None, name or "your picture", code)
        self.network.cpu()
        return picture


@torch.no_grad()
def _probabilities(network: VisionTransformer, images: list[Tensor], prepare: Prepare | None) -> Tensor:
    device = network.head.weight.device
    answers = []
    for start in range(0, len(images), _BATCH):
        batch = torch.stack(images[start : start + _BATCH]).to(device)
        answers.append(network(prepare(batch) if prepare else batch).softmax(dim=1).cpu())
    return torch.cat(answers)


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
