"""Any network's masks: what is recorded is what was applied, and recording changes nothing."""

import copy
import functools
import gc
import io
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from course_utils.attention import SEBlock, SelfAttention2d, edit_masks, record_masks


class Gate(nn.Module):
    """A plain squeeze-and-excitation that knows nothing of this course."""

    def __init__(self, channels: int = 8):
        super().__init__()
        self.layer = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.layer(x.mean((2, 3))).sigmoid()[:, :, None, None]


class Attention(nn.Module):
    """A plain attention layer: fused, written out, or with the heads in the batch."""

    def __init__(self, width: int = 16, heads: int = 4, way: str = "fused", dropout: float = 0.0):
        super().__init__()
        self.qkv, self.num_heads, self.way = nn.Linear(width, 3 * width), heads, way
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        if self.way == "fused":
            rate = self.dropout.p if self.training else 0.0
            return F.scaled_dot_product_attention(query, key, value, dropout_p=rate).transpose(1, 2).flatten(2)
        if self.way == "batch":
            query, key, value = (part.flatten(0, 1) for part in (query, key, value))
        weights = self.dropout((query @ key.mT * query.shape[-1] ** -0.5).softmax(-1))
        if self.way == "einsum":
            context = torch.einsum("nhqk,nhkd->nhqd", weights, value)
        elif self.way == "values first":
            context = (value.mT @ weights.mT).mT
        else:
            context = weights @ value
        return context.reshape(len(x), self.num_heads, x.shape[1], -1).transpose(1, 2).flatten(2)

    def expected(self, x: Tensor) -> Tensor:
        query, key, _ = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return (query @ key.mT * query.shape[-1] ** -0.5).softmax(-1)


WAYS = ("fused", "written", "batch", "einsum", "values first")


@pytest.fixture
def tokens() -> Tensor:
    return torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def maps() -> Tensor:
    return torch.randn(3, 8, 5, 6, generator=torch.Generator().manual_seed(0))


def recorded(model: nn.Module, *inputs: Tensor, **named: object) -> dict[str, Tensor]:
    """The masks of a pass whose output is checked to be that of a plain pass, to the last bit."""
    torch.manual_seed(1)
    expected = model(*inputs, **named)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    with record_masks(model) as masks:
        found = model(*inputs, **named)
    assert torch.equal(torch.get_rng_state(), state)
    for one, other in zip(*(x if isinstance(x, tuple) else (x,) for x in (found, expected)), strict=True):
        assert one is other or torch.equal(one, other)
    return dict(masks)


