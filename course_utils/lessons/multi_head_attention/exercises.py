"""The exercises of lesson 4.1.4: cut into heads, join them, leave one out, entropy, a window, and a port to fix."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.changes import changed
from ...check.engine import Draw, Inputs
from ...check.tasks import Shown, Task


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """Cut the width into heads: x (N, L, E) -> (N, num_heads, L, d), d = E // num_heads.

    Head h gets the columns h * d to (h + 1) * d of every token.
    """
    return x.unflatten(2, (num_heads, -1)).transpose(1, 2)  # (N, L, heads, d) -> (N, heads, L, d)


def join_heads(context: Tensor, output_weight: Tensor) -> Tensor:
    """Put the heads side by side and mix them: context (N, heads, L, d), output_weight (E, E) -> (N, L, E).

    `output_weight` is a linear layer's matrix, (out, in), without a bias.
    """
    joined = context.transpose(1, 2).flatten(2)  # (N, L, E): head after head
    return F.linear(joined, output_weight)


def knock_out(joined: Tensor, output_weight: Tensor, output_bias: Tensor, num_heads: int, head: int) -> Tensor:
    """Compute the output without one head, counted from 0: joined (N, L, E) -> (N, L, E).

    `joined` holds the heads side by side; the output layer has the matrix (E, E) and the bias (E,). The head's part of
    `joined` counts as zero; everything else stays.
    """
    width = joined.shape[2] // num_heads
    kept = joined.clone()
    kept[:, :, head * width : (head + 1) * width] = 0
    return F.linear(kept, output_weight, output_bias)


def head_entropy(weights: Tensor) -> Tensor:
    """Compute each head's mean entropy in bits: weights (N, heads, Q, K) -> (heads,).

    The entropy of a query's weights is -sum over the keys of w * log2(w), where 0 * log2(0) counts as 0. Take the mean
    over pictures and queries.
    """
    bits = -torch.special.xlogy(weights, weights) / torch.tensor(2.0).log()  # w ln w, and 0 where w is 0
    return bits.sum(dim=3).mean(dim=(0, 2))


def window_mask(rows: int, columns: int, radius: int) -> Tensor:
    """Say which token may attend to which: -> (L, L) bool, L = 1 + rows * columns, True where query i may see key j.

    Token 0 is the class token: it sees all, and all see it. The others are patches, row after row; a patch sees the
    patches at most `radius` rows and at most `radius` columns away.
    """
    row = torch.arange(rows).repeat_interleave(columns)  # (rows * columns,): the row of each patch
    column = torch.arange(columns).repeat(rows)
    near = ((row[:, None] - row).abs() <= radius) & ((column[:, None] - column).abs() <= radius)
    return F.pad(near, (1, 0, 1, 0), value=True)


def attend_in_heads(query: Tensor, key: Tensor, value: Tensor, num_heads: int, is_token: Tensor) -> Tensor:
    """Attend in every head and join: query (N, Q, E), key and value (N, K, E), is_token (N, K) -> (N, Q, E).

    `is_token` is True where a key is a token, and False where it is padding, which no query may attend to. Queries,
    keys and values are projected already; the output layer comes later.
    """
    query, key, value = (x.unflatten(2, (num_heads, -1)).transpose(1, 2) for x in (query, key, value))
    scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5  # (N, heads, Q, K)
    scores = scores.masked_fill(~is_token[:, None, None], -torch.inf)
    weights = scores.softmax(dim=3)
    return (weights @ value).transpose(1, 2).flatten(2)


_token_for_patch = changed(
    window_mask,
    {"    near": "    row = torch.arange(1, len(row) + 1)\n    row, column = row // columns, row % columns\n    near"},
)
_OPEN = {"scores.masked_fill(~is_token[:, None, None], -torch.inf)": "scores"}
# The places where the port is wrong; the first of each is the port's own fault, the others are made when fixing it.
_FAULTS = (
    {
        "scale": {"query.shape[3] **": "(num_heads * query.shape[3]) **"},
        "undivided": {" / query.shape[3] ** 0.5": ""},
    },
    {
        "mask": {"~is_token[:, None, None], -torch.inf": "is_token[:, None, None], -1e9"},
        "open": _OPEN,
        "after": _OPEN | {"    return": "    weights = weights.masked_fill(~is_token[:, None, None], 0)\n    return"},
    },
    {"axis": {"scores.softmax(dim=3)": "scores.clamp(min=-1e9).softmax(dim=2)"}},
    {"join": {".transpose(1, 2).flatten(2)": ".reshape(len(value), query.shape[2], -1)"}},
)


def _draw_split(draw: Draw) -> Inputs:
    heads = draw.integer(2, 3)
    return draw.normal(draw.integer(2, 3), 2 * heads, heads * draw.integer(4, 5)), heads


def _draw_knock_out(draw: Draw) -> Inputs:
    heads, each = draw.integer(4, 5), draw.integer(6, 7)
    width = heads * each
    head = (draw.integer(2, heads - 2), 0, heads - 1)[draw.turn]
    return (
        draw.normal(2, draw.integer(4, 5), width),
        draw.normal(width, width, std=width**-0.5),
        draw.normal(width),
        heads,
        head,
    )


def _draw_weights(draw: Draw) -> Inputs:
    scores = draw.normal(draw.integer(2, 3), draw.integer(2, 3), draw.integer(4, 5), draw.integer(6, 7))
    scores[:, :, 0, 1] = -torch.inf  # the first query may not attend to this key: weight 0
    return (scores.softmax(dim=3),)


def _draw_padded(draw: Draw) -> Inputs:
    heads, batch, keys = draw.choice((2, 4)), 3, draw.integer(8, 9)
    width = heads * 5  # no two sizes are equal, and 5 is no square
    lengths = torch.tensor([keys - 2, keys - draw.integer(3, 4), keys])
    tokens = (draw.normal(batch, length, width, std=1.5) for length in (draw.integer(6, 7), keys, keys))
    return (*tokens, heads, torch.arange(keys) < lengths[:, None])


TASKS = (
    Task(
        split_heads,
        _draw_split,
        mistakes={
            "reshaped straight": lambda x, heads: x.reshape(len(x), heads, x.shape[1], -1),
            "dealt out the columns": lambda x, heads: x.unflatten(2, (-1, heads)).permute(0, 3, 1, 2),
            "tokens before heads": lambda x, heads: x.unflatten(2, (heads, -1)),
            "swapped once too often": lambda x, heads: x.unflatten(2, (heads, -1)).permute(0, 2, 3, 1),
            "shared out the tokens": lambda x, heads: x.unflatten(1, (heads, -1)),
            "the whole width for each": lambda x, heads: x[:, None].expand(-1, heads, -1, -1),
            "pictures and heads in one axis": lambda x, heads: split_heads(x, heads).flatten(0, 1),
        },
    ),
    Task(
        join_heads,
        lambda draw: draw.normals("N h L d", ("h*d h*d", 0.3), N=(2, 3), h=(2, 3), L=(6, 7), d=(4, 5)),
        mistakes={
            "reshaped straight": lambda c, w: F.linear(c.reshape(len(c), c.shape[2], -1), w),
            "forgot the output layer": lambda c, w: c.transpose(1, 2).flatten(2),
            "matrix not transposed": lambda c, w: c.transpose(1, 2).flatten(2) @ w,
            "columns in turn": lambda c, w: F.linear(c.permute(0, 2, 3, 1).flatten(2), w),
            "added the heads up": lambda c, w: c.sum(dim=1),
            "averaged the heads": lambda c, w: c.mean(dim=1),
            "reverse order": lambda c, w: join_heads(c.flip(1), w),
        },
    ),
    Task(
        knock_out,
        _draw_knock_out,
        mistakes={
            "cut out of the output": {
                "joined.clone()": "F.linear(joined, output_weight, output_bias)",
                "return F.linear(kept, output_weight, output_bias)": "return kept",
            },
            "rows of the matrix": {
                "joined.clone()": "output_weight.clone()",
                "kept[:, :, ": "kept[",
                "F.linear(kept, output_weight": "F.linear(joined, kept",
            },
            "kept this head": lambda j, w, b, *head: F.linear(j, w, 2 * b) - knock_out(j, w, b, *head),
            "without the bias": lambda j, w, b, *head: knock_out(j, w, 0 * b, *head),
            "added the bias twice": lambda j, w, b, *head: knock_out(j, w, 2 * b, *head),
            "every num_heads-th column": {"head * width : (head + 1) * width": "head::num_heads"},
            "counted from 1": (
                lambda j, w, b, heads, head: knock_out(j, w, b, heads, head - 1),
                lambda j, w, b, heads, head: knock_out(j, w, b, heads, (head - 1) % heads),
                lambda j, w, b, heads, head: knock_out(j, w, b, heads, max(head - 1, 0)),
            ),
            "scaled the other heads": {"F.linear(kept,": "F.linear(kept * num_heads / (num_heads - 1),"},
            "cut out a single": {"(head + 1) * width": "head * width + 1"},
            "head still there": lambda j, w, b, *head: F.linear(j, w, b),
        },
    ),
    Task(
        head_entropy,
        _draw_weights,
        mistakes={
            "nan for a weight of 0": {"torch.special.xlogy(weights, weights)": "(weights * weights.log())"},
            "took the natural logarithm": {" / torch.tensor(2.0).log()": ""},
            "sign is missing": {"-torch": "torch"},
            "summed over the queries": {"dim=3": "dim=2"},
            "mean of the weights first": {"    bits": "    weights = weights.mean(2, True)\n    bits"},
            "mean of the weights of all pictures first": {"    bits": "    weights = weights.mean(0, True)\n    bits"},
            "mean of all weights first": {"    bits": "    weights = weights.mean((0, 2), True)\n    bits"},
            "mean over the keys": {"sum(dim=3)": "mean(dim=3)"},
            "summed instead of averaged": {"mean(dim=(0, 2))": "sum(dim=2).mean(dim=0)"},
            "one for each picture": {"mean(dim=(0, 2))": "mean(dim=2)"},
            "gave 2 ** entropy": lambda w: 2 ** head_entropy(w),
        },
    ),
    Task(
        window_mask,
        lambda draw: (draw.integer(4, 5), draw.integer(6, 7), (1, 2, 3)[draw.turn]),
        mistakes={
            "True where forbidden": lambda r, c, radius: ~window_mask(r, c, radius),
            "the patches' numbers": {"    near": "    row = column = torch.arange(rows * columns)\n    near"},
            "a diamond": {".abs() <= radius) & ((column": ".abs() + (column"},
            "a circle": {".abs() <= radius) & ((column": " ** 2 + (column", ".abs() <= radius": " ** 2 <= radius**2"},
            "smaller than the radius": {"<= radius": "< radius"},
            "a cross": {" & ": " | "},
            "divided by the rows": {
                "    near": "    row = torch.arange(len(row))\n    row, column = row // rows, row % rows\n    near"
            },
            "token for patch": Shown(
                _token_for_patch,
                lambda given, rows, columns, radius: torch.equal(
                    given[1:, 1:], _token_for_patch(rows, columns, radius)[1:, 1:]
                ),
            ),
            "without the class token": {"F.pad(near, (1, 0, 1, 0), value=True)": "near"},
            "class token sees nothing": {
                "return F.pad": "mask = F.pad",
                "=True)": "=True)\n    mask[0, 1:] = False\n    return mask",
            },
            "class token is not seen": {
                "return F.pad": "mask = F.pad",
                "=True)": "=True)\n    mask[1:, 0] = False\n    return mask",
            },
            "numbers to add": lambda *inputs: torch.where(window_mask(*inputs), 0.0, -torch.inf),
        },
    ),
    Task(attend_in_heads, _draw_padded, faults=_FAULTS, mistakes={"0 for minus infinity": {"-torch.inf": "0"}}),
)
