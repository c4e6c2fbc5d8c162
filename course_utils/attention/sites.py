"""Where a mask meets values: the calls of torch functions that apply one, and what is known of where a tensor is from.

A meeting is a call of fused attention, a product of softmax weights with values, or a product with a smaller gate.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# What a tensor comes from; a constant or a parameter has no entry. The later ones prevail where several meet.
INDEX, STATISTIC, DATA = "whole numbers or truth values of the input", "a norm or deviation of the input", "the input"


@dataclass(frozen=True)
class Soft:
    """Weights that a softmax made and that may be applied to values: without dropout, if some was applied to them."""

    clean: Tensor | None = None
    keep: float = 1.0


Origin = str | Soft
Origins = dict[int, Origin | None]


@dataclass(frozen=True)
class Meeting:
    """A call that applies a mask: how the mask is made, and the result with another mask in its place."""

    make: Callable[[], Tensor]
    apply: Callable[[Tensor], Tensor]
    owner: nn.Module | None = None  # where it is not the module that runs
    sides: "Sides | None" = None  # of weights, where they are known
    gate: bool = False


@dataclass(frozen=True)
class Sides:
    """Tensors with the queries and the keys, and how numbers of their shapes become (..., Q, K) and (..., K, d)."""

    queries: Tensor
    keys: Tensor
    as_rows: Callable[[Tensor], Tensor]
    as_values: Callable[[Tensor], Tensor]
    shape: torch.Size  # of the weights, before `arrange`
    arrange: Callable[[Tensor], Tensor]


def methods(*names: str) -> set[Any]:
    """Every function and method of these names in torch."""
    places = (torch, Tensor, F, torch._C._nn, torch.linalg)
    return {getattr(place, name) for name in names for place in places if hasattr(place, name)}


SOFTMAX = methods("softmax", "_softmax", "gumbel_softmax", "softmin")
_DROPOUT = methods("dropout", "dropout_", "feature_dropout")
MATMUL = methods("matmul", "__matmul__", "bmm")
EINSUM = {torch.einsum, torch.functional.einsum}
_PRODUCT = methods("mul", "mul_", "multiply", "multiply_", "__mul__", "__imul__", "__rmul__")
_STATISTIC = methods(
    *("rsqrt", "rsqrt_", "sqrt", "sqrt_", "reciprocal", "__rtruediv__", "__rdiv__"),
    *("norm", "vector_norm", "var", "std", "var_mean", "std_mean"),
)
# A learned layer or an activation makes a gate of a statistic.
_GATE = methods(
    *("linear", "conv1d", "conv2d", "conv3d", "sigmoid", "sigmoid_", "hardsigmoid", "tanh", "relu", "silu", "gelu"),
)
_FRESH = methods(
    *("new_empty", "new_zeros", "new_ones", "new_full", "new_tensor", "empty_like", "zeros_like", "ones_like"),
    *("full_like", "rand_like", "randn_like", "randint_like"),
)


_NATIVE = {torch._native_multi_head_attention, torch._transformer_encoder_layer_fwd}
SITES = {F.scaled_dot_product_attention} | _NATIVE | _PRODUCT | MATMUL | EINSUM


def origin(func: Any, args: tuple, kwargs: Mapping[str, Any], out: Tensor, origins: Origins) -> Origin | None:
    """What the result of a call comes from."""
    if func in _FRESH:
        return None
    given = [found for x in tensors(args) if (found := origins.get(id(x))) is not None]
    if kwargs:
        given += [found for x in tensors(kwargs) if (found := origins.get(id(x))) is not None]
    if not given:
        return None
    if not out.is_floating_point():
        return INDEX
    if func in SOFTMAX:
        return Soft()
    if DATA in given:
        return STATISTIC if func in _STATISTIC else DATA
    soft = next((one for one in given if isinstance(one, Soft)), None)
    if soft is not None:
        return _still_soft(soft, func, args, kwargs, origins)
    if STATISTIC in given:
        return DATA if func in _GATE else STATISTIC
    return DATA if func is F.embedding else INDEX


def _still_soft(soft: Soft, func: Any, args: tuple, kwargs: Mapping[str, Any], origins: Origins) -> Soft:
    if func in _DROPOUT:
        given = bind(("input", "p", "training"), (0.5, True), args, kwargs)
        if given["training"] and given["p"]:
            weights = given["input"] if soft.clean is None else soft.clean
            return Soft(weights.clone() if kwargs.get("inplace") else weights, soft.keep * (1 - given["p"]))
    if soft.clean is None:
        return soft

    def undropped(x: Any) -> Any:
        known = origins.get(id(x)) if isinstance(x, Tensor) else None
        return known.clean if isinstance(known, Soft) and known.clean is not None else x

    # What is done to dropped weights is done to the clean ones too.
    return Soft(func(*map(undropped, args), **{key: undropped(x) for key, x in kwargs.items()}), soft.keep)


def find(
    func: Any, args: tuple, kwargs: Mapping[str, Any], origins: Origins, module: nn.Module | None, batch: int
) -> Meeting | None:
    """The meeting of a mask with values in this call, which is one of `SITES`, if it is one."""
    if func is F.scaled_dot_product_attention:
        return _fused(args, kwargs, heads_of(module), batch)
    if func in _NATIVE:
        return _native(func, args, kwargs, module)
    if func in _PRODUCT:
        return _gate(func, args, origins)
    return _weighted_mean(func, args, kwargs, origins, heads_of(module), batch)


# A weighted mean ------------------------------------------------------------------------------------------------------


def _fused(args: tuple, kwargs: Mapping[str, Any], heads: int, batch: int) -> Meeting:
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")
    given = bind(names, (None, 0.0, False, None, False), args, kwargs)
    query, key, value = given["query"], given["key"], given["value"]
    if given["enable_gqa"]:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], dim=-3) for x in (key, value))

    def make() -> Tensor:
        weights = dot_product_weights(query, key, given["attn_mask"], given["is_causal"], given["scale"])
        return arranged(weights, heads, batch)

    shape = torch.Size((*torch.broadcast_shapes(query.shape[:-2], key.shape[:-2]), query.shape[-2], key.shape[-2]))

    def apply(changed: Tensor) -> Tensor:
        weights = F.dropout(restored(changed, shape, heads, batch), given["dropout_p"])
        return weights.to(value.dtype) @ value

    sides = Sides(query, value, lambda x: x, lambda x: x, shape, lambda x: arranged(x, heads, batch))
    return Meeting(make, apply, sides=None if given["enable_gqa"] else sides)


def dot_product_weights(
    query: Tensor, key: Tensor, attn_mask: Tensor | None = None, causal: bool = False, scale: float | None = None
) -> Tensor:
    """The weights of fused attention, (..., Q, d), (..., K, d) -> (..., Q, K), computed in float32 as the kernels do.

    Args:
        query: (..., Q, d).
        key: (..., K, d).
        attn_mask: boolean, True means "may attend", or numbers that are added to the scores.
        causal: whether a query sees no key after its own place.
        scale: what the scores are multiplied by; 1 / sqrt(d) unless given.
    """
    kind = query.device.type
    if torch.is_autocast_enabled(kind):
        query, key = (x.to(torch.get_autocast_dtype(kind)) for x in (query, key))
    exact = torch.promote_types(query.dtype, torch.float32)
    with torch.autocast(kind, enabled=False):
        scores = (query.to(exact) * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.to(exact).mT
        if causal:
            open_keys = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
            scores = scores.masked_fill(~open_keys, -math.inf)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -math.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        weights = scores.softmax(dim=-1)
        if causal or attn_mask is not None:  # a query without any key has no weights
            weights = weights.masked_fill((scores == -math.inf).all(dim=-1, keepdim=True), 0.0)
    return weights.to(query.dtype)


def _weighted_mean(
    func: Any, args: tuple, kwargs: Mapping[str, Any], origins: Origins, heads: int, batch: int
) -> Meeting | None:
    """A product of softmax weights with values: `weights @ values`, `values @ weights^T`, or an einsum of the two."""
    operands = tensors((args, kwargs))
    if len(operands) != 2:
        return None
    soft = [isinstance(origins.get(id(x)), Soft) for x in operands]
    other = [origins.get(id(x)) == DATA for x in operands]
    if not (soft[0] and other[1]) and not (soft[1] and other[0]):
        return None
    place = 0 if soft[0] else 1
    used = operands[place]
    order = [*range(used.dim())]
    of_values: list[int] = []
    if func in EINSUM:
        orders = _einsum_orders(args[0], place)
        if orders is None:
            return None
        order, of_values = orders
    elif place == 1:
        order[-2:] = order[:-3:-1]  # (..., K, Q)
    found = origins[id(used)]
    assert isinstance(found, Soft)
    clean = used if found.clean is None else found.clean

    def make() -> Tensor:
        return arranged(clean.permute(order), heads, batch)

    def apply(changed: Tensor) -> Tensor:
        weights = restored(changed, used.permute(order).shape, heads, batch)
        weights = weights.permute([order.index(axis) for axis in range(used.dim())]).to(used.dtype)
        if found.clean is not None:
            weights = weights * (used != 0) / found.keep  # the dropout that was drawn
        both = [weights if x is used else x for x in operands]
        return func(args[0], *both) if func in EINSUM else func(*both)

    values = (lambda x: x.permute(of_values)) if of_values else (lambda x: x.mT) if place == 1 else (lambda x: x)
    shape = used.permute(order).shape
    rows, arrange = (lambda x: x.permute(order)), (lambda x: arranged(x, heads, batch))
    sides = Sides(used, operands[1 - place], rows, values, shape, arrange)
    return Meeting(make, apply, sides=sides)


def _einsum_orders(equation: Any, place: int) -> tuple[list[int], list[int]] | None:
    """How the axes of weights and values are put in the orders (..., Q, K) and (..., K, d), if one is summed over."""
    letters = einsum_letters(equation)
    if letters is None:
        return None
    (weights, values), output = letters[0][:: 1 - 2 * place], letters[1]
    keys = [letter for letter in weights if letter in values and letter not in output]
    queries = [letter for letter in weights if letter not in values and letter in output]
    if len(keys) != 1 or len(queries) != 1:
        return None
    rest = [letter for letter in weights if letter not in (keys[0], queries[0])]
    shared = [letter for letter in rest if letter in values]
    width = [letter for letter in values if letter not in weights]
    of_weights = [weights.index(letter) for letter in (*rest, *queries, *keys)]
    return of_weights, [values.index(letter) for letter in (*shared, *keys, *width)]


def einsum_letters(equation: Any) -> tuple[list[str], str] | None:
    """The letters of two operands and of the result, if an equation names all of them."""
    if not isinstance(equation, str) or "->" not in equation or "." in equation or equation.count(",") != 1:
        return None
    inputs, output = equation.replace(" ", "").split("->")
    return inputs.split(","), output


def heads_of(module: nn.Module | None) -> int:
    """How many heads a module says that it has; 0 where it says nothing."""
    for name in ("num_heads", "num_attention_heads", "heads", "n_heads", "n_head", "nhead"):
        count = getattr(module, name, None)
        if isinstance(count, int) and count > 0:
            return count
    return 0


def arranged(weights: Tensor, heads: int, batch: int) -> Tensor:
    """Weights as (N, heads, Q, K), whichever way a network keeps its heads and windows; windows count as pictures.

    Args:
        weights: (Q, K), (N, Q, K), (N * heads, Q, K), (N, heads, Q, K), (N * heads, windows, Q, K),
            (N, windows, heads, Q, K) or (N, heads, windows, Q, K).
        heads: how many the module says that it has; 0 where it says nothing.
        batch: how many rows the module was given, pictures or windows of them.
    """
    return _ways(weights.shape, heads, batch)[0](weights)


def restored(weights: Tensor, shape: torch.Size, heads: int, batch: int) -> Tensor:
    """The reverse of `arranged`: back to the shape that the network uses."""
    return _ways(shape, heads, batch)[1](weights)


def _ways(shape: torch.Size, heads: int, batch: int) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """From a network's weights to (N, heads, Q, K), and back."""
    if len(shape) == 2:
        return lambda x: x[None, None], lambda x: x[0, 0]
    if len(shape) == 3 and heads > 1 and shape[0] % (heads * batch) == 0:  # heads in the batch
        return lambda x: x.unflatten(0, (-1, heads)), lambda x: x.flatten(0, 1)
    if len(shape) == 3:
        return lambda x: x[:, None], lambda x: x[:, 0]
    if len(shape) == 4 and heads > 1 and shape[1] != heads and shape[0] == heads * batch:  # windows beside them
        return (
            lambda x: x.unflatten(0, (-1, heads)).transpose(1, 2).flatten(0, 1),
            lambda x: x.unflatten(0, (-1, shape[1])).transpose(1, 2).flatten(0, 1),
        )
    if len(shape) == 5 and heads and shape[1] == heads:
        return (
            lambda x: x.transpose(1, 2).flatten(0, 1),
            lambda x: x.unflatten(0, (shape[0], shape[2])).transpose(1, 2),
        )
    if len(shape) == 5 and heads and shape[2] == heads:
        return lambda x: x.flatten(0, 1), lambda x: x.unflatten(0, shape[:2])
    return lambda x: x, lambda x: x


