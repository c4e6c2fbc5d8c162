"""Alignments: what every one keeps, what each one promises, and whether the sampled ones learn."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from course_utils.attention import PredictiveCenter, SubsetAgent, align, score
from course_utils.attention.alignments import ALIGNMENTS

SUMS_TO_ONE = ["softmax", "sparsemax", "hard", "local", "reinforced"]


def options_for(name: str, scores: torch.Tensor) -> dict:
    """Options that let every key take part, but for "hard"."""
    if name == "local":
        return {"center": torch.zeros(scores.shape[:-1]), "window": scores.shape[-1]}
    if name == "reinforced":
        return {"keep": torch.ones(scores.shape, dtype=torch.bool)}
    return {}


@pytest.mark.parametrize("name", ALIGNMENTS)
@settings(max_examples=15, deadline=None)
@given(
    rows=st.integers(1, 4),
    keys=st.integers(1, 9),
    spread=st.sampled_from([0.0, 1e-3, 1.0, 1e4]),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    seed=st.integers(0, 999),
)
def test_weights_are_in_range_and_masked_rows_are_empty(name, rows, keys, spread, dtype, seed):
    torch.manual_seed(seed)
    scores = (spread * torch.randn(2, rows, keys)).to(dtype).requires_grad_()
    attn_mask = torch.rand(2, rows, keys) < 0.6
    attn_mask[0, 0] = False
    weights = align(name, scores, attn_mask, **options_for(name, scores))
    assert weights.shape == scores.shape
    assert weights.dtype == dtype
    assert ((weights >= 0) & (weights <= 1)).all()
    assert (weights[~attn_mask] == 0).all()
    if name in SUMS_TO_ONE:
        expected = attn_mask.any(dim=-1).to(torch.float64)
        assert_close(weights.sum(dim=-1, dtype=torch.float64), expected, atol=keys * 4e-3, rtol=0)
    (weights * torch.randn(weights.shape, dtype=dtype)).sum().backward()
    assert scores.grad.isfinite().all()
    assert (scores.grad[~attn_mask] == 0).all()


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_infinite_half_scores_give_no_nan(name):
    scores = torch.tensor([[[math.inf, 1.0, -math.inf], [math.inf, math.inf, 0.0]]], dtype=torch.float16)
    weights = align(name, scores, **options_for(name, scores))
    assert weights.isfinite().all()
    assert weights[0, 0, 0] == 1


@pytest.mark.parametrize("name", ["softmax", "sparsemax", "sigmoid", "reinforced"])
@settings(max_examples=10, deadline=None)
@given(keys=st.integers(1, 9), seed=st.integers(0, 999))
def test_weights_follow_their_keys(name, keys, seed):
    torch.manual_seed(seed)
    scores, order, keep = torch.randn(2, 3, keys), torch.randperm(keys), torch.rand(2, 3, keys) < 0.7
    options = {"keep": keep} if name == "reinforced" else {}
    moved = {"keep": keep[..., order]} if name == "reinforced" else {}
    assert_close(align(name, scores[..., order], **moved), align(name, scores, **options)[..., order])
    strided = scores.transpose(1, 2).contiguous().transpose(1, 2)
    assert_close(align(name, strided, **options), align(name, scores, **options))


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_a_mask_is_broadcast_to_the_scores(name):
    torch.manual_seed(0)
    scores, attn_mask = torch.randn(2, 3, 4), torch.rand(3, 4) < 0.5

    def aligned(mask):
        options = options_for(name, scores) | (
            {"generator": torch.Generator().manual_seed(0)} if name == "hard" else {}
        )
        return align(name, scores, mask, **options)

    assert torch.equal(aligned(attn_mask), aligned(attn_mask.expand(2, 3, 4)))
    assert not torch.equal(aligned(attn_mask), aligned(None))


def test_softmax_and_sigmoid_are_their_formulas():
    scores = torch.tensor([[0.0, math.log(3.0)]])
    assert_close(align("softmax", scores), torch.tensor([[0.25, 0.75]]))
    assert_close(align("sigmoid", scores), torch.tensor([[0.5, 0.75]]))


# hard


@pytest.mark.parametrize("estimator", ["straight_through", "reinforce"])
def test_hard_draws_one_key_with_the_probabilities_of_the_softmax(estimator):
    scores = torch.tensor([0.0, 1.0, 2.0]).expand(20000, 3)
    generator = torch.Generator().manual_seed(0)
    weights = align("hard", scores, generator=generator, estimator=estimator)
    assert set(weights.unique().tolist()) == {0.0, 1.0}
    assert (weights.sum(dim=-1) == 1).all()
    assert_close(weights.mean(dim=0), scores[0].softmax(dim=0), atol=0.015, rtol=0)


def test_hard_draws_once_from_its_generator_and_leaves_the_global_state():
    scores = torch.randn(4, 5)
    before = torch.get_rng_state()
    first = align("hard", scores, generator=torch.Generator().manual_seed(3))
    again = align("hard", scores, generator=torch.Generator().manual_seed(3))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)


def test_straight_through_has_the_gradient_of_the_softmax():
    scores = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(3, 5, dtype=torch.float64)
    slope = torch.autograd.grad(align("hard", scores), scores, direction)
    assert_close(slope, torch.autograd.grad(scores.softmax(dim=-1), scores, direction))


def test_reinforce_carries_the_gradient_of_the_log_probability():
    scores = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    attn_mask = torch.ones(3, 5, dtype=torch.bool)
    attn_mask[:, 0], attn_mask[2] = False, False
    weights = align("hard", scores, attn_mask, estimator="reinforce")
    (slope,) = torch.autograd.grad(weights.sum(dim=-1), scores, torch.tensor([1.0, -2.0, 3.0]).double())
    drawn = weights[:2].argmax(dim=-1, keepdim=True)
    log_p = scores[:2].masked_fill(~attn_mask[:2], -math.inf).log_softmax(dim=-1).gather(-1, drawn)
    (expected,) = torch.autograd.grad(log_p[0] - 2 * log_p[1], scores)
    assert_close(slope, expected)


def test_reinforce_is_unbiased():
    scores = torch.tensor([0.3, -0.5, 1.0], dtype=torch.float64, requires_grad=True)
    loss = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)  # of each key, were it drawn
    weights = align("hard", scores.expand(40000, 3), generator=torch.Generator().manual_seed(0), estimator="reinforce")
    drawn_loss = (weights.detach() * loss).sum(dim=-1)
    (slope,) = torch.autograd.grad((drawn_loss * weights.sum(dim=-1)).mean(), scores)
    (expected,) = torch.autograd.grad((scores.softmax(dim=0) * loss).sum(), scores)
    assert_close(slope, expected, atol=0.03, rtol=0)


@pytest.mark.parametrize("estimator", ["straight_through", "reinforce"])
def test_hard_learns_to_find_the_key_that_answers(estimator):
    """The value of the one key that equals the query must come out."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    compare = score("general", 4, 4)
    optimizer = torch.optim.Adam(compare.parameters(), lr=0.05)

    def episode():
        order = torch.rand(128, 4, generator=generator).argsort(dim=1)
        keys = torch.eye(4)[order]  # (128, 4, 4): the four directions, shuffled
        values = torch.randn(128, 4, 3, generator=generator)
        wanted = torch.randint(4, (128,), generator=generator)
        query = torch.eye(4)[wanted][:, None]  # (128, 1, 4)
        answer = values[torch.arange(128), (order == wanted[:, None]).int().argmax(dim=1)]
        weights = align("hard", compare(query, keys), generator=generator, estimator=estimator)
        context = (weights if estimator == "straight_through" else weights.detach()) @ values
        return (context.squeeze(1) - answer).square().mean(dim=1), weights

    start = episode()[0].mean().item()
    for _ in range(80):
        losses, weights = episode()
        objective = losses
        if estimator == "reinforce":
            objective = losses + (losses.detach() - losses.detach().mean()) * weights.sum(dim=(1, 2))
        optimizer.zero_grad()
        objective.mean().backward()
        optimizer.step()
    assert episode()[0].mean().item() < start / 4


