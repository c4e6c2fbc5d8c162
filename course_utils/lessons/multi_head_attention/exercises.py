"""The exercises of lesson 4.1.4: cut into heads, join them, leave one out, entropy, a window, and a port to mend."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ...check.engine import Draw, Exercise, Inputs, Mistake
from ...check.port import port_mistakes


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


def _left_out(
    joined: Tensor, output_weight: Tensor, output_bias: Tensor, num_heads: int, head: int, columns: slice
) -> Tensor:
    kept = joined.clone()
    kept[:, :, columns] = 0
    return F.linear(kept, output_weight, output_bias)


def _rows_of_the_matrix(
    joined: Tensor, output_weight: Tensor, output_bias: Tensor, num_heads: int, head: int
) -> Tensor:
    width = joined.shape[2] // num_heads
    kept = output_weight.clone()
    kept[head * width : (head + 1) * width] = 0
    return F.linear(joined, kept, output_bias)


def _after_the_layer(joined: Tensor, output_weight: Tensor, output_bias: Tensor, num_heads: int, head: int) -> Tensor:
    width = joined.shape[2] // num_heads
    made = F.linear(joined, output_weight, output_bias)
    made[:, :, head * width : (head + 1) * width] = 0
    return made


def _alone(joined: Tensor, output_weight: Tensor, output_bias: Tensor, num_heads: int, head: int) -> Tensor:
    whole = F.linear(joined, output_weight, output_bias)
    return whole - knock_out(joined, output_weight, output_bias, num_heads, head) + output_bias


def _interleaved(x: Tensor, num_heads: int) -> Tensor:
    return x.unflatten(2, (-1, num_heads)).permute(0, 3, 1, 2)


def _entropy(weights: Tensor, over: int = 3) -> Tensor:
    return -torch.special.xlogy(weights, weights).sum(dim=over) / torch.tensor(2.0).log()


def _window(
    rows: int, columns: int, near: Callable[[Tensor, Tensor], Tensor], wide: int | None = None, first: int = 0
) -> Tensor:
    """A window of another shape: `near` takes how many rows and columns two patches are apart; `first` counts them."""
    place = torch.arange(first, first + rows * columns)
    wide = columns if wide is None else wide
    row, column = place // wide, place % wide
    return F.pad(near((row[:, None] - row).abs(), (column[:, None] - column).abs()), (1, 0, 1, 0), value=True)


def _token_for_patch(rows: int, columns: int, radius: int) -> Tensor:
    return _window(rows, columns, lambda down, across: torch.maximum(down, across) <= radius, first=1)


def _alone_class_token(rows: int, columns: int, radius: int, axis: int) -> Tensor:
    mask = window_mask(rows, columns, radius)
    mask.select(axis, 0)[1:] = False
    return mask


def _in_a_row(rows: int, columns: int, radius: int) -> Tensor:
    place = torch.arange(rows * columns)
    return F.pad((place[:, None] - place).abs() <= radius, (1, 0, 1, 0), value=True)


def _ported(
    query: Tensor, key: Tensor, value: Tensor, num_heads: int, is_token: Tensor, faults: Sequence[str] = ()
) -> Tensor:
    """Attention in heads with some of the faults of the port, or with others that are made when mending it."""
    length, width = query.shape[1], query.shape[2]
    query, key, value = (x.unflatten(2, (num_heads, -1)).transpose(1, 2) for x in (query, key, value))
    divisor = 1 if "undivided" in faults else width if "scale" in faults else query.shape[3]
    scores = query @ key.transpose(2, 3) / divisor**0.5
    closed = (is_token if "mask" in faults else ~is_token)[:, None, None]
    if "open" not in faults and "after" not in faults:
        scores = scores.masked_fill(closed, -1e9)
    weights = scores.softmax(dim=2 if "axis" in faults else 3)
    if "after" in faults:
        weights = weights.masked_fill(closed, 0)
    context = weights @ value
    joined = context if "join" in faults else context.transpose(1, 2)
    return joined.reshape(len(query), length, width)


# The places where the port is wrong; the first of each is the port's own fault, the others are made when mending it.
_PLACES = (
    {
        "scale": "the scores are divided by the root of embed_dim; d, the width of one head, is meant",
        "undivided": "the scores are not divided; divide them by the root of d, the width of one head",
    },
    {
        "mask": "the mask closes the tokens and leaves the padding open: True in `is_token` means a token",
        "open": "the mask is missing: padding is attended to",
        "after": "the mask sets weights to 0 after the softmax, so that a query's weights no longer sum to 1; mask the "
        "scores, before it",
    },
    {"axis": "the softmax runs over the queries; each query's weights must sum to 1 over the keys, the last axis"},
    {"join": "the heads are joined by a reshape alone, which mixes heads and tokens; swap the axes first"},
)
_AS_IT_WAS = (
    "This is the port as it was, with four faults in it. Read it from the top: the scores are divided by the root of "
    "`num_heads * query.shape[3]`. What is that?"
)


def _draw_split(draw: Draw) -> Inputs:
    heads = draw.integer(2, 3)
    return draw.normal(draw.integer(2, 3), 2 * heads, heads * draw.integer(4, 5)), heads


def _draw_join(draw: Draw) -> Inputs:
    heads, each = draw.integer(2, 3), draw.integer(4, 5)
    context = draw.normal(draw.integer(2, 3), heads, draw.integer(6, 7), each)
    return context, draw.normal(heads * each, heads * each, std=(heads * each) ** -0.5)


def _draw_knock_out(draw: Draw) -> Inputs:
    heads, each = draw.integer(3, 4), draw.integer(2, 3)
    width = heads * each
    return (
        draw.normal(2, draw.integer(4, 5), width),
        draw.normal(width, width, std=width**-0.5),
        draw.normal(width),
        heads,
        draw.integer(1, heads - 1),
    )


def _draw_weights(draw: Draw) -> Inputs:
    scores = draw.normal(draw.integer(2, 3), draw.integer(2, 3), draw.integer(4, 5), draw.integer(6, 7))
    scores[:, :, 0, 1] = -torch.inf  # the first query may not attend to this key: weight 0
    return (scores.softmax(dim=3),)


def _draw_padded(draw: Draw) -> Inputs:
    heads, batch, keys = draw.integer(2, 3), 2, draw.integer(6, 7)
    width = heads * draw.integer(3, 4)
    lengths = torch.tensor([keys - 2, keys - draw.integer(3, 4)])
    tokens = (draw.normal(batch, length, width, std=1.5) for length in (draw.integer(4, 5), keys, keys))
    return (*tokens, heads, torch.arange(keys) < lengths[:, None])


SPLIT = Exercise(
    lesson="4.1.4",
    official=split_heads,
    draw=_draw_split,
    minutes=4,
    difficulty=1,
    axes=("picture", "head", "token", "column"),
    hints=(
        "Only the last axis is cut: E becomes heads and d. `x.unflatten(2, (num_heads, -1))` does that.",
        "Then the shape is (N, L, heads, d). Each head shall have all tokens: which two axes change places?",
        "x.unflatten(2, (num_heads, -1)).transpose(1, 2)",
    ),
    takeaway="One large matrix and a cut make the queries of all heads at once. Nothing is copied: the result is "
    "another view of x.",
    mistakes=(
        Mistake(
            "You reshaped (N, L, E) straight to (N, heads, L, d). The shape is right, but a head gets pieces of other "
            "tokens: cut the width first, then swap the axes.",
            lambda x, heads: x.reshape(len(x), heads, x.shape[1], -1),
        ),
        Mistake(
            "You dealt the columns out in turn; head h gets d neighbouring columns: unflatten to (num_heads, -1).",
            _interleaved,
        ),
        Mistake(
            "You left the tokens before the heads: (N, L, heads, d). Swap these two axes.",
            lambda x, heads: x.unflatten(2, (heads, -1)),
        ),
        Mistake(
            "You swapped once too often: a head needs (L, d), a row a token.",
            lambda x, heads: x.unflatten(2, (heads, -1)).permute(0, 2, 3, 1),
        ),
        Mistake(
            "You shared out the tokens; every head sees all tokens, and a part of their width.",
            lambda x, heads: x.unflatten(1, (heads, -1)),
        ),
        Mistake(
            "You gave every head the whole width; each gets E // num_heads columns.",
            lambda x, heads: x[:, None].expand(-1, heads, -1, -1),
        ),
        Mistake(
            "You put pictures and heads into one axis; keep (N, heads, L, d).",
            lambda x, heads: split_heads(x, heads).flatten(0, 1),
        ),
    ),
)

JOIN = Exercise(
    lesson="4.1.4",
    official=join_heads,
    draw=_draw_join,
    minutes=5,
    difficulty=1,
    axes=("picture", "token", "column"),
    hints=(
        "It is the way back: (N, heads, L, d) -> (N, L, heads, d) -> (N, L, E).",
        "`context.transpose(1, 2).flatten(2)` joins; a linear layer multiplies by its matrix transposed.",
        "F.linear(context.transpose(1, 2).flatten(2), output_weight)",
    ),
    takeaway="Side by side the heads do not know of each other. The output layer is where they meet: it may add, "
    "subtract or ignore them.",
    mistakes=(
        Mistake(
            "You reshaped (N, heads, L, d) straight to (N, L, E): the shape is right, but heads and tokens are mixed. "
            "Swap the axes first.",
            lambda c, w: F.linear(c.reshape(len(c), c.shape[2], -1), w),
        ),
        Mistake("You forgot the output layer: multiply by `output_weight`.", lambda c, w: c.transpose(1, 2).flatten(2)),
        Mistake(
            "You multiplied by the matrix as it stands; a linear layer's matrix is (out, in): `x @ w.T` or `F.linear`.",
            lambda c, w: c.transpose(1, 2).flatten(2) @ w,
        ),
        Mistake(
            "You put the first column of every head first, then the second; a head's columns stay together.",
            lambda c, w: F.linear(c.permute(0, 2, 3, 1).flatten(2), w),
        ),
        Mistake("You added the heads up; they stand side by side.", lambda c, w: c.sum(dim=1)),
        Mistake("You averaged the heads; they stand side by side.", lambda c, w: c.mean(dim=1)),
        Mistake(
            "You joined the heads in reverse order; head 0 comes first.",
            lambda c, w: join_heads(c.flip(1), w),
        ),
    ),
)

KNOCK_OUT = Exercise(
    lesson="4.1.4",
    official=knock_out,
    draw=_draw_knock_out,
    minutes=4,
    difficulty=2,
    axes=("picture", "token", "column"),
    hints=(
        "Which columns of `joined` are the head's? d = E // num_heads of them, from head * d on.",
        "Set them to zero in a copy (`joined.clone()`), and apply the output layer to the copy.",
        "kept = joined.clone(); kept[:, :, head * d : (head + 1) * d] = 0; return F.linear(kept, output_weight, "
        "output_bias)",
    ),
    takeaway="In the output the head's part is spread over all columns. Only before the output layer can it be cut "
    "out.",
    mistakes=(
        Mistake(
            "You cut the columns out of the output. There the heads are mixed already: cut before the output layer.",
            _after_the_layer,
        ),
        Mistake(
            "You set rows of the matrix to zero; they make columns of the output. What a head brings meets columns of "
            "the matrix: `output_weight[:, head * d : (head + 1) * d]`.",
            _rows_of_the_matrix,
        ),
        Mistake(
            "You kept this head and left out the others.",
            _alone,
        ),
        Mistake(
            "You left out the bias with the head; it belongs to the layer, and stays.",
            lambda j, w, b, heads, head: knock_out(j, w, torch.zeros_like(b), heads, head),
        ),
        Mistake(
            "You cut out every num_heads-th column; a head's columns are neighbours.",
            lambda j, w, b, heads, head: _left_out(j, w, b, heads, head, slice(head, None, heads)),
        ),
        Mistake(
            "You counted the heads from 1; here they count from 0.",
            lambda j, w, b, heads, head: knock_out(j, w, b, heads, head - 1),
        ),
        Mistake(
            "You scaled the other heads up to make good for it; they stay as they are.",
            lambda j, w, b, heads, head: (knock_out(j, w, b, heads, head) - b) * heads / (heads - 1) + b,
        ),
        Mistake(
            "You cut out a single column; a head has d of them.",
            lambda j, w, b, heads, head: _left_out(
                j, w, b, heads, head, slice(head * (j.shape[2] // heads), head * (j.shape[2] // heads) + 1)
            ),
        ),
        Mistake("The head is still in: this is the whole output.", lambda j, w, b, heads, head: F.linear(j, w, b)),
    ),
)

ENTROPY = Exercise(
    lesson="4.1.4",
    official=head_entropy,
    draw=_draw_weights,
    minutes=5,
    difficulty=2,
    axes=("head",),
    hints=(
        "First the entropy of every query: (N, heads, Q). Then one mean over the axes of pictures and queries.",
        "`weights.log2()` is -inf where a weight is 0, and 0 * -inf is nan. `torch.special.xlogy(w, w)` is w * ln(w) "
        "with 0 there; divide by ln(2) for bits.",
        "-torch.special.xlogy(weights, weights).sum(dim=3).mean(dim=(0, 2)) / 0.6931472",
    ),
    takeaway="0 bits: all weight on one key. log2(K) bits: all keys alike, 6.02 for 65 keys. A head of h bits spreads "
    "like 2 ** h equal weights.",
    mistakes=(
        Mistake(
            "A weight of 0 makes 0 * log 0, which is nan; such a key adds 0 to the entropy.",
            lambda w: -(w * w.log2()).sum(dim=3).mean(dim=(0, 2)),
        ),
        Mistake(
            "You took the natural logarithm; bits want log2: divide by ln(2).",
            lambda w: -torch.special.xlogy(w, w).sum(dim=3).mean(dim=(0, 2)),
        ),
        Mistake("The sign is missing: an entropy is not below 0.", lambda w: -head_entropy(w)),
        Mistake(
            "You summed over the queries, axis 2; a query's weights lie along the keys, axis 3.",
            lambda w: _entropy(w, over=2).mean(dim=(0, 2)),
        ),
        Mistake(
            "You averaged the weights over the queries first. The mean of many sharp rows may be even: take each "
            "query's entropy, then the mean.",
            lambda w: _entropy(w.mean(dim=2), over=2).mean(dim=0),
        ),
        Mistake("You added up over the queries; take the mean.", lambda w: _entropy(w).sum(dim=2).mean(dim=0)),
        Mistake("You kept the pictures apart; take the mean over them too.", lambda w: _entropy(w).mean(dim=2)),
        Mistake(
            "You gave 2 ** entropy, the number of equal weights; the entropy itself is asked for.",
            lambda w: 2 ** head_entropy(w),
        ),
    ),
)

WINDOW = Exercise(
    lesson="4.1.4",
    official=window_mask,
    draw=lambda draw: (draw.integer(4, 5), draw.integer(6, 7), draw.integer(1, 2)),
    minutes=7,
    difficulty=2,
    axes=("query", "key"),
    hints=(
        "Make the row and the column of each patch first, two tensors of length rows * columns: patch i stands in row "
        "i // columns, column i % columns.",
        "`(row[:, None] - row).abs() <= radius` compares every patch with every other; do the same for the columns, "
        "and join the two by `&`.",
        "Start with `mask = torch.ones(length, length, dtype=torch.bool)` and set `mask[1:, 1:] = near`.",
    ),
    takeaway="With this mask a layer of attention sees as far as a convolution of 2 * radius + 1, but with weights "
    "made from the picture.",
    mistakes=(
        Mistake(
            "Your mask is True where attention is forbidden. That is the convention of nn.MultiheadAttention; here, as "
            "in F.scaled_dot_product_attention, True means may attend.",
            lambda r, c, radius: ~window_mask(r, c, radius),
        ),
        Mistake(
            "You compared the patches' numbers. The last patch of a row and the first of the next are neighbours in "
            "number, not in the picture.",
            _in_a_row,
        ),
        Mistake(
            "You added up rows and columns, which makes a diamond; each of the two may be up to `radius`.",
            lambda r, c, radius: _window(r, c, lambda down, across: down + across <= radius),
        ),
        Mistake(
            "You left out patches exactly `radius` away; they belong to it: `<=`.",
            lambda r, c, radius: _window(r, c, lambda down, across: torch.maximum(down, across) < radius),
        ),
        Mistake(
            "You asked for near in rows or in columns, which makes a cross; it takes both: `&`.",
            lambda r, c, radius: _window(r, c, lambda down, across: torch.minimum(down, across) <= radius),
        ),
        Mistake(
            "You divided by the number of rows; patch i stands in row i // columns.",
            lambda r, c, radius: _window(r, c, lambda down, across: torch.maximum(down, across) <= radius, wide=r),
        ),
        Mistake(
            "You took token i for patch i. Token 0 is the class token, so token i is patch i - 1: subtract 1 before "
            "you divide by columns.",
            _token_for_patch,
            shows=lambda given, rows, columns, radius: torch.equal(
                given[1:, 1:], _token_for_patch(rows, columns, radius)[1:, 1:]
            ),
        ),
        Mistake(
            "You left out the class token: L = 1 + rows * columns, and it comes first.",
            lambda r, c, radius: window_mask(r, c, radius)[1:, 1:],
        ),
        Mistake(
            "The class token may not attend to the patches: its row must be all True.",
            partial(_alone_class_token, axis=0),
        ),
        Mistake(
            "The patches may not attend to the class token: its column must be all True.",
            partial(_alone_class_token, axis=1),
        ),
        Mistake(
            "You made numbers, 0 and -inf, to be added to the scores; a boolean mask is asked for.",
            lambda r, c, radius: torch.zeros(1 + r * c, 1 + r * c).masked_fill(~window_mask(r, c, radius), -torch.inf),
        ),
    ),
)

PORT = Exercise(
    lesson="4.1.4",
    official=attend_in_heads,
    draw=_draw_padded,
    minutes=10,
    difficulty=3,
    axes=("picture", "query", "column"),
    hints=(
        "There are four faults: one in the scale, one in the mask, one in the softmax, one in the joining.",
        "Print the weights' sum over the last axis, and their sum over the padded keys: the first should be 1, the "
        "second 0.",
        "Divide by the root of q.shape[3]; close `~is_token`; softmax(dim=3); transpose(1, 2) before the reshape.",
    ),
    takeaway="All four keep the shapes and raise no error. Two looks find them: do a query's weights sum to 1, and "
    "does another implementation give the same numbers on the same weights?",
    mistakes=port_mistakes(_PLACES, _ported, "fault", _AS_IT_WAS),
)

EXERCISES = (SPLIT, JOIN, KNOCK_OUT, ENTROPY, WINDOW, PORT)