# torch's own fast paths -----------------------------------------------------------------------------------------------


def _native(func: Any, args: tuple, kwargs: Mapping[str, Any], module: nn.Module | None) -> Meeting:
    """One kernel for the whole of `nn.MultiheadAttention`, or of `nn.TransformerEncoderLayer`: weights beside it."""
    if func is torch._native_multi_head_attention:
        query, key, _, width, heads, weight, bias = args[:7]
        mask, kind = args[9], args[12]
        owner = module
    else:
        query, width, heads, weight, bias = args[:5]
        norm_first, eps, norm_weight, norm_bias = args[8], args[9], args[10], args[11]
        mask, kind = args[18], args[19]
        owner = getattr(module, "self_attn", module)

    def make() -> Tensor:
        x, y, closed = query, key if func is torch._native_multi_head_attention else query, None
        if x.is_nested:
            lengths = torch.tensor([len(row) for row in x.unbind()], device=x.device)
            x = x.to_padded_tensor(0.0)
            y = x
            closed = (torch.arange(x.shape[1], device=x.device) >= lengths[:, None])[:, None, None]
        elif mask is not None:
            closed = mask.bool() if mask.dim() == 4 else mask.bool()[:, None, None] if kind == 1 else mask.bool()
        if func is not torch._native_multi_head_attention and norm_first:
            x = y = F.layer_norm(x, (width,), norm_weight, norm_bias, eps)
        q, k = (
            F.linear(z, weight[part], None if bias is None else bias[part]).unflatten(2, (heads, -1)).transpose(1, 2)
            for z, part in ((x, slice(0, width)), (y, slice(width, 2 * width)))
        )
        return dot_product_weights(q, k, None if closed is None else ~closed.expand(len(x), heads, -1, k.shape[2]))

    def apply(changed: Tensor) -> Tensor:
        raise AssertionError("a mask that is changed is never on a native path")

    return Meeting(make, apply, owner)


