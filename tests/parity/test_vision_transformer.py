"""Our vision transformer against torchvision's, and the maps that are read from it."""

import copy

import pytest
import torch
import torchvision
from drawn_state import draw_state
from torch import nn
from torch.testing import assert_close

from course_utils.attention import record_masks
from course_utils.models import VisionTransformer, class_token_maps, rollout

SIZES = {"image_size": 32, "patch_size": 8, "mlp_dim": 24, "num_classes": 5}


def theirs(**options) -> torchvision.models.VisionTransformer:
    torch.manual_seed(0)
    model = torchvision.models.VisionTransformer(num_layers=3, num_heads=2, hidden_dim=16, **SIZES, **options).double()
    draw_state(model)
    return model


def ours() -> VisionTransformer:
    return VisionTransformer(depth=3, num_heads=2, embed_dim=16, **SIZES)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("recorded", [False, True])
def test_logits_and_gradients_are_those_of_torchvision(mode, recorded):
    reference = theirs().train(mode == "train")
    model = VisionTransformer.from_torchvision(reference)
    assert model.training == reference.training
    numbers = [sum(p.numel() for p in network.parameters()) for network in (model, reference)]
    assert numbers[0] == numbers[1], "a parameter of the reference was read by no one"
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    direction = torch.randn(2, 5, dtype=torch.float64)
    slopes = []
    for network in (model, reference):
        leaf = images.clone().requires_grad_()
        if recorded and network is model:
            with record_masks(network):
                logits = network(leaf)
        else:
            logits = network(leaf)
        logits.backward(direction)
        slopes.append((logits.detach(), leaf.grad))
    assert_close(*slopes)
    for parameter in reference.parameters():
        parameter.data = parameter.grad
    expected = dict(VisionTransformer.from_torchvision(reference).named_parameters())
    for name, parameter in model.named_parameters():
        assert_close(parameter.grad, expected[name].detach(), msg=lambda text, name=name: f"{name}: {text}")


def test_weights_are_those_of_torchvision_layer_by_layer():
    reference = theirs().eval()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    expected = []

    def keep(layer, inputs, _output):
        x = layer.ln_1(inputs[0])
        expected.append(layer.self_attention(x, x, x, average_attn_weights=False)[1])

    for layer in reference.encoder.layers:
        layer.register_forward_hook(keep)
    reference(images)
    weights = VisionTransformer.from_torchvision(reference).attention_weights(images)
    assert weights.shape == (2, 3, 2, 17, 17)
    assert_close(weights, torch.stack(expected, dim=1))


def test_vit_b_16_has_the_parameters_of_the_paper():
    with torch.device("meta"):
        model = VisionTransformer(224, 16, depth=12, embed_dim=768, num_heads=12, mlp_dim=3072, num_classes=1000)
    assert sum(p.numel() for p in model.parameters()) == 86_567_656


def test_an_untrained_network_prefers_no_class_and_learns():
    torch.manual_seed(0)
    model = ours()
    images = torch.randn(4, 3, 32, 32)
    assert (model(images) == 0).all()
    labels = torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    assert torch.equal(model(images).argmax(dim=1), labels)


def test_positions_tell_patches_apart():
    model = VisionTransformer.from_torchvision(theirs())
    images = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    moved = images.roll(8, dims=3)  # the same patches, each one place further
    assert not torch.allclose(model(images), model(moved))
    with torch.no_grad():
        model.positions.zero_()
    assert_close(model(images), model(moved))


def test_the_maps_of_the_class_token_are_laid_out_as_the_patches():
    weights = torch.arange(17.0).expand(2, 3, 2, 17, 17)
    maps = class_token_maps(weights)
    assert maps.shape == (2, 3, 2, 4, 4)
    assert torch.equal(maps[1, 2, 1], torch.arange(1.0, 17.0).view(4, 4))
    rows = torch.zeros(1, 5, 5)
    rows[:, 0] = 1.0
    assert (class_token_maps(rows) == 1).all()
    assert (class_token_maps(rows.transpose(1, 2)) == 0).all()


def test_rollout_follows_a_patch_through_the_layers():
    torch.manual_seed(0)
    weights = torch.rand(2, 3, 2, 5, 5, dtype=torch.float64).softmax(dim=-1)
    eye = torch.eye(5, dtype=torch.float64)
    for n in range(2):
        first, second, third = ((layer.mean(dim=0) + eye) / 2 for layer in weights[n])
        assert_close(rollout(weights)[n], third @ second @ first)
    assert_close(rollout(weights).sum(dim=-1), torch.ones(2, 5, dtype=torch.float64))
    # two layers: token 2 reads token 1, then the class token reads token 2; so a quarter of token 1 arrives
    hops = torch.eye(5).repeat(1, 2, 1, 1, 1)
    hops[0, 0, 0, 2] = torch.eye(5)[1]
    hops[0, 1, 0, 0] = torch.eye(5)[2]
    assert_close(rollout(hops)[0, 0], torch.tensor([0.5, 0.25, 0.25, 0.0, 0.0]))


def test_it_exports_compiles_and_reloads():
    model = VisionTransformer.from_torchvision(theirs()).float()
    images = torch.randn(2, 3, 32, 32)
    expected = model(images)
    assert_close(torch.export.export(model, (images,)).module()(images), expected)
    assert_close(torch.compile(model, backend="aot_eager")(images), expected)
    again = ours()
    again.load_state_dict(copy.deepcopy(model.state_dict()))
    assert torch.equal(again(images), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: VisionTransformer(30, 8, 1, 16, 2, 24, 5), r"6 pixels would be left over; use one of \[1, 2, 3, 5"),
        (lambda: VisionTransformer(32, 8, 0, 16, 2, 24, 5), "depth=0"),
        (lambda: VisionTransformer(32, 8, 1, 16, 3, 24, 5), "divides embed_dim"),
        (lambda: ours()(torch.randn(3, 32, 32)), r"images\[None\]"),
        (lambda: ours()(torch.randn(1, 3, 32, 40)), "resize or crop"),
        (lambda: ours()(torch.randn(1, 1, 32, 32)), r"\(N, 3, 32, 32\)"),
        (lambda: class_token_maps(torch.ones(1, 4, 4)), "side"),
        (lambda: class_token_maps(torch.ones(1, 2, 5)), "side"),
        (lambda: rollout(torch.ones(2, 5, 5)), "attention_weights"),
        (lambda: VisionTransformer.from_torchvision(theirs(representation_size=4)), "representation_size"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
