"""The solutions of lesson 4.1.5 against other sources: torch's unfold, the course's network, a copy at a time."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import check, models
from course_utils.check.engine import Draw
from course_utils.data import cued_digits
from course_utils.models import VisionTransformer, load_network, rollout
from course_utils.widgets.patch_tokens.explore import blank_patches, occlude

LESSON = "4.1.5_vision_transformer.ipynb"
torch.set_num_threads(1)


pytestmark = pytest.mark.usefixtures("fresh_session")


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = VisionTransformer(12, 4, depth=3, embed_dim=8, num_heads=2, mlp_dim=16, num_classes=3)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.4)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("seed", range(4))
def test_the_patches_are_those_of_unfold_and_of_the_networks_convolution(network, seed):
    images, size = check.cut_patches.draw(Draw(seed))
    cut = check.cut_patches.official(images, size)
    torch.testing.assert_close(cut, F.unfold(images, size, stride=size).transpose(1, 2))
    images = torch.rand(2, 3, 12, 12)
    rows = check.cut_patches.official(images, 4)
    by_layer = F.linear(rows, network.patches.weight.flatten(1), network.patches.bias)
    torch.testing.assert_close(by_layer, network.patches(images).flatten(2).transpose(1, 2))


def test_the_tokens_are_those_that_the_network_reads(network):
    images = torch.rand(2, 3, 12, 12)
    patches = check.cut_patches.official(images, 4)
    weight, bias = network.patches.weight.flatten(1), network.patches.bias
    tokens = check.make_tokens.official(patches, weight, bias, network.class_token, network.positions)
    torch.testing.assert_close(tokens, network.embed(images))


def test_the_rollout_is_the_courses(network):
    weights = network.attention_weights(torch.rand(2, 3, 12, 12))
    for n in range(2):
        torch.testing.assert_close(check.attention_rollout.official(weights[n]), rollout(weights)[n])


def test_the_occlusion_map_is_that_of_one_blanked_copy_at_a_time(network):
    image = torch.rand(3, 12, 12)
    fall = check.occlusion_map.official(network, image, 2, 4)
    whole = network(image[None]).softmax(dim=1)[0, 2]
    for patch in range(9):
        copy = image.clone()
        copy[:, patch // 3 * 4 : patch // 3 * 4 + 4, patch % 3 * 4 : patch % 3 * 4 + 4] = 0
        torch.testing.assert_close(fall.flatten()[patch], whole - network(copy[None]).softmax(dim=1)[0, 2])
        torch.testing.assert_close(blank_patches(image, [patch], 4), copy)
    torch.testing.assert_close(fall, (whole - occlude(network, image)[:, 2]).view(3, 3))


def one_block():
    """A network of one block whose layers have the exercise's form: no bias, plain layer norms."""
    torch.manual_seed(1)
    network = VisionTransformer(12, 4, depth=1, embed_dim=8, num_heads=2, mlp_dim=16, num_classes=3).eval()
    for name, parameter in network.named_parameters():
        if "norm" not in name:
            nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.normal_(parameter, std=0.5)
    (block,) = network.requires_grad_(False).blocks
    attention = block.attention
    in_weight = torch.cat([part.weight for part in (attention.query, attention.key, attention.value)])
    return network, (in_weight, attention.output.weight, block.widen.weight, block.narrow.weight, network.head.weight)


def test_the_mended_port_is_the_network_and_the_lessons_port_has_all_four_faults(cell):
    network, matrices = one_block()
    images = torch.rand(2, 3, 12, 12)
    tokens = network.embed(images)
    torch.testing.assert_close(check.fixed_vit.official(tokens, *matrices, 2), network(images))
    scope = {"F": F, "torch": torch, "network": load_network("vit_cued_digits")}
    exec(cell("def ported("), scope)
    port = scope["ported"](tokens, *matrices, 2)
    torch.testing.assert_close(port, check.fixed_vit.mistakes[0].wrong(tokens, *matrices, 2))
    assert (port - network(images)).abs().max() > 0.1


def vit_of_a_learner(tokens, in_weight, out_weight, widen, narrow, head, heads, streams=(), last=True, gelu=F.gelu):
    """Written with other words than the solution; `streams` names the steps that add to what was normalised."""
    norm = nn.LayerNorm(tokens.shape[2], eps=1e-6, elementwise_affine=False)
    x = normed = norm(tokens)
    query, key, value = (
        part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (normed @ in_weight.T).chunk(3, dim=2)
    )
    context = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    x = (normed if "attention" in streams else tokens) + context @ out_weight.T
    normed = norm(x)
    x = (normed if "mlp" in streams else x) + gelu(normed @ widen.T) @ narrow.T
    return (norm(x) if last else x)[:, 0] @ head.T


