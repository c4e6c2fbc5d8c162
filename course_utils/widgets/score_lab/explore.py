"""The lesson's widget on scores and alignments: the package's modules joined to `ScoreLab`.

On a photograph the keys are features that a trained network made of its positions, and the query is one of them; no
projection lies between. The learned scores are not trained: their parameters are drawn once, from a fixed seed. That is
enough to see what each formula can express; it does not say what training would make of it.
"""

import functools
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...attention import score
from ...data import feature_crop, photograph_features
from ...data.images import square_image
from ...names import check_name
from ..base import image_bytes
from .widget import PLANE_STEPS, ScoreLab

WIDTHS = (2, 4, 8, 16, 32, 64)
HIDDEN = 8
"""dw, the hidden width of additive and concat in the lab."""
_SHOWN = 112  # pixels per side of a photograph in the page

_PHOTOGRAPHS = {"hens": (6, 4), "sheep": (6, 4), "german_shepherd": (4, 6)}  # and the cell that is the query at first
_LEARNED = ("additive", "concat", "general", "biased_general", "activated_general")
_PLACES = (  # a ray of keys in one direction, a cluster, and a few on their own
    (0.4, 0.3),
    (0.9, 0.7),
    (1.5, 1.1),
    (2.5, 1.9),
    (-1.1, 1.3),
    (-1.4, 1.7),
    (-0.9, 1.8),
    (-2.4, -0.3),
    (-0.7, -1.0),
    (0.5, -2.2),
    (1.9, -0.9),
    (0.1, -0.3),
)


def explore_score_lab(
    scores: tuple[str, str] = ("scaled_multiplicative", "similarity_euclidean"),
    alignments: tuple[str, str] = ("softmax", "softmax"),
    source: str = "plane",
    **settings: Any,
) -> ScoreLab:
    """Move a query among keys, and compare two combinations of a score and an alignment.

    Args:
        scores: the scores of A and B, names that `course_utils.attention.score` knows.
        alignments: the alignments of A and B, names that `course_utils.attention.align` knows.
        source: "plane", or the name of one of the photographs "hens", "sheep" and "german_shepherd".
        settings: where the widget's other attributes begin, such as `width`, `temperature`, `query`.

    Raises:
        ValueError: if the source is unknown, or a setting does not fit.
        TraitError: if a score or an alignment is unknown, or there are not two.

    Example:
        >>> explore_score_lab(alignments=("softmax", "sparsemax"))
    """
    parameters = {width: lab_parameters(width) for width in WIDTHS}
    sources = [_plane(), *(_photograph(name) for name in _PHOTOGRAPHS)]
    return ScoreLab(sources, parameters, scores=scores, alignments=alignments, source=source, **settings)


def lab_score(name: str, width: int) -> nn.Module:
    """A score as the lab uses it, with the same parameters.

    The parameters are drawn with seed 0. W is the same in general, biased_general and activated_general, and
    concat's W is [W_1 W_2] of additive: what differs between them is the formula alone.

    Args:
        name: as for `course_utils.attention.score`.
        width: dq = dk.
    """
    if name not in _LEARNED:
        return score(name, width, width)
    module = score(name, width, width, HIDDEN) if name in ("additive", "concat") else score(name, width, width)
    drawn, owner = lab_parameters(width).items(), f"{name}."
    own = {key.removeprefix(owner): torch.from_numpy(values) for key, values in drawn if key.startswith(owner)}
    module.load_state_dict(own)
    return module


def lab_inputs(source: str, width: int, place: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """The query, the keys and the values that the lab shows.

    Args:
        source: "plane", or the name of one of the lab's photographs.
        width: d, up to 64 in the plane, up to 16 on a photograph.
        place: (row, column) of the query.

    Returns:
        query (1, 1, d), keys (1, K, d), values (1, K, dv).

    Raises:
        ValueError: if there is no such source.
    """
    check_name("source", source, ("plane", *_PHOTOGRAPHS))
    shown = _plane() if source == "plane" else _photograph(source)
    keys, values = shown["keys"], shown["values"]
    if shown["rest"] is None:
        query = keys[place[0] * shown["steps"][1] + place[1]]
    else:
        half = PLANE_STEPS // 2
        here = torch.tensor([(place[1] - half) / 10, (half - place[0]) / 10])
        query = torch.cat([here, shown["rest"]])
    return query[None, None, :width], keys[None, :, :width], values[None]


@functools.cache
def lab_parameters(width: int) -> dict[str, np.ndarray]:
    """The parameters of all learned scores and of the agent for one width, named score.parameter."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int, fan_in: int = 1) -> Tensor:
        return torch.randn(shape, generator=generator) / fan_in**0.5

    to_keys, vector_bias = drawn(width, width, fan_in=width), drawn(width)
    query, key = drawn(HIDDEN, width, fan_in=width), drawn(HIDDEN, width, fan_in=width)
    hidden_bias, vector = drawn(HIDDEN), drawn(1, HIDDEN)
    tensors = {
        "additive.query.weight": query,
        "additive.key.weight": key,
        "additive.key.bias": hidden_bias,
        "additive.vector.weight": vector,
        "concat.joint.weight": torch.cat([query, key], dim=1),
        "concat.joint.bias": hidden_bias,
        "concat.vector.weight": vector,
        "general.weight.weight": to_keys,
        "biased_general.weight.weight": to_keys,
        "biased_general.weight.bias": vector_bias,
        "activated_general.weight.weight": to_keys,
        "activated_general.scalar": torch.tensor(0.5),
        "agent.policy.query.weight": drawn(HIDDEN, width, fan_in=width),
        "agent.policy.key.weight": drawn(HIDDEN, width, fan_in=width),
        "agent.policy.key.bias": drawn(HIDDEN),
        "agent.policy.vector.weight": drawn(1, HIDDEN),
    }
    return {name: tensor.numpy() for name, tensor in tensors.items()}


@functools.cache
def _plane() -> dict[str, Any]:
    """Twelve keys: their place in the plane, then numbers drawn from N(0, 1) for widths above 2."""
    generator = torch.Generator().manual_seed(1)
    places = torch.tensor(_PLACES)
    more = torch.randn(len(places) + 1, max(WIDTHS) - 2, generator=generator)
    keys = torch.cat([places, more[1:]], dim=1)
    return {
        "key": "plane",
        "title": "keys in the plane",
        "keys": keys,
        "values": places,
        "start": (20, 38),
        "steps": (PLANE_STEPS, PLANE_STEPS),
        "rest": more[0],
        "image": None,
    }


@functools.cache
def _photograph(name: str) -> dict[str, Any]:
    """The features of a photograph's positions as keys, the mean colours of the positions as values."""
    features, crop = photograph_features(name), feature_crop(name)  # (16, 14, 14), (3, 448, 448)
    rows, columns = features.shape[1:]
    return {
        "key": name,
        "title": f"photograph: {name.replace('_', ' ')}",
        "keys": features.flatten(1).T,
        "values": F.adaptive_avg_pool2d(crop, (rows, columns)).flatten(1).T,
        "start": _PHOTOGRAPHS[name],
        "steps": (rows, columns),
        "rest": None,
        "image": square_image(image_bytes(crop), _SHOWN),
    }
