"""The lesson's widget on channel gates: trained SE networks joined to `ChannelGates`."""

import contextlib
import copy
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...attention import AttentionBlock, record_masks
from ...data import ImageSet, cued_digits, digits, photograph
from ...data.images import decode_base64, digit_input, square_image
from ...data.photographs import normalised
from ...models import load_network, trained_weights
from ..base import both_or_neither
from .widget import OWN_PICTURE, ChannelGates

_DIGITS = "digits"
_CUED = "cued digits"
_PHOTOGRAPHS = "photographs"
_PHOTOGRAPHS_SHOWN = ("german_shepherd", "kitten", "owl", "coffee")
_TOLERANCE = 1e-4


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
            the course, on digits and on cued digits, and on photographs where torchvision's weights can be had.
        data: images for `network`; of each class one is shown, of which the network is not too sure.
        source: which of "digits", "cued digits", "photographs" is shown first; only without a network.
        stage: the number of the stage shown first, from 1; by default the last, which the page computes by itself.

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

    known = (_DIGITS, _CUED, _PHOTOGRAPHS)
    if source is not None and source not in known:
        raise ValueError(f"There is no source {source!r}; there are: {', '.join(known)}.")
    sources = [kernel.add_digits(), kernel.add_cued_digits(), _photographs_pending()]
    shown = source if source in (_DIGITS, _CUED) else _DIGITS
    widget = ChannelGates(sources, kernel, source=shown)
    if source == _PHOTOGRAPHS:
        widget.fetch(_PHOTOGRAPHS)
        if not widget.error:
            widget.source, widget.stage = _PHOTOGRAPHS, len(widget.sources[-1]["stages"]) - 1
    return _show_stage(widget, stage)


def _show_stage(widget: ChannelGates, number: int | None) -> ChannelGates:
    names = next(source["stages"] for source in widget.sources if source["key"] == widget.source)
    if number is not None:
        if not 1 <= number <= len(names):
            raise ValueError(f"There is no stage {number}; there are {len(names)}: {', '.join(names)}.")
        widget.stage = number - 1
    return widget


def photograph_input(image: np.ndarray) -> Tensor:
    """A photograph as torchvision's networks expect it: the middle square at 224 pixels, normalised.

    Args:
        image: (H, W, 3), uint8.

    Returns:
        (3, 224, 224).
    """
    return _normalise(square_image(image, 224))


def _normalise(square: np.ndarray) -> Tensor:
    return normalised(torch.from_numpy(square.copy()).permute(2, 0, 1).float() / 255)


