"""What must hold of every block for any input: ranges, sums, symmetries, formats, number types, exports."""

import copy
import io
from contextlib import nullcontext

import pytest
import torch
from block_cases import CASES, CHANNELS, BlockCase, assert_same_state, drawn, state_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from course_utils.attention import record_masks

every_block = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
few = settings(max_examples=8, deadline=None, derandomize=True)
sizes = st.tuples(st.integers(1, 3), st.integers(2, 7), st.integers(2, 7))


def image(n: int, h: int, w: int, seed: int = 1, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, CHANNELS, h, w, generator=generator)


@every_block
@few
@given(size=sizes, seed=st.integers(0, 99), scale=st.sampled_from([1e-3, 1.0, 30.0]))
def test_mask_has_its_shape_and_lies_between_0_and_1(case: BlockCase, size, seed, scale):
    mask = drawn(case, seed).mask(image(*size, seed, scale))
    assert mask.shape == case.mask_shape(*size)
    assert (mask >= 0).all()
    assert (mask <= 1).all()


@pytest.mark.parametrize("case", [c for c in CASES if c.sums_along], ids=lambda case: case.name)
@few
@given(size=sizes, seed=st.integers(0, 99), scale=st.sampled_from([1e-3, 1.0, 30.0]))
def test_weights_sum_to_one_along_their_axis(case: BlockCase, size, seed, scale):
    sums = drawn(case, seed).mask(image(*size, seed, scale)).sum(dim=case.sums_along)
    assert_close(sums, torch.ones_like(sums))


@every_block
def test_mask_depends_on_the_image(case: BlockCase):
    first, second = drawn(case).mask(image(2, 5, 4))
    assert (first - second).abs().max() > 1e-3


@pytest.mark.parametrize("case", [c for c in CASES if c.positions], ids=lambda case: case.name)
@few
@given(size=sizes, seed=st.integers(0, 99))
def test_permuted_positions_permute_the_output(case: BlockCase, size, seed):
    x = image(*size, seed).double()
    order = torch.randperm(size[1] * size[2], generator=torch.Generator().manual_seed(seed))
    block = drawn(case).double()

    def permute(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.flatten(2)[..., order].view(tensor.shape)

    assert_close(block(permute(x)), permute(block(x)))
    if case.sums_along:  # rows are queries, columns are keys: both are permuted
        assert_close(block.mask(permute(x)), block.mask(x)[:, order][:, :, order])
    else:
        assert_close(block.mask(permute(x)), block.mask(x))


@pytest.mark.parametrize("case", [c for c in CASES if c.scales], ids=lambda case: case.name)
@pytest.mark.parametrize("training", [False, True])
def test_a_gate_scales_its_input_by_its_mask(case: BlockCase, training):
    block = drawn(case).train(training)
    x = image(3, 4, 5)
    assert_close(block(x), x * block.mask(x))


@every_block
@few
@given(seed=st.integers(0, 99))
def test_images_of_a_batch_do_not_meet(case: BlockCase, seed):
    block = drawn(case, seed).double()
    x = image(3, 4, 6, seed).double()
    assert_close(block(x), torch.cat([block(one[None]) for one in x]))


@pytest.mark.parametrize("case", [c for c in CASES if not c.needs_batch], ids=lambda case: case.name)
def test_a_single_image_can_be_trained_on(case: BlockCase):
    block = drawn(case).train()
    block(image(1, 4, 4)).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in block.parameters())


@every_block
@pytest.mark.parametrize("kind", ["channels_last", "transposed", "strided"])
def test_layout_in_memory_changes_nothing(case: BlockCase, kind):
    block = drawn(case).double()
    x = image(2, 5, 6).double()
    laid = {
        "channels_last": lambda: x.to(memory_format=torch.channels_last),
        "transposed": lambda: x.transpose(2, 3).contiguous().transpose(2, 3),
        "strided": lambda: x.repeat_interleave(2, dim=1)[:, ::2],
    }[kind]()
    assert not laid.is_contiguous()
    results = []
    for leaf in (x.clone().requires_grad_(), laid.detach().requires_grad_()):
        output = block(leaf)
        results.append((output.detach(), torch.autograd.grad(output.square().sum(), leaf)[0]))
    assert_close(results[0], results[1])


@every_block
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("sign", [1.0, -1.0, 0.0])
def test_large_values_give_finite_outputs_and_gradients(case: BlockCase, sign, training):
    block = drawn(case).train(training)
    x = 1e4 * (torch.full((2, CHANNELS, 4, 5), sign) if sign else image(2, 4, 5).sign())
    x.requires_grad_()
    output = block(x)
    output.sum().backward()
    assert output.isfinite().all()
    assert block.mask(x).isfinite().all()
    assert x.grad.isfinite().all()


@every_block
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_close_and_stays_half(case: BlockCase, dtype):
    block, x = drawn(case), image(2, 6, 5)
    expected, expected_mask = block(x), block.mask(x)
    block, x = block.to(dtype), x.to(dtype)
    tolerance = {"rtol": 0.05, "atol": 0.05} if dtype == torch.bfloat16 else {"rtol": 0.01, "atol": 0.01}
    assert block(x).dtype == block.mask(x).dtype == dtype
    assert_close(block(x).float(), expected, **tolerance)
    assert_close(block.mask(x).float(), expected_mask, **tolerance)


@every_block
@pytest.mark.parametrize("recording", [False, True])
def test_mixed_precision_training_runs_and_is_close(case: BlockCase, recording):
    block, x = drawn(case), image(2, 6, 5).requires_grad_()
    expected = block(x)
    with torch.autocast("cpu", dtype=torch.bfloat16), record_masks(block) if recording else nullcontext():
        output = block(x)
    output.sum().backward()
    assert x.grad.isfinite().all()
    assert_close(output.float(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("case", [c for c in CASES if c.name in ("se", "eca", "cbam")], ids=lambda case: case.name)
def test_half_precision_sums_a_large_map_without_overflow(case: BlockCase):
    """64 x 64 values of 1000 add up to far more than float16 holds."""
    block, x = drawn(case).half(), torch.full((1, CHANNELS, 64, 64), 1000.0, dtype=torch.float16)
    assert block(x).isfinite().all()


@every_block
@pytest.mark.parametrize("training", [False, True])
def test_compiled_block_is_the_same(case: BlockCase, training):
    block = drawn(case).train(training)
    twin = copy.deepcopy(block)
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=True)
    results = []
    for module in (block, compiled):
        x = image(2, 5, 4).requires_grad_()
        output = module(x)
        results.append((output.detach(), torch.autograd.grad(output.square().sum(), x)[0]))
    assert_close(results[0], results[1])
    assert_close(dict(twin.state_dict()), dict(block.state_dict()))


@every_block
def test_exported_block_is_the_same_on_another_batch(case: BlockCase):
    block = drawn(case)
    batch = torch.export.Dim("batch", min=2, max=64)
    exported = torch.export.export(block, (image(2, 4, 6),), dynamic_shapes={"x": {0: batch}})
    x = image(5, 4, 6)
    assert_close(exported.module()(x), block(x))


@every_block
def test_saved_state_gives_the_same_block(case: BlockCase):
    block, twin = drawn(case, seed=0), drawn(case, seed=1)
    file = io.BytesIO()
    torch.save(block.state_dict(), file)
    file.seek(0)
    x = image(2, 4, 4)
    assert not torch.equal(twin(x), block(x))
    twin.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(twin(x), block(x))
    assert_same_state(state_of(twin), state_of(block))
