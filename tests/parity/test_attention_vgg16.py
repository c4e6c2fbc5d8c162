"""Our gated VGG against torchvision's layers with a plain port of the gates, and by what it must do."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from drawn_state import draw_state
from torch import Tensor, nn
from torch.testing import assert_close
from torchvision.models import vgg

from course_utils.attention import record_masks
from course_utils.models import AttentionVGG, AttentionVGG16

NARROW = {"num_classes": 3, "widths": (4, 6, 8), "convolutions": (1, 2, 1), "hidden_channels": 5}


class Port(nn.Module):
    """VGG's features cut at three poolings, and the gates written out."""

    def __init__(self, features: nn.Sequential, cuts: tuple[int, int, int], widths: tuple[int, int, int], hidden: int):
        super().__init__()
        self.features, self.cuts = features, cuts
        final = widths[2]
        self.local = nn.ParameterList(torch.empty(hidden, width, 1, 1) for width in widths[:2])
        self.guide = nn.ParameterList(torch.empty(hidden, final, 1, 1) for _ in range(2))
        self.phi = nn.ParameterList(torch.empty(1, hidden, 1, 1) for _ in range(2))
        self.shift = nn.ParameterList(torch.empty(1) for _ in range(2))
        self.classifier = nn.Linear(sum(widths), 3)

    def forward(self, x: Tensor) -> Tensor:
        first = self.features[: self.cuts[0] + 1](x)
        second = self.features[self.cuts[0] + 1 : self.cuts[1] + 1](first)
        last = self.features[self.cuts[1] + 1 :](second)
        vectors = [F.adaptive_avg_pool2d(last, 1).flatten(1)]
        for index, local in enumerate((first, second)):
            guided = F.interpolate(
                F.conv2d(last, self.guide[index]), local.shape[2:], mode="bilinear", align_corners=False
            )
            scores = F.conv2d((F.conv2d(local, self.local[index]) + guided).relu(), self.phi[index], self.shift[index])
            vectors.append(self.pool(local, scores))
        return self.classifier(torch.cat(vectors, dim=1))

    def pool(self, local: Tensor, scores: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(local * scores.sigmoid(), 1).flatten(1)


class SoftmaxPort(Port):
    def pool(self, local: Tensor, scores: Tensor) -> Tensor:
        return (local * scores.flatten(1).softmax(dim=1).view_as(scores)).sum(dim=(2, 3))


def as_port(name: str) -> str:
    """Where our tensor stands in the port."""
    if not name.startswith("gates"):
        return name
    _, index, layer, kind = name.split(".")
    return f"shift.{index}" if kind == "bias" else f"{layer}.{index}"


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize(("alignment", "port"), [("sigmoid", Port), ("softmax", SoftmaxPort)])
def test_outputs_and_gradients_are_those_of_the_port(mode, alignment, port):
    torch.manual_seed(0)
    ours = AttentionVGG(alignment=alignment, **NARROW).double().train(mode == "train")
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()]
    layers += [nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
    reference = port(nn.Sequential(*layers), (3, 10, 14), (4, 6, 8), 5).double().train(mode == "train")
    draw_state(reference)
    source = reference.state_dict()
    assert {as_port(name) for name in ours.state_dict()} == source.keys()
    ours.load_state_dict({name: source[as_port(name)] for name in ours.state_dict()})

    images, direction = torch.randn(3, 3, 20, 28).double(), torch.randn(3, 3).double()
    results = []
    for model in (ours, reference):
        leaf = images.clone().requires_grad_()
        logits = model(leaf)
        logits.backward(direction)
        results.append((logits.detach(), leaf.grad))
    assert_close(*results)
    expected = {name: parameter.grad for name, parameter in reference.named_parameters()}
    for name, parameter in ours.named_parameters():
        assert_close(parameter.grad, expected[as_port(name)], msg=lambda text, name=name: f"{name}: {text}")
    after = reference.state_dict()
    for name, tensor in ours.state_dict().items():
        assert_close(tensor, after[as_port(name)])


def test_the_features_are_those_of_torchvision():
    torch.manual_seed(0)
    ours, reference = AttentionVGG16(2).eval(), vgg.make_layers(vgg.cfgs["D"], batch_norm=True).eval()
    reference.load_state_dict(ours.features.state_dict())
    images = torch.randn(1, 3, 32, 32)
    assert_close(ours.features(images), reference(images))
    assert [type(layer) for layer in ours.features] == [type(layer) for layer in reference]
    assert ours.taps == [23, 33, 43]
    assert sum(p.numel() for p in ours.parameters()) == 15_184_964


def test_trained_weights_fill_the_features_only(monkeypatch):
    torch.manual_seed(0)
    stored = {f"features.{name}": tensor + 1 for name, tensor in AttentionVGG16(2).features.state_dict().items()}
    asked = []

    def get_state_dict(self, *_arguments, **_options):
        asked.append(self)
        return stored | {"classifier.0.weight": torch.zeros(1)}

    monkeypatch.setattr(torchvision.models.VGG16_BN_Weights, "get_state_dict", get_state_dict)
    model = AttentionVGG16(2, weights="DEFAULT")
    assert asked == [torchvision.models.VGG16_BN_Weights.DEFAULT]
    for name, tensor in model.features.state_dict().items():
        assert torch.equal(tensor, stored[f"features.{name}"])


@pytest.mark.parametrize(("size", "first", "second"), [((32, 32), (4, 4), (2, 2)), ((72, 49), (9, 6), (4, 3))])
def test_both_gates_are_recorded_at_any_size(size, first, second):
    torch.manual_seed(0)
    model = AttentionVGG16(2, alignment="softmax").eval()
    images = torch.randn(1, 3, *size)
    with torch.no_grad(), record_masks(model) as masks:
        logits = model(images)
        assert torch.equal(logits, model(images))
    assert {name: tuple(mask.shape) for name, mask in masks.items()} == {
        "gates.0": (1, 1, *first),
        "gates.1": (1, 1, *second),
    }
    assert logits.shape == (1, 2)
    for mask in masks.values():
        assert_close(mask.sum(), torch.tensor(1.0))


@pytest.mark.parametrize("widths", [(4, 6, 8), (4, 6, 8, 8)])
def test_small_networks_export_compile_and_reload(widths):
    torch.manual_seed(0)
    model = AttentionVGG(2, widths=widths, hidden_channels=4, in_channels=1).eval()
    images = torch.randn(2, 1, 32, 40)
    expected = model(images)
    torch.compiler.reset()  # torch 2.6 would take the other network's number of stages for a variable
    assert_close(torch.export.export(model, (images,)).module()(images), expected)
    assert_close(torch.compile(model, backend="aot_eager")(images), expected)
    again = AttentionVGG(2, widths=widths, hidden_channels=4, in_channels=1).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(images), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AttentionVGG(2, widths=(8, 8)), "three stages"),
        (lambda: AttentionVGG(2, widths=(8, 8, 8), convolutions=(1, 1)), "three stages"),
        (lambda: AttentionVGG(2, widths=(8, 0, 8)), "at least 1"),
        (lambda: AttentionVGG(**NARROW, alignment="hard"), "'hard'"),
        (lambda: AttentionVGG(**NARROW)(torch.randn(3, 32, 32)), r"images\[None\]"),
        (lambda: AttentionVGG(**NARROW)(torch.randn(1, 1, 32, 32)), "give 3 channels"),
        (lambda: AttentionVGG(**NARROW)(torch.randn(1, 3, 7, 32)), "at least 8 x 8 pixels"),
        (lambda: AttentionVGG16(2)(torch.randn(1, 3, 31, 64)), "at least 32 x 32 pixels"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
