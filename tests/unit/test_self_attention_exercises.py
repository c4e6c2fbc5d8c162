"""The solutions of lesson 4.1.3 against other sources: gradients, torch's softmax, the course's own block."""

import tomllib

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import check
from course_utils.attention import SelfAttention2d
from course_utils.check.changes import PORT_WORDS
from course_utils.check.engine import Draw
from course_utils.lessons import lesson


@pytest.fixture
def faults():
    with (lesson("4.1.3").folder / "exercises.toml").open("rb") as file:
        words = tomllib.load(file)["sagan_attention"]["faults"]
    return {name: said for name, said in words.items() if name not in PORT_WORDS}


@pytest.fixture
def block():
    torch.manual_seed(0)
    block = SelfAttention2d(16, key_channels=3, value_channels=5)
    nn.init.constant_(block.gamma, 0.7)
    return block.requires_grad_(False)


def weights_of(block):
    return block.key.weight, block.query.weight, block.value.weight, block.output.weight, block.gamma


@pytest.mark.parametrize("seed", range(4))
def test_the_receptive_side_is_how_far_a_gradient_reaches(seed):
    kernels, strides = check.receptive_side.draw(Draw(seed))
    side = check.receptive_side.official(kernels, strides)
    x = torch.zeros(1, 1, 400, requires_grad=True)
    y = x
    for kernel, stride in zip(kernels, strides, strict=True):
        y = F.conv1d(y, torch.ones(1, 1, kernel), stride=stride)
    y[0, 0, 1].backward()
    assert int((x.grad > 0).sum()) == side


def test_the_slope_is_the_diagonal_of_the_softmaxs_jacobian():
    (scores,) = check.softmax_slope.draw(Draw(0))
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: row.softmax(0)))(scores)
    torch.testing.assert_close(check.softmax_slope.official(scores), jacobian.diagonal(dim1=1, dim2=2))


def test_the_steps_put_together_make_the_block(block):
    x = torch.randn(2, 16, 4, 5)
    key, query, value, output, gamma = weights_of(block)
    rows = [check.project_positions.official(x, weight) for weight in (query, key, value)]
    weights = check.weigh_keys.official(*rows[:2])
    torch.testing.assert_close(weights, block.mask(x))
    torch.testing.assert_close(check.attention_output.official(x, weights @ rows[2], output, gamma), block(x))


def test_the_mended_port_is_the_block_and_the_port_is_not(block):
    x = torch.randn(2, 16, 4, 5)
    torch.testing.assert_close(check.sagan_attention.official(x, *weights_of(block)), block(x))
    port = check.sagan_attention.mistakes[0].wrong(x, *weights_of(block))
    assert port.shape == x.shape and (port - block(x)).abs().max() > 0.1


def test_swapped_names_and_the_wrong_axis_together_only_turn_the_weights_round(block, faults):
    x = torch.randn(2, 16, 4, 5)
    key, query, value, output, gamma = weights_of(block)
    rows = [check.project_positions.official(x, weight) for weight in (query, key, value)]
    turned = check.weigh_keys.official(*rows[:2]).transpose(1, 2) @ rows[2]
    expected = check.attention_output.official(x, turned, output, gamma)
    message = f"One fault is left: {faults['turned']}."
    (both,) = [mistake.wrong for mistake in check.sagan_attention.mistakes if mistake.message == message]
    torch.testing.assert_close(both(x, *weights_of(block)), expected)


def test_a_reply_counts_the_faults_that_it_names(faults):
    for mistake in check.sagan_attention.mistakes:
        named = sum(words in mistake.message for words in faults.values())
        if " left: " in mistake.message:
            assert mistake.message.split()[0] == ("One", "Two", "Three", "Four")[named - 1]