# local


def test_local_is_a_softmax_inside_the_window():
    scores = torch.randn(2, 3, 7, dtype=torch.float64)
    center = torch.tensor([[0.0, 3.0, 6.0], [1.4, 2.6, 3.5]])
    weights = align("local", scores, center=center, window=1)
    inside = [[[0, 1], [2, 3, 4], [5, 6]], [[1, 2], [2, 3], [3, 4]]]
    for n in range(2):
        for q in range(3):
            expected = torch.zeros(7, dtype=torch.float64)
            expected[inside[n][q]] = scores[n, q, inside[n][q]].softmax(dim=0)
            assert_close(weights[n, q], expected)


def test_gaussian_weights_fall_with_half_the_window_and_are_not_renormalised():
    center = torch.full((1, 1), 3.0)
    weights = align("local", torch.zeros(1, 1, 7), center=center, window=2, gaussian=True)
    expected = [0.2 * math.exp(-((place - 3) ** 2) / 2) if 1 <= place <= 5 else 0.0 for place in range(7)]  # sigma = 1
    assert_close(weights[0, 0], torch.tensor(expected))
    wide = align("local", torch.zeros(1, 1, 9), center=torch.full((1, 1), 4.0), window=4, gaussian=True)
    assert_close(wide[0, 0, 6], torch.tensor(math.exp(-0.5) / 9))  # two from the center, sigma = 2


