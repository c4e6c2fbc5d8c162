"""Lesson 4.7: the official solutions are what the package and timm compute, and other right answers pass."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from timm.layers import apply_rot_embed
from torch import nn
from torch.testing import assert_close
from torchvision.models.swin_transformer import SwinTransformer

from course_utils import check
from course_utils.attention import Layout, Tokens, find_tokens, record_masks
from course_utils.check.engine import Draw
from course_utils.lessons.look_into_any_network import exercises

LESSON = "4.7_look_into_any_network.ipynb"
pytestmark = pytest.mark.usefixtures("fresh_session")


@pytest.fixture(params=range(3))
def draw(request):
    return Draw(request.param)


def drawn(name, draw):
    return check.exercises()[name].draw(draw)


def test_the_class_tokens_map_is_the_one_of_find_tokens(draw):
    weights, registers, grid = drawn("class_map", draw)
    tokens = Tokens.named(grid, first=["class", *(f"register#{i}" for i in range(registers))])
    assert_close(exercises.class_map(weights, registers, grid), Layout(tokens, tokens).look(weights[None], "class")[0])


def test_the_hidden_weights_are_those_that_are_recorded_beside_torchs_kernel(draw):
    query, key, value, bias = drawn("hidden_weights", draw)

    class Attention(nn.Module):
        def forward(self, x):
            return F.scaled_dot_product_attention(query[None], key[None], value[None], attn_mask=bias[None])

    with record_masks(attention := Attention()) as masks:
        output = attention(query)
    assert_close(exercises.hidden_weights(query, key, value, bias), masks[""][0])
    assert_close(exercises.hidden_weights(query, key, value, bias) @ value, output[0])


@pytest.mark.parametrize("place", [(0, 0), (7, 3), (8, 11), (4, 5)])
def test_the_unshifted_map_of_a_swin_is_the_one_of_find_tokens(place):
    torch.manual_seed(0)
    swin = SwinTransformer([2, 2], 8, [2], [2], window_size=[4, 4]).eval()
    nn.init.normal_(swin.features[1][1].attn.qkv.weight)
    picture = torch.rand(1, 3, 24, 24)
    with torch.no_grad(), record_masks(swin) as masks:
        swin(picture)
    weights = masks["features.1.1.attn"]
    expected = find_tokens(swin, picture)["features.1.1.attn"].look(weights, place)[0]
    assert_close(exercises.unshifted_map(weights, place, (12, 12), side=4, shift=2), expected)


def test_the_rotary_weights_are_those_of_timms_turn(draw):
    query, key, angles = drawn("rotary_weights", draw)
    sin, cos = (part.repeat_interleave(2, dim=1) for part in (angles.sin(), angles.cos()))
    turned = [apply_rot_embed(x, sin, cos) for x in (query, key)]
    expected = (turned[0] @ turned[1].mT / query.shape[2] ** 0.5).softmax(dim=2)
    assert_close(exercises.rotary_weights(query, key, angles), expected)


def test_an_average_looks_at_more_keys_than_its_heads_do(draw):
    one, average = exercises.one_and_average(*drawn("one_and_average", draw))
    assert 1 <= one < average


def by_complex_numbers(query, key, angles):
    turn = torch.polar(torch.ones_like(angles), angles)
    query, key = (torch.view_as_complex(x.unflatten(2, (-1, 2)).contiguous()) * turn for x in (query, key))
    return ((query @ key.mH).real / (2 * query.shape[2]) ** 0.5).softmax(dim=2)


def by_asking_where_each_patch_went(weights, place, grid, side, shift):
    rows, columns = grid
    spots = [((row - shift) % rows, (column - shift) % columns) for row in range(rows) for column in range(columns)]
    window = [row // side * (columns // side) + column // side for row, column in spots]
    token = [row % side * side + column % side for row, column in spots]
    asked = place[0] * columns + place[1]
    found = [
        weights[window[asked], :, token[asked], token[k]] * (window[k] == window[asked]) for k in range(rows * columns)
    ]
    return torch.stack(found, dim=1).view(-1, rows, columns)


def by_numpy(rows):
    spread = [np.exp(-(row * np.log(row)).sum()) for row in (*rows.double().numpy(), rows.double().numpy().mean(0))]
    return np.mean(spread[:-1]), spread[-1]


def one_by_one(network, image, label, order, size):
    left, shown = [network(image[None]).softmax(1)[0, label].item()], image.clone()
    columns = image.shape[2] // size
    for patch in order:
        row, column = divmod(patch, columns)
        shown[:, row * size : (row + 1) * size, column * size : (column + 1) * size] = 0.0
        left.append(network(shown[None]).softmax(1)[0, label].item())
    return torch.tensor(left)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("same_scale", lambda maps: (maps.double() / maps.amax((0, 1, 2), keepdim=True)).float()),
        ("same_scale", lambda maps: torch.from_numpy(maps.numpy() / maps.numpy().max())),
        ("class_map", lambda weights, registers, grid: weights[:, 0, -grid[0] * grid[1] :].view(-1, *grid)),
        (
            "class_map",
            lambda weights, registers, grid: torch.stack([one[0, 1 + registers :].view(grid) for one in weights]),
        ),
        ("one_and_average", by_numpy),
        (
            "one_and_average",
            lambda rows: (
                torch.distributions.Categorical(rows).entropy().exp().mean(),
                torch.distributions.Categorical(rows.mean(0)).entropy().exp(),
            ),
        ),
        (
            "hidden_weights",
            lambda q, k, v, b: F.softmax(torch.einsum("hqd,hkd->hqk", q, k) / q.shape[-1] ** 0.5 + b, dim=-1),
        ),
        (
            "hidden_weights",
            lambda q, k, v, b: F.scaled_dot_product_attention(
                q, k, torch.eye(len(q[0])).expand(len(q), -1, -1), attn_mask=b
            ),
        ),
        ("deletion_curve", one_by_one),
        ("unshifted_map", by_asking_where_each_patch_went),
        ("rotary_weights", by_complex_numbers),
        (
            "rotary_weights",
            lambda q, k, angles: exercises.rotary_weights(q.double(), k.double(), angles.double()).float(),
        ),
    ],
)
def test_another_right_way_is_accepted(name, answer):
    assert check.exercises()[name](answer).kind == "right"


def test_without_timm_a_cell_that_uses_it_says_what_to_install_or_is_left_out(cell, capsys):
    for words in ("display(look(networks", "FETCH = "):
        exec(cell(words).replace('FETCH = ""', 'FETCH = "x"'), {"timm": None})
        assert "%pip install timm" in capsys.readouterr().out
    for words in ('reg4_dinov2": 56', "eva02_tiny"):
        exec(cell(words), {"timm": None})
        assert capsys.readouterr().out == ""
