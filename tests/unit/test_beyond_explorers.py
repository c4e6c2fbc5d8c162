"""What stands behind the widgets on CBAM, branches and clips: the same numbers as the blocks themselves."""

import numpy as np
import pytest
import torch

from course_utils.attention import CBAM, record_masks
from course_utils.data import moving_digits
from course_utils.models import AttentionCNN
from course_utils.widgets.branch_weights.explore import explore_branch_weights
from course_utils.widgets.branch_weights.widget import BranchStage, BranchWeights
from course_utils.widgets.cbam_steps.explore import explore_cbam_steps, switched
from course_utils.widgets.cbam_steps.widget import CBAMPicture, CBAMStage, CBAMSteps
from course_utils.widgets.space_time.explore import clip_tokens, identity_attention, weight_elsewhere
from course_utils.widgets.space_time.widget import Clip, SpaceTime

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


def small_clip_network():
    torch.manual_seed(1)
    return AttentionCNN(10, "sk", in_channels=1, widths=(4, 8, 8)).eval().requires_grad_(False)


def test_tokens_are_centred_and_of_one_length():
    clip = moving_digits(1, seed=0, split="test").clips[0]
    tokens = clip_tokens(clip, small_clip_network())
    assert tokens.shape == (1, 6, 100, 8)
    torch.testing.assert_close(tokens.norm(dim=-1), torch.full((1, 6, 100), 8**0.5), atol=0.01, rtol=0)
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


def stage_of(**changes) -> CBAMStage:
    parts = {
        "name": "s",
        "weight": np.zeros((4, 1, 3, 3)),
        "scale": np.ones(4),
        "shift": np.zeros(4),
        "reduce_weight": np.zeros((2, 4)),
        "reduce_bias": np.zeros(2),
        "expand_weight": np.zeros((4, 2)),
        "expand_bias": np.zeros(4),
        "kernel": np.zeros((2, 7, 7)),
        "spatial_scale": 1.0,
        "spatial_shift": 0.0,
        "pool": 2,
    }
    return CBAMStage(**{**parts, **changes})


@pytest.mark.parametrize(
    ("stage", "shape", "settings", "message"),
    [
        ({"spatial_scale": float("nan")}, (8, 8), {}, "spatial_scale=nan; a finite number"),
        ({"weight": np.full((4, 1, 3, 3), np.nan)}, (8, 8), {}, r"index \(0, 0, 0, 0\) is nan"),
        ({"kernel": np.zeros((2, 6, 6))}, (8, 8), {}, "side 6 .* must be odd"),
        ({"pool": 0}, (8, 8), {}, "pool=0"),
        ({}, (0, 8), {}, r"shape \(0, 8\), but \(H, W, 3\)"),
        ({}, (1, 8, 8, 3), {}, r"\(1, 8, 8, 3\), but \(H, W, 3\)"),
        ({}, (1, 1), {}, "1 x 1 pixels are too small"),
        ({}, (8, 8), {"picture": 1}, "picture=1, but there are 1"),
        ({}, (8, 8), {"stage": -1}, "stage=-1"),
        ({}, (8, 8), {"query": [8, 0]}, r"query=\(8, 0\) is not a \(row, column\)"),
        ({}, (8, 8), {"query": [1]}, r"query=\(1,\) is not"),
    ],
)
def test_cbam_steps_refuses_what_it_cannot_show(stage, shape, settings, message):
    with pytest.raises(ValueError, match=message):
        CBAMSteps(
            [stage_of(**stage)],
            np.zeros((3, 4)),
            np.zeros(3),
            [CBAMPicture("a", np.zeros(shape, np.uint8))],
            **settings,
        )


