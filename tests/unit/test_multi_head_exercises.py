"""The solutions of lesson 4.1.4 against other sources: torch's own attention, the course's block, scipy's entropy."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from course_utils import check
from course_utils.attention import MultiHeadAttention
from course_utils.check.engine import Draw
from course_utils.check.multi_head import _ported
from course_utils.explorers.head_grid import token_mask


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
    torch.testing.assert_close(_ported(query, key, value, heads, is_token), expected)
    port = check.attend_in_heads.mistakes[0].wrong(query, key, value, heads, is_token)
    assert port.shape == expected.shape and (port - expected).abs().max() > 0.1
