"""The explorer of lesson 4.5: what it hands to the widget are the maps of the networks."""

import base64

import numpy as np
import pytest
import torch

from course_utils.data import ImageSet, cued_scenes
from course_utils.models import AttentionVGG
from course_utils.training.attention_maps import gate_maps, grad_cam
from course_utils.widgets import explore_gate_maps


def decoded(array):
    kind = {"uint8": np.uint8, "float16": "<f2", "float32": "<f4"}[array["dtype"]]
    return np.frombuffer(base64.b64decode(array["data"]), kind).reshape(array["shape"]).astype(np.float32)


def network(alignment):
    torch.manual_seed(0)
    return AttentionVGG(10, alignment, widths=(4, 6, 8), hidden_channels=4).eval()


def test_live_networks_show_their_gates_or_grad_cam():
    scenes = cued_scenes(10, 0, size=32)
    networks = {"gated": network("softmax"), "alone": network(None)}
    widget = explore_gate_maps(networks, scenes, epoch=3, stage=1, threshold=0.2)
    assert (widget.epochs, widget.stages, widget.stage, widget.threshold) == ([3], ["pool1", "pool2"], 1, 0.2)
    assert len(widget.names) == 8 and widget.names[2] == f"3: class {int(scenes.labels[2])}"
    for shown, expected in zip(
        widget.series,
        (gate_maps(networks["gated"], scenes.images), grad_cam(networks["alone"], scenes.images)),
        strict=True,
    ):
        for stage, map_ in zip(shown["maps"], expected.values(), strict=True):
            np.testing.assert_allclose(decoded(stage)[0], map_[:8], rtol=2e-3, atol=1e-6)
    answers = networks["alone"](scenes.images[:8]).argmax(1)
    assert widget.series[1]["answers"] == [[str(int(answer)) for answer in answers]]


def test_half_of_what_is_needed_is_refused():
    scenes = cued_scenes(2, 0, size=32)
    with pytest.raises(ValueError, match="networks without data; give both, or neither"):
        explore_gate_maps({"one": network("sigmoid")})
    with pytest.raises(ValueError, match="have no masks"):
        explore_gate_maps({"one": network("sigmoid")}, ImageSet(scenes.images, scenes.labels))


def test_the_recorded_maps_are_of_four_networks_after_three_epochs():
    widget = explore_gate_maps(stage=1, epoch=2)
    assert widget.epochs == [1, 5, 8] and widget.stages == ["pool2", "pool3"]
    assert [one["title"] for one in widget.series] == [
        "gates by sigmoid",
        "gates by softmax",
        "sigmoid, shown the mask",
        "Grad-CAM of VGG alone",
    ]
    softmax = decoded(widget.series[1]["maps"][1])
    np.testing.assert_allclose(softmax.sum((2, 3)), 1, atol=5e-3)
