"""Our sparsemax against entmax's, and against finite differences."""

import entmax
import pytest
import torch
from torch.testing import assert_close

from course_utils.attention import align


@pytest.mark.parametrize("shape", [(7,), (1, 1), (5, 2), (3, 4, 33), (2, 3, 4, 9)])
@pytest.mark.parametrize("spread", [1e-3, 1.0, 30.0])
def test_weights_and_gradient_are_those_of_entmax(shape, spread):
    torch.manual_seed(0)
    scores = (spread * torch.randn(*shape, dtype=torch.float64)).requires_grad_()
    ours, expected = align("sparsemax", scores), entmax.sparsemax(scores, dim=-1)
    assert_close(ours, expected)
    assert torch.equal(ours == 0, expected == 0)
    direction = torch.randn(shape, dtype=torch.float64)
    slope = torch.autograd.grad(ours, scores, direction)
    assert_close(slope, torch.autograd.grad(expected, scores, direction))


def test_gradient_is_that_of_finite_differences():
    torch.manual_seed(1)
    scores = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: align("sparsemax", s), scores)
    assert torch.autograd.gradgradcheck(lambda s: align("sparsemax", s), scores)


@pytest.mark.parametrize(
    ("scores", "weights"),
    [
        ([0.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]),
        ([1.0, 0.0], [1.0, 0.0]),
        ([0.6, 0.4, -1.0], [0.6, 0.4, 0.0]),
        ([0.9, 0.5, 0.1], [0.7, 0.3, 0.0]),
        ([3.0, 3.0, 1.0], [0.5, 0.5, 0.0]),
        ([1e4, -1e4, 9999.5], [0.75, 0.0, 0.25]),
    ],
)
def test_weights_worked_out_by_hand(scores, weights):
    assert_close(align("sparsemax", torch.tensor(scores, dtype=torch.float64)), torch.tensor(weights).double())


def test_a_masked_key_is_as_if_it_were_not_there():
    torch.manual_seed(2)
    scores = torch.randn(5, 8, dtype=torch.float64)
    attn_mask = torch.ones(5, 8, dtype=torch.bool)
    attn_mask[:, [1, 6]] = False
    weights = align("sparsemax", scores, attn_mask)
    assert_close(weights[:, attn_mask[0]], entmax.sparsemax(scores[:, attn_mask[0]], dim=-1))
    assert (weights[:, [1, 6]] == 0).all()


def test_the_traced_graph_gives_the_same_weights():
    class Sparse(torch.nn.Module):
        def forward(self, scores):
            return align("sparsemax", scores)

    torch.manual_seed(3)
    scores = torch.randn(2, 5, 40)
    exported = torch.export.export(Sparse(), (scores,)).module()
    for spread in (0.01, 1.0, 100.0):
        assert_close(exported(spread * scores), align("sparsemax", spread * scores))
