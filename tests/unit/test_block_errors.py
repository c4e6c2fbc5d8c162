"""A wrong argument is refused in words: what was given, what is needed, what to do."""

import pytest
import torch
from block_cases import CASES, CHANNELS, BlockCase, drawn

from course_utils.attention import (
    CBAM,
    ECABlock,
    GSoPBlock,
    SEBlock,
    SelectiveKernel,
    SelfAttention2d,
    covariance_pool,
    matrix_square_root,
)

every_block = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def words_of(call) -> str:
    with pytest.raises(ValueError) as caught:
        call()
    return str(caught.value)


@every_block
def test_an_image_without_batch_is_refused(case: BlockCase):
    words = words_of(lambda: drawn(case)(torch.randn(CHANNELS, 4, 5)))
    assert f"({CHANNELS}, 4, 5)" in words  # given
    assert f"(N, {CHANNELS}, H, W)" in words  # needed
    assert "x[None]" in words  # what to do


@every_block
def test_a_matrix_is_refused(case: BlockCase):
    words = words_of(lambda: drawn(case).mask(torch.randn(2, CHANNELS)))
    assert f"(2, {CHANNELS})" in words
    assert "reshape it to four axes" in words


@every_block
def test_other_channels_are_refused(case: BlockCase):
    words = words_of(lambda: drawn(case)(torch.randn(2, 5, 4, 6)))
    assert "was built for 16 channels, but was given 5 in (2, 5, 4, 6)" in words
    assert "build the block with 5 channels" in words


@every_block
def test_channels_that_come_last_are_pointed_out(case: BlockCase):
    words = words_of(lambda: drawn(case)(torch.randn(2, 4, 6, CHANNELS)))
    assert "x.permute(0, 3, 1, 2)" in words


@every_block
def test_an_empty_map_is_refused(case: BlockCase):
    words = words_of(lambda: drawn(case)(torch.randn(2, CHANNELS, 0, 4)))
    assert f"(2, {CHANNELS}, 0, 4)" in words
    assert "use a larger image" in words


@every_block
def test_bytes_are_refused(case: BlockCase):
    words = words_of(lambda: drawn(case)(torch.zeros(2, CHANNELS, 4, 4, dtype=torch.uint8)))
    assert "torch.uint8" in words
    assert "x.float() / 255" in words


def test_the_dead_squeeze_is_refused():
    words = words_of(lambda: SEBlock(12))
    assert words == (
        "SEBlock(channels=12, reduction=16) leaves 12 // 16 = 0 hidden units, so the mask would be the same for every "
        "input (0.5 for every channel at first); use reduction <= 12."
    )
    assert "CBAM(channels=12, reduction=16) leaves" in words_of(lambda: CBAM(12))


def test_an_unknown_gate_is_refused():
    words = words_of(lambda: SEBlock(16, gate="tanh"))
    assert '"sigmoid" and "hard_sigmoid"' in words
    assert "'tanh'" in words


COUNTS = [
    (lambda count: SEBlock(count), "SEBlock", "channels"),
    (lambda count: SEBlock(16, reduction=count), "SEBlock", "reduction"),
    (lambda count: SEBlock(16, hidden=count), "SEBlock", "hidden"),
    (lambda count: CBAM(count), "CBAM", "channels"),
    (lambda count: CBAM(16, reduction=count), "CBAM", "reduction"),
    (lambda count: CBAM(16, kernel_size=count), "CBAM", "kernel_size"),
    (lambda count: ECABlock(count), "ECABlock", "channels"),
    (lambda count: GSoPBlock(count), "GSoPBlock", "channels"),
    (lambda count: GSoPBlock(16, reduced_channels=count), "GSoPBlock", "reduced_channels"),
    (lambda count: GSoPBlock(16, expansion=count), "GSoPBlock", "expansion"),
    (lambda count: SelfAttention2d(count), "SelfAttention2d", "channels"),
    (lambda count: SelfAttention2d(16, key_channels=count), "SelfAttention2d", "key_channels"),
    (lambda count: SelfAttention2d(16, value_channels=count), "SelfAttention2d", "value_channels"),
    (lambda count: SelectiveKernel(count), "SelectiveKernel", "channels"),
    (lambda count: SelectiveKernel(32, branches=count), "SelectiveKernel", "branches"),
    (lambda count: SelectiveKernel(32, groups=count), "SelectiveKernel", "groups"),
    (lambda count: SelectiveKernel(32, reduced_channels=count), "SelectiveKernel", "reduced_channels"),
    (lambda count: matrix_square_root(torch.eye(3), iterations=count), "matrix_square_root", "iterations"),
]


@pytest.mark.parametrize("count", [0, -3, 2.0, "8"], ids=repr)
@pytest.mark.parametrize(("build", "block", "name"), COUNTS, ids=lambda value: value if isinstance(value, str) else "")
def test_counts_that_are_not_positive_whole_numbers_are_refused(build, block, name, count):
    words = words_of(lambda: build(count))
    assert words == f"{block} was given {name}={count!r}, but needs a whole number of at least 1; use {name}=1 or more."


def test_an_even_kernel_is_refused():
    words = words_of(lambda: CBAM(16, kernel_size=4))
    assert "CBAM was given kernel_size=4, but needs an odd number" in words
    assert "use kernel_size=7" in words


def test_too_few_channels_for_keys_are_refused():
    words = words_of(lambda: SelfAttention2d(6))
    assert "SelfAttention2d was given key_channels=0, but needs a whole number of at least 1" in words


def test_a_map_too_small_to_pool_is_refused():
    words = words_of(lambda: SelfAttention2d(16, pool=True)(torch.randn(2, 16, 1, 8)))
    assert "needs H and W of at least 2, but was given (2, 16, 1, 8)" in words
    assert "pool=False" in words


def test_a_single_position_has_no_covariance():
    words = words_of(lambda: GSoPBlock(16)(torch.randn(2, 16, 1, 1)))
    assert "GSoPBlock needs H * W of at least 2" in words
    assert "(2, 16, 1, 1)" in words
    words = words_of(lambda: covariance_pool(torch.randn(2, 16, 1, 1)))
    assert "covariance_pool needs feature maps (N, C, H, W) with at least two positions" in words
    assert "x[None]" in words_of(lambda: covariance_pool(torch.randn(16, 4, 4)))


def test_only_square_matrices_have_a_root():
    words = words_of(lambda: matrix_square_root(torch.randn(2, 3, 4)))
    assert "needs square matrices (..., C, C), but was given (2, 3, 4)" in words
    assert "covariance_pool" in words


def test_groups_that_do_not_divide_are_refused_with_a_number_that_does():
    words = words_of(lambda: SelectiveKernel(48))
    assert "channels=48 and groups=32" in words
    assert "groups must divide channels; use groups=24" in words


def test_one_branch_is_no_choice():
    words = words_of(lambda: SelectiveKernel(32, branches=1))
    assert "branches=1" in words
    assert "use branches=2" in words


def test_a_single_image_cannot_train_the_batch_norm_of_a_vector():
    block = SelectiveKernel(32)
    words = words_of(lambda: block(torch.randn(1, 32, 4, 4)))
    assert "in training needs at least 2 images" in words
    assert "(1, 32, 4, 4)" in words
    assert "block.eval()" in words
    assert block.eval()(torch.randn(1, 32, 4, 4)).shape == (1, 32, 4, 4)
