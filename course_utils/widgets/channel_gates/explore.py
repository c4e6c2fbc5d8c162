"""The lessons' widget on channel gates: a person segmenter and SE networks joined to `ChannelGates`."""

import base64
import contextlib
import copy
import functools
import io
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from ...attention import edit_masks, record_masks
from ...data import ImageSet, cued_digits, digits, photograph
from ...data.images import decode_base64, digit_input, square_image
from ...data.photographs import normalised
from ...models import load_network, trained_weights
from ...models.page_graph import page_graph
from ...names import check_name
from ..base import both_or_neither, image_bytes, image_file
from ..limits import check_stage
from ..pictures import as_input, inputs_of, square_input
from .widget import OWN_PICTURE, ChannelGates

_PEOPLE = "people"
_DIGITS = "digits"
_CUED = "cued digits"
_PHOTOGRAPHS = "photographs"
_PHOTOGRAPHS_SHOWN = ("german_shepherd", "kitten", "owl", "coffee")
_PEOPLE_SHOWN = ("astronaut", "german_shepherd", "kitten", "owl", "sheep", "coffee")
_PEOPLE_SIDE = 512  # of a photograph in the page, which is twice what the segmenter is given
_PENDING = {
    _PEOPLE: ("person segmenter", "its weights and photographs, 1 MB, from the package"),
    _DIGITS: ("digits", "its weights, 1 MB, from the package"),
    _CUED: ("cued digits", "its weights, 1 MB, from the package"),
    _PHOTOGRAPHS: ("photographs, a thousand classes", "torchvision's mobilenet_v3_small, 10 MB, fetched once"),
}
_SOURCE: dict[str, Any] = {
    **{name: [] for name in ("classes", "stages", "sizes", "examples")},
    "title": "your network",
    "graph": None,
    "weights": "",
    "draw": False,
    "upload": "kernel",
    "code": "",
    "pending": "",
}


def explore_channel_gates(
    network: nn.Module | None = None,
    data: ImageSet | None = None,
    source: str | None = None,
    stage: int | None = None,
) -> ChannelGates:
    """Look at a network's channel gates, move them, and see its answer change.

    Args:
        network: a network with attention blocks whose masks are (N, C, 1, 1), or with torchvision's
            SqueezeExcitation; it is copied to the CPU, yours stays as it is. None: the trained networks that ship with
            the course: the person segmenter on photographs, and two that classify digits and cued digits; with the
            internet also torchvision's MobileNetV3 on photographs.
        data: images for `network`; of each class one is shown, of which the network is not too sure.
        source: which of "people", "digits", "cued digits", "photographs" is shown first; only without a network.
        stage: the number of the block shown first, from 1; by default the last.

    Raises:
        ValueError: if only one of network and data is given, the network has no channel gates, or there is no such
            source or stage.

    Example:
        >>> explore_channel_gates()
        >>> explore_channel_gates(network, digits("test"))
    """
    both_or_neither("explore_channel_gates", network=network, data=data)
    kernel = Kernel()
    if network is not None and data is not None:
        if source is not None:
            raise ValueError(f"source={source!r} chooses among the course's own networks; leave it out with a network.")
        return _show_stage(ChannelGates([kernel.add_network(network, data)], kernel), stage)

    if source is not None:
        check_name("source", source, _PENDING)
    sent = (_DIGITS, _CUED) if source in (_DIGITS, _CUED) else (_PEOPLE,)
    sources = [kernel.fetch(key) if key in sent else _pending(key) for key in _PENDING]
    widget = ChannelGates(sources, kernel, source=source if source in sent else sent[0])
    if source == _PHOTOGRAPHS:
        widget.fetch(_PHOTOGRAPHS)
        if not widget.error:
            widget.source, widget.stage = _PHOTOGRAPHS, len(widget.sources[-1]["stages"]) - 1
    return _show_stage(widget, stage)


def _show_stage(widget: ChannelGates, number: int | None) -> ChannelGates:
    names = next(source["stages"] for source in widget.sources if source["key"] == widget.source)
    if number is not None:
        check_stage(number, len(names))
        widget.stage = number - 1
    return widget


def person_input(picture: Tensor) -> Tensor:
    """A photograph as the person segmenter takes it: the middle square at 256 pixels.

    Args:
        picture: (3, H, W) in [0, 1].

    Returns:
        (3, 256, 256) in [0, 1].
    """
    return _halved(square_image(image_bytes(picture), _PEOPLE_SIDE))


