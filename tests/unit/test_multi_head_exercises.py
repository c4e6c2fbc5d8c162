"""The solutions of lesson 4.1.4 against other sources: torch's own attention, the course's block, scipy's entropy."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import nn

from course_utils import check
from course_utils.attention import MultiHeadAttention
from course_utils.check.engine import Draw
from course_utils.widgets.head_grid.explore import token_mask

LESSON = "4.1.4_multi_head_attention.ipynb"


pytestmark = pytest.mark.usefixtures("fresh_session")


@pytest.fixture
def block():
    torch.manual_seed(0)
    return MultiHeadAttention(12, 3).requires_grad_(False).eval()


def test_the_steps_put_together_make_the_block(block):
    x = torch.randn(2, 5, 12)
    query, key, value = (check.split_heads.official(layer(x), 3) for layer in (block.query, block.key, block.value))
    weights = (query @ key.mT / 2).softmax(-1)
    torch.testing.assert_close(weights, block.mask(x))
    joined = check.join_heads.official(weights @ value, block.output.weight) + block.output.bias
    torch.testing.assert_close(joined, block(x))


def test_a_knocked_out_head_is_a_block_whose_output_layer_has_zeros_there(block):
    x, seen = torch.randn(2, 5, 12), []
    block.output.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
    block(x)
    found = check.knock_out.official(seen[0], block.output.weight, block.output.bias, 3, 1)
    block.output.weight[:, 4:8] = 0
    torch.testing.assert_close(found, block(x))


def test_the_entropy_is_scipys():
    (weights,) = check.head_entropy.draw(Draw(0))
    assert (weights == 0).any()
    expected = stats.entropy(weights.numpy(), base=2, axis=3).mean(axis=(0, 2))
    np.testing.assert_allclose(check.head_entropy.official(weights), expected, rtol=1e-5)


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_the_window_is_the_widgets(radius):
    assert torch.equal(check.window_mask.official(5, 7, radius), token_mask(f"window {radius}", 5, 7))


def test_the_mended_port_is_torchs_own_and_the_port_is_not():
    query, key, value, heads, is_token = check.attend_in_heads.draw(Draw(0))
    width = query.shape[2]
    theirs = nn.MultiheadAttention(width, heads, bias=False, batch_first=True).requires_grad_(False)
    theirs.in_proj_weight.copy_(torch.eye(width).repeat(3, 1))
    theirs.out_proj.weight.copy_(torch.eye(width))
    expected = theirs(query, key, value, key_padding_mask=~is_token)[0]
    torch.testing.assert_close(check.attend_in_heads.official(query, key, value, heads, is_token), expected)
    port = check.attend_in_heads.mistakes[0].wrong(query, key, value, heads, is_token)
    assert port.shape == expected.shape and (port - expected).abs().max() > 0.1


def cut(x, num_heads):
    return x.unflatten(2, (num_heads, -1)).transpose(1, 2)


def by_torch(query, key, value, num_heads, is_token):
    heads = (cut(x, num_heads) for x in (query, key, value))
    return F.scaled_dot_product_attention(*heads, is_token[:, None, None]).transpose(1, 2).flatten(2)


def zeroed_and_shared_out_again(query, key, value, num_heads, is_token):
    query, key, value = (cut(x, num_heads) for x in (query, key, value))
    weights = (query @ key.mT / query.shape[3] ** 0.5).softmax(dim=3) * is_token[:, None, None]
    return (weights / weights.sum(dim=3, keepdim=True) @ value).transpose(1, 2).flatten(2)


def zeroed_after_the_softmax(query, key, value, num_heads, is_token):
    query, key, value = (cut(x, num_heads) for x in (query, key, value))
    weights = (query @ key.mT / query.shape[3] ** 0.5).softmax(dim=3) * is_token[:, None, None]
    return (weights @ value).transpose(1, 2).reshape(len(query), query.shape[2], -1)


def not_divided(query, key, value, num_heads, is_token, faults=False):
    query, key, value = (cut(x, num_heads) for x in (query, key, value))
    scores = (query @ key.mT).masked_fill((is_token if faults else ~is_token)[:, None, None], -1e9)
    return (scores.softmax(dim=3) @ value).transpose(1, 2).flatten(2)


def columns_of_the_matrix(joined, output_weight, output_bias, num_heads, head):
    kept, width = output_weight.clone(), joined.shape[2] // num_heads
    kept[:, head * width : (head + 1) * width] = 0
    return F.linear(joined, kept, output_bias)


def rows_of_the_matrix(joined, output_weight, output_bias, num_heads, head):
    kept, width = output_weight.clone(), joined.shape[2] // num_heads
    kept[head * width : (head + 1) * width] = 0
    return joined @ kept.T + output_bias


def window(rows, columns, radius, first, class_token=True):
    place = torch.arange(1 + rows * columns) - first
    down, across = place // columns, place % columns
    mask = ((down[:, None] - down).abs() <= radius) & ((across[:, None] - across).abs() <= radius)
    if class_token:
        mask[0] = mask[:, 0] = True
    return mask


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [
        ("attend_in_heads", by_torch),
        ("attend_in_heads", zeroed_and_shared_out_again),
        ("knock_out", columns_of_the_matrix),
        ("window_mask", lambda rows, columns, radius: window(rows, columns, radius, first=1)),
    ],
)
def test_another_right_way_is_taken(exercise, answer):
    assert getattr(check, exercise)(answer).kind == "right"


@pytest.mark.parametrize(
    ("exercise", "answer", "words"),
    [
        ("attend_in_heads", not_divided, "One fault is left: the scores are not divided"),
        (
            "attend_in_heads",
            lambda *inputs: not_divided(*inputs, faults=True),
            "Two faults are left: the scores are not divided",
        ),
        ("attend_in_heads", zeroed_after_the_softmax, "no longer sum to 1; mask the scores, before it"),
        ("knock_out", rows_of_the_matrix, "You set rows of the matrix to zero"),
        ("window_mask", lambda *given: window(*given, first=0), "You took token i for patch i"),
        ("window_mask", lambda *given: window(*given, first=0, class_token=False), "You took token i for patch i"),
    ],
)
def test_a_near_miss_reads_what_is_wrong_with_it(exercise, answer, words):
    card = getattr(check, exercise)(answer)
    assert card.kind == "not yet"
    assert words in card.lines[0]


def test_the_lessons_port_is_named_and_what_is_divided_by_stands_in_it(cell):
    scope = {"torch": torch}
    exec(cell("def ported("), scope)
    card = check.attend_in_heads(scope["ported"])
    assert card.lines[0].startswith("This is the port as it was, with four faults in it.")
    assert "`num_heads * query.shape[3]`" in card.lines[0] and "num_heads * query.shape[3]" in cell("def ported(")