def branches_of(measured: dict | None = None, /, **changes) -> BranchWeights:
    parts = {
        "sizes": (8, 12),
        "counts": (1, 1),
        "pictures": np.zeros((2, 1, 8, 8), np.uint8),
        "squares": np.zeros((2, 1, 3), int),
    }
    one = {
        "name": "s",
        "kernels": (3, 5),
        "stride": 1,
        "shares": np.full((2, 2, 3), 0.5),
        "spread": np.zeros((2, 2)),
        "example_shares": np.full((2, 1, 2, 3), 0.5),
    }
    return BranchWeights(**{**parts, "stages": [BranchStage(**{**one, **(measured or {})})], **changes})


@pytest.mark.parametrize(
    ("stage", "changes", "message"),
    [
        ({"example_shares": np.full((2, 1, 2, 3), 0.4)}, {}, "must sum to 1 over the branches"),
        ({"shares": np.array([[[2.0] * 3, [-1.0] * 3]] * 2)}, {}, "from 0 to 1, but -1 is one"),
        ({"shares": np.full((2, 2, 3), np.nan)}, {}, "must sum to 1 over the branches, but nan"),
        ({"kernels": (3, 5, 7)}, {}, r"\(2, 3, 3\) is needed"),
        ({}, {"sizes": (8,)}, "at least one stage and two sizes"),
        ({}, {"stages": []}, "at least one stage and two sizes"),
        ({}, {"sizes": (12, 8)}, "must grow"),
        (
            {"example_shares": np.zeros((2, 0, 2, 3))},
            {"pictures": np.zeros((2, 0, 8, 8), np.uint8), "squares": np.zeros((2, 0, 3), int)},
            "none of it 0",
        ),
        ({}, {"branch": 2}, "branch=2, but there are 2"),
        ({}, {"stage": 1}, "stage=1, but there are 1"),
        ({}, {"example": 1}, "example=1, but there are 1"),
        ({}, {"query": [3, 0]}, r"query=\(3, 0\) is not a \(row, size\)"),
    ],
)
def test_branch_weights_refuses_what_it_cannot_show(stage, changes, message):
    branches_of()
    with pytest.raises(ValueError, match=message):
        branches_of(stage, **changes)


@pytest.mark.parametrize(
    ("clip", "settings", "message"),
    [
        ({"tokens": np.zeros((2, 5, 3))}, {}, r"tokens of shape \(2, 5, 3\)"),
        ({"tokens": np.zeros((2, 4, 0))}, {}, r"tokens of shape \(2, 4, 0\)"),
        ({"tokens": np.full((2, 4, 3), np.nan)}, {}, r"index \(0, 0, 0\) is nan"),
        ({"moving": np.full((2, 2, 2), 2.0)}, {}, "moving from 2.0 to 2.0; parts go from 0 to 1"),
        ({"standing": np.full((2, 2, 2), np.nan)}, {}, "standing from nan"),
        ({"moving": np.zeros((2, 4)), "standing": np.zeros((2, 4))}, {}, r"\(T, rows, columns\) is needed"),
        ({"frames": np.zeros((2, 1, 8, 8), np.uint8)}, {}, r"\(T, H, W\) is needed"),
        ({"frames": np.zeros((3, 8, 8), np.uint8)}, {}, "has 3 frames"),
        ({}, {"query": (2, 0, 0)}, r"not a \(frame, row, column\)"),
        ({}, {"query": (0, 0)}, r"not a \(frame, row, column\)"),
        ({}, {"clip": 1}, "clip=1, but there are 1"),
    ],
)
def test_space_time_refuses_what_it_cannot_show(clip, settings, message):
    cover = np.zeros((2, 2, 2))
    parts = {"frames": np.zeros((2, 8, 8), np.uint8), "tokens": np.zeros((2, 4, 3)), "moving": cover, "standing": cover}
    SpaceTime([Clip("a", **parts)])
    with pytest.raises(ValueError, match=message):
        SpaceTime([Clip("a", **{**parts, **clip})], **settings)


def test_space_time_without_a_clip_is_refused():
    with pytest.raises(ValueError, match="at least one Clip"):
        SpaceTime([])