# A product with a smaller mask ----------------------------------------------------------------------------------------


def _gate(func: Any, args: tuple, origins: Origins) -> Meeting | None:
    if len(args) != 2 or not isinstance(args[0], Tensor) or not isinstance(args[1], Tensor):
        return None
    for place in (1, 0):
        gate, x = args[place], args[1 - place]
        known = origins.get(id(gate))
        if not (known == DATA or isinstance(known, Soft)) or origins.get(id(x)) is None or not _is_gate(gate, x):
            continue
        narrow = gate[tuple(slice(0, 1) if step == 0 else slice(None) for step in gate.stride())]
        last = x.dim() == 4 and narrow.shape[3] != 1 and narrow.shape[1:3] == (1, 1)  # (N, 1, 1, C): channels last

        def make(narrow: Tensor = narrow, last: bool = last) -> Tensor:
            return narrow.movedim(3, 1) if last else narrow

        def apply(changed: Tensor, place: int = place, last: bool = last) -> Tensor:
            both = list(args)
            both[place] = changed.movedim(1, 3) if last else changed
            return func(*both)

        return Meeting(make, apply, gate=True)
    return None


def _is_gate(gate: Tensor, x: Tensor) -> bool:
    """Whether a tensor is smaller than what it multiplies, and not just one number for each picture."""
    if gate.dim() != x.dim() or not 3 <= x.dim() <= 5 or gate.shape[0] != x.shape[0]:
        return False
    sizes = [1 if step == 0 else size for size, step in zip(gate.shape, gate.stride(), strict=True)]
    fits = all(have in (1, need) for have, need in zip(sizes, x.shape, strict=True))
    return fits and sizes[1:] != list(x.shape[1:]) and math.prod(sizes[1:]) > 1


# What is common to all ------------------------------------------------------------------------------------------------


def bind(names: tuple[str, ...], defaults: tuple, args: tuple, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name."""
    given = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    return {**given, **dict(zip(names, args, strict=False)), **kwargs}


def tensors(nest: Any) -> list[Tensor]:
    """The tensors in arguments or results, however nested."""
    if isinstance(nest, Tensor):
        return [nest]
    if isinstance(nest, dict):
        nest = nest.values()
    elif not isinstance(nest, tuple | list):
        return []
    found = []
    for part in nest:
        if isinstance(part, Tensor):
            found.append(part)
        elif isinstance(part, tuple | list | dict):
            found += tensors(part)
    return found