def test_monotonic_center_follows_the_query():
    weights = align("local", torch.zeros(1, 4, 4), center=torch.arange(4), window=0)
    assert torch.equal(weights[0], torch.eye(4))


def test_local_on_a_picture_keeps_a_square_round_row_and_column():
    weights = align(
        "local", torch.zeros(1, 2, 20), center=torch.tensor([[[1.0, 3.0], [0.0, 0.0]]]), window=1, shape=(4, 5)
    )
    picture = weights.view(2, 4, 5)
    expected = torch.zeros(2, 4, 5)
    expected[0, 0:3, 2:5] = 1 / 9
    expected[1, 0:2, 0:2] = 1 / 4
    assert_close(picture, expected)
    bell = align(
        "local", torch.zeros(1, 1, 20), center=torch.tensor([[[1.0, 3.0]]]), window=2, shape=(4, 5), gaussian=True
    ).view(4, 5)
    assert_close(bell[2, 4] / bell[1, 3], torch.tensor(math.exp(-1.0)))  # one down, one right: exp(-(1 + 1) / 2)
    assert_close(bell[1, 1] / bell[1, 3], torch.tensor(math.exp(-2.0)))


def test_a_window_beside_the_keys_is_an_empty_row():
    scores = torch.randn(1, 1, 4, requires_grad=True)
    weights = align("local", scores, center=torch.full((1, 1), 9.0), window=2)
    assert (weights == 0).all()
    weights.sum().backward()
    assert scores.grad.isfinite().all()


def test_predictive_center_is_its_formula_on_a_line_and_on_a_picture():
    torch.manual_seed(0)
    query = torch.randn(2, 3, 4)
    for axes, size in ((1, 10), (2, (6, 9))):
        module = PredictiveCenter(4, 5, axes=axes)
        share = torch.sigmoid(torch.tanh(query @ module.project.weight.T) @ module.vector.weight.T)
        expected = share.squeeze(2) * 10 if axes == 1 else share * torch.tensor([6.0, 9.0])
        assert_close(module(query, size), expected)


@pytest.mark.parametrize("axes", [1, 2])
def test_predictive_center_learns_through_the_gaussian(axes):
    """The query holds the place to look at; what stands there must come out."""
    torch.manual_seed(0)
    center = PredictiveCenter(axes + 1, 8, axes=axes)
    optimizer = torch.optim.Adam(center.parameters(), lr=0.05)
    size, shape = (12, None) if axes == 1 else ((6, 6), (6, 6))
    keys = 12 if axes == 1 else 36
    extents = torch.tensor([12.0] if axes == 1 else [6.0, 6.0])

    def distance():
        place = torch.rand(32, 1, axes)
        query = torch.cat([4 * place - 2, torch.ones(32, 1, 1)], dim=2)
        predicted = center(query, size)
        weights = align("local", torch.zeros(32, 1, keys), center=predicted, window=6, gaussian=True, shape=shape)
        axis = [torch.arange(int(extent)) for extent in extents]
        places = torch.stack(torch.meshgrid(*axis, indexing="ij"), dim=-1).flatten(0, -2).float()
        target = torch.exp(-(places - place * extents).square().sum(dim=-1, keepdim=True).transpose(1, 2) / 8)
        looked = weights / weights.sum(dim=-1, keepdim=True).clamp_min(1e-6)
        wanted = target / target.sum(dim=-1, keepdim=True)
        return (looked - wanted).square().sum(dim=-1).mean()

    start = distance().item()
    for _ in range(80):
        optimizer.zero_grad()
        distance().backward()
        optimizer.step()
    assert distance().item() < start / 3


# reinforced


def test_reinforced_is_a_softmax_inside_the_kept_keys():
    scores = torch.randn(2, 1, 4)
    keep = torch.tensor([[[True, False, True, False]], [[False, False, False, False]]])
    weights = align("reinforced", scores, keep=keep)
    assert_close(weights[0, 0, [0, 2]], scores[0, 0, [0, 2]].softmax(dim=0))
    assert (weights[0, 0, [1, 3]] == 0).all()
    assert (weights[1] == 0).all()
    both = align("reinforced", scores, attn_mask=torch.tensor([True, True, False, True]), keep=keep)
    assert_close(both[0, 0], torch.tensor([1.0, 0.0, 0.0, 0.0]))


def test_the_agent_tosses_in_training_and_decides_in_evaluation():
    torch.manual_seed(0)
    agent, query, keys = SubsetAgent(3, 4), torch.randn(20, 2, 3), torch.randn(20, 5, 4)
    with torch.no_grad():
        agent.policy.vector.weight.mul_(8)  # biases far from 1/2, both ways
    chance = torch.sigmoid(agent.policy(query, keys))
    draws = torch.stack([agent(query, keys) for _ in range(200)]).double().mean(dim=0)
    assert_close(draws, chance.double(), atol=0.2, rtol=0)
    assert torch.equal(agent.eval()(query, keys), chance > 0.5)
    keep = chance > 0.3
    expected = torch.where(keep, chance, 1 - chance).log().sum(dim=-1)
    assert_close(agent.log_probability(query, keys, keep), expected)


