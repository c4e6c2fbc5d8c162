"""A changed mask is the one that is applied, and nothing else changes."""

import pytest
import timm
import torch
import torch.nn.functional as F
from block_cases import CASES, CHANNELS, BlockCase, drawn
from torch import Tensor, nn
from torch.testing import assert_close

from course_utils.attention import (
    CBAM,
    Effect,
    MultiHeadAttention,
    SEBlock,
    SpaceTimeAttention,
    edit_masks,
    effect,
    off,
    only,
    record_masks,
    scale,
    temperature,
    uniform,
)
from course_utils.models import VisionTransformer


def vit(heads: int = 2) -> nn.Module:
    torch.manual_seed(0)
    model = timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=32, depth=3, num_heads=heads, num_classes=5
    )
    return model.eval()


@pytest.fixture
def pictures() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_edit_of_nothing_changes_nothing_in_our_blocks(case: BlockCase):
    block, x = drawn(case), torch.randn(3, CHANNELS, 4, 5, generator=torch.Generator().manual_seed(1))
    with edit_masks(block, {"": lambda mask: mask}) as masks:
        found = block(x)
    assert_close(found, block(x))
    assert_close(masks[""], block.mask(x))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_changed_mask_of_our_blocks_is_applied(case: BlockCase):
    block, x = drawn(case), torch.randn(3, CHANNELS, 4, 5, generator=torch.Generator().manual_seed(1))
    with edit_masks(block, {"": lambda mask: 0 * mask}):
        nothing = block(x)
    if case.scales:
        assert (nothing == 0).all()
    with edit_masks(block, {"": lambda mask: mask.flip(1)}) as masks:
        flipped = block(x)
    assert (flipped - block(x)).abs().max() > 1e-3
    if case.scales:
        assert_close(flipped, x * masks[""])


def test_the_two_parts_of_cbam_and_their_product_can_be_changed():
    block, x = CBAM(8, reduction=2).eval(), torch.randn(2, 8, 4, 5)
    with edit_masks(block, {"channel": lambda mask: 0 * mask}):
        assert (block(x) == 0).all()
    with edit_masks(block, {"spatial": torch.ones_like}) as masks, record_masks(block) as seen:
        assert_close(block(x), x * seen["channel"])
    assert masks["spatial"] is seen["spatial"]
    assert_close(seen[""], seen["channel"] * torch.ones(2, 1, 4, 5))


def test_the_masks_of_time_and_space_can_be_changed():
    block, x = SpaceTimeAttention(16, 4), torch.randn(2, 3, 5, 16)
    with edit_masks(block, {"temporal": lambda mask: mask, "spatial": lambda mask: mask}) as masks:
        assert_close(block(x), block(x.clone()))
    assert masks["temporal"].shape == (2, 5, 4, 3, 3)
    assert masks["spatial"].shape == (2, 3, 4, 5, 5)
    with edit_masks(block, {"spatial": off([0, 1, 2, 3])}):
        found = block(x)
    after_time = x + block.temporal(x)
    assert_close(found, after_time + block.spatial.output.bias)


def test_our_vision_transformer_reads_the_class_token_alone_and_records_all(pictures):
    model = VisionTransformer(32, 8, 2, 16, 4, 32, 5).eval()
    nn.init.normal_(model.head.weight)
    with record_masks(model) as masks:
        found = model(pictures)
    assert torch.equal(found, model(pictures))
    assert masks["blocks.1.attention"].shape == (2, 4, 17, 17)
    with edit_masks(model, {"blocks.*.attention": lambda mask: mask}):
        assert_close(model(pictures), found)


