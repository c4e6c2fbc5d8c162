"""Our gate against a plain port of the released one, and by what it must do."""

import pytest
import torch
import torch.nn.functional as F
from copied_weights import assert_parity
from torch import Tensor, nn
from torch.testing import assert_close

from course_utils.attention import AttentionGate, record_masks


class PlainGate(nn.Module):
    """W_l and W_g as matrices, positions as rows."""

    def __init__(self, alignment: str) -> None:
        super().__init__()
        self.alignment = alignment
        self.local, self.guide = nn.Parameter(torch.empty(4, 6, 1, 1)), nn.Parameter(torch.empty(4, 5, 1, 1))
        self.phi, self.shift = nn.Parameter(torch.empty(1, 4, 1, 1)), nn.Parameter(torch.empty(1))

    def forward(self, local: Tensor, guide: Tensor) -> Tensor:
        rows = torch.einsum("nchw,kc->nhwk", local, self.local[:, :, 0, 0])
        guided = torch.einsum("nchw,kc->nkhw", guide, self.guide[:, :, 0, 0])
        resized = F.interpolate(guided, local.shape[2:], mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
        scores = (rows + resized).relu() @ self.phi[0, :, 0, 0] + self.shift
        if self.alignment == "sigmoid":
            weights = torch.sigmoid(scores) / scores[0].numel()
        else:
            weights = scores.flatten(1).softmax(dim=1).view_as(scores)
        return torch.einsum("nhw,nchw->nc", weights, local)


READING = {
    "local.weight": lambda tensors: tensors["local"],
    "guide.weight": lambda tensors: tensors["guide"],
    "phi.weight": lambda tensors: tensors["phi"],
    "phi.bias": lambda tensors: tensors["shift"],
}


@pytest.mark.parametrize("alignment", ["sigmoid", "softmax"])
@pytest.mark.parametrize("sizes", [((8, 6), (2, 3)), ((9, 9), (2, 2)), ((5, 7), (5, 7)), ((3, 4), (6, 5))])
def test_the_gate_is_that_of_the_plain_port(alignment, sizes):
    torch.manual_seed(0)
    inputs = (torch.randn(2, 6, *sizes[0]), torch.randn(2, 5, *sizes[1]))
    # phi's bias moves all softmax scores alike: its gradient is 0 but for rounding, and compared as such
    assert_parity(
        AttentionGate(6, 5, hidden_channels=4, alignment=alignment),
        PlainGate(alignment),
        READING,
        inputs,
        lambda gate, local, guide: gate(local, guide),
        lambda gate, local, guide: gate(local, guide),
    )


@pytest.mark.parametrize("alignment", ["sigmoid", "softmax"])
def test_the_recorded_mask_is_the_one_used(alignment):
    torch.manual_seed(1)
    gate = AttentionGate(6, 5, hidden_channels=4, alignment=alignment)
    local, guide = torch.randn(2, 6, 8, 10), torch.randn(2, 5, 2, 3)
    with record_masks(gate) as masks:
        pooled = gate(local, guide)
    assert torch.equal(pooled, gate(local, guide))
    mask = masks[""]
    assert mask.shape == (2, 1, 8, 10)
    assert_close(mask, gate.mask(local, guide))
    summed = (local * mask).sum(dim=(2, 3))
    assert_close(pooled, summed / 80 if alignment == "sigmoid" else summed)
    assert ((mask > 0) & (mask < 1)).all()
    if alignment == "softmax":
        assert_close(mask.sum(dim=(1, 2, 3)), torch.ones(2))


def test_the_guide_moves_the_mask():
    torch.manual_seed(2)
    gate = AttentionGate(6, 5, hidden_channels=4)
    local = torch.randn(1, 6, 8, 8)
    assert not torch.allclose(gate.mask(local, torch.randn(1, 5, 2, 2)), gate.mask(local, torch.randn(1, 5, 2, 2)))


def test_wrong_inputs_are_refused():
    with pytest.raises(ValueError, match="'tanh'"):
        AttentionGate(6, 5, alignment="tanh")
    with pytest.raises(ValueError, match="hidden_channels=0"):
        AttentionGate(6, 5, hidden_channels=0)
    gate = AttentionGate(6, 5, hidden_channels=4)
    with pytest.raises(ValueError, match="built for 6 channels"):
        gate(torch.randn(1, 5, 4, 4), torch.randn(1, 5, 2, 2))
    with pytest.raises(ValueError, match="built for 5 channels"):
        gate(torch.randn(1, 6, 4, 4), torch.randn(1, 6, 2, 2))
    with pytest.raises(ValueError, match=r"x\[None\]"):
        gate.mask(torch.randn(6, 4, 4), torch.randn(1, 5, 2, 2))


def test_the_smallest_and_strided_maps_pass():
    gate = AttentionGate(6, 5, hidden_channels=4, alignment="softmax")
    assert_close(gate.mask(torch.randn(1, 6, 1, 1), torch.randn(1, 5, 1, 1)), torch.ones(1, 1, 1, 1))
    local, guide = torch.randn(1, 6, 8, 8), torch.randn(1, 5, 4, 4)
    strided = local.to(memory_format=torch.channels_last)
    assert_close(gate(strided, guide), gate(local, guide))
    exported = torch.export.export(gate, (local, guide)).module()
    assert_close(exported(local, guide), gate(local, guide))
    compiled = torch.compile(gate, backend="aot_eager")
    assert_close(compiled(local, guide), gate(local, guide))