class GatedNetwork:
    """A copy of a network on the CPU, whose channel gates can be read and replaced.

    Args:
        network: any network with channel gates; it is copied, put in eval mode and left alone.
        stages: names of the blocks to look at, as in `network.named_modules()`; None for all that have a mask
            (N, C, 1, 1) for `sample`.
        sample: (1, ...) one image that the network takes.

    Raises:
        ValueError: if there is no block with channel gates.
    """

    def __init__(self, network: nn.Module, sample: Tensor, stages: Sequence[str] | None = None) -> None:
        self.network = copy.deepcopy(network).cpu().eval().requires_grad_(False)
        with torch.no_grad(), record_masks(self.network) as masks:
            self.network(sample)
        found = [name for name, mask in masks.items() if mask.dim() == 4 and mask.shape[2:] == (1, 1)]
        self.records = bool(found)
        if not found:
            from torchvision.ops import SqueezeExcitation

            found = [name for name, part in self.network.named_modules() if isinstance(part, SqueezeExcitation)]
        if not found:
            raise ValueError(
                f"{type(network).__name__} has no block with channel gates, that is with a mask (N, C, 1, 1); "
                'build it with attention="se".'
            )
        self.stages = list(stages) if stages is not None else found
        self._blocks = [self.network.get_submodule(name) for name in self.stages]

    @torch.no_grad()
    def read(self, images: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """What each block is given, (N, C, h, w), the gates that it makes, (N, C), and the logits (N, K)."""
        maps: dict[int, Tensor] = {}
        gates: dict[int, Tensor] = {}

        def keep_maps(stage: int) -> Callable[..., None]:
            return lambda block, inputs: maps.__setitem__(stage, inputs[0].clone())

        def keep_gates(stage: int) -> Callable[..., None]:
            return lambda part, inputs, output: gates.__setitem__(stage, output.flatten(1).clone())

        with contextlib.ExitStack() as hooks, record_masks(self.network) as masks:
            for stage, block in enumerate(self._blocks):
                hooks.enter_context(_removing(block.register_forward_pre_hook(keep_maps(stage))))
                if not isinstance(block, AttentionBlock):
                    activation = block.get_submodule("scale_activation")
                    hooks.enter_context(_removing(activation.register_forward_hook(keep_gates(stage))))
            logits = self.network(images)
        for stage, name in enumerate(self.stages):
            if name in masks:
                gates[stage] = masks[name].flatten(1)
        return [maps[i] for i in range(len(maps))], [gates[i] for i in range(len(gates))], logits

    @torch.no_grad()
    def probabilities(self, image: Tensor, stage: int, gates: dict[int, float]) -> Tensor:
        """(K,): the softmax for one image, (C, H, W), where some gates of one stage are replaced."""

        def replace(block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            changed = output.clone()
            for channel, gate in gates.items():
                changed[:, channel] = gate * inputs[0][:, channel]
            return changed

        with _removing(self._blocks[stage].register_forward_hook(replace)):
            return self.network(image[None]).softmax(1)[0]

    @torch.no_grad()
    def linear_tail(self, images: Tensor) -> tuple[dict[str, Any], list[np.ndarray]] | None:
        """The way from the last gates to the answer, where it is: a sum over channels, then at most ReLU and a layer.

        Max-pooling commutes with a gate that is not negative; batch norm in eval mode, means and linear layers add up.
        What each channel contributes is found by running the tail with that channel alone; the result is held against
        the network itself, with drawn gates, before it is believed.

        Returns:
            The tail, as `ChannelGates` takes it, and for each image its contributions (C, hidden); None where the tail
            is of another kind.
        """
        after = self._modules_after_last_block(images[:1])
        linear = [part for part in after if isinstance(part, nn.Linear)]
        if not 1 <= len(linear) <= 2:
            return None
        output = linear[-1] if len(linear) == 2 else None
        summing = [part for part in after if isinstance(part, nn.Linear | nn.BatchNorm1d) and part is not output]
        weight = None if output is None else output.weight.numpy()
        output_bias = None if output is None else _bias_of(output).numpy()

        last_maps = self.read(images)[0][-1]  # (N, C, h, w)
        channels = last_maps.shape[1]
        drawn = torch.rand(1, channels, generator=torch.Generator().manual_seed(0))
        gates = torch.cat([torch.zeros(1, channels), torch.eye(channels), drawn])  # all shut, each alone, drawn
        tail, contributions = None, []
        for image, feature_map in zip(images, last_maps, strict=True):
            hidden, logits = self._run_tail(image[None], feature_map * gates[:, :, None, None], summing[-1])
            tail = tail or {"bias": hidden[0].numpy(), "weight": weight, "output_bias": output_bias}
            contributions.append((hidden[1:-1] - hidden[0]).numpy())
            found = _tail_logits(tail, contributions[-1], drawn[0].numpy())
            effect = float((logits[-1] - logits[0]).abs().max())  # of the gates: what a wrong sum would miss a part of
            if np.abs(found - logits[-1].numpy()).max() > _TOLERANCE * effect + 1e-6:
                return None
        return None if tail is None else (tail, contributions)

    def _modules_after_last_block(self, image: Tensor) -> list[nn.Module]:
        """The layers without layers of their own that run after the last block, in order."""
        ran: list[nn.Module] = []
        last = self._blocks[-1]
        with contextlib.ExitStack() as hooks:
            for part in self.network.modules():
                if part is last or not any(part.children()):
                    hooks.enter_context(_removing(part.register_forward_hook(lambda p, i, o: ran.append(p))))
            self.network(image)
        return ran[ran.index(last) + 1 :]

    def _run_tail(self, image: Tensor, gated: Tensor, layer: nn.Module) -> tuple[Tensor, Tensor]:
        """The output of one layer and the logits when the last block gives `gated`, (M, C, h, w)."""
        outputs: list[Tensor] = []
        with (
            _removing(self._blocks[-1].register_forward_hook(lambda block, inputs, output: gated)),
            _removing(layer.register_forward_hook(lambda part, inputs, output: outputs.append(output.clone()))),
        ):
            logits = self.network(image)
        return outputs[-1], logits


def _tail_logits(tail: dict[str, Any], contributions: np.ndarray, gates: np.ndarray) -> np.ndarray:
    hidden = tail["bias"] + gates @ contributions
    return hidden if tail["weight"] is None else tail["weight"] @ hidden.clip(min=0) + tail["output_bias"]


def _bias_of(layer: nn.Linear) -> Tensor:
    return torch.zeros(layer.out_features) if layer.bias is None else layer.bias


@contextlib.contextmanager
def _removing(handle: "torch.utils.hooks.RemovableHandle") -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


class _Shown:
    """One source on the kernel's side: its network, its inputs, and how a learner's picture becomes an input."""

    def __init__(self, gated: GatedNetwork, inputs: Tensor, prepare: Callable[[np.ndarray], tuple[Tensor, np.ndarray]]):
        self.gated = gated
        self.inputs = inputs
        self.prepare = prepare
        self.own: Tensor | None = None
        self.tail: dict[str, Any] | None = None

    def examples(
        self, inputs: Tensor, pictures: Sequence[np.ndarray], labels: Sequence[str], codes: Sequence[str]
    ) -> list[dict[str, Any]]:
        maps, gates, logits = self.gated.read(inputs)
        probabilities = logits.softmax(1).numpy()
        linear = self.gated.linear_tail(inputs)
        contributions: list[np.ndarray | None] = [None] * len(inputs)
        if linear is not None:
            self.tail = self.tail or linear[0]
            if np.allclose(linear[0]["bias"], self.tail["bias"], atol=_TOLERANCE):  # else it depends on the image
                contributions = list(linear[1])
        return [
            {
                "label": labels[i],
                "image": pictures[i],
                "stages": [_as_stage(map_[i].numpy(), gate[i]) for map_, gate in zip(maps, gates, strict=True)],
                "probabilities": probabilities[i],
                "contributions": contributions[i],
                "code": codes[i],
            }
            for i in range(len(inputs))
        ]


def _as_stage(maps: np.ndarray, gates: Tensor) -> dict[str, Any]:
    """The maps as bytes between one low and one high for all channels; the means are those of the exact maps."""
    low, high = min(0.0, float(maps.min())), float(maps.max())
    if high <= low:
        high = low + 1
    levels = np.rint((maps - low) / (high - low) * 255).astype(np.uint8)
    return {"maps": levels, "low": low, "high": high, "means": maps.mean(axis=(1, 2)), "gates": gates}


class Kernel:
    """Answers what the page asks: the networks stay here, on the CPU."""

    def __init__(self) -> None:
        self._shown: dict[str, _Shown] = {}

    def probabilities(self, source: str, example: int, stage: int, gates: dict[int, float]) -> np.ndarray:
        """(K,): the answer with some gates of one stage replaced."""
        image = torch.from_numpy(self.picture(source, example))
        return self._shown[source].gated.probabilities(image, stage, gates).numpy()

    def example(self, source: str, data: str, name: str, drawn: bool) -> dict[str, Any]:
        """A learner's picture, base64 text of an image file, as an example; from now on its index is `OWN_PICTURE`."""
        shown = self._shown[source]
        own, picture = shown.prepare(decode_base64(data, name))
        label = "your drawing" if drawn else "your picture"
        code = "image = torch.from_numpy(widget.picture)[None]  # widget: what explore_channel_gates() returned"
        made = shown.examples(own[None], [picture], [label], [code])[0]
        shown.own = own
        return made

    def fetch(self, source: str) -> dict[str, Any]:
        """A source that was pending."""
        return self.add_photographs(_photograph_network)

    def picture(self, source: str, example: int) -> np.ndarray:
        """(C, H, W), float: what the network is given."""
        shown = self._shown[source]
        if example == OWN_PICTURE:
            if shown.own is None:
                raise ValueError(
                    f"No picture was drawn or uploaded for {source!r} yet; draw one, or choose an example."
                )
            return shown.own.numpy()
        if not 0 <= example < len(shown.inputs):
            raise ValueError(f"There is no example {example} of {source!r}; there are {len(shown.inputs)}.")
        return shown.inputs[example].numpy()

    def add_digits(self) -> dict[str, Any]:
        """Handwritten digits."""
        return self._add(
            _DIGITS,
            "digits",
            load_network("se_digits"),
            digits("test"),
            label="a {}",
            code='image = digits("test").images[{}][None]',
            setup=_setup("from course_utils.data import digits", 'network = load_network("se_digits")'),
        )

    def add_cued_digits(self) -> dict[str, Any]:
        """Three digits; the colour of the border tells which one to classify."""
        return self._add(
            _CUED,
            "cued digits",
            load_network("se_cued_digits"),
            cued_digits(100, seed=4, split="test"),
            label="the answer is {}",
            code='image = cued_digits(100, seed=4, split="test").images[{}][None]',
            setup=_setup("from course_utils.data import cued_digits", 'network = load_network("se_cued_digits")'),
        )

    def add_network(self, network: nn.Module, data: ImageSet) -> dict[str, Any]:
        """The learner's own network and images."""
        return self._add(
            "yours",
            "your network",
            network,
            data,
            label="class {}",
            code="image = data.images[{}][None]  # data: what you gave",
            setup="import torch\n\nfrom course_utils.attention import record_masks\n\nnetwork.cpu().eval()  # yours",
        )

    def _add(
        self,
        key: str,
        title: str,
        network: nn.Module,
        data: ImageSet,
        label: str,
        code: str,
        setup: str,
    ) -> dict[str, Any]:
        gated = GatedNetwork(network, data.images[:1].cpu())
        chosen = _least_sure(gated.network, data)
        inputs = data.images[chosen].cpu()
        labels = [label.format(int(data.labels[i])) for i in chosen]
        codes = [code.format(i) for i in chosen]
        grey, side = inputs.shape[1] == 1, inputs.shape[-1]
        shown = self._shown[key] = _Shown(gated, inputs, _as_digit(side) if grey else _as_square(side))
        examples = shown.examples(inputs, [_as_picture(image) for image in inputs], labels, codes)
        return {
            "key": key,
            "title": title,
            "classes": [str(i) for i in range(len(examples[0]["probabilities"]))],
            "stages": gated.stages,
            "examples": examples,
            "tail": shown.tail,
            "draw": grey,
            "upload": True,
            "code": setup,
            "records": gated.records,
            "pending": "",
        }

    def add_photographs(self, make: Callable[[], tuple[nn.Module, list[str]]]) -> dict[str, Any]:
        """Photographs, with the network and the names of its classes that `make` returns."""
        network, classes = make()
        squares = [square_image(_as_picture(photograph(name)), 224) for name in _PHOTOGRAPHS_SHOWN]
        inputs = torch.stack([_normalise(square) for square in squares])
        every = GatedNetwork(network, inputs[:1]).stages
        gated = GatedNetwork(network, inputs[:1], [every[0], every[len(every) // 2], every[-1]])
        shown = self._shown[_PHOTOGRAPHS] = _Shown(gated, inputs, _as_photograph)
        examples = shown.examples(
            inputs,
            [square_image(square, 112) for square in squares],
            [name.replace("_", " ") for name in _PHOTOGRAPHS_SHOWN],
            [
                f'image = photograph_input((photograph("{name}") * 255).byte().permute(1, 2, 0).numpy())[None]'
                for name in _PHOTOGRAPHS_SHOWN
            ],
        )
        return {
            **_photographs_pending(),
            "upload": True,
            "classes": classes,
            "stages": gated.stages,
            "examples": examples,
            "tail": shown.tail,
            "code": (
                "import torch\nfrom torchvision.models import mobilenet_v3_small\n\n"
                "from course_utils.data import photograph\n"
                "from course_utils.widgets.channel_gates.explore import photograph_input\n\n"
                'network = mobilenet_v3_small(weights="DEFAULT").eval()'
            ),
            "pending": "",
        }


def _setup(data: str, network: str) -> str:
    return (
        f"import torch\n\nfrom course_utils.attention import record_masks\n{data}\n"
        f"from course_utils.models import load_network\n\n{network}"
    )


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


def _as_picture(image: Tensor) -> np.ndarray:
    """(C, H, W) in [0, 1] as the page shows it: (H, W) or (H, W, 3), uint8."""
    pixels = (image * 255).round().byte()
    return pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).contiguous().numpy()


def _as_digit(side: int) -> Callable[[np.ndarray], tuple[Tensor, np.ndarray]]:
    def prepare(image: np.ndarray) -> tuple[Tensor, np.ndarray]:
        digit = digit_input(image, side)
        return torch.from_numpy(digit)[None].float() / 255, digit

    return prepare


def _as_square(side: int) -> Callable[[np.ndarray], tuple[Tensor, np.ndarray]]:
    def prepare(image: np.ndarray) -> tuple[Tensor, np.ndarray]:
        square = square_image(image, side)
        return torch.from_numpy(square.copy()).permute(2, 0, 1).float() / 255, square

    return prepare


def _as_photograph(image: np.ndarray) -> tuple[Tensor, np.ndarray]:
    square = square_image(image, 224)
    return _normalise(square), square_image(square, 112)


def _photographs_pending() -> dict[str, Any]:
    return {
        "key": _PHOTOGRAPHS,
        "title": "photographs",
        "classes": [],
        "stages": [],
        "examples": [],
        "tail": None,
        "draw": False,
        "upload": False,
        "code": "",
        "records": False,
        "pending": "torchvision's mobilenet_v3_small, 10 MB, fetched once",
    }


def _photograph_network() -> tuple[nn.Module, list[str]]:
    """torchvision's trained mobilenet_v3_small and the names of its classes.

    Raises:
        ValueError: if its weights are neither in torch's cache nor to be had, or what lies there is damaged.
    """
    from torchvision.models import MobileNet_V3_Small_Weights, mobilenet_v3_small

    weights = MobileNet_V3_Small_Weights.DEFAULT
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(15)
    try:
        network = mobilenet_v3_small()
        network.load_state_dict(trained_weights(weights))
    except ConnectionError as error:
        raise ValueError(
            "Photographs need the weights of torchvision's mobilenet_v3_small (10 MB), which are neither in torch's "
            f"cache nor to be had now ({error}). With the internet choose photographs again; the rest works without."
        ) from error
    finally:
        socket.setdefaulttimeout(patience)
    return network, list(weights.meta["categories"])