def test_a_head_that_is_off_equals_zeroing_its_columns_by_hand(pictures):
    model = vit()
    with torch.no_grad(), edit_masks(model, {"blocks.1.attn": off(1)}):
        found = model(pictures)
    layer = model.blocks[1].attn.proj
    with torch.no_grad():
        layer.weight[:, 16:] = 0  # head 1 brings columns 16 to 31
        assert_close(found, model(pictures), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_a_head_of_torchs_own_layer_is_off(need_weights, training):
    model = nn.MultiheadAttention(16, 4, batch_first=True).train(training)
    x = torch.randn(2, 5, 16)
    with torch.no_grad(), edit_masks(model, {"": off([0, 2])}):
        found = model(x, x, x, need_weights=need_weights)[0]
    with torch.no_grad():
        model.out_proj.weight[:, :4] = 0
        model.out_proj.weight[:, 8:12] = 0
        assert_close(found, model(x, x, x)[0])


@torch.no_grad()
def test_a_layer_of_torchs_encoder_is_changed_and_the_others_keep_their_fast_path():
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    model = nn.TransformerEncoder(layer, 3).eval()
    for parameter in model.parameters():
        parameter.normal_(std=0.3)
    x = torch.randn(2, 5, 16)
    with edit_masks(model, {"layers.1.self_attn": lambda mask: mask}):
        assert_close(model(x), model(x.clone()))
    with edit_masks(model, {"layers.1.self_attn": off(3)}), record_masks(model) as masks:
        found = model(x)
    assert list(masks) == [f"layers.{index}.self_attn" for index in range(3)]
    model.layers[1].self_attn.out_proj.weight[:, 12:] = 0
    assert_close(found, model(x), rtol=1e-4, atol=1e-5)


class Written(nn.Module):
    """Attention in plain steps, with dropout, in any of three forms."""

    def __init__(self, form: str):
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        weights = F.dropout((x @ x.mT).softmax(-1), 0.4, self.training)
        if self.form == "einsum":
            return torch.einsum("qbk,bkd->bqd", weights.transpose(0, 1), x)
        return (x.mT @ weights.mT).mT if self.form == "values first" else weights @ x


@pytest.mark.parametrize("form", ["weights first", "values first", "einsum"])
def test_an_edit_keeps_the_dropout_that_was_drawn(form):
    model, x = Written(form).train(), torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(3)
    expected = model(x)
    torch.manual_seed(3)
    with edit_masks(model, {"": lambda mask: mask}) as masks:
        found = model(x)
    assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert_close(masks[""][:, 0], (x @ x.mT).softmax(-1))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_an_edit_of_half_precision_stays_half(kind):
    model = nn.MultiheadAttention(16, 4, batch_first=True).to(kind)
    x = torch.randn(2, 5, 16, dtype=kind)
    with edit_masks(model, {"": lambda mask: mask}) as masks:
        found = model(x, x, x, need_weights=False)[0]
    assert found.dtype == masks[""].dtype == kind
    assert_close(found, model(x, x, x, need_weights=False)[0], rtol=0.05, atol=0.02)


def test_the_gradient_of_the_answer_at_a_mask(pictures):
    model = vit()
    with edit_masks(model, {"blocks.2.attn": lambda mask: mask}) as masks:
        logits = model(pictures)
    slope = torch.autograd.grad(logits[:, 0].sum(), masks["blocks.2.attn"])[0]
    step = torch.zeros_like(slope)
    step[0, 1, 0, 3] = 0.01
    with torch.no_grad(), edit_masks(model, {"blocks.2.attn": lambda mask: mask + step}):
        moved = model(pictures)
    assert_close((moved - logits)[0, 0] / 0.01, slope[0, 1, 0, 3], rtol=0.02, atol=1e-4)


def test_gates_of_others_are_changed():
    se = timm.layers.SEModule(16).eval()
    x = torch.randn(2, 16, 4, 4)
    with edit_masks(se, {"": scale([3], by=0.0)}) as masks:
        found = se(x)
    expected = se(x)
    expected[:, 3] = 0
    assert_close(found, expected)
    assert (masks[""][:, 3] == 0).all()
    eca = timm.layers.EcaModule(16).eval()  # its gates are expanded to the size of the map
    with edit_masks(eca, {"": scale([3], by=0.0)}):
        assert (eca(x)[:, 3] == 0).all()


# The ready edits ------------------------------------------------------------------------------------------------------


@pytest.fixture
def weights() -> Tensor:
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(2)).softmax(-1)


