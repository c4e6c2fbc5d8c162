"""Any score with any alignment makes a context."""

import functools

import pytest
import torch
from torch.testing import assert_close

from course_utils.attention import GeneralAttention, PredictiveCenter, SubsetAgent, align, record_masks, score
from course_utils.attention.alignments import ALIGNMENTS
from course_utils.attention.scores import SCORES

OPTIONS = {
    "hard": lambda: {"generator": torch.Generator().manual_seed(5)},
    "local": lambda: {"center": PredictiveCenter(6), "window": 3, "gaussian": True},
    "reinforced": lambda: {"keep": SubsetAgent(6, 6)},
}


def built(score_name: str, alignment: str) -> GeneralAttention:
    torch.manual_seed(0)
    return GeneralAttention(score(score_name, 6, 6), alignment, **OPTIONS.get(alignment, dict)())


def inputs(batch: int = 2):
    torch.manual_seed(1)
    return torch.randn(batch, 4, 6), torch.randn(batch, 7, 6), torch.randn(batch, 7, 3)


@pytest.mark.parametrize("score_name", SCORES)
@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_every_pair_gives_a_context_that_its_recorded_mask_explains(score_name, alignment):
    attention = built(score_name, alignment)
    query, keys, values = (x.requires_grad_() for x in inputs())
    attn_mask = torch.ones(2, 4, 7, dtype=torch.bool)
    attn_mask[0, 1] = False
    with record_masks(attention) as masks:
        context = attention(query, keys, values, attn_mask)
    assert context.shape == (2, 4, 3)
    assert_close(context, masks[""] @ values)
    assert (context[0, 1] == 0).all()
    context.square().sum().backward()
    assert all(x.grad.isfinite().all() for x in (query, keys, values))
    assert attention.mask(query, keys).shape == (2, 4, 7)


@pytest.mark.parametrize("alignment", ["softmax", "sparsemax", "sigmoid"])
def test_the_context_does_not_depend_on_the_order_of_the_keys(alignment):
    attention, (query, keys, values) = built("additive", alignment), inputs()
    order = torch.randperm(7)
    assert_close(attention(query, keys[:, order], values[:, order]), attention(query, keys, values))


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_recording_changes_neither_output_nor_random_state(alignment):
    query, keys, values = inputs()
    plain, recorded = built("general", alignment), built("general", alignment)
    torch.manual_seed(2)
    expected, state = plain(query, keys, values), torch.get_rng_state()
    torch.manual_seed(2)
    with record_masks(recorded):
        context = recorded(query, keys, values)
    assert torch.equal(context, expected)
    assert torch.equal(torch.get_rng_state(), state)
    for block in (plain, recorded):
        if alignment == "hard":
            assert torch.equal(block.options["generator"].get_state(), plain.options["generator"].get_state())


def test_hard_by_reinforce_sends_its_gradient_through_the_recorded_mask_only():
    attention = GeneralAttention(score("general", 6, 6), "hard", estimator="reinforce")
    query, keys, values = inputs()
    values.requires_grad_()
    with record_masks(attention) as masks:
        context = attention(query, keys, values)
    context.square().sum().backward()
    assert values.grad.abs().sum() > 0
    assert attention.score.weight.weight.grad is None
    masks[""].sum(dim=-1)[0, 0].backward()
    assert attention.score.weight.weight.grad.abs().sum() > 0


def test_choosers_are_trained_and_moved_with_the_block():
    local, reinforced = built("general", "local"), built("general", "reinforced")
    assert any(name.startswith("choosers.center") for name, _ in local.named_parameters())
    assert any(name.startswith("choosers.keep") for name, _ in reinforced.named_parameters())
    query, keys, values = inputs()
    local(query, keys, values).square().sum().backward()
    assert local.choosers["center"].project.weight.grad.abs().sum() > 0


def test_a_chosen_center_looks_at_a_picture():
    attention = GeneralAttention(
        score("general", 6, 6), "local", center=PredictiveCenter(6, axes=2), window=1, shape=(3, 4)
    )
    query, keys = torch.randn(2, 5, 6), torch.randn(2, 12, 6)
    center = attention.choosers["center"](query, (3, 4))
    expected = align("local", attention.score(query, keys), center=center, window=1, shape=(3, 4))
    assert_close(attention.mask(query, keys), expected)


def test_a_function_serves_as_alignment():
    query, keys, values = inputs()
    bound = functools.partial(align, "local", center=torch.arange(4), window=2)
    compare = score("general", 6, 6)
    assert_close(
        GeneralAttention(compare, bound)(query, keys, values),
        GeneralAttention(compare, "local", center=torch.arange(4), window=2)(query, keys, values),
    )


@pytest.mark.parametrize("alignment", ["softmax", "sparsemax", "sigmoid", "local"])
def test_it_exports_compiles_and_reloads(alignment):
    attention, arguments = built("additive", alignment), inputs(batch=1)
    expected = attention(*arguments)
    assert_close(torch.export.export(attention, arguments).module()(*arguments), expected)
    assert_close(torch.compile(attention, backend="aot_eager")(*arguments), expected)
    torch.manual_seed(9)
    again = GeneralAttention(score("additive", 6, 6), alignment, **OPTIONS.get(alignment, dict)())
    assert not torch.allclose(again(*arguments), expected)
    again.load_state_dict(attention.state_dict())
    assert torch.equal(again(*arguments), expected)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_half_precision_gives_no_nan(alignment, dtype, size):
    attention = built("multiplicative", alignment).to(dtype)
    query, keys, values = ((size * x).to(dtype) for x in inputs())
    context = attention(query, keys, values)
    assert context.dtype == dtype
    assert context.isfinite().all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GeneralAttention(score("general", 6, 6), "softmaxx"), "did you mean 'softmax'"),
        (lambda: GeneralAttention(score("general", 6, 6), "softmax", window=3), "no option 'window'"),
        (lambda: GeneralAttention(score("general", 6, 6), torch.softmax, dim=2), "functools.partial"),
        (lambda: built("general", "softmax")(*inputs()[:2], torch.randn(2, 6, 3)), r"\(2, 7, 'dv'\)"),
        (lambda: built("general", "softmax")(*inputs(), torch.ones(4, 6, dtype=torch.bool)), "attn_mask has shape"),
        (lambda: GeneralAttention(score("general", 6, 6), "local", window=3)(*inputs()), "needs center"),
    ],
)
def test_what_does_not_fit_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