def _halved(square: np.ndarray) -> Tensor:
    """The page does the same with its canvas of 512 pixels: means of two by two."""
    return F.avg_pool2d(as_input(square)[None], 2)[0]


def photograph_input(image: np.ndarray) -> Tensor:
    """A photograph as torchvision's networks expect it: the middle square at 224 pixels, normalised.

    Args:
        image: (H, W, 3), uint8.

    Returns:
        (3, 224, 224).
    """
    return normalised(square_input(image, 224))


class GatedNetwork:
    """A copy of a network on the CPU, whose channel gates are read and replaced; `sample` is a batch that it takes."""

    def __init__(self, network: nn.Module, sample: Tensor) -> None:
        self.network = copy.deepcopy(network).cpu().eval().requires_grad_(False)
        with torch.no_grad(), record_masks(self.network) as masks:
            self.network(sample)
        parts = dict(self.network.named_modules())
        self.stages = [
            name for name, mask in masks.items() if mask.dim() == 4 and mask.shape[2:] == (1, 1) and name in parts
        ]
        if not self.stages:
            raise ValueError(
                f"{type(network).__name__} has no block with channel gates, that is with a mask (N, C, 1, 1); "
                'build it with attention="se".'
            )

    @torch.no_grad()
    def read(self, images: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """What each block is given, (N, C, h, w), the gates that it makes, (N, C), and the logits (N, K)."""
        with inputs_of(self.network, self.stages) as maps, record_masks(self.network, layers=self.stages) as masks:
            logits = self.network(images)
        return [maps[name] for name in self.stages], [masks[name].flatten(1) for name in self.stages], logits

    @torch.no_grad()
    def answer(self, image: Tensor, stage: int, gates: dict[int, float]) -> Tensor:
        """What the network answers to one image, (C, H, W), where some gates of one stage are replaced."""

        def replace(mask: Tensor) -> Tensor:
            changed = mask.clone()
            for channel, gate in gates.items():
                changed[:, channel] = gate
            return changed

        with edit_masks(self.network, {self.stages[stage]: replace}):
            return self.network(image[None])[0]


@dataclass
class _Shown:
    """One source on the kernel's side: its network, its inputs, and how a learner's picture becomes an input."""

    gated: GatedNetwork
    inputs: Tensor
    prepare: Callable[[np.ndarray], tuple[Tensor, np.ndarray]]
    in_page: bool
    own: Tensor | None = None

    def examples(self, inputs: Tensor, shown: Sequence[tuple[str, Any, str]]) -> list[dict[str, Any]]:
        """What the page is sent of some images, each with its label, picture and code: all that it cannot compute."""
        found: list[dict[str, Any]] = [
            {"label": label, "image": picture, "code": code, "input": None} for label, picture, code in shown
        ]
        if self.in_page:
            for example, x in zip(found, inputs, strict=True):
                if not torch.equal(x * 255, (x * 255).round()):  # else the picture's bytes say it all
                    example["input"] = x
            return found
        maps, gates, logits = self.gated.read(inputs)
        for i, example in enumerate(found):
            example["stages"] = [_as_stage(x[i].numpy(), gate[i]) for x, gate in zip(maps, gates, strict=True)]
            example["probabilities"] = logits[i].softmax(0)
        return found


def _as_stage(maps: np.ndarray, gates: Tensor) -> dict[str, Any]:
    """The maps as bytes between one low and one high for all channels; the means are those of the exact maps."""
    low, high = min(0.0, float(maps.min())), float(maps.max())
    if high <= low:
        high = low + 1
    levels = np.rint((maps - low) / (high - low) * 255).astype(np.uint8)
    return {"maps": levels, "low": low, "high": high, "means": maps.mean(axis=(1, 2)), "gates": gates}


class Kernel:
    """Answers what the page asks: the networks that it cannot run, and a learner's digits."""

    def __init__(self) -> None:
        self._shown: dict[str, _Shown] = {}

    def probabilities(self, source: str, example: int, stage: int, gates: dict[int, float]) -> np.ndarray:
        """(K,): the answer with some gates of one stage replaced."""
        image = torch.from_numpy(self.picture(source, example))
        return self._shown[source].gated.answer(image, stage, gates).softmax(0).numpy()

    def example(self, source: str, data: str, name: str, drawn: bool) -> dict[str, Any]:
        """A learner's picture, base64 text of an image file, as an example; from now on its index is `OWN_PICTURE`."""
        shown = self._shown[source]
        own, picture = shown.prepare(decode_base64(data, name))
        label = "your drawing" if drawn else "your picture"
        code = "image = torch.from_numpy(widget.picture)[None]  # widget: what explore_channel_gates() returned"
        made = shown.examples(own[None], [(label, picture, code)])[0]
        shown.own = own
        return made

    def fetch(self, source: str) -> dict[str, Any]:
        """A source that was pending, made now; a ValueError says what it needs and cannot have."""
        if source == _PEOPLE:
            return self._add_people()
        if source == _PHOTOGRAPHS:
            return self._add_photographs()
        if source == _DIGITS:
            network, code, data = "se_digits", 'digits("test").images[{}][None]', digits("test")
        else:
            drawn = 'cued_digits(100, seed=4, split="test")'
            network, code, data = "se_cued_digits", f"({drawn}.images[{{}}][None] * 255).round() / 255", _cued()
        setup = _setup(
            f"from course_utils.data import {source.replace(' ', '_')}",
            "from course_utils.models import load_network",
            f'network = load_network("{network}")',
        )
        label = "a {}" if source == _DIGITS else "the answer is {}"
        return self._add_classified(source, load_network(network), data, label, f"image = {code}", setup)

    def picture(self, source: str, example: int) -> np.ndarray:
        """What the network is given of an example: (C, H, W), float."""
        shown = self._shown[source]
        if example == OWN_PICTURE:
            if shown.own is None:
                raise ValueError(
                    f"No picture was drawn or uploaded for {source!r} yet, or it stayed in the page; draw one, or "
                    "choose an example."
                )
            return shown.own.numpy()
        return shown.inputs[example].numpy()

    def add_network(self, network: nn.Module, data: ImageSet) -> dict[str, Any]:
        """The learner's own network and images."""
        code = "image = data.images[{}][None]  # data: what you gave"
        setup = _setup("network.cpu().eval()  # yours")
        return self._add_classified("yours", network, data, "class {}", code, setup)

    def _add(
        self,
        key: str,
        gated: GatedNetwork,
        inputs: Tensor,
        shown: Sequence[tuple[str, Any, str]],
        prepare: Callable[[np.ndarray], tuple[Tensor, np.ndarray]],
        **more: Any,
    ) -> dict[str, Any]:
        """A source as `ChannelGates` takes it; `shown` has the label, picture and code of each input."""
        with contextlib.suppress(ValueError):  # else the page cannot run it, and the kernel answers
            more |= page_graph(gated.network)
        source = self._shown[key] = _Shown(gated, inputs, prepare, in_page="graph" in more)
        maps, gates, _ = gated.read(inputs[:1])
        sizes = [[gate.shape[1], *x.shape[2:]] for x, gate in zip(maps, gates, strict=True)]
        examples = source.examples(inputs, shown)
        known = {"title": _PENDING[key][0]} if key in _PENDING else {}
        return {**_SOURCE, **known, "key": key, "stages": gated.stages, "sizes": sizes, "examples": examples, **more}

    def _add_people(self) -> dict[str, Any]:
        """Photographs, out of which the segmenter cuts people: the page computes everything."""
        squares = [square_image(image_bytes(photograph(name)), _PEOPLE_SIDE) for name in _PEOPLE_SHOWN]
        files = [image_file(square, "WEBP", quality=90, method=6) for square in squares]
        inputs = torch.stack([_halved(np.asarray(Image.open(io.BytesIO(file)))) for file in files])
        made = 'image = person_input(photograph("{}"))[None]'
        shown = _titled(_PEOPLE_SHOWN, [base64.b64encode(file).decode() for file in files], made)
        setup = _setup(
            "from course_utils.data import photograph",
            "from course_utils.models import load_network",
            "from course_utils.widgets.channel_gates.explore import person_input",
            'network = load_network("person_segmenter")',
        )
        gated = GatedNetwork(load_network("person_segmenter"), inputs[:1])
        source = self._add(_PEOPLE, gated, inputs, shown, lambda x: (_halved(x), x), upload="page", code=setup)
        for example in source["examples"]:
            example["input"] = None  # the page halves the picture itself
        return source

    def _add_classified(
        self, key: str, network: nn.Module, data: ImageSet, label: str, code: str, setup: str
    ) -> dict[str, Any]:
        """Images of numbered classes; `label` has a place for the class, `code` for the image's index."""
        gated = GatedNetwork(network, data.images[:1].cpu())
        chosen = _least_sure(gated.network, data)
        inputs = data.images[chosen].cpu()
        shown = [
            (label.format(int(data.labels[i])), image_bytes(image), code.format(i))
            for i, image in zip(chosen, inputs, strict=True)
        ]
        grey, side = inputs.shape[1] == 1, inputs.shape[-1]
        prepare = functools.partial(_as_digit if grey else _as_square, side=side)
        classes = [str(i) for i in range(gated.network(inputs[:1]).shape[1])]
        return self._add(key, gated, inputs, shown, prepare, classes=classes, draw=grey, code=setup)

    def _add_photographs(self) -> dict[str, Any]:
        """Photographs, and torchvision's MobileNetV3 with its first gates, its last, and those in the middle."""
        network, classes = _photograph_network()
        squares = [square_image(image_bytes(photograph(name)), 224) for name in _PHOTOGRAPHS_SHOWN]
        inputs = torch.stack([photograph_input(square) for square in squares])
        gated = GatedNetwork(network, inputs[:1])
        gated.stages = [gated.stages[i] for i in (0, len(gated.stages) // 2, -1)]
        made = 'image = photograph_input((photograph("{}") * 255).byte().permute(1, 2, 0).numpy())[None]'
        shown = _titled(_PHOTOGRAPHS_SHOWN, [square_image(square, 112) for square in squares], made)
        setup = _setup(
            "from course_utils.data import photograph",
            "from course_utils.widgets.channel_gates.explore import photograph_input",
            "from torchvision.models import mobilenet_v3_small",
            'network = mobilenet_v3_small(weights="DEFAULT").eval()',
        )
        return self._add(_PHOTOGRAPHS, gated, inputs, shown, _as_photograph, classes=classes, code=setup)


def _titled(names: Sequence[str], files: Sequence[Any], made: str) -> list[tuple[str, Any, str]]:
    """Photographs as `_add` takes them: a title, what is shown, and the code that makes the input of that name."""
    return [(name.replace("_", " "), file, made.format(name)) for name, file in zip(names, files, strict=True)]


def _cued() -> ImageSet:
    """Cued digits with the 256 levels that a picture on the page has."""
    data = cued_digits(100, seed=4, split="test")
    return ImageSet((data.images * 255).round() / 255, data.labels)


def _setup(*lines: str) -> str:
    first = ("import torch", "", "from course_utils.attention import edit_masks, record_masks")
    return "\n".join([*first, *lines[:-1], "", lines[-1]])


@torch.no_grad()
def _least_sure(network: nn.Module, data: ImageSet) -> list[int]:
    """One image of each class, at most ten: of the first eight the one that is named rightly, but with least certainty.

    Where the network is sure, moving a gate changes nothing that could be seen.
    """
    chosen = []
    for name in data.labels.unique()[:10]:
        candidates = (data.labels == name).nonzero()[:8, 0]
        probabilities = network(data.images[candidates].cpu()).softmax(1)
        certainty = probabilities[:, int(name)]
        wrong = probabilities.argmax(1) != int(name)
        chosen.append(int(candidates[(certainty + 2 * wrong).argmin()]))
    return chosen


def _as_digit(image: np.ndarray, side: int) -> tuple[Tensor, np.ndarray]:
    digit = digit_input(image, side)
    return torch.from_numpy(digit)[None].float() / 255, digit


def _as_square(image: np.ndarray, side: int) -> tuple[Tensor, np.ndarray]:
    return square_input(image, side), square_image(image, side)


def _as_photograph(image: np.ndarray) -> tuple[Tensor, np.ndarray]:
    return photograph_input(image), square_image(square_image(image, 224), 112)


def _pending(key: str) -> dict[str, Any]:
    title, pending = _PENDING[key]
    return {**_SOURCE, "key": key, "title": title, "upload": "", "pending": pending}


def _photograph_network() -> tuple[nn.Module, list[str]]:
    """torchvision's trained mobilenet_v3_small and the names of its classes."""
    from torchvision.models import MobileNet_V3_Small_Weights, mobilenet_v3_small

    weights, network = MobileNet_V3_Small_Weights.DEFAULT, mobilenet_v3_small()
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(15)
    try:
        network.load_state_dict(trained_weights(weights))
    finally:
        socket.setdefaulttimeout(patience)
    return network, list(weights.meta["categories"])