def test_off_closes_the_heads_that_are_named(weights):
    for heads, closed in ((1, [1]), ([0, -1], [0, 2])):
        found = off(heads)(weights)
        assert (found[:, closed] == 0).all()
        rest = [head for head in range(3) if head not in closed]
        assert torch.equal(found[:, rest], weights[:, rest])


def test_only_keeps_some_keys_and_makes_their_sum_one(weights):
    found = only([1, 4])(weights)
    assert_close(found.sum(-1), torch.ones(2, 3, 4))
    assert (found[..., [0, 2, 3]] == 0).all()
    assert_close(found[..., 1] / found[..., 4], weights[..., 1] / weights[..., 4])
    weights[0, 0, 0] = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0])
    assert (only(1)(weights)[0, 0, 0] == 0).all()


def test_uniform_gives_every_key_the_same(weights):
    assert torch.equal(uniform()(weights), torch.full_like(weights, 0.2))


def test_temperature_is_that_of_the_softmax():
    scores = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(2))
    for t in (0.5, 1.0, 3.0):
        assert_close(temperature(t)(scores.softmax(-1)), (scores / t).softmax(-1))
    closed = torch.tensor([[[[0.0, 0.25, 0.75], [0.0, 0.0, 0.0]]]])
    found = temperature(2.0)(closed)
    assert found[0, 0, 0, 0] == 0
    assert_close(found[0, 0, 0, 2] / found[0, 0, 0, 1], torch.tensor(3.0).sqrt())
    assert (found[0, 0, 1] == 0).all()


def test_scale_multiplies_the_gates_that_are_named():
    gates = torch.rand(2, 6, 1, 1)
    found = scale([0, 5], by=2.0)(gates)
    assert torch.equal(found[:, [0, 5]], 2 * gates[:, [0, 5]])
    assert torch.equal(found[:, 1:5], gates[:, 1:5])
    branches = torch.rand(2, 3, 6, 1, 1)
    assert torch.equal(scale(2, by=0.0)(branches)[:, :, 2], torch.zeros(2, 3, 1, 1))


@pytest.mark.parametrize("edit", [off(0), only(0), temperature(2.0), uniform(), scale(0, by=0.5)])
def test_the_ready_edits_leave_what_they_are_given_alone(edit, weights):
    mask = torch.rand(2, 3, 1, 1) if "scale" in edit.__qualname__ else weights
    kept = mask.clone()
    edit(mask)
    assert torch.equal(mask, kept)


@pytest.mark.parametrize(
    ("edit", "shape", "words"),
    [
        (off(3), (2, 3, 4, 5), r"no head 3.*3 heads, 0 to 2"),
        (off(0), (2, 4, 5), r"off\(heads\) needs attention weights \(N, heads, Q, K\)"),
        (off(0), (2, 8, 1, 1), r"for gates use scale"),
        (only(5), (2, 3, 4, 5), r"no key 5"),
        (uniform(), (2, 8, 1, 1), r"uniform\(\) needs attention weights"),
        (scale(9, by=0.0), (2, 8, 1, 1), r"no channel 9"),
        (scale(0, by=0.0), (2, 3, 4, 5), r"needs gates of channels"),
    ],
)
def test_an_edit_that_does_not_fit_the_mask_says_so(edit, shape, words):
    with pytest.raises(ValueError, match=words):
        edit(torch.rand(shape))


def test_a_temperature_must_be_more_than_zero():
    with pytest.raises(ValueError, match="more than 0, but was given 0"):
        temperature(0)


# Names and errors -----------------------------------------------------------------------------------------------------


def test_patterns_numbers_and_several_edits(pictures):
    layer = SEBlock(3, 1)
    model = nn.Sequential(layer, layer, SEBlock(3, 1))
    with edit_masks(model, {"0#2": lambda mask: 2 * mask, "*": lambda mask: mask + 1}) as masks:
        model(pictures)
    assert list(masks) == ["0", "0#2", "2"]
    with record_masks(model) as plain:
        model(pictures)
    assert_close(masks["0"], plain["0"] + 1)
    with edit_masks(model, {"0": torch.ones_like}) as masks:
        model(pictures)
    assert list(masks) == ["0"], "a name without a number is the first call alone"


