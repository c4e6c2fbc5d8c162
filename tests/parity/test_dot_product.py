"""Our dot product against torch's."""

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from course_utils.attention import scaled_dot_product_attention
from course_utils.attention.dot_product import fused_attention


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("shape", [(7, 6), (3, 7, 6), (2, 3, 7, 6)])
@pytest.mark.parametrize("scale", [None, 0.7])
@pytest.mark.parametrize("masked", [False, True])
def test_context_and_gradients_are_those_of_torch(shape, scale, masked):
    torch.manual_seed(0)
    leading = shape[:-2]
    query, key, value = drawn(*shape), drawn(*leading, 9, shape[-1]), drawn(*leading, 9, 4)
    attn_mask = torch.rand(*shape[:-1], 9) < 0.6 if masked else None
    if masked:
        attn_mask[..., 0] = True
    ours, weights = scaled_dot_product_attention(query, key, value, attn_mask, scale)
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask, scale=scale)
    assert_close(ours, expected)
    assert_close(weights @ value, expected)
    direction = torch.randn_like(expected)
    slopes = torch.autograd.grad(ours, (query, key, value), direction)
    assert_close(slopes, torch.autograd.grad(expected, (query, key, value), direction))


@pytest.mark.parametrize("mask_shape", [(7, 9), (1, 9), (7, 1), (2, 1, 7, 9), (2, 3, 7, 9), (1, 1, 1, 9)])
def test_the_fused_kernel_and_the_weights_give_one_context(mask_shape):
    torch.manual_seed(1)
    query, key, value = drawn(2, 3, 7, 6), drawn(2, 3, 9, 6), drawn(2, 3, 9, 6)
    attn_mask = torch.rand(mask_shape) < 0.5
    attn_mask[..., 0, :] = False  # the first query of each has no key
    context, _ = scaled_dot_product_attention(query, key, value, attn_mask)
    fused = fused_attention(query, key, value, attn_mask)
    assert_close(fused, context)
    direction = torch.randn_like(context)
    slopes = torch.autograd.grad(fused, (query, key, value), direction)
    assert_close(slopes, torch.autograd.grad(context, (query, key, value), direction))
    assert all(slope.isfinite().all() for slope in slopes)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_agrees_with_torch(dtype):
    torch.manual_seed(2)
    query, key, value = (torch.randn(2, 3, 8, 16).to(dtype) for _ in range(3))
    context, weights = scaled_dot_product_attention(query, key, value)
    assert context.dtype == weights.dtype == dtype
    tolerance = 2e-3 if dtype == torch.float16 else 2e-2
    expected = F.scaled_dot_product_attention(query.float(), key.float(), value.float())
    assert_close(context.float(), expected, rtol=tolerance, atol=tolerance)
