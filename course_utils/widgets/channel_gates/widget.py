"""`channel-gates`: the feature maps of a stage, each with its gate; move a gate and see the answer change."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import traitlets
from PIL import Image

from ...data.images import decode_base64
from ..base import CourseWidget, encode

OWN_PICTURE = -1
"""The index of the picture that the learner drew or uploaded."""


@dataclass(frozen=True, eq=False)
class GateStage:
    """What one attention block saw and made, for one image.

    Args:
        maps: (C, h, w), what the block is given.
        gates: (C,), its mask.
    """

    maps: np.ndarray
    gates: np.ndarray


@dataclass(frozen=True, eq=False)
class GateExample:
    """One image on its way through the network.

    Args:
        label: what it is, in words: "a 7".
        image: (H, W) or (H, W, 3), uint8: what the network is given, as a picture; it may be made smaller.
        stages: one a stage, in the order of the source's `stages`.
        probabilities: (K,), the untouched network's answer.
        contributions: (C, hidden), what each channel of the last stage adds to the hidden layer at gate 1; None where
            the way from there to the answer is not of that kind.
        code: a line that makes this image, as `image`, a batch of one.
    """

    label: str
    image: np.ndarray
    stages: Sequence[GateStage]
    probabilities: np.ndarray
    contributions: np.ndarray | None = None
    code: str = ""


@dataclass(frozen=True, eq=False)
class LinearTail:
    """The way from the last gates to the answer: hidden = bias + sum over c of gate_c * contributions_c.

    Args:
        bias: (hidden,), what is there with every gate shut.
        weight: (K, hidden), the layer that follows after a ReLU; None where the hidden layer is the answer.
        output_bias: (K,), of that layer.
    """

    bias: np.ndarray
    weight: np.ndarray | None = None
    output_bias: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class GateSource:
    """Images and the network that they go through.

    Args:
        key: a short name, such as "digits".
        title: what the learner reads in the list.
        classes: the K names of the classes.
        stages: the names of the attention blocks, in order; a name leads to the block in the network.
        examples: images that need no kernel.
        tail: from the last stage to the answer; None where only the kernel knows it.
        draw: whether a picture may be drawn.
        upload: whether one may be uploaded.
        code: the lines that make `network`.
        records: whether `record_masks` reads the network's gates.
        pending: for a source that the kernel has yet to fetch: what that takes. Everything else may be empty then.
    """

    key: str
    title: str
    classes: Sequence[str] = ()
    stages: Sequence[str] = ()
    examples: Sequence[GateExample] = ()
    tail: LinearTail | None = None
    draw: bool = False
    upload: bool = False
    code: str = ""
    records: bool = True
    pending: str = ""
    sizes: Sequence[tuple[int, int, int]] = field(init=False)

    def __post_init__(self) -> None:
        sizes = [stage.maps.shape for stage in self.examples[0].stages] if self.examples else []
        for example in self.examples:
            _check(self, example, sizes)
        object.__setattr__(self, "sizes", sizes)


class GateKernel(Protocol):
    """What only a running network can answer."""

    def probabilities(self, source: str, example: int, stage: int, gates: dict[int, float]) -> np.ndarray:
        """(K,): the answer with some gates of one stage replaced."""

    def example(self, source: str, image: np.ndarray, drawn: bool) -> GateExample:
        """A learner's picture, (H, W, 3) uint8, as an example; from now on it has the index `OWN_PICTURE`."""

    def fetch(self, source: str) -> GateSource:
        """A source that was pending."""

    def picture(self, source: str, example: int) -> np.ndarray:
        """(C, H, W), float: what the network is given."""


