"""What the dot-product family keeps, whatever its parameters and inputs."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from course_utils.attention import (
    MultiHeadAttention,
    SpaceTimeAttention,
    TemporalAttention,
    record_masks,
    scaled_dot_product_attention,
)

BLOCKS = {
    "multi_head": (lambda: MultiHeadAttention(8, 2), (2, 5, 8)),
    "temporal": (lambda: TemporalAttention(8, 2), (2, 3, 4, 8)),
    "divided": (lambda: SpaceTimeAttention(8, 2), (2, 3, 4, 8)),
    "joint": (lambda: SpaceTimeAttention(8, 2, mode="joint"), (2, 3, 4, 8)),
}


@pytest.fixture(params=BLOCKS)
def block_and_input(request):
    torch.manual_seed(0)
    build, shape = BLOCKS[request.param]
    return build(), torch.randn(shape)


def recorded_by(block, x):
    with record_masks(block) as masks:
        output = block(x)
    return output, list(masks.values())


@settings(max_examples=20, deadline=None)
@given(
    queries=st.integers(1, 5),
    keys=st.integers(1, 6),
    width=st.integers(1, 5),
    size=st.sampled_from([1e-4, 1.0, 1e4]),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
    seed=st.integers(0, 999),
)
def test_rows_sum_to_one_and_a_row_without_keys_is_empty(queries, keys, width, size, dtype, seed):
    torch.manual_seed(seed)
    query, key, value = (
        (size * torch.randn(2, length, width)).to(dtype).requires_grad_() for length in (queries, keys, keys)
    )
    attn_mask = torch.rand(2, queries, keys) < 0.7
    attn_mask[0, 0] = False
    context, weights = scaled_dot_product_attention(query, key, value, attn_mask)
    assert ((weights >= 0) & (weights <= 1)).all()
    assert (weights[~attn_mask] == 0).all()
    assert_close(weights.double().sum(dim=-1), attn_mask.any(dim=-1).double(), atol=keys * 4e-3, rtol=0)
    assert (context[0, 0] == 0).all()
    context.float().sum().backward()
    assert all(not x.grad.isnan().any() for x in (query, key, value))


@settings(max_examples=10, deadline=None)
@given(batch=st.integers(1, 2), keys=st.integers(1, 6), seed=st.integers(0, 999))
def test_the_order_of_keys_is_nothing_and_that_of_queries_is_kept(batch, keys, seed):
    torch.manual_seed(seed)
    block = MultiHeadAttention(8, 2)
    query, key = torch.randn(batch, 5, 8), torch.randn(batch, keys, 8)
    order, turned = torch.randperm(keys), torch.randperm(5)
    expected = block(query, key)
    assert_close(block(query, key[:, order]), expected)
    assert_close(block(query[:, turned], key), expected[:, turned])
    assert_close(block.mask(query, key[:, order]), block.mask(query, key)[..., order])


def test_true_means_may_attend():
    torch.manual_seed(0)
    block, x = MultiHeadAttention(8, 2), torch.randn(1, 4, 8)
    causal = torch.ones(4, 4, dtype=torch.bool).tril()
    changed = x.clone()
    changed[:, 3] += 1.0  # the last token is seen by itself alone
    assert_close(block(changed, attn_mask=causal)[:, :3], block(x, attn_mask=causal)[:, :3])
    assert not torch.allclose(block(changed, attn_mask=causal)[:, 3], block(x, attn_mask=causal)[:, 3])
    assert (block.mask(x, attn_mask=causal).triu(1) == 0).all()


@pytest.mark.parametrize("need_weights", [False, True])
def test_masks_of_every_shape_mean_the_same_to_every_head(need_weights):
    torch.manual_seed(0)
    block, query, key = MultiHeadAttention(8, 2), torch.randn(3, 4, 8), torch.randn(3, 6, 8)
    attn_mask = torch.rand(3, 4, 6) < 0.5
    for short, full in (
        (attn_mask, attn_mask[:, None].expand(3, 2, 4, 6)),
        (attn_mask[0], attn_mask[0].expand(3, 2, 4, 6)),
        (attn_mask[:, :1], attn_mask[:, None, :1].expand(3, 2, 4, 6)),
    ):
        ours = block(query, key, attn_mask=short, need_weights=need_weights)
        assert_close(ours, block(query, key, attn_mask=full, need_weights=need_weights))


@pytest.mark.parametrize("need_weights", [False, True])
def test_a_query_without_keys_gives_the_output_bias_and_finite_gradients(need_weights):
    torch.manual_seed(0)
    block, x = MultiHeadAttention(8, 2), torch.randn(2, 4, 8, requires_grad=True)
    attn_mask = torch.ones(2, 4, 4, dtype=torch.bool)
    attn_mask[1, 2] = False
    output = block(x, attn_mask=attn_mask, need_weights=need_weights)
    output = output[0] if need_weights else output
    assert_close(output[1, 2], block.output.bias)
    output.square().sum().backward()
    assert all(leaf.grad.isfinite().all() for leaf in (x, *block.parameters()))


def test_recording_changes_nothing(block_and_input):
    block, x = block_and_input
    state = torch.get_rng_state()
    output, masks = recorded_by(block, x)
    assert masks
    assert torch.equal(output, block(x))
    assert torch.equal(torch.get_rng_state(), state)
    for mask in masks:
        assert_close(mask.sum(dim=-1), torch.ones(mask.shape[:-1]))


def test_weights_are_made_only_when_asked(block_and_input, monkeypatch):
    block, x = block_and_input
    made = []
    import course_utils.attention.multi_head as module

    original = module.attention_weights
    monkeypatch.setattr(module, "attention_weights", lambda *given: made.append(given) or original(*given))
    block(x)
    assert not made
    _, masks = recorded_by(block, x)
    assert len(made) == len(masks)
    made.clear()
    block.mask(x)
    assert len(made) == len(masks)


def test_one_image_strides_and_doubles_pass(block_and_input):
    block, x = block_and_input
    expected = block(x)
    assert_close(block(x[:1]), expected[:1])
    strided = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    assert not strided.is_contiguous()
    assert_close(block(strided), expected)
    assert_close(copy.deepcopy(block).double()(x.double()).float(), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1.0, 1e4])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_half_precision_gives_no_nan(block_and_input, dtype, size):
    block, x = block_and_input
    half = copy.deepcopy(block).to(dtype)
    output, masks = recorded_by(half, (size * x).to(dtype))
    assert output.dtype == dtype
    assert output.isfinite().all()
    assert all(mask.isfinite().all() for mask in masks)
    if size == 1.0:
        assert_close(half(x.to(dtype)).float(), block(x), atol=0.05, rtol=0.05)


def test_large_inputs_give_no_nan(block_and_input):
    block, x = block_and_input
    x = (1e4 * x).requires_grad_()
    output = block(x)
    output.sum().backward()
    assert output.isfinite().all()
    assert x.grad.isfinite().all()


def test_blocks_export_compile_and_reload(block_and_input):
    block, x = block_and_input
    expected = block(x)
    assert_close(torch.export.export(block, (x,)).module()(x), expected)
    assert_close(torch.compile(block, backend="aot_eager", fullgraph=True)(x), expected)
    again = copy.deepcopy(block)
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
    again.load_state_dict(block.state_dict())
    assert torch.equal(again(x), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MultiHeadAttention(8, 3), r"divides embed_dim: \[1, 2, 4, 8\]"),
        (lambda: MultiHeadAttention(8, 0), "0 heads"),
        (lambda: MultiHeadAttention(8, 2)(torch.randn(5, 8)), r"x\[None\]"),
        (lambda: MultiHeadAttention(8, 2)(torch.randn(1, 8, 4, 4)), r"flatten\(2\)"),
        (lambda: MultiHeadAttention(8, 2)(torch.randn(1, 5, 6)), r"\(N, length, 8\)"),
        (lambda: MultiHeadAttention(8, 2)(torch.randn(1, 5, 8), torch.randn(1, 5, 9)), "its key"),
        (lambda: MultiHeadAttention(8, 2)(torch.randn(2, 5, 8), torch.randn(1, 5, 8)), "one batch size"),
        (
            lambda: MultiHeadAttention(8, 2)(torch.randn(1, 5, 8), torch.randn(1, 4, 8), torch.randn(1, 3, 8)),
            "a value for every key",
        ),
        (lambda: MultiHeadAttention(8, 2)(torch.randn(1, 5, 8), attn_mask=torch.zeros(5, 5)), "must be boolean"),
        (
            lambda: MultiHeadAttention(8, 2)(torch.randn(1, 5, 8), attn_mask=torch.ones(5, 4, dtype=torch.bool)),
            "attn_mask has shape",
        ),
        (lambda: scaled_dot_product_attention(*(torch.randn(5) for _ in range(3))), r"\(\.\.\., Q, d\)"),
        (
            lambda: scaled_dot_product_attention(torch.randn(5, 4), torch.randn(5, 3), torch.randn(5, 3)),
            "linear layer",
        ),
        (
            lambda: scaled_dot_product_attention(torch.randn(5, 4), torch.randn(6, 4), torch.randn(5, 4)),
            "6 keys and 5 values",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
