"""PersonSegmenter against what MediaPipe's own runtime answered to three photographs, at every fourth pixel."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from course_utils.attention import SEBlock, edit_masks, record_masks
from course_utils.models import CheckpointError, PersonSegmenter, load_network
from course_utils.resources import resource

REFERENCE = Path(__file__).with_name("segmentation_reference.npz")


@pytest.fixture(scope="module")
def reference() -> tuple[Tensor, Tensor]:
    with np.load(REFERENCE) as file:
        names = [name.removesuffix("_picture") for name in file.files if name.endswith("_picture")]
        pictures = torch.stack([torch.from_numpy(file[f"{name}_picture"]).permute(2, 0, 1) / 255 for name in names])
        return pictures, torch.stack([torch.from_numpy(file[f"{name}_probabilities"]) for name in names])


@pytest.fixture
def network() -> PersonSegmenter:
    return load_network("person_segmenter")


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-4), (torch.float32, 1e-4)])
def test_its_probabilities_are_those_of_the_original_runtime(network, reference, dtype, tolerance):
    """In float64 what remains is the original's own rounding; in float32 ours comes on top."""
    pictures, expected = reference
    with torch.no_grad():
        found = network.to(dtype)(pictures.to(dtype))
    assert found.shape == (3, 1, 256, 256)
    assert (found[:, 0, ::4, ::4] - expected).abs().max() < tolerance


def test_ten_gates_are_recorded_and_six_are_those_of_se_blocks(network, reference):
    with torch.no_grad(), record_masks(network) as masks:
        network(reference[0])
    channels = {name: mask.shape[1] for name, mask in masks.items()}
    se_blocks = [channels[name] for name, module in network.named_modules() if type(module) is SEBlock]
    assert se_blocks == [16, 96, 128, 128, 96, 96]
    assert [channels[name] for name in ("head", "decoder.0.gate", "decoder.1.gate", "decoder.2.gate")] == [
        128,
        24,
        16,
        16,
    ]
    assert len(masks) == 10
    assert all(mask.shape == (3, channels[name], 1, 1) for name, mask in masks.items())
    assert all(mask.min() >= 0 and mask.max() <= 1 for mask in masks.values())


@pytest.mark.parametrize("name", ["encoder.0.gate", "head", "decoder.0.gate", "decoder.2.gate"])
def test_an_edited_gate_changes_the_answer(network, reference, name):
    with torch.no_grad():
        plain = network(reference[0])
        with edit_masks(network, {name: torch.zeros_like}):
            closed = network(reference[0])
    assert (plain - closed).abs().max() > 0.01


def test_a_batch_answers_as_its_pictures_do_alone(network, reference):
    pictures = reference[0]
    with torch.no_grad():
        together = network.double()(pictures.double())
        alone = torch.cat([network(picture[None].double()) for picture in pictures])
    torch.testing.assert_close(together, alone)


def test_the_gradient_reaches_the_picture_and_every_parameter(network, reference):
    pictures = reference[0][:1].clone().requires_grad_()
    network(pictures).sum().backward()
    assert pictures.grad.abs().max() > 0
    assert [name for name, parameter in network.named_parameters() if not parameter.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_marks_nearly_the_same_pixels(network, reference, dtype):
    with torch.no_grad():
        full = network(reference[0])
        half = network.to(dtype)(reference[0].to(dtype))
    assert half.dtype == dtype
    assert ((full > 0.5) == (half > 0.5)).float().mean() > 0.99


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (torch.rand(3, 256, 256), "pictures[None]"),
        (torch.rand(1, 1, 256, 256), "pictures.expand(-1, 3, -1, -1)"),
        (torch.rand(1, 4, 256, 256), "pictures[:, :3]"),
        (torch.rand(1, 256, 256, 3), "pictures.permute(0, 3, 1, 2)"),
        (torch.rand(1, 3, 224, 224), "F.interpolate(pictures, (256, 256)"),
        (torch.zeros(1, 3, 256, 256, dtype=torch.uint8), "pictures.float() / 255"),
        (255 * torch.rand(1, 3, 256, 256), "divide by 255"),
        (torch.rand(1, 3, 256, 256) * 2 - 1, "undo the normalisation"),
        (torch.full((1, 3, 256, 256), float("nan")), "go from nan to nan"),
        (torch.rand(0, 3, 256, 256), "at least one"),
    ],
)
def test_pictures_that_do_not_fit_are_refused_in_words(network, pictures, words):
    with pytest.raises(ValueError, match="PersonSegmenter needs pictures") as caught:
        network(pictures)
    assert words in str(caught.value)


def test_damaged_weights_are_named(tmp_path):
    for ending in ("safetensors", "json"):
        content = resource(f"weights/person_segmenter.{ending}").read_bytes()
        (tmp_path / f"mine.{ending}").write_bytes(content[: len(content) // 2] if ending == "safetensors" else content)
    with pytest.raises(CheckpointError, match=r"mine\.safetensors cannot be read"):
        load_network(tmp_path / "mine")