class ChannelGates(CourseWidget):
    """Feature maps with their gates, and what the network answers when a gate is moved.

    Args:
        sources: what the learner may choose from; the first that is not pending is shown first.
        kernel: answers for earlier stages, for drawn and uploaded pictures and for pending sources; without one the
            widget says that these need a running notebook.
        label: the widget's name for a screen reader.
        traits: other traits, such as `source`, `example`, `stage`, `order`, `caption`.

    Attributes:
        source: key of the source shown.
        example: index of the image shown; `OWN_PICTURE` for the learner's own.
        stage: index of the stage shown.
        order: "channel", "gate" or "mean".
        channel: the channel whose gate the slider moves.
        edits: the gates moved by hand in this stage, {channel as text: gate from 0 to 1}.

    Raises:
        ValueError: if there is no source, or shapes do not fit together.
    """

    _module = "channel_gates"

    sources: traitlets.List = traitlets.List().tag(sync=True)
    own = traitlets.Dict().tag(sync=True)
    source = traitlets.Unicode("").tag(sync=True, echo_update=False)
    example = traitlets.Int(0).tag(sync=True, echo_update=False)
    stage = traitlets.Int(0).tag(sync=True, echo_update=False)
    order = traitlets.Enum(["channel", "gate", "mean"], "channel").tag(sync=True, echo_update=False)
    channel = traitlets.Int(0).tag(sync=True, echo_update=False)
    edits = traitlets.Dict().tag(sync=True, echo_update=False)

    def __init__(
        self,
        sources: Sequence[GateSource],
        kernel: GateKernel | None = None,
        label: str = "Channel gates: feature maps, their gates, and the network's answer",
        **traits: Any,
    ) -> None:
        if not any(source.examples for source in sources):
            raise ValueError(
                f"ChannelGates needs at least one GateSource with examples, but {len(sources)} without were given."
            )
        self._kernel = kernel
        self._ready = {source.key: source for source in sources}
        first = self._ready[traits.setdefault("source", next(one.key for one in sources if one.examples))]
        traits.setdefault("stage", max(len(first.stages) - 1, 0))
        super().__init__(sources=[_encode_source(source) for source in sources], label=label, **traits)
        self.answer_with(self._compute_answer)

    @traitlets.validate("source")
    def _known_source(self, proposal: dict[str, Any]) -> str:
        key = proposal["value"]
        if key and not (key in self._ready and self._ready[key].examples):
            ready = ", ".join(repr(name) for name, source in self._ready.items() if source.examples)
            raise traitlets.TraitError(f"There is no source {key!r} to show; there are: {ready}.")
        return key

    @property
    def picture(self) -> np.ndarray:
        """What the network is given of the image shown: (C, H, W), float.

        Raises:
            ValueError: if the widget was built without a kernel.
        """
        if self._kernel is None:
            raise ValueError("This widget was built from arrays alone and holds no network input; give it a kernel.")
        return self._kernel.picture(self.source, self.example)

    def fetch(self, key: str) -> None:
        """Ask the kernel for a pending source; where that fails, the widget says why."""
        self.guarded(self._compute_answer, {"want": "source", "source": key})

    def requests(self) -> Iterator[dict[str, Any]]:
        """The first gate of every stage moved to both ends, and every image once more as the learner's own."""
        for key, source in self._ready.items():
            for stage in range(len(source.stages)):
                for gate in (0.0, 1.0):
                    asked = {"source": key, "example": len(source.examples) - 1, "stage": stage, "edits": {"0": gate}}
                    yield {"want": "probabilities", **asked}
            for example in source.examples if source.draw or source.upload else ():
                picture = io.BytesIO()
                Image.fromarray(example.image).save(picture, "PNG")
                data = base64.b64encode(picture.getvalue()).decode("ascii")
                yield {"want": "picture", "source": key, "drawn": source.draw, "name": example.label, "data": data}

    def _compute_answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._kernel is None:
            raise ValueError("This widget was built from arrays alone: there is no network to ask.")
        want, key = request.get("want"), request.get("source", "")
        if key not in self._ready:
            raise ValueError(f"There is no source {key!r}; there are: {', '.join(self._ready)}.")
        if want == "probabilities":
            return {"probabilities": self._moved(key, request), **{name: request[name] for name in _ASKED}}
        if want == "picture":
            image = decode_base64(str(request["data"]), str(request["name"]))
            self.request = {}  # a picture's bytes have no place in a saved page
            example = self._kernel.example(key, image, bool(request.get("drawn")))
            _check(self._ready[key], example, self._ready[key].sizes)
            self.own = {**self.own, key: _encode_example(example)}
            return {"example": OWN_PICTURE, "source": key}
        if want == "source":
            if self._ready[key].pending:
                self._ready[key] = self._kernel.fetch(key)
                self.sources = [_encode_source(source) for source in self._ready.values()]
            return {"source": key, "example": 0}
        raise ValueError(f"The page asked for {want!r}; it may ask for probabilities, picture or source.")

    def _moved(self, key: str, request: dict[str, Any]) -> list[float]:
        assert self._kernel is not None
        stage, example = int(request["stage"]), int(request["example"])
        sizes = self._ready[key].sizes
        if not 0 <= stage < len(sizes):
            raise ValueError(f"There is no stage {stage} in {key!r}; there are {len(sizes)}.")
        gates = {int(channel): float(gate) for channel, gate in request["edits"].items()}
        for channel, gate in gates.items():
            if not (0 <= channel < sizes[stage][0] and 0 <= gate <= 1):
                raise ValueError(
                    f"Gate {gate} of channel {channel} is not possible: channels go from 0 to {sizes[stage][0] - 1}, "
                    "gates from 0 to 1."
                )
        return [float(p) for p in self._kernel.probabilities(key, example, stage, gates)]


