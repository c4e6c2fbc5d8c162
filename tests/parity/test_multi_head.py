"""Our heads against torch's `nn.MultiheadAttention` and timm's fused `Attention`."""

import pytest
import torch
from copied_weights import assert_parity
from timm.layers.attention import Attention
from torch import nn
from torch.testing import assert_close

from course_utils.attention import MultiHeadAttention, record_masks

WIDTH, HEADS = 12, 3


def reading(stacked: str, output: str, bias: bool):
    """Where our four layers stand in a reference whose rows are [q; k; v]."""
    kinds = ["weight", "bias"] if bias else ["weight"]
    layers = {}
    for kind in kinds:
        for index, layer in enumerate(("query", "key", "value")):
            layers[f"{layer}.{kind}"] = lambda tensors, kind=kind, index=index: tensors[stacked % kind].chunk(3)[index]
        layers[f"output.{kind}"] = lambda tensors, kind=kind: tensors[f"{output}.{kind}"]
    return layers


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("mask", [None, "causal", "drawn"])
def test_cross_attention_is_that_of_torch(bias, need_weights, mask):
    torch.manual_seed(0)
    allowed = None
    if mask == "causal":
        allowed = torch.ones(5, 7, dtype=torch.bool).tril(2)
    elif mask == "drawn":
        allowed = torch.rand(2 * HEADS, 5, 7) < 0.6
        allowed[..., 0] = True
    ours_mask = allowed.view(2, HEADS, 5, 7) if mask == "drawn" else allowed
    blocked = None if allowed is None else ~allowed  # torch's layer: True means "may NOT attend"

    def call_ours(block, query, key, value):
        out = block(query, key, value, attn_mask=ours_mask, need_weights=need_weights)
        return out[0] + out[1].square().sum() if need_weights else out

    def call_torch(block, query, key, value):
        out, weights = block(query, key, value, attn_mask=blocked, average_attn_weights=False)
        return out + weights.square().sum() if need_weights else out

    assert_parity(
        MultiHeadAttention(WIDTH, HEADS, bias=bias),
        nn.MultiheadAttention(WIDTH, HEADS, bias=bias, batch_first=True),
        reading("in_proj_%s", "out_proj", bias),
        (torch.randn(2, 5, WIDTH), torch.randn(2, 7, WIDTH), torch.randn(2, 7, WIDTH)),
        call_ours,
        call_torch,
    )


@pytest.mark.parametrize("fused", [True, False])
def test_self_attention_is_that_of_timm(fused):
    torch.manual_seed(1)
    reference = Attention(WIDTH, HEADS, qkv_bias=True)
    reference.fused_attn = fused
    assert_parity(
        MultiHeadAttention(WIDTH, HEADS),
        reference,
        reading("qkv.%s", "proj", bias=True),
        (torch.randn(2, 6, WIDTH),),
        lambda block, x: block(x),
        lambda block, x: block(x),
    )


def test_weights_are_those_of_torch_head_by_head():
    torch.manual_seed(2)
    ours, reference = MultiHeadAttention(WIDTH, HEADS), nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    with torch.no_grad():
        reference.in_proj_bias.normal_()
        tensors = dict(reference.named_parameters())
        for name, read in reading("in_proj_%s", "out_proj", bias=True).items():
            ours.get_parameter(name).copy_(read(tensors))
    query, key = torch.randn(2, 5, WIDTH), torch.randn(2, 7, WIDTH)
    _, expected = reference(query, key, key, average_attn_weights=False)
    assert_close(ours.mask(query, key), expected)
    with record_masks(ours) as masks:
        ours(query, key)
    assert_close(masks[""], expected)


def test_the_value_defaults_to_the_key_and_the_key_to_the_query():
    torch.manual_seed(3)
    block = MultiHeadAttention(WIDTH, HEADS)
    query, key = torch.randn(2, 5, WIDTH), torch.randn(2, 7, WIDTH)
    assert_close(block(query), block(query, query, query))
    assert_close(block(query, key), block(query, key, key))
    assert not torch.allclose(block(query, key), block(query, key, -key))
