"""`channel-gates`: the feature maps of a stage, each with its gate; move a gate and see the answer change."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets

from ..base import CourseWidget, encode_fields

OWN_PICTURE = -1
"""The index of the picture that the learner drew or uploaded."""

_EXACT = ("gates", "input", "means", "probabilities")
_ASKED = ("source", "example", "stage", "edits")


class ChannelGates(CourseWidget):
    """Feature maps with their gates, and what the network answers when a gate is moved.

    Args:
        sources: images, and the network that they go through; the first that has examples is shown first. Of each:
            `key`, a short name; `title`, what the learner reads in the list; `classes`, the K names, none where the
            answer is a mask over the picture; `stages`, the names of the blocks with gates, in order, and `sizes`, the
            channels, height and width of their maps; `graph` and `weights`, as `page_graph` makes them, so that the
            page computes maps, gates and answers itself, or None and "" where the kernel answers; `draw`, whether a
            digit may be drawn; `upload`, where a learner's picture is read: "page", "kernel" or "" (nowhere); `code`,
            the lines that make `network`; `pending`, what it takes to fetch a source that has no examples yet, else "";
            and `examples`. Of each example: `label`, what it is, in words; `image`, (H, W) or (H, W, 3), uint8, or a
            square WebP file in base64; `input`, what the network is given, (C, H, W), where that is not the image
            divided by 255, else None; `code`, a line that makes it, as `image`, a batch of one; and where there is no
            graph `stages`, for each block its `maps`, (C, h, w), uint8,
            0 for `low` and 255 for `high`, their `means` and `gates`, (C,), and `probabilities`, (K,).
        kernel: answers for networks without a graph, for drawn and uploaded digits and for pending sources:
            `explore.Kernel`.
    """

    _module = "channel_gates"

    label = traitlets.Unicode("Channel gates: feature maps, their gates, and the network's answer")
    sources: traitlets.List = traitlets.List().tag(exact=_EXACT)
    own = traitlets.Dict()
    source = traitlets.Unicode("")  # key of the source shown
    example = traitlets.Int(0)  # index of the image shown; `OWN_PICTURE` for the learner's own
    stage = traitlets.Int(0)  # index of the stage shown
    order = traitlets.Enum(["channel", "gate", "mean"], "channel")
    own_colours = traitlets.Bool(True)  # each map has a range of colours of its own; else one serves all of the block
    channel = traitlets.Int(0)  # the channel whose gate the slider moves
    edits = traitlets.Dict()  # the gates moved by hand in this stage, {channel as text: gate from 0 to 1}

    def __init__(self, sources: Sequence[Mapping[str, Any]], kernel: Any, **traits: Any) -> None:
        self._kernel = kernel
        self._ready = {source["key"]: source for source in sources}
        first = self._ready[traits.setdefault("source", next(one["key"] for one in sources if one["examples"]))]
        traits.setdefault("stage", len(first["stages"]) - 1)
        super().__init__(sources=sources, **traits)
        self.answer_with(self._compute_answer)

    @traitlets.validate("source")
    def _known_source(self, proposal: dict[str, Any]) -> str:
        key = proposal["value"]
        if key and not (key in self._ready and self._ready[key]["examples"]):
            ready = ", ".join(repr(name) for name, source in self._ready.items() if source["examples"])
            raise traitlets.TraitError(f"There is no source {key!r} to show; there are: {ready}.")
        return key

    @property
    def picture(self) -> np.ndarray:
        """What the network is given of the image shown: (C, H, W), float."""
        return self._kernel.picture(self.source, self.example)

    def fetch(self, key: str) -> None:
        """Ask the kernel for a pending source; where that fails, the widget says why."""
        self.guarded(self._compute_answer, {"want": "source", "source": key})

    def _compute_answer(self, request: dict[str, Any]) -> dict[str, Any]:
        want, key = request["want"], request["source"]
        if want == "probabilities":
            gates = {int(channel): float(gate) for channel, gate in request["edits"].items()}
            found = self._kernel.probabilities(key, int(request["example"]), int(request["stage"]), gates)
            return {"probabilities": [float(p) for p in found], **{name: request[name] for name in _ASKED}}
        if want == "picture":
            self.request = {}  # a picture's bytes have no place in a saved page
            example = self._kernel.example(key, request["data"], request["name"], bool(request.get("drawn")))
            self.own = {**self.own, key: encode_fields(example, exact=_EXACT)}
            return {"example": OWN_PICTURE, "source": key}
        if self._ready[key]["pending"]:  # it wants the source
            self._ready[key] = self._kernel.fetch(key)
            self.sources = encode_fields([*self._ready.values()], exact=_EXACT)
        return {"source": key, "example": 0}