def answer_with(**how):
    return lambda tokens, in_weight, out_weight, widen, narrow, head, heads: vit_of_a_learner(
        tokens, in_weight, out_weight, widen, narrow, head, heads, **how
    )


def test_another_right_way_to_mend_the_port_is_taken():
    assert check.fixed_vit(answer_with()).kind == "right"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"last": False}, "One bug is left: the layer norm before the head is missing."),
        ({"streams": ["attention"]}, "what attention found is added to the normalised tokens"),
        ({"streams": ["mlp"]}, "what the MLP found is added to its normalised input"),
        ({"streams": ["attention", "mlp"]}, "both steps add to what was normalised"),
        (
            {"streams": ["mlp"], "gelu": lambda x: F.gelu(x, approximate="tanh")},
            "Two bugs are left: what the MLP found is added to its normalised input",
        ),
    ],
)
def test_a_near_miss_in_mending_reads_what_is_wrong_with_it(how, words):
    card = check.fixed_vit(answer_with(**how))
    assert card.kind == "not yet"
    assert words in card.lines[0]


def test_the_stub_says_the_shape_of_everything_it_is_given(cell):
    stub = cell("check.fixed_vit(fixed_vit)")
    for name, shape in (("in_weight", "(3 * E, E)"), ("out_weight", "(E, E)"), ("widen", "(hidden, E)")):
        assert f"{name} {shape}" in stub
    assert "narrow (E, hidden)" in stub and "head (classes, E)" in stub and "heads: " in stub


def lesson_scope(cell):
    """What the lesson's setup cell imports."""
    scope: dict = {}
    exec(cell("from course_utils.models.vision_transformer import TransformerBlock"), scope)
    return scope


def test_with_fetch_the_cell_shows_torchvisions_own_network_on_the_dog(cell, monkeypatch, capsys):
    scope = lesson_scope(cell)
    vision = scope["torchvision"].models
    torch.manual_seed(0)
    fetched = vision.vit_b_16().state_dict()
    nn.init.normal_(fetched["heads.head.weight"], std=0.1)
    asked, shown = [], []
    monkeypatch.setattr(models, "trained_weights", lambda weights: asked.append(weights) or fetched)
    monkeypatch.setattr(scope["widgets"], "explore_patch_tokens", lambda *given, **how: shown.append((given, how)))
    source = cell("FETCH = False")
    with torch.no_grad():
        exec(source.replace("FETCH = False", "FETCH = True"), {**scope, "display": lambda shown: None})
    assert asked == [vision.ViT_B_16_Weights.IMAGENET1K_V1]
    assert capsys.readouterr().out.startswith("as torchvision's: True")
    (((large, photo), how),) = shown
    assert photo.shape == (1, 3, 224, 224) and float(photo.min()) >= 0 and float(photo.max()) <= 1
    assert len(how["classes"]) == large.settings["num_classes"] == 1000
    assert abs(float(how["prepare"](photo).mean())) < 1.5 and how["prepare"](photo).shape == photo.shape


def test_without_fetch_the_cell_says_how_to_fetch_and_asks_for_nothing(cell, monkeypatch, capsys):
    def refuse(weights):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(models, "trained_weights", refuse)
    exec(cell("FETCH = False"), lesson_scope(cell))
    assert "set FETCH = True above" in capsys.readouterr().out


def test_the_lessons_numbers_about_the_border_are_those_of_the_network():
    """The quiz and the text say 0.97 and 0.32: the right class whole, and with the whole border blank."""
    network, data = load_network("vit_cued_digits").eval(), cued_digits(500, seed=7, split="test").subset(slice(100))
    edge = [8 * r + c for r in range(8) for c in range(8) if r in (0, 7) or c in (0, 7)]
    bare = torch.stack([blank_patches(image, edge, 5) for image in data.images])
    with torch.no_grad():
        both = [network(x).softmax(1).gather(1, data.labels[:, None]).mean().item() for x in (data.images, bare)]
    assert both == pytest.approx([0.97, 0.32], abs=0.006)