# What is recorded -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pictures", [1, 3])
def test_the_weights_of_attention_in_any_writing(way, pictures, tokens):
    model = nn.Sequential(nn.LayerNorm(16), Attention(way=way))
    masks = recorded(model, tokens[:pictures])
    assert list(masks) == ["1"]
    assert_close(masks["1"], model[1].expected(model[0](tokens[:pictures])), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pictures", [1, 3])
def test_gates_of_a_plain_module(pictures, maps):
    x = maps[:pictures]
    model = nn.Sequential(nn.BatchNorm2d(8), Gate()).eval()
    masks = recorded(model, x)
    assert list(masks) == ["1"]
    normed = model[0](x)
    assert_close(masks["1"], model[1].layer(normed.mean((2, 3))).sigmoid()[:, :, None, None])


class Applied(nn.Module):
    """x * mask(x), whatever the mask; one parameter so that it is a network."""

    def __init__(self, mask):
        super().__init__()
        self.mask, self.weight = mask, nn.Parameter(torch.rand(1, 8, 1, 1))
        self.register_buffer("kept", torch.rand(1, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask(self, x)


SCALE = torch.rand(1, 8, 1, 1)
SHAPES = {
    "channels": (lambda m, x: x.mean((2, 3), keepdim=True).sigmoid(), (8, 1, 1)),
    "places": (lambda m, x: x.mean(1, keepdim=True).sigmoid(), (1, 5, 6)),
    "expanded": (lambda m, x: x.mean((2, 3), keepdim=True).sigmoid().expand_as(x), (8, 1, 1)),
    "rows": (lambda m, x: x.mean(3, keepdim=True).sigmoid(), (8, 5, 1)),
    "scaled by a parameter": (lambda m, x: m.weight * x.mean((2, 3), keepdim=True).sigmoid(), (8, 1, 1)),
    "deviation through a layer": (lambda m, x: (m.weight * x.std((2, 3), keepdim=True)).sigmoid(), (8, 1, 1)),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("pictures", [1, 3])
def test_a_product_with_a_smaller_mask_is_recorded_in_its_natural_shape(name, pictures, maps):
    mask, shape = SHAPES[name]
    x = maps[:pictures]
    model = Applied(mask)
    masks = recorded(model, x)
    assert masks[""].shape == (pictures, *shape)
    assert_close(masks[""].expand_as(x), mask(model, x).expand_as(x))


NOT_MASKS = {
    "a parameter": lambda m, x: m.weight,
    "something made of a parameter": lambda m, x: m.weight.sigmoid() * 2,
    "a buffer": lambda m, x: m.kept,
    "a constant of the file": lambda m, x: SCALE,
    "ones": lambda m, x: torch.ones(len(x), 8, 1, 1),
    "dropped paths": lambda m, x: x.new_empty(len(x), 8, 1, 1).bernoulli_(0.5),
    "a norm": lambda m, x: torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6),
    "a deviation": lambda m, x: 1 / x.std((2, 3), keepdim=True),
    "a response norm": lambda m, x: (
        m.weight * (n := x.norm(dim=(2, 3), keepdim=True)) / (n.mean(1, keepdim=True) + 1e-6)
    ),
    "as large as what it gates": lambda m, x: x.sigmoid(),
    "one number for a picture": lambda m, x: x.mean((1, 2, 3), keepdim=True),
}


@pytest.mark.parametrize("name", NOT_MASKS)
@pytest.mark.parametrize("pictures", [1, 3])
def test_what_is_no_mask_is_not_recorded(name, pictures, maps):
    assert recorded(Applied(NOT_MASKS[name]), maps[:pictures]) == {}


def test_a_softmax_over_classes_or_experts_that_meets_no_values_is_no_mask(maps):
    model = nn.Sequential(nn.Flatten(), nn.Linear(240, 4), nn.Softmax(1))
    assert recorded(model, maps) == {}


def test_masks_over_branches(maps):
    class Select(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            branches = torch.stack([x, 2 * x], 1)
            return (branches * branches.mean((3, 4), keepdim=True).softmax(1)).sum(1)

    mask = recorded(Select(), maps)[""]
    assert mask.shape == (3, 2, 8, 1, 1)
    assert_close(mask.sum(1), torch.ones(3, 8, 1, 1))


def test_gates_of_a_network_with_channels_last_have_the_usual_axes(maps):
    model = Applied(lambda m, x: x.mean((1, 2), keepdim=True).sigmoid())
    x = maps.permute(0, 2, 3, 1)
    mask = recorded(model, x)[""]
    assert mask.shape == (3, 8, 1, 1)
    assert_close(mask.permute(0, 2, 3, 1), x.mean((1, 2), keepdim=True).sigmoid())


@pytest.mark.parametrize("axis", [1, 2])
def test_gates_on_a_list_of_tokens(axis, tokens):
    model = Applied(lambda m, x: x.mean(axis, keepdim=True).sigmoid())
    assert recorded(model, tokens)[""].shape == ((3, 1, 16) if axis == 1 else (3, 7, 1))


def test_heads_that_take_turns_in_a_batch_of_windows_are_not_taken_for_one_call(tokens):
    class Cascade(nn.Module):
        """Four heads, one after the other, on as many windows: 8 rows are not two pictures with four heads."""

        def __init__(self):
            super().__init__()
            self.num_heads = 4

        def forward(self, x: Tensor) -> Tensor:
            return sum((x @ x.mT * head).softmax(-1) @ x for head in range(self.num_heads))

    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.attn = Cascade()

        def forward(self, x: Tensor) -> Tensor:
            return self.attn(x.reshape(8, -1, 16))

    masks = recorded(Windows(), tokens.flatten()[:256].reshape(2, 8, 16))
    assert [mask.shape[:2] for mask in masks.values()] == [(8, 1)] * 4


def test_the_mixed_heads_are_recorded_where_heads_talk(tokens):
    class Talking(Attention):
        def forward(self, x: Tensor) -> Tensor:
            query, key, value = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
            weights = (query @ key.mT).softmax(-1).permute(0, 2, 3, 1)
            self.used = F.linear(weights, torch.eye(4).roll(1, 0) + 0.1).permute(0, 3, 1, 2)
            return (self.used @ value).transpose(1, 2).flatten(2)

    model = Talking()
    assert_close(recorded(model, tokens)[""], model.used)


def test_a_row_without_any_key_has_no_weights(tokens):
    allowed = torch.ones(7, 7, dtype=torch.bool)
    allowed[2] = False

    class Masked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x, x, x, attn_mask=allowed)

    with record_masks(model := Masked()) as masks:
        model(tokens)
    assert masks[""].shape == (3, 1, 7, 7)
    assert (masks[""][:, :, 2] == 0).all()
    assert_close(masks[""].sum(-1)[:, :, 3], torch.ones(3, 1))


@pytest.mark.parametrize("option", ["causal", "scale", "numbers", "groups"])
def test_every_option_of_fused_attention(option):
    generator = torch.Generator().manual_seed(4)
    query, key, value = (torch.randn(2, 4, 5, 8, generator=generator) for _ in range(3))
    bias = torch.randn(2, 1, 5, 5, generator=generator)
    options = {
        "causal": {"is_causal": True},
        "scale": {"scale": 0.7},
        "numbers": {"attn_mask": bias},
        "groups": {"enable_gqa": True},
    }[option]
    if option == "groups":
        key, value = key[:, :2], value[:, :2]

    class Fused(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(x, key, value, **options)

    mask = recorded(Fused(), query)[""]
    values = value.repeat_interleave(2, 1) if option == "groups" else value
    assert_close(mask @ values, Fused()(query))


def test_a_layer_that_is_called_again_has_a_number(tokens):
    attention = Attention()
    model = nn.Sequential(attention, attention, nn.ModuleDict({"x": attention})["x"], Attention())
    masks = recorded(model, tokens)
    assert list(masks) == ["0", "0#2", "0#3", "3"]
    with record_masks(model) as masks:
        model(tokens)
        model(2 * tokens)
        assert list(masks) == ["0", "0#2", "0#3", "3"], "a pass goes on counting where the last one ended"
        assert_close(masks["0"], attention.expected(2 * tokens))


def test_our_blocks_and_others_stand_in_one_dictionary_in_the_order_of_the_pass(maps):
    model = nn.Sequential(SEBlock(8, 2), Gate(), nn.Sequential(SelfAttention2d(8), Gate()))
    masks = recorded(model, maps)
    assert {name: tuple(mask.shape) for name, mask in masks.items()} == {
        "0": (3, 8, 1, 1),
        "1": (3, 8, 1, 1),
        "2.0": (3, 30, 30),
        "2.1": (3, 8, 1, 1),
    }
    assert list(masks) == ["0", "1", "2.0", "2.1"]


def test_inputs_by_name_are_inputs(maps):
    assert list(recorded(Gate(), x=maps)) == [""]


def test_parts_called_alone_are_recorded(maps):
    model = nn.ModuleDict({"first": Gate(), "second": Gate()})
    with record_masks(model) as masks:
        model["second"](maps)
        model["first"](maps)
    assert list(masks) == ["second", "first"]


# How it is run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_dropout_is_drawn_as_ever_and_is_not_in_the_mask(way, tokens):
    model = Attention(way=way, dropout=0.5).train()
    masks = recorded(model, tokens)
    assert_close(masks[""], model.expected(tokens), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_a_loss_on_the_mask_reaches_the_parameters(way, tokens):
    model = Attention(way=way)
    with record_masks(model) as masks:
        model(tokens)
    masks[""].square().sum().backward()
    found, model.qkv.weight.grad = model.qkv.weight.grad, None
    model.expected(tokens).square().sum().backward()
    assert_close(found, model.qkv.weight.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("training", [False, True])
def test_gradients_of_the_output_are_those_of_a_plain_pass(way, training, tokens):
    model = Attention(way=way, dropout=0.3).train(training)
    found = []
    for record in (False, True):
        torch.manual_seed(0)
        x = tokens.clone().requires_grad_()
        if record:
            with record_masks(model):
                output = model(x)
        else:
            output = model(x)
        found.append(torch.autograd.grad(output.square().sum(), (x, *model.parameters())))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_half_precision(dtype, way, tokens):
    model = Attention(way=way)
    expected = model.expected(tokens)
    mask = recorded(model.to(dtype), tokens.to(dtype))[""]
    assert mask.dtype == dtype
    assert_close(mask.float(), expected, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("way", WAYS)
def test_mixed_precision(way, tokens):
    model = nn.Sequential(Attention(way=way))
    expected = model[0].expected(tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mask = recorded(model, tokens)["0"]
    assert_close(mask.float(), expected, rtol=0.05, atol=0.02)


def test_channels_last_in_memory(maps):
    model = nn.Sequential(nn.Conv2d(8, 8, 3), Gate()).to(memory_format=torch.channels_last)
    x = maps.to(memory_format=torch.channels_last)
    assert list(recorded(model, x)) == ["1"]


@torch.no_grad()
@pytest.mark.parametrize("part", ["the model", "a part"])
def test_a_compiled_network_runs_uncompiled_while_it_is_recorded(part, tokens):
    model = nn.Sequential(Attention(), Attention())
    expected = model(tokens)
    if part == "a part":
        model[1].compile(backend="aot_eager")
    compiled = torch.compile(model, backend="aot_eager") if part == "the model" else model
    before = compiled(tokens)
    with record_masks(compiled) as masks:
        found = compiled(tokens)
    assert torch.equal(found, expected)
    assert list(masks) == ["0", "1"]
    assert torch.equal(compiled(tokens), before)


def test_only_the_chosen_layers_are_kept(tokens):
    model = nn.ModuleDict({"blocks": nn.Sequential(Attention(), Attention(), Attention()), "gate": nn.Identity()})
    for layers, expected in (
        ("blocks.1", ["blocks.1"]),
        (["blocks.2", "blocks.0"], ["blocks.0", "blocks.2"]),
        ("blocks.*", ["blocks.0", "blocks.1", "blocks.2"]),
    ):
        with record_masks(model, layers=layers) as masks:
            model["blocks"](tokens)
        assert list(masks) == expected


def test_weights_that_nobody_wants_are_not_made_beside_the_fused_kernel(tokens, monkeypatch):
    from course_utils.attention import sites

    made = []
    plain = sites.dot_product_weights
    monkeypatch.setattr(sites, "dot_product_weights", lambda *given: made.append(1) or plain(*given))
    model = nn.Sequential(Attention(), Attention(), Attention())
    with record_masks(model, layers="1"):
        model(tokens)
    assert len(made) == 1


# torch's own layers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("mask", [None, "attn_mask", "key_padding_mask"])
def test_multihead_attention_of_torch(gradient, need_weights, batch_first, mask, tokens):
    model = nn.MultiheadAttention(16, 4, batch_first=batch_first).eval()
    x = tokens if batch_first else tokens.transpose(0, 1)
    closed = {}
    if mask == "attn_mask":
        closed = {mask: torch.ones(7, 7, dtype=torch.bool).triu(1)}
    if mask == "key_padding_mask":
        closed = {mask: torch.arange(7) >= torch.tensor([[7], [5], [3]])}
    with torch.set_grad_enabled(gradient):
        masks = recorded(model, x, x, x, need_weights=need_weights, **closed)
        expected = model(x, x, x, average_attn_weights=False, **closed)[1]
    assert list(masks) == [""]
    assert_close(masks[""], expected)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_transformer_encoder_of_torch(gradient, norm_first, padded, tokens):
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=norm_first)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=padded and not norm_first).eval()
    padding = torch.arange(7) >= torch.tensor([[7], [5], [3]]) if padded else None
    named = {"src_key_padding_mask": padding} if padded else {}
    with torch.set_grad_enabled(gradient):
        masks = recorded(model, tokens, **named)
        x = tokens
        assert list(masks) == ["layers.0.self_attn", "layers.1.self_attn"]
        for part, mask in zip(model.layers, masks.values(), strict=True):
            seen = part.norm1(x) if norm_first else x
            expected = part.self_attn(seen, seen, seen, key_padding_mask=padding, average_attn_weights=False)[1]
            rows = torch.ones_like(expected, dtype=torch.bool) if padding is None else ~padding[:, None, :, None]
            assert_close(mask * rows, expected * rows, rtol=1e-5, atol=1e-6)
            x = part(x, src_key_padding_mask=padding)


# What is refused ------------------------------------------------------------------------------------------------------


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool):
        super().__init__()
        self.attention, self.reentrant = Attention(), reentrant

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.attention, x, use_reentrant=self.reentrant)


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing_is_refused_where_a_backward_pass_may_follow(reentrant, tokens):
    model = Checkpointed(reentrant)
    with pytest.raises(RuntimeError, match="activation checkpointing"), record_masks(model):
        model(tokens.requires_grad_())
    model(tokens).sum().backward()
    with torch.no_grad():
        assert list(recorded(model, tokens)) == ["attention"]


@pytest.mark.filterwarnings("ignore:`torch.jit.trace")
def test_data_parallel_and_scripts_are_refused(maps):
    with (
        pytest.raises(ValueError, match=r"DataParallel at 'inner'.*\.module"),
        record_masks(nn.ModuleDict({"inner": nn.DataParallel(Gate())})),
    ):
        pass
    with pytest.raises(ValueError, match=r"torch\.jit"), record_masks(torch.jit.trace(Gate(), maps)):
        pass


def test_a_pass_in_another_thread_is_refused(maps):
    model = Gate()

    def run() -> None:
        with torch.no_grad():
            model(maps)

    with pytest.raises(RuntimeError, match="another thread"), record_masks(model):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert list(recorded(model, maps)) == [""]


def test_two_threads_record_one_model_at_once(maps):
    model = Gate()
    found: dict[int, Tensor] = {}
    both = threading.Barrier(2)

    def run(index: int) -> None:
        with torch.no_grad(), record_masks(model) as masks:
            both.wait()
            model((index + 1) * maps)
            both.wait()
            found[index] = masks[""]

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(2):
        assert_close(found[index], recorded(model, (index + 1) * maps)[""])


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"need a torch\.nn\.Module, but were given list"):
        record_masks([Gate()])


def test_an_unknown_layer_gives_the_nearest(tokens):
    model = nn.ModuleDict({"blocks": nn.Sequential(Attention(), Attention())})
    with pytest.raises(ValueError, match=r"no module 'block\.1'.*'blocks\.1'"), record_masks(model, layers="block.1"):
        pass
    model = nn.Sequential(nn.Sequential(Attention()))
    with pytest.raises(ValueError, match=r"No mask was made at '0' in this pass.*'0\.0'"), record_masks(model, "0"):
        model(tokens)
    with record_masks(model) as masks:
        model(tokens)
    with pytest.raises(KeyError, match=r"no mask '0\.1'.*'0\.0'"):
        masks["0.1"]


def test_a_network_without_attention_says_what_it_has(maps):
    model = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1), nn.MaxPool2d(2))
    with record_masks(model) as masks:
        model(maps)
    assert masks == {}
    with pytest.raises(KeyError, match=r"2 Conv2d, 1 MaxPool2d"):
        masks["0"]


def test_masks_without_with_say_what_to_write(maps):
    model = Gate()
    masks = record_masks(model)
    model(maps)
    with pytest.raises(KeyError, match=r"no pass was recorded\. Use `with record_masks"):
        masks[""]


class Sized(nn.Module):
    """A network that was built for one size, and says so as timm's do."""

    def __init__(self):
        super().__init__()
        self.layer, self.pretrained_cfg = nn.Linear(48, 2), {"input_size": (3, 4, 4)}

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1))


