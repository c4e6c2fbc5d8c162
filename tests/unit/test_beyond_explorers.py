"""What stands behind the widgets on CBAM, branches and clips: the same numbers as the blocks themselves."""

import pytest
import torch
from traitlets import TraitError

from course_utils.attention import CBAM, record_masks
from course_utils.data import moving_digits
from course_utils.models import AttentionCNN
from course_utils.widgets.branch_weights.explore import explore_branch_weights
from course_utils.widgets.cbam_steps.explore import explore_cbam_steps, switched
from course_utils.widgets.space_time.explore import (
    clip_tokens,
    explore_space_time,
    identity_attention,
    weight_elsewhere,
)

torch.set_num_threads(1)


@pytest.fixture
def block():
    torch.manual_seed(0)
    made = CBAM(8, reduction=2).eval()
    torch.nn.init.normal_(made.spatial.norm.weight, mean=1)
    torch.nn.init.normal_(made.spatial.norm.bias)
    made.spatial.norm.running_var.fill_(0.3)
    return made.requires_grad_(False)


def test_with_everything_on_a_switched_block_is_the_block(block):
    x = torch.randn(2, 8, 9, 7)
    expected = block(x)
    with switched(block), record_masks(block) as masks:
        torch.testing.assert_close(block(x), expected)
    torch.testing.assert_close(masks["spatial"], block.spatial.mask(x * block.channel.mask(x)))
    assert not block._forward_hooks, "the switch stayed on"


def test_swapped_the_spatial_part_sees_the_input_and_the_channel_part_what_it_left(block):
    x = torch.randn(2, 8, 9, 7)
    spatial = block.spatial.mask(x)
    with switched(block, order="spatial first"), record_masks(block) as masks:
        found = block(x)
    torch.testing.assert_close(masks["channel"], block.channel.mask(x * spatial))
    torch.testing.assert_close(found, x * spatial * masks["channel"])


def test_a_pool_that_is_off_takes_no_part(block):
    x = torch.randn(2, 8, 9, 7)
    logits = block.channel.expand(torch.relu(block.channel.reduce(x.mean(dim=(2, 3)))))
    with switched(block, channel_pools=("mean",), spatial_pools=()), record_masks(block) as masks:
        found = block(x)
    torch.testing.assert_close(masks["channel"][:, :, 0, 0], logits.sigmoid())
    assert (masks["spatial"] == 1).all()
    torch.testing.assert_close(found, x * masks["channel"])
    with switched(block, channel_pools=(), spatial_pools=("mean",)), record_masks(block) as masks:
        block(x)
    alone = torch.stack([torch.zeros(2, 9, 7), x.mean(dim=1)], dim=1)
    torch.testing.assert_close(masks["spatial"], block.spatial.norm(block.spatial.conv(alone)).sigmoid())


def test_unknown_orders_and_pools_are_refused(block):
    with pytest.raises(ValueError, match="order='backwards'"), switched(block, order="backwards"):
        pass
    with pytest.raises(ValueError, match="sum"), switched(block, spatial_pools=("sum",)):
        pass


def test_networks_of_another_kind_are_refused():
    for network in (AttentionCNN(10, "se"), AttentionCNN(10, "cbam", head="hidden"), torch.nn.Linear(2, 2)):
        with pytest.raises(ValueError, match="needs a network such as AttentionCNN"):
            explore_cbam_steps(network)
    with pytest.raises(ValueError, match="from 1 to 3"):
        explore_cbam_steps(AttentionCNN(10, "cbam"), stage=4)
    with pytest.raises(ValueError, match="no SelectiveKernel"):
        explore_branch_weights(AttentionCNN(10, in_channels=1))


def test_tokens_are_centred_and_of_one_length():
    clip = moving_digits(1, seed=0, split="test").clips[0]
    tokens = clip_tokens(clip)
    assert tokens.shape == (1, 6, 100, 48)
    torch.testing.assert_close(tokens.norm(dim=-1), torch.full((1, 6, 100), 48**0.5), atol=0.01, rtol=0)
    torch.testing.assert_close(tokens, tokens.half().float(), atol=0, rtol=0)


def test_identity_attention_compares_the_tokens_themselves():
    x = torch.randn(1, 3, 4, 6)
    scores = torch.einsum("tsd,usd->stu", x[0], x[0]) / 6**0.5 / 2
    temporal, spatial = identity_attention(6, "divided", temperature=2).mask(x)
    torch.testing.assert_close(temporal[0, :, 0], scores.softmax(dim=-1))
    after = x[0] + torch.einsum("stu,usd->tsd", scores.softmax(dim=-1), x[0])
    space = torch.einsum("tsd,tpd->tsp", after, after) / 6**0.5 / 2 / 4
    torch.testing.assert_close(spatial[0, :, 0], space.softmax(dim=-1))
    flat = x.flatten(1, 2)[0]
    joint = identity_attention(6, "joint", temperature=2).mask(x)
    torch.testing.assert_close(joint[0, 0], (flat @ flat.T / 6**0.5 / 2).softmax(dim=-1))


def test_joint_attention_follows_a_moved_thing_and_divided_finds_a_standing_one():
    tokens = torch.zeros(1, 3, 16, 4)
    tokens[..., 0] = 2.0  # background
    thing = torch.tensor([0.0, 6.0, 0.0, 0.0])
    places = torch.zeros(3, 4, 4, dtype=torch.bool)
    for frame in range(3):
        tokens[0, frame, 5 * frame] = thing
        places[frame, frame, frame] = True
    joint, both = weight_elsewhere(tokens, places, frame=1, temperature=1)
    assert joint > 0.6 and both < 0.05
    tokens[:] = tokens[:, 1:2]
    places[:] = places[1].clone()
    joint, both = weight_elsewhere(tokens, places, frame=1, temperature=1)
    assert joint > 0.6 and both > 0.6


def test_a_network_without_finite_weights_is_refused():
    network = AttentionCNN(10, "cbam")
    torch.nn.init.constant_(network.stage1.convolution.weight, torch.nan)
    with pytest.raises(ValueError, match=r"index \(0, 0, 0, 0\) is nan"):
        explore_cbam_steps(network)


@pytest.mark.parametrize(
    ("explore", "settings", "message"),
    [
        (explore_cbam_steps, {"picture": 10}, "picture=10, but there are 10; give a number from 0 to 9"),
        (explore_cbam_steps, {"stage": 0}, "no stage 0; give a number from 1 to 3"),
        (explore_cbam_steps, {"step": 6}, "step"),
        (explore_branch_weights, {"branch": 2}, "branch=2, but there are 2"),
        (explore_branch_weights, {"stage": 9}, "no stage 9"),
        (explore_branch_weights, {"query": [3, 9]}, r"query=\(3, 9\) is not a \(row, size\)"),
        (explore_space_time, {"clip": 3}, "clip=3, but there are 3"),
        (explore_space_time, {"query": (6, 0, 0)}, r"not a \(frame, row, column\)"),
        (explore_space_time, {"query": (0, 0)}, r"not a \(frame, row, column\)"),
    ],
)
def test_what_is_not_there_is_refused(explore, settings, message):
    with pytest.raises((ValueError, TraitError), match=message):
        explore(**settings)
