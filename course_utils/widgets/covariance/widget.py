"""`covariance`: how channels vary together, cell by cell; rearrange one, and see what SE and GSoP make of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import traitlets

from ..base import CourseWidget, as_array, encode


@dataclass(frozen=True, eq=False)
class CovarianceExample:
    """One picture as a feature map.

    Args:
        label: what it is, in words.
        maps: (C, h, w); the first three channels are red, green and blue in [0, 1] and are shown as a picture too.
        code: an expression that makes the maps, (1, C, h, w).
    """

    label: str
    maps: np.ndarray
    code: str


@dataclass(frozen=True, eq=False)
class SEWeights:
    """The two layers of an SE block.

    Args:
        reduce_weight: (hidden, C).
        reduce_bias: (hidden,).
        expand_weight: (C, hidden).
        expand_bias: (C,).
    """

    reduce_weight: np.ndarray
    reduce_bias: np.ndarray
    expand_weight: np.ndarray
    expand_bias: np.ndarray


@dataclass(frozen=True, eq=False)
class GSoPWeights:
    """The layers of a GSoP block, with its batch norms folded into them.

    Args:
        reduce_weight: (d, C), the 1x1 convolution.
        reduce_bias: (d,).
        row_weight: (d, expansion, d), the kernels of each row of the covariance.
        row_bias: (d, expansion).
        expand_weight: (C, d * expansion).
        expand_bias: (C,).
    """

    reduce_weight: np.ndarray
    reduce_bias: np.ndarray
    row_weight: np.ndarray
    row_bias: np.ndarray
    expand_weight: np.ndarray
    expand_bias: np.ndarray


class Covariance(CourseWidget):
    """The C x C covariances of a feature map, and the masks of two blocks beside each other; all computed in the page.

    Args:
        examples: what the learner may choose from; all have maps of as many channels.
        names: the names of the C channels; the first three are the colours.
        se: the weights of an SE block for C channels.
        gsop: the weights of a GSoP block for C channels.
        label: the widget's name for a screen reader.
        traits: other traits, such as `example`, `moved`, `leader`, `turn`, `view`, `query`, `caption`, `code`; `code`
            are the lines that make `se` and `gsop`.

    Attributes:
        example: index of the picture shown.
        view: "channels" for the covariances of the C channels, "reduced" for those of the d channels that the GSoP
            block makes of them.
        moved: the channel whose values the slider moves to other places.
        leader: the channel that they follow (`turn` above 0) or flee (below 0).
        turn: from -1 to 1; at 0 every value stands where it was.
        query: (row, column) of the locked cell; empty while none is locked.

    Raises:
        ValueError: if there is no example, or shapes do not fit together.
    """

    _module = "covariance"

    examples: traitlets.List = traitlets.List().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    se = traitlets.Dict().tag(sync=True)
    gsop = traitlets.Dict().tag(sync=True)
    example = traitlets.Int(0).tag(sync=True, echo_update=False)
    view = traitlets.Enum(["channels", "reduced"], "channels").tag(sync=True, echo_update=False)
    moved = traitlets.Int(1).tag(sync=True, echo_update=False)
    leader = traitlets.Int(0).tag(sync=True, echo_update=False)
    turn = traitlets.Float(0, min=-1, max=1).tag(sync=True, echo_update=False)
    query = traitlets.List(traitlets.Int(min=0)).tag(sync=True, echo_update=False)

    def __init__(
        self,
        examples: Sequence[CovarianceExample],
        names: Sequence[str],
        se: SEWeights,
        gsop: GSoPWeights,
        label: str = "Covariances of channels, and the masks of SE and GSoP",
        **traits: Any,
    ) -> None:
        _check(examples, names, se, gsop)
        super().__init__(
            examples=[
                {"label": one.label, "maps": encode(as_array(one.maps), "float32"), "code": one.code}
                for one in examples
            ],
            names=list(names),
            se=_encode_weights(se),
            gsop=_encode_weights(gsop),
            label=label,
            **traits,
        )

    @traitlets.validate("example", "moved", "leader")
    def _known(self, proposal: dict[str, Any]) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        count = len(self.examples if name == "example" else self.names)
        if count and not 0 <= value < count:
            raise traitlets.TraitError(f"{name}={value}, but there are {count}; give a number from 0 to {count - 1}.")
        return value


def _encode_weights(weights: SEWeights | GSoPWeights) -> dict[str, Any]:
    return {name: encode(values, "float32") for name, values in asdict(weights).items()}


def _check(examples: Sequence[CovarianceExample], names: Sequence[str], se: SEWeights, gsop: GSoPWeights) -> None:
    channels = len(names)
    if not examples:
        raise ValueError("Covariance needs at least one CovarianceExample, but none was given.")
    for one in examples:
        shape = as_array(one.maps).shape
        if len(shape) != 3 or shape[0] != channels or channels < 3 or shape[1] * shape[2] < 2:
            raise ValueError(
                f"{one.label!r} has maps of shape {shape}, but ({channels}, h, w) is needed: one map for each name, at "
                "least three, and at least two positions."
            )
    hidden, reduced = len(se.reduce_bias), len(gsop.reduce_bias)
    expansion = gsop.row_weight.shape[1]
    needed = {
        "se.reduce_weight": (se.reduce_weight, (hidden, channels)),
        "se.expand_weight": (se.expand_weight, (channels, hidden)),
        "se.expand_bias": (se.expand_bias, (channels,)),
        "gsop.reduce_weight": (gsop.reduce_weight, (reduced, channels)),
        "gsop.row_weight": (gsop.row_weight, (reduced, expansion, reduced)),
        "gsop.row_bias": (gsop.row_bias, (reduced, expansion)),
        "gsop.expand_weight": (gsop.expand_weight, (channels, reduced * expansion)),
        "gsop.expand_bias": (gsop.expand_bias, (channels,)),
    }
    for name, (values, shape) in needed.items():
        if values.shape != shape:
            raise ValueError(f"{name} has shape {values.shape}, but {shape} is needed for {channels} channels.")