def test_pictures_of_a_wrong_size_give_the_models_own_error_and_what_to_pass():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as caught, record_masks(model := Sized()):
        model(torch.rand(1, 3, 5, 5))
    assert caught.value.__notes__ == ["Sized says that it takes pictures (N, 3, 4, 4), but was given (1, 3, 5, 5)."]


def test_pictures_on_another_device_say_where_to_put_them():
    model = Sized().to("meta")
    with pytest.raises(RuntimeError) as caught, record_masks(model):
        model(torch.rand(1, 3, 4, 4))
    assert "pass pictures.to('meta')" in "".join(caught.value.__notes__)


# What is left behind --------------------------------------------------------------------------------------------------


def untouched(model: nn.Module) -> bool:
    from torch.nn.modules import module as hooks

    return (
        not torch.overrides._get_current_function_mode_stack()
        and torch.overrides.has_torch_function is untouched.asks
        and not hooks._global_forward_hooks
        and not hooks._global_forward_pre_hooks
        and not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
        and not any(getattr(part, "_watches", None) for part in model.modules())
    )


untouched.asks = torch.overrides.has_torch_function


class Stops(nn.Module):
    def __init__(self, error: BaseException):
        super().__init__()
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("stop"), KeyboardInterrupt()], ids=repr)
def test_an_error_inside_leaves_nothing_behind(error, maps):
    model = nn.Sequential(Gate(), SEBlock(8, 2), nn.Sequential(Stops(error)))
    with pytest.raises(type(error)), record_masks(model) as masks:
        model(maps)
    assert untouched(model)
    assert list(masks) == ["0", "1"], "what was made before the error is kept"