def test_the_agent_learns_to_keep_the_keys_that_matter():
    """Keys of two kinds: the mean of the first kind's values is asked for, the others are noise."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    agent = SubsetAgent(1, 2, 8)
    optimizer = torch.optim.Adam(agent.parameters(), lr=0.05)
    query = torch.ones(256, 1, 1)

    def episode():
        kind = torch.rand(256, 6, generator=generator) < 0.5
        kind[:, 0] = True
        keys = torch.stack([kind, ~kind], dim=2).float()
        values = torch.randn(256, 6, 1, generator=generator) + 4 * (~kind[..., None]).float()
        keep = agent(query, keys, generator=generator)
        context = align("reinforced", torch.zeros(256, 1, 6), keep=keep) @ values  # (256, 1, 1)
        answer = (values * kind[..., None]).sum(dim=1) / kind.sum(dim=1, keepdim=True)
        losses = (context[:, 0] - answer).square()  # (256, 1)
        return losses, agent.log_probability(query, keys, keep), keep[:, 0], kind

    for _ in range(150):
        losses, log_p, _, _ = episode()
        advantage = losses.detach() - losses.detach().mean()
        optimizer.zero_grad()
        (advantage * log_p).mean().backward()
        optimizer.step()
    agent.eval()
    _, _, keep, kind = episode()
    assert torch.equal(keep, kind)


# errors


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sofmax", {}, "did you mean 'softmax'"),
        ("zzz", {}, "The alignments are softmax, sparsemax"),
        ("softmax", {"window": 2}, "no option 'window'"),
        ("hard", {"temperature": 1.0}, "generator=None, estimator='straight_through'"),
        ("hard", {"estimator": "gumbel"}, "'gumbel'"),
        ("local", {}, "needs center and window"),
        ("local", {"center": torch.zeros(2, 3)}, "needs window"),
        ("local", {"center": torch.zeros(2, 4), "window": 1}, r"need \(2, 3\)"),
        ("local", {"center": torch.zeros(2, 3), "window": -1}, "at least 0"),
        ("local", {"center": torch.zeros(2, 3), "window": 0, "gaussian": True}, "above 0"),
        ("local", {"center": torch.zeros(2, 3, 2), "window": 1, "shape": (2, 2)}, "4 positions"),
        ("local", {"center": torch.zeros(2, 3), "window": 1, "shape": (1, 5)}, r"\(row, column\)"),
        ("local", {"center": torch.zeros(2, 3, 1), "window": 1, "shape": (1, 5)}, r"\(row, column\)"),
        ("reinforced", {}, "needs keep"),
        ("reinforced", {"keep": torch.ones(2, 3, 5)}, "keep must be boolean"),
        ("reinforced", {"keep": torch.ones(2, 3, 4, dtype=torch.bool)}, "keep has shape"),
    ],
)
def test_names_and_options_that_do_not_fit_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        align(name, torch.randn(2, 3, 5), **options)


@pytest.mark.parametrize(
    ("scores", "attn_mask", "message"),
    [
        (torch.zeros(2, 3, dtype=torch.long), None, "floating point"),
        (torch.zeros(2, 0), None, "at least one key"),
        (torch.tensor(1.0), None, "at least one key"),
        (torch.zeros(2, 3), torch.zeros(2, 3), "must be boolean"),
        (torch.zeros(2, 3), torch.ones(3, 2, dtype=torch.bool), r"give \(2, 3\)"),
        (torch.zeros(2, 3), torch.ones(1, 2, 3, dtype=torch.bool), "broadcasts"),
    ],
)
@pytest.mark.parametrize("name", ["softmax", "sigmoid", "sparsemax"])
def test_scores_and_masks_that_do_not_fit_are_refused(name, scores, attn_mask, message):
    with pytest.raises(ValueError, match=message):
        align(name, scores, attn_mask)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PredictiveCenter(4, axes=3), "axes=3"),
        (lambda: PredictiveCenter(0), "at least 1"),
        (lambda: PredictiveCenter(4)(torch.randn(2, 3, 5), 9), "needs query"),
        (lambda: PredictiveCenter(4)(torch.randn(2, 3, 4), (3, 3)), "a number of keys"),
        (lambda: PredictiveCenter(4, axes=2)(torch.randn(2, 3, 4), 9), r"\(H, W\)"),
        (lambda: SubsetAgent(4, 3)(torch.randn(2, 3, 5), torch.randn(2, 3, 3)), "its query"),
    ],
)
def test_learned_choices_that_do_not_fit_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