_ASKED = ("source", "example", "stage", "edits")


def _check(source: GateSource, example: GateExample, sizes: Sequence[tuple[int, ...]]) -> None:
    found = [stage.maps.shape for stage in example.stages]
    if found != list(sizes) or len(found) != len(source.stages):
        raise ValueError(
            f"{example.label!r} has maps of shapes {found}, but the source {source.key!r} has {len(source.stages)} "
            f"stages with maps of shapes {list(sizes)}; every example of a source must have the same."
        )
    for stage in example.stages:
        if stage.gates.shape != stage.maps.shape[:1]:
            raise ValueError(
                f"{len(stage.maps)} maps need {len(stage.maps)} gates, but {stage.gates.shape} were given."
            )
    if example.probabilities.shape != (len(source.classes),):
        raise ValueError(
            f"{example.label!r} has probabilities of shape {example.probabilities.shape}, but the source "
            f"{source.key!r} names {len(source.classes)} classes."
        )
    if example.contributions is not None and source.tail is not None:
        needed = (*found[-1][:1], *source.tail.bias.shape)
        if example.contributions.shape != needed:
            raise ValueError(f"contributions of shape {needed} are needed, not {example.contributions.shape}.")


def _encode_source(source: GateSource) -> dict[str, Any]:
    tail = source.tail
    return {
        "key": source.key,
        "title": source.title,
        "classes": list(source.classes),
        "stages": list(source.stages),
        "examples": [_encode_example(example) for example in source.examples],
        "tail": tail
        and {
            "bias": encode(tail.bias, "float32"),
            "weight": None if tail.weight is None else encode(tail.weight, "float32"),
            "output_bias": None if tail.output_bias is None else encode(tail.output_bias, "float32"),
        },
        "draw": source.draw,
        "upload": source.upload,
        "code": source.code,
        "records": source.records,
        "pending": source.pending,
    }


def _encode_example(example: GateExample) -> dict[str, Any]:
    contributions = example.contributions
    return {
        "label": example.label,
        "image": encode(example.image, "uint8"),
        "stages": [_encode_stage(stage) for stage in example.stages],
        "probabilities": encode(example.probabilities, "float32"),
        "contributions": None if contributions is None else encode(contributions, "float32"),
        "code": example.code,
    }


def _encode_stage(stage: GateStage) -> dict[str, Any]:
    """The maps as bytes between one low and one high for all channels; the means are those of the exact maps."""
    low, high = min(0.0, float(stage.maps.min())), float(stage.maps.max())
    if high <= low:
        high = low + 1
    return {
        "maps": encode(np.rint((stage.maps - low) / (high - low) * 255), "uint8"),
        "low": low,
        "high": high,
        "means": encode(stage.maps.mean(axis=(1, 2)), "float32"),
        "gates": encode(stage.gates, "float32"),
    }
