"""The lesson's widget on attention gates: recorded or live maps joined to `GateMaps`."""

import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ...data import ImageSet
from ...models import AttentionVGG
from ...resources import resource
from ...training.attention_maps import gate_maps, grad_cam, stage_names
from ...training.metrics import predict
from ..base import both_or_neither
from .widget import GateMaps, MapSeries

_RECORDED = "results/4.5/maps.safetensors"
_TITLES = {
    "sigmoid": "gates by sigmoid",
    "softmax": "gates by softmax",
    "masked": "sigmoid, shown the mask",
    "plain": "Grad-CAM of VGG alone",
}
_CAPTION = "Recorded in one run with seed 0. This small network's pool2 and pool3 stand for VGG16's pool-3 and pool-4."


def explore_gate_maps(
    networks: Mapping[str, AttentionVGG] | None = None, data: ImageSet | None = None, epoch: int = 0, **shown: Any
) -> GateMaps:
    """See where networks look, and what of it lies on the answer.

    Args:
        networks: by title; of those without gates Grad-CAM is shown. None: the recorded networks of lesson 4.5, after
            epochs 1, 5 and 8.
        data: images with masks for `networks`; the first eight are shown.
        epoch: how many epochs `networks` have learned, for the list; with recorded ones the index of the epoch shown.
        shown: what is shown first: `image`, `stage`, `threshold`, `opacity`, `own_range`, `query`, `caption`.

    Raises:
        ValueError: if only one of networks and data is given, or data has no masks.

    Example:
        >>> explore_gate_maps(stage=1, threshold=0.5)
        >>> explore_gate_maps({"mine": network}, cued_scenes(8, seed=1, split="test"))
    """
    both_or_neither("explore_gate_maps", networks=networks, data=data)
    if networks is None or data is None:
        return _recorded(epoch=epoch, **shown)
    if data.masks is None:
        raise ValueError("explore_gate_maps holds maps against the true places, but these data have no masks.")
    few = data.subset(slice(8))
    assert few.masks is not None
    series, stages = [], []
    for title, network in networks.items():
        seen = (gate_maps if len(network.gates) else grad_cam)(network, few.images)
        stages = stage_names(network)
        answers = [str(int(answer)) for answer in predict(network, few.images).argmax(1)]
        series.append(MapSeries(title, [map_[None].half().float() for map_ in seen.values()], [answers]))
    names = [f"{i + 1}: class {int(label)}" for i, label in enumerate(few.labels)]
    return GateMaps(
        few.images,
        few.masks,
        series,
        [epoch],
        stages,
        names,
        label=f"Where {' and '.join(networks)} look",
        code=_code("networks, data"),
        **shown,
    )


def _recorded(**shown: Any) -> GateMaps:
    path = resource(_RECORDED)
    tensors = load_file(path)
    with safe_open(path, framework="pt") as stored:
        about = stored.metadata()
    epochs, stages = json.loads(about["epochs"]), json.loads(about["stages"])
    series = [
        MapSeries(
            title,
            [tensors[f"{name}/{stage}"].float() for stage in stages],
            [[str(int(answer)) for answer in row] for row in tensors[f"{name}/answers"]],
        )
        for name, title in _TITLES.items()
    ]
    names = [f"{i + 1}: the {int(label)}" for i, label in enumerate(tensors["labels"])]
    shown.setdefault("caption", _CAPTION)
    images = tensors["images"]
    return GateMaps(images, tensors["places"].to(torch.bool), series, epochs, stages, names, code=_code(""), **shown)


def _code(arguments: str) -> str:
    return f"from course_utils.widgets import explore_gate_maps\n\nwidget = explore_gate_maps({arguments})"
