"""The two doors and `record_masks`: what is recorded is what was used, and recording changes nothing."""

from contextlib import nullcontext

import pytest
import torch
from block_cases import CASES, CHANNELS, BlockCase, assert_same_state, drawn, state_of
from torch import nn
from torch.testing import assert_close

from course_utils.attention import CBAM, AttentionBlock, SEBlock, SelfAttention2d, record_masks

every_block = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture
def x():
    return torch.randn(3, CHANNELS, 4, 5, generator=torch.Generator().manual_seed(3))


@every_block
@pytest.mark.parametrize("training", [False, True])
def test_recording_changes_neither_output_nor_statistics_nor_random_state(case: BlockCase, training, x):
    plain, recorded = drawn(case).train(training), drawn(case).train(training)
    torch.manual_seed(5)
    expected = plain(x)
    random_state = torch.get_rng_state()
    torch.manual_seed(5)
    with record_masks(recorded):
        found = recorded(x)
    assert torch.equal(found, expected)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert_same_state(state_of(recorded), state_of(plain))


@every_block
def test_asking_for_the_mask_updates_the_statistics_as_one_forward_pass(case: BlockCase, x):
    asked, run = drawn(case).train(), drawn(case).train()
    asked.mask(x)
    run(x)
    assert_same_state(state_of(asked), state_of(run))


@every_block
@pytest.mark.parametrize("training", [False, True])
def test_the_recorded_mask_is_the_mask_of_the_block(case: BlockCase, training, x):
    block = drawn(case).train(training)
    with record_masks(block) as masks:
        block(x)
    assert_close(masks[""], drawn(case).train(training).mask(x))


@every_block
def test_a_loss_on_the_recorded_mask_reaches_the_input(case: BlockCase, x):
    block = drawn(case)
    x.requires_grad_()
    with record_masks(block) as masks:
        block(x)
    masks[""].square().sum().backward()
    assert x.grad.abs().sum() > 0


@every_block
@pytest.mark.parametrize("recording", [False, True])
def test_a_pass_without_gradient_is_the_same_and_leaves_its_input_alone(case: BlockCase, recording, x):
    block, kept = drawn(case), x.clone()
    expected, mask = block(x.clone().requires_grad_()), block.mask(x)
    with torch.no_grad(), record_masks(block) if recording else nullcontext() as masks:
        found = block(x)
    assert_close(found, expected.detach())
    assert torch.equal(x, kept)
    if recording:
        assert_close(masks[""], mask.detach())


@every_block
def test_each_layer_runs_once_in_a_recorded_pass(case: BlockCase, x):
    block = drawn(case).train()
    calls: dict[str, int] = {}
    for name, module in block.named_modules():
        if not isinstance(module, AttentionBlock) and not list(module.children()):
            module.register_forward_hook(lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1}))
    with record_masks(block):
        block(x)
    assert set(calls.values()) <= {1}


@every_block
def test_the_mask_handed_to_the_recording_is_the_one_applied(case: BlockCase, x, monkeypatch):
    """With every recorded mask turned to zero nothing may pass."""
    block = drawn(case)
    expected = torch.zeros_like(x)
    if isinstance(block, SelfAttention2d):
        nothing = torch.zeros(3, block.value.out_channels, 4, 5)
        expected = x + block.gamma * block.output(nothing)
    monkeypatch.setattr(AttentionBlock, "record", lambda self, mask: 0 * mask)
    with record_masks(block):
        assert_close(block(x), expected)


def test_masks_are_named_like_the_modules_of_the_model(x):
    model = nn.Sequential(SEBlock(CHANNELS), nn.ReLU(), nn.Sequential(CBAM(CHANNELS)))
    with record_masks(model) as masks:
        model(x)
    assert {name: tuple(mask.shape) for name, mask in masks.items()} == {
        "0": (3, CHANNELS, 1, 1),
        "2.0": (3, CHANNELS, 4, 5),
        "2.0.channel": (3, CHANNELS, 1, 1),
        "2.0.spatial": (3, 1, 4, 5),
    }
    assert_close(masks["2.0"], masks["2.0.channel"] * masks["2.0.spatial"])


def test_a_later_pass_overwrites_the_mask(x):
    block = SEBlock(CHANNELS)
    with record_masks(block) as masks:
        block(x)
        first = masks[""]
        block(2 * x)
    assert_close(first, block.mask(x))
    assert_close(masks[""], block.mask(2 * x))


def test_two_recordings_at_once_do_not_meet(x):
    block = SelfAttention2d(CHANNELS)
    with record_masks(block) as outer:
        with record_masks(nn.Sequential(block)) as inner:
            block(x)
        assert inner["0"] is outer[""]
        block(2 * x)
    assert inner["0"] is not outer[""]


def test_recording_ends_with_the_context_even_after_an_error(x):
    model = nn.Sequential(CBAM(CHANNELS), SelfAttention2d(CHANNELS))
    blocks = [module for module in model.modules() if isinstance(module, AttentionBlock)]
    with pytest.raises(RuntimeError, match="stop"), record_masks(model) as masks:
        assert all(block.recording for block in blocks)
        raise RuntimeError("stop")
    assert not any(block.recording for block in blocks)
    model(x)
    assert masks == {}


def test_a_model_without_blocks_gives_no_masks(x):
    with record_masks(nn.ReLU()) as masks:
        nn.ReLU()(x)
    assert masks == {}


def test_a_block_without_a_mask_says_what_to_write(x):
    class Nothing(AttentionBlock):
        pass

    with pytest.raises(NotImplementedError, match=r"Nothing must say how it makes its mask: write mask\(self, x\)"):
        Nothing()(x)


def test_a_block_of_one_line_is_recorded_and_applied(x):
    class Half(AttentionBlock):
        def mask(self, x):
            return torch.full_like(x[:, :1], 0.5)

    block = Half()
    with record_masks(block) as masks:
        assert_close(block(x), x / 2)
    assert masks[""].shape == (3, 1, 4, 5)