def test_an_edit_that_changes_the_shape_is_refused(pictures):
    model = vit()
    with (
        pytest.raises(ValueError, match=r"'blocks\.0\.attn'.*\(2, 2, 17, 17\) and returned shape \(2, 2, 17, 3\)"),
        edit_masks(model, {"blocks.0.attn": lambda mask: mask[..., :3]}),
    ):
        model(pictures)
    with pytest.raises(ValueError, match="returned NoneType"), edit_masks(model, {"blocks.0.attn": print}):
        model(pictures)
    model(pictures)


def test_an_unknown_name_gives_the_nearest(pictures):
    model = vit()
    with pytest.raises(ValueError, match=r"no module 'block\.1\.attn'.*'blocks\.1\.attn'"):
        effect(model, pictures, "block.1.attn", off(0))
    with pytest.raises(ValueError, match=r"No mask was made at 'blocks\.1'.*blocks\.1\.attn"):
        effect(model, pictures, "blocks.1", off(0))
    with pytest.raises(ValueError, match=r"no mask\. It consists of 1 Linear"):
        effect(nn.Sequential(nn.Linear(3, 3)), torch.rand(1, 3), "0", off(0))


def test_an_edit_must_be_a_function():
    with pytest.raises(TypeError, match=r"'blocks\.0\.attn' must be a function.*float"):
        edit_masks(vit(), {"blocks.0.attn": 0.5})


# The effect of an edit ------------------------------------------------------------------------------------------------


def test_effect_compares_the_answers_and_leaves_the_model_as_it_was(pictures):
    model = vit().train()
    model.blocks[0].eval()
    found = effect(model, pictures, "blocks.1.attn", off([0, 1]))
    assert not model.blocks[0].training
    assert model.training
    model.eval()
    with torch.no_grad():
        before = model(pictures)
        with edit_masks(model, {"blocks.1.attn": off([0, 1])}):
            after = model(pictures)
    assert torch.equal(found.before, before)
    assert torch.equal(found.after, after)
    assert torch.equal(found.change, after - before)
    assert found.change.abs().max() > 1e-3
    assert not found.before.requires_grad


class Answers(nn.Module):
    """One attention, and its answer in whatever a model may wrap it."""

    def __init__(self, wrap):
        super().__init__()
        self.attention, self.wrap = MultiHeadAttention(8, 2), wrap

    def forward(self, x: Tensor):
        return self.wrap(self.attention(x))


class WithLogits:
    """As transformers' outputs."""

    def __init__(self, logits: Tensor):
        self.logits = logits


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: (x, 1), lambda x: {"out": x}, WithLogits])
def test_effect_finds_the_answer(wrap):
    model, x = Answers(wrap), torch.randn(2, 3, 8)
    found = effect(model, x, "attention", uniform())
    assert found.change.shape == (2, 3, 8)
    assert torch.equal(effect(model, {"x": x}, "attention", uniform()).change, found.change)


def test_effect_says_what_it_cannot_compare():
    with pytest.raises(TypeError, match="returned str, which holds no answer"):
        effect(Answers(str), torch.randn(2, 3, 8), "attention", uniform())


@pytest.mark.parametrize("where", ["weights", "pictures", "overflow"])
def test_numbers_that_are_not_finite_are_refused(where, pictures):
    model = vit()
    if where == "weights":
        model.blocks[1].mlp.fc1.weight.data[0, 0] = torch.nan
    if where == "pictures":
        pictures[0, 0, 0, 0] = torch.inf
    if where == "overflow":
        model.head.weight.data.fill_(3e38)
    words = {
        "weights": r"'blocks\.1\.mlp\.fc1\.weight' holds",
        "pictures": "the pictures hold",
        "overflow": "overflows",
    }
    with pytest.raises(ValueError, match=words[where]):
        effect(model, pictures, "blocks.0.attn", off(0))


def test_an_effect_is_shown_in_words_and_not_as_a_thousand_numbers() -> None:
    shown = repr(Effect(torch.tensor([[1.0, -4.0]]), torch.tensor([[1.5, -4.0]])))
    assert "(1, 2)" in shown and "changes by 0.5" in shown and "largest value was 4" in shown
    assert "tensor" not in shown