def test_after_an_error_inside_the_block_the_next_pass_is_recorded(maps):
    model = nn.Sequential(Gate(), Stops(RuntimeError("stop")))
    with record_masks(model) as masks:
        for error in (RuntimeError("stop"), KeyboardInterrupt()):
            model[1].error = error
            with pytest.raises(type(error)):
                model(maps)
            assert list(masks) == ["0"]
    assert untouched(model)


def test_a_plain_recording_leaves_nothing_behind(maps):
    model = nn.Sequential(Gate(), SEBlock(8, 2))
    recorded(model, maps)
    assert untouched(model)


def test_recordings_in_each_other_and_closed_in_any_order(maps):
    model = nn.Sequential(Gate(), SEBlock(8, 2))
    outer, inner, edits = record_masks(model), record_masks(model[0]), edit_masks(model, {"1": lambda mask: 0 * mask})
    for one in (outer, inner, edits):
        one.__enter__()
    assert (model(maps) == 0).all()
    assert inner[""] is outer["0"]
    assert edits["1"] is outer["1"]
    assert (outer["1"] == 0).all(), "the outer recording shows another mask than the one that was applied"
    for one in (outer, edits, inner):
        one.__exit__(None, None, None)
    assert untouched(model)
    assert not (model(maps) == 0).all()


