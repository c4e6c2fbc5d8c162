"""Self-attention on a map against the paper written out, position by position."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from drawn_state import MODES, assert_block_parity
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing import assert_close

from course_utils.attention import SelfAttention2d, edit_masks, record_masks

NAMES = {"key": "f", "query": "g", "value": "h", "output": "v", "gamma": "gamma"}


class PaperSelfAttention(nn.Module):
    """beta[j, i] = softmax over i of f(x_i) . g(x_j); o_j = v(sum over i of beta[j, i] h(x_i)); y = gamma o + x."""

    def __init__(self, channels: int, key_channels: int, value_channels: int, pool: bool, bias: bool):
        super().__init__()
        self.pool = pool
        self.f = nn.Conv2d(channels, key_channels, 1, bias=bias)
        self.g = nn.Conv2d(channels, key_channels, 1, bias=bias)
        self.h = nn.Conv2d(channels, value_channels, 1, bias=bias)
        self.v = nn.Conv2d(value_channels, channels, 1, bias=bias)
        self.gamma = nn.Parameter(torch.zeros(1))

    def beta(self, x: Tensor) -> Tensor:
        keys, queries = self.shrink(self.f(x)), self.g(x)
        return torch.einsum("ncab,ncij->nijab", keys, queries).flatten(3).softmax(dim=3)

    def shrink(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2) if self.pool else x

    def forward(self, x: Tensor) -> Tensor:
        values = self.shrink(self.h(x)).flatten(2)
        gathered = torch.einsum("nijk,nck->ncij", self.beta(x), values)
        return self.gamma * self.v(gathered) + x


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


CASES = [(16, 2, 8, False, False), (16, 2, 8, True, True), (6, 5, 2, False, True), (6, 3, 3, True, False)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", ["fused", "recorded", "written out"])
@pytest.mark.parametrize("case", CASES)
def test_self_attention_is_that_of_the_paper(case, way, mode):
    channels, key_channels, value_channels, pool, bias = case
    ours = SelfAttention2d(channels, key_channels, value_channels, pool=pool, bias=bias)
    x = 2 * torch.randn(2, channels, 6, 5)
    # A key's bias adds the same to every key's product with a query, which the softmax takes away.
    cancelled = ["key.bias"] if bias else []
    unchanged = {"": lambda mask: mask}  # an edit takes the way through the weights
    with {"fused": nullcontext(), "recorded": record_masks(ours), "written out": edit_masks(ours, unchanged)}[way]:
        assert_block_parity(ours, PaperSelfAttention(*case), NAMES, x, mode, cancelled=cancelled)


@pytest.mark.parametrize("pool", [False, True])
def test_the_mask_is_the_beta_of_the_paper(pool):
    ours, paper = SelfAttention2d(8, pool=pool), PaperSelfAttention(8, 1, 4, pool, False)
    paper.load_state_dict({NAMES[n.split(".")[0]] + n[len(n.split(".")[0]) :]: t for n, t in ours.state_dict().items()})
    x = 3 * torch.randn(2, 8, 4, 6)
    assert_close(ours.mask(x), paper.beta(x).flatten(1, 2))


def test_widths_default_to_an_eighth_and_a_half():
    block = SelfAttention2d(64)
    assert (block.key.out_channels, block.query.out_channels, block.value.out_channels) == (8, 8, 32)


def test_a_new_block_changes_nothing():
    x = torch.randn(2, 16, 5, 5)
    assert torch.equal(SelfAttention2d(16)(x), x)


@pytest.mark.parametrize("case", CASES)
def test_forward_takes_the_fused_kernel(case):
    channels, key_channels, value_channels, pool, bias = case
    block = SelfAttention2d(channels, key_channels, value_channels, pool=pool, bias=bias)
    x = torch.randn(2, channels, 8, 8, requires_grad=True)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # any other path raises
        block(x).sum().backward()
    assert x.grad is not None and block.gamma.grad is not None
