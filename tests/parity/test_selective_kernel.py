"""Selective kernel against timm's, told to give every branch the whole input as in the paper."""

import pytest
import timm.layers
import torch
from drawn_state import MODES, assert_block_parity

from course_utils.attention import SelectiveKernel


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("channels", "branches", "groups", "reduced"), [(32, 2, 8, 6), (12, 3, 1, 5)])
def test_selective_kernel_is_that_of_timm(channels, branches, groups, reduced, mode):
    torch.manual_seed(0)
    reference = timm.layers.SelectiveKernel(
        channels,
        kernel_size=[3 + 2 * branch for branch in range(branches)],
        groups=groups,
        rd_channels=reduced,
        split_input=False,
    )
    names = {"reduce": "attn.fc_reduce", "norm": "attn.bn", "select": "attn.fc_select"}
    for branch in range(branches):
        names |= {f"branches.{branch}.0": f"paths.{branch}.conv", f"branches.{branch}.1": f"paths.{branch}.bn"}
    ours = SelectiveKernel(channels, branches, groups, reduced_channels=reduced)
    assert_block_parity(ours, reference, names, torch.randn(4, channels, 7, 6), mode)


@pytest.mark.parametrize(("channels", "reduced"), [(64, 32), (512, 32), (1024, 64)])
def test_bottleneck_is_a_sixteenth_but_at_least_32(channels, reduced):
    block = SelectiveKernel(channels)
    assert block.reduce.out_features == reduced
    assert [branch[0].groups for branch in block.branches] == [32, 32]
