"""Each score against its formula, written once more for a single pair of vectors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from course_utils.attention import score
from course_utils.attention.scores import SCORES

EQUAL_WIDTHS = {"multiplicative", "scaled_multiplicative", "similarity_euclidean", "similarity_cosine"}


def built(name: str, dtype: torch.dtype = torch.float64):
    """A score of widths 5 and 5, or 5 and 3 where it may, with every parameter drawn."""
    torch.manual_seed(0)
    key_dim = 5 if name in EQUAL_WIDTHS else 3
    module = score(name, 5, key_dim, 4 if name in ("additive", "concat") else None)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module.to(dtype), torch.randn(2, 4, 5).to(dtype), torch.randn(2, 6, key_dim).to(dtype)


FORMULAS = {
    "additive": lambda m, q, k: m.vector.weight[0] @ torch.tanh(m.query.weight @ q + m.key.weight @ k + m.key.bias),
    "concat": lambda m, q, k: m.vector.weight[0] @ torch.tanh(m.joint.weight @ torch.cat([q, k]) + m.joint.bias),
    "multiplicative": lambda m, q, k: q @ k,
    "scaled_multiplicative": lambda m, q, k: q @ k / len(k) ** 0.5,
    "general": lambda m, q, k: k @ m.weight.weight @ q,
    "biased_general": lambda m, q, k: k @ (m.weight.weight @ q + m.weight.bias),
    "activated_general": lambda m, q, k: torch.tanh(k @ m.weight.weight @ q + m.scalar),
    "similarity_euclidean": lambda m, q, k: -((q - k) ** 2).sum().sqrt(),
    "similarity_cosine": lambda m, q, k: q @ k / ((q @ q) * (k @ k)).sqrt(),
}


@pytest.mark.parametrize("name", SCORES)
def test_every_pair_and_its_gradient_follow_the_formula(name):
    module, query, keys = built(name)
    query.requires_grad_()
    keys.requires_grad_()
    leaves = [query, keys, *module.parameters()]
    expected = torch.stack(
        [
            torch.stack([torch.stack([FORMULAS[name](module, q, k) for k in keys[n]]) for q in query[n]])
            for n in range(2)
        ]
    )
    ours = module(query, keys)
    assert ours.shape == (2, 4, 6)
    assert_close(ours, expected)
    direction = torch.randn(2, 4, 6, dtype=torch.float64)
    slopes = torch.autograd.grad(ours, leaves, direction)
    assert_close(slopes, torch.autograd.grad(expected, leaves, direction))


def test_the_names_are_the_nine_of_the_lesson():
    assert list(SCORES) == list(FORMULAS)


def test_additive_and_concat_are_one_function():
    additive, query, keys = built("additive")
    concat, _, _ = built("concat")
    with torch.no_grad():
        concat.joint.weight.copy_(torch.cat([additive.query.weight, additive.key.weight], dim=1))
        concat.joint.bias.copy_(additive.key.bias)
        concat.vector.weight.copy_(additive.vector.weight)
    assert_close(concat(query, keys), additive(query, keys))


def test_the_bias_of_biased_general_meets_the_key_and_survives_a_softmax():
    module, query, keys = built("biased_general")
    assert module.weight.bias.shape == (3,)
    before = module(query, keys).softmax(dim=2)
    with torch.no_grad():
        module.weight.bias.add_(1.0)
    assert not torch.allclose(module(query, keys).softmax(dim=2), before)


def test_the_bias_of_activated_general_is_one_number():
    assert built("activated_general")[0].scalar.shape == ()


def test_the_nearest_key_scores_highest_and_a_key_on_the_query_scores_zero():
    module = score("similarity_euclidean", 2, 2)
    query = torch.zeros(1, 1, 2, requires_grad=True)
    keys = torch.tensor([[[3.0, 4.0], [0.0, 0.0], [0.6, 0.8]]])
    scores = module(query, keys)
    assert_close(scores, torch.tensor([[[-5.0, 0.0, -1.0]]]))
    assert_close(module(query + 10000, keys + 10000), scores, atol=5e-3, rtol=0)  # far from the origin too
    scores.sum().backward()
    assert query.grad.isfinite().all()


def test_cosine_of_a_vector_of_zeros_is_zero():
    for dtype in (torch.float32, torch.float16):
        keys = torch.zeros(1, 2, 3, dtype=dtype)
        assert_close(
            score("similarity_cosine", 3, 3)(torch.ones(1, 1, 3, dtype=dtype), keys), torch.zeros(1, 1, 2).to(dtype)
        )


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_close_to_double(name, dtype):
    module, query, keys = built(name)
    expected = module(query, keys)
    ours = module.to(dtype)(query.to(dtype), keys.to(dtype))
    assert ours.dtype == dtype
    tolerance = 0.02 if dtype == torch.float16 else 0.15
    assert_close(ours.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", SCORES)
@settings(max_examples=8, deadline=None)
@given(
    queries=st.integers(1, 4), keys=st.integers(1, 5), size=st.sampled_from([1e-4, 1.0, 1e4]), seed=st.integers(0, 99)
)
def test_scores_are_finite_and_follow_their_keys(name, queries, keys, size, seed):
    module, _, _ = built(name, torch.float32)
    torch.manual_seed(seed)
    query, key = size * torch.randn(1, queries, 5), size * torch.randn(1, keys, module.key_dim)
    ours, order = module(query, key), torch.randperm(keys)
    assert ours.isfinite().all()
    assert_close(module(query, key[:, order]), ours[:, :, order], rtol=1e-4, atol=1e-4 * max(1.0, size))
    strided = key.transpose(1, 2).contiguous().transpose(1, 2)
    assert_close(module(query, strided), ours, rtol=1e-4, atol=1e-4 * max(1.0, size))


@pytest.mark.parametrize("name", SCORES)
def test_scores_export_compile_and_reload(name):
    module, query, keys = built(name, torch.float32)
    expected = module(query, keys)
    assert_close(torch.export.export(module, (query, keys)).module()(query, keys), expected)
    assert_close(torch.compile(module, backend="aot_eager")(query, keys), expected)
    again = score(name, 5, module.key_dim, 4 if name in ("additive", "concat") else None)
    again.load_state_dict(module.state_dict())
    assert torch.equal(again(query, keys), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("aditive", 4, 4), "did you mean 'additive'"),
        (("zzz", 4, 4), "The scores are additive"),
        (("multiplicative", 4, 5), "general"),
        (("similarity_cosine", 4, 5), "query_dim=4 and key_dim=5"),
        (("additive", 0, 5), "at least 1"),
        (("concat", 4, 5, 0), "at least 1"),
        (("general", 4, 5, 8), "no hidden width"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        score(*arguments)


@pytest.mark.parametrize(
    ("query", "keys", "message"),
    [
        ((4, 5), (2, 6, 3), r"x\[None\]"),
        ((2, 4, 3), (2, 6, 3), r"its query as \(N, length, 5\)"),
        ((2, 4, 5), (2, 6, 5), r"its keys as \(N, length, 3\)"),
        ((1, 4, 5), (2, 6, 3), "one batch size"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(query, keys, message):
    with pytest.raises(ValueError, match=message):
        score("general", 5, 3)(torch.randn(query), torch.randn(keys))
