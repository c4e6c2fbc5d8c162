"""Lessons 4.4 and 4.6: the official solutions are the package's mechanisms, and other right answers pass."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from course_utils import check
from course_utils.attention import (
    CBAM,
    SelectiveKernel,
    SpaceTimeAttention,
    align,
    record_masks,
    scaled_dot_product_attention,
    score,
)
from course_utils.attention.convolutional_block import CBAMChannel
from course_utils.attention.space_time import TemporalAttention
from course_utils.check import folders
from course_utils.check.engine import Draw
from course_utils.lessons.beyond_channel_and_space import exercises as beyond
from course_utils.lessons.scores_and_alignments import exercises as scores_and_alignments

pytestmark = pytest.mark.usefixtures("fresh_session")


@pytest.fixture(params=range(3))
def draw(request):
    return Draw(request.param)


def drawn(name: str, draw: Draw) -> tuple:
    """The inputs that an exercise draws."""
    return check.exercises()[name].draw(draw)


def loaded(module: torch.nn.Module, **state: torch.Tensor) -> torch.nn.Module:
    module.load_state_dict({name.replace("_in_", "."): value for name, value in state.items()})
    return module


def test_the_biased_general_score_is_the_packages(draw):
    query, keys, weight, bias = drawn("biased_general_score", draw)
    assert query.shape[2] != keys.shape[2]  # else a transposed W would fit
    module = loaded(
        score("biased_general", query.shape[2], keys.shape[2]), weight_in_weight=weight, weight_in_bias=bias
    )
    assert_close(scores_and_alignments.biased_general_score(query, keys, weight, bias), module(query, keys))


def test_the_fixed_weights_are_those_of_scaled_dot_product_attention(draw):
    query, keys = drawn("fixed_weights", draw)
    _, weights = scaled_dot_product_attention(query, keys, keys)
    assert_close(scores_and_alignments.fixed_weights(query, keys), weights)


def test_the_concat_score_is_the_packages_concat_and_its_additive(draw):
    query, keys, first, second, bias, vector = drawn("concat_score", draw)
    found = scores_and_alignments.concat_score(query, keys, first, second, bias, vector)
    widths = (query.shape[2], keys.shape[2], len(vector))
    concat = loaded(
        score("concat", *widths),
        joint_in_weight=torch.cat([first, second], dim=1),
        joint_in_bias=bias,
        vector_in_weight=vector[None],
    )
    additive = loaded(
        score("additive", *widths),
        query_in_weight=first,
        key_in_weight=second,
        key_in_bias=bias,
        vector_in_weight=vector[None],
    )
    assert_close(found, concat(query, keys))
    assert_close(found, additive(query, keys))


def test_local_weights_and_sparsemax_are_the_packages(draw):
    scores, center, window = drawn("local_weights", draw)
    expected = align("local", scores, center=center.float(), window=window, gaussian=True)
    assert_close(scores_and_alignments.local_weights(scores, center, window), expected)
    (scores,) = drawn("sparsemax_weights", draw)
    assert_close(scores_and_alignments.sparsemax_weights(scores), align("sparsemax", scores))


def test_sparsemax_is_the_packages_on_many_rows_at_the_edge_of_its_support_too():
    scores = torch.randn(2000, 6, generator=torch.Generator().manual_seed(0))
    weights = align("sparsemax", scores)
    assert (weights[weights > 0] < 0.01).sum() > 10  # keys that hardly keep a weight
    assert_close(scores_and_alignments.sparsemax_weights(scores), weights)


def test_straight_through_is_the_draw_with_the_gradient_of_the_softmax(draw):
    scores, chosen = drawn("straight_through", draw)
    assert (chosen != scores.argmax(dim=1)).all()  # else the best key would pass for the drawn one
    weights = scores_and_alignments.straight_through(scores, chosen)
    assert_close(weights.detach(), F.one_hot(chosen, scores.shape[1]).float())
    above = torch.randn(weights.shape, generator=torch.Generator().manual_seed(0))
    (found,) = torch.autograd.grad((weights * above).sum(), scores)
    (expected,) = torch.autograd.grad((scores.softmax(dim=1) * above).sum(), scores)
    assert_close(found, expected)


class OwnBackward(torch.autograd.Function):
    """Straight-through as a function with its own derivative."""

    @staticmethod
    def forward(ctx, scores, chosen):
        p = scores.softmax(dim=1)
        ctx.save_for_backward(p)
        return F.one_hot(chosen, scores.shape[1]).to(scores.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (p,) = ctx.saved_tensors
        return p * (gradient - (p * gradient).sum(dim=1, keepdim=True)), None


def by_bisection(scores: torch.Tensor) -> torch.Tensor:
    low, high = scores.amin(dim=1, keepdim=True) - 1, scores.amax(dim=1, keepdim=True)
    for _ in range(60):
        tau = (low + high) / 2
        too_much = (scores - tau).clamp(min=0).sum(dim=1, keepdim=True) > 1
        low, high = torch.where(too_much, tau, low), torch.where(too_much, high, tau)
    return (scores - tau).clamp(min=0)


def by_products(e: torch.Tensor, p: torch.Tensor, d: int) -> torch.Tensor:
    places = torch.arange(e.shape[1])
    powers = e.exp() * ((places - p[:, None]).abs() <= d)
    return powers / powers.sum(dim=1, keepdim=True) * torch.exp(-2 * (places - p[:, None]) ** 2 / d**2)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("biased_general_score", lambda q, k, w, b: torch.einsum("nqd,kd,nlk->nql", q, w, k) + (k @ b)[:, None]),
        ("fixed_weights", lambda q, k: F.softmax(torch.einsum("nqd,nkd->nqk", q, k) / math.sqrt(q.shape[-1]), -1)),
        ("concat_score", lambda q, k, u, v, b, w: torch.tanh((q @ u.T)[:, :, None] + (k @ v.T)[:, None] + b) @ w),
        ("local_weights", by_products),
        ("sparsemax_weights", by_bisection),
        ("straight_through", OwnBackward.apply),
        ("straight_through", lambda e, d: e.softmax(1) + (F.one_hot(d, e.shape[1]) - e.softmax(1)).detach()),
        ("pool_channels", lambda x: torch.cat([x.max(1, keepdim=True)[0], x.mean(1, keepdim=True)], 1)),
        ("count_scores", lambda t, s: ((t * s) ** 2, s * t * t + t * s * s)),
        ("cbam_channel_gates", lambda mean, largest, mlp: torch.sigmoid(sum(mlp(torch.stack([mean, largest]))))),
        ("mix_branches", lambda b, e: torch.einsum("nbchw,nbc->nchw", b, e.softmax(1))),
        ("attend_over_time", lambda x: F.scaled_dot_product_attention(*[x.transpose(1, 2)] * 3).transpose(1, 2)),
    ],
)
def test_another_right_way_is_accepted(name, answer):
    assert check.exercises()[name](answer).kind == "right"


@pytest.mark.parametrize(
    "answer",
    [
        lambda e, d: F.one_hot(d, e.shape[1]) + 0.5 * (e.softmax(1) - e.softmax(1).detach()),
        lambda e, d: F.one_hot(d, e.shape[1]) + (e.softmax(1) - e.softmax(1).detach()).flip(1),
        lambda e, d: F.one_hot(d, e.shape[1]).float().requires_grad_() * 1,  # a gradient, but none of the scores'
    ],
)
def test_right_values_with_a_wrong_gradient_are_refused(answer):
    card = check.exercises()["straight_through"](answer)
    assert card.kind == "not yet"
    assert any("the gradient with respect to the scores is not" in line for line in card.lines)


def test_weights_without_a_gradient_are_told_so():
    card = check.exercises()["straight_through"](lambda e, d: F.one_hot(d, e.shape[1]).float())
    assert any("no gradient flows from your weights" in line for line in card.lines)


def mlp_of(part: CBAMChannel):
    return lambda pooled: part.expand(F.relu(part.reduce(pooled)))


def test_pools_gates_and_the_repaired_code_are_cbam():
    torch.manual_seed(0)
    block = CBAM(channels=8, reduction=2, kernel_size=3).eval()
    torch.nn.init.normal_(block.spatial.norm.weight)
    torch.nn.init.normal_(block.spatial.norm.bias)
    x = torch.randn(2, 8, 6, 7)
    with torch.no_grad(), record_masks(block) as masks:
        expected = block(x)
        mlp = mlp_of(block.channel)
        gates = beyond.cbam_channel_gates(x.mean(dim=(2, 3)), x.amax(dim=(2, 3)), mlp)
        assert_close(gates, masks["channel"][:, :, 0, 0])

        def conv(pooled):
            return block.spatial.norm(block.spatial.conv(pooled))

        assert_close(torch.sigmoid(conv(beyond.pool_channels(x * masks["channel"]))), masks["spatial"])
        assert_close(beyond.repaired_cbam(x, mlp, conv), expected)


def test_mixed_branches_are_the_selective_kernels():
    torch.manual_seed(0)
    block = SelectiveKernel(channels=8, groups=2).eval()
    x = torch.randn(3, 8, 6, 6)
    with torch.no_grad():
        branches = torch.stack([branch(x) for branch in block.branches], dim=1)
        assert_close(beyond.mix_branches(branches, block.mask(x)[..., 0, 0].log()), block(x))


def test_attention_over_time_is_the_packages_with_identity_projections():
    x = torch.randn(2, 4, 5, 6)
    block = TemporalAttention(6, 1)
    for name, value in block.named_parameters():
        (torch.nn.init.eye_ if name.endswith("weight") else torch.nn.init.zeros_)(value)
    assert_close(beyond.attend_over_time(x), block(x).detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("frames", "places"), [(3, 5), (6, 4)])
def test_the_scores_counted_are_the_weights_that_the_blocks_make(frames, places):
    x = torch.randn(1, frames, places, 4)
    joint = SpaceTimeAttention(4, 1, mode="joint").mask(x).numel()
    divided = sum(mask.numel() for mask in SpaceTimeAttention(4, 1, mode="divided").mask(x))
    assert beyond.count_scores(frames, places) == (joint, divided)


def right(lesson: str, words: str) -> str:
    """The right option of the question that holds these words."""
    questions = *folders.quiz(lesson), *folders.predictions(lesson).values()
    (found,) = (each for each in questions if words in each.text)
    return found.right


def test_right_options_are_those_that_follow_from_the_numbers():
    query, exact, long = torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0]), 3 * torch.tensor([0.98, 0.2])
    assert (right("4.4", "three times as long") == "The long one") is bool(query @ long > query @ exact)
    best = torch.tensor([1.0] + [-1.0] * 195).softmax(dim=0)[0]
    assert f"{best:.3f}" in right("4.4", "largest weight")
    e = torch.randn(6, generator=torch.Generator().manual_seed(0))
    assert_close(align("softmax", e + 3), align("softmax", e))
    assert not torch.allclose(align("sigmoid", e + 3), align("sigmoid", e))
    assert right("4.4", "say 3") == "Nothing under softmax, but the weights under sigmoid"
    twice = torch.cat([torch.full((4,), 5.0)] * 2)
    assert align("softmax", twice)[:4].sum() == pytest.approx(0.5)
    assert right("4.4", "in the picture twice").startswith("They fall to about half under softmax")
    scores = torch.tensor([2.0, 1.9, -3.0], requires_grad=True)
    weights = align("sparsemax", scores)
    (gradient,) = torch.autograd.grad((weights * torch.tensor([1.0, 2.0, 3.0])).sum(), scores)
    assert weights[2] == 0 and gradient[2] == 0
    assert right("4.4", "Under sparsemax a key has the weight 0") == "Exactly 0"
    assert right("4.6", "0 everywhere") == f"Mean {8 / 40**2:.3f}, max 8"
    growth = beyond.count_scores(16, 196)[0] / beyond.count_scores(8, 196)[0]
    assert {2: "Twofold", 4: "Fourfold", 8: "Eightfold"}[growth] == right("4.6", "8 frames of 196")