def test_a_recording_that_is_open_cannot_be_opened_again(maps):
    masks = record_masks(Gate())
    with masks, pytest.raises(RuntimeError, match="open already"), masks:
        pass


def test_a_recording_left_open_by_a_generator_ends_with_it(maps):
    model = Gate()

    def answers():
        with record_masks(model) as masks:
            for _ in range(3):
                model(maps)
                yield masks

    left = answers()
    next(left)
    torch.ones(3).softmax(0)  # between two passes nothing is watched
    assert not torch.overrides._get_current_function_mode_stack()
    del left
    gc.collect()
    assert untouched(model)


def test_a_mode_of_the_learner_stays(maps):
    model = Gate()
    with torch.device("cpu"):
        before = torch.overrides._get_current_function_mode_stack()
        recorded(model, maps)
        assert torch.overrides._get_current_function_mode_stack() == before


def test_masks_can_be_copied_and_saved_without_the_model(maps):
    model = Gate()
    with torch.no_grad(), record_masks(model) as masks:
        model(maps)
    file = io.BytesIO()
    torch.save(masks, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    assert torch.equal(loaded[""], masks[""])
    assert torch.equal(copy.deepcopy(masks)[""], masks[""])


@functools.cache
def _trained() -> nn.Module:
    return nn.Sequential(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), Gate())


def test_running_statistics_move_once(maps):
    plain, other = copy.deepcopy(_trained()).train(), copy.deepcopy(_trained()).train()
    plain(maps)
    with record_masks(other):
        other(maps)
    assert all(torch.equal(a, b) for a, b in zip(plain.buffers(), other.buffers(), strict=True))
