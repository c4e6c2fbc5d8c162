"""Our space-time attention against a plain port of TimeSformer's order of axes."""

import pytest
import torch
from copied_weights import assert_parity, same_names
from torch import Tensor, nn

from course_utils.attention import SpaceTimeAttention, TemporalAttention, record_masks
from course_utils.attention.space_time import SpatialAttention

WIDTH, HEADS = 8, 2


class PlainAttention(nn.Module):
    """Self-attention of one sequence (L, width), written with loops over heads."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        heads, size = [], WIDTH // HEADS
        for head in range(HEADS):
            columns = slice(head * size, (head + 1) * size)
            q, k, v = self.query(x)[:, columns], self.key(x)[:, columns], self.value(x)[:, columns]
            heads.append(torch.softmax(q @ k.T / size**0.5, dim=1) @ v)
        return self.output(torch.cat(heads, dim=1))


class PlainDivided(nn.Module):
    """Time first, then space, each added to what came in; one sequence at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.temporal, self.spatial = PlainAttention(), PlainAttention()

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, places, _ = x.shape
        moved = torch.stack(
            [torch.stack([self.temporal(x[n, :, s]) for s in range(places)], dim=1) for n in range(batch)]
        )
        x = x + moved
        looked = torch.stack([torch.stack([self.spatial(x[n, t]) for t in range(frames)]) for n in range(batch)])
        return x + looked


class PlainJoint(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.joint = PlainAttention()

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.joint(clip.reshape(-1, WIDTH)).view_as(clip) for clip in x])


def run(block: nn.Module, x: Tensor) -> Tensor:
    return block(x)


@pytest.mark.parametrize(("mode", "plain"), [("divided", PlainDivided), ("joint", PlainJoint)])
@pytest.mark.parametrize("recorded", [False, True])
def test_space_time_is_that_of_the_plain_port(mode, plain, recorded):
    torch.manual_seed(0)
    ours = SpaceTimeAttention(WIDTH, HEADS, mode=mode)

    def call(block, x):
        if not recorded:
            return block(x)
        with record_masks(block):
            return block(x)

    assert_parity(ours, plain(), same_names(ours), (torch.randn(2, 3, 5, WIDTH),), call, run)


def test_temporal_attention_joins_each_position_through_the_frames():
    torch.manual_seed(1)
    ours = TemporalAttention(WIDTH, HEADS)
    assert_parity(
        ours,
        PlainAttention(),
        same_names(ours),
        (torch.randn(2, 3, 5, WIDTH),),
        run,
        lambda plain, x: torch.stack([torch.stack([plain(clip[:, s]) for s in range(5)], dim=1) for clip in x]),
    )


def test_each_step_leaves_one_mask():
    torch.manual_seed(2)
    x = torch.randn(2, 3, 5, WIDTH)
    divided, joint = SpaceTimeAttention(WIDTH, HEADS), SpaceTimeAttention(WIDTH, HEADS, mode="joint")
    with record_masks(divided) as masks:
        divided(x)
    assert {name: tuple(mask.shape) for name, mask in masks.items()} == {
        "temporal": (2, 5, HEADS, 3, 3),
        "spatial": (2, 3, HEADS, 5, 5),
    }
    for recorded, asked in zip(masks.values(), divided.mask(x), strict=True):
        torch.testing.assert_close(recorded, asked)
        torch.testing.assert_close(recorded.sum(dim=-1), torch.ones(recorded.shape[:-1]))
    with record_masks(joint) as masks:
        joint(x)
    assert {name: tuple(mask.shape) for name, mask in masks.items()} == {"joint": (2, HEADS, 15, 15)}
    torch.testing.assert_close(masks["joint"], joint.mask(x))


def test_a_temporal_mask_belongs_to_its_position():
    torch.manual_seed(3)
    block = TemporalAttention(WIDTH, HEADS)
    x = torch.randn(2, 3, 5, WIDTH)
    expected = super(SpatialAttention, block).mask(x[:, :, 4])  # the track of position 4 alone
    torch.testing.assert_close(block.mask(x)[:, 4], expected)


def test_wrong_mode_heads_and_axes_are_refused():
    with pytest.raises(ValueError, match="'axial'"):
        SpaceTimeAttention(8, 2, mode="axial")
    with pytest.raises(ValueError, match="divides embed_dim"):
        TemporalAttention(8, 3)
    with pytest.raises(ValueError, match=r"add the batch axis"):
        TemporalAttention(8, 2)(torch.randn(3, 5, 8))
    with pytest.raises(ValueError, match=r"flatten rows and columns"):
        SpaceTimeAttention(8, 2)(torch.randn(1, 3, 5, 5, 8))
    with pytest.raises(ValueError, match=r"embed_dim=6"):
        SpaceTimeAttention(8, 2, mode="joint").mask(torch.randn(1, 3, 5, 6))
