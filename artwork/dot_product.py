"""Diagrams of attention by queries and keys: the general model, self-attention, heads, the Vision Transformer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from .registry import diagram
from .style import NAME, SMALL, TEXT, Box, Sketch


def softmax(scores: Sequence[float]) -> list[float]:
    """Positive weights that sum to 1."""
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def example_weights(queries: int, keys: int) -> list[list[float]]:
    """A matrix of weights to look at, each row a softmax."""
    return [softmax([2.2 * math.cos(1.3 * q * k + 0.9 * k + q) for k in range(keys)]) for q in range(queries)]


def full(rows: int, columns: int, value: float = 0.5) -> list[list[float]]:
    """A matrix of activations to look at: no two neighbours are equal."""
    return [[value + 0.3 * math.sin(2.1 * r + 1.7 * c + r * c) for c in range(columns)] for r in range(rows)]


def shaded(weights: Sequence[Sequence[float]]) -> list[list[float]]:
    """Weights for drawing: the largest gets the full colour."""
    largest = max(map(max, weights))
    return [[weight / largest for weight in row] for row in weights]


def row_of(matrix: Box, rows: int, row: int) -> Box:
    """Where one row of a drawn matrix stands."""
    return Box(matrix.x, matrix.y + matrix.h * row / rows, matrix.w, matrix.h / rows)


@diagram
def general_attention_model(s: Sketch) -> None:
    """The query from above, keys along the upper row, values along the lower."""
    high, low, cell, n = 150, 330, 17, 5
    middle = (high + low) / 2
    features = s.cells(28, middle - n * cell / 2, cell, full(n, 3), "feature")
    s.dot(106, middle)
    to_key = s.box(134, high - 24, 66, 48, "$W_K$", "op", NAME)
    to_value = s.box(134, low - 24, 66, 48, "$W_V$", "op", NAME)
    s.arrow(features.right, (106, middle), (106, high), to_key.left)
    s.arrow((106, middle), (106, low), to_value.left, start=0)
    keys = s.cells(228, high - n * cell / 2, cell, full(n, 3, 0.4), "key")
    values = s.cells(228, low - n * cell / 2, cell, full(n, 4, 0.55), "value")
    s.arrow(to_key.right, keys.left)
    s.arrow(to_value.right, values.left)
    score = s.box(322, high - 28, 100, 56, "score", "op", TEXT)
    s.arrow(keys.right, score.left)
    query = s.cells(score.cx - 1.5 * cell, 50, cell, full(1, 3, 0.6), "query")
    s.arrow(query.bottom, score.top)
    scores = s.column(456, high - n * cell / 2, (0.15, 0.75, 0.3, 0.95, 0.05), (24, cell), "op")
    align = s.box(514, high - 28, 112, 56, "alignment", "op", TEXT)
    weights = s.column(660, high - n * cell / 2, (0.08, 0.6, 0.15, 1.0, 0.05), (24, cell), "mask")
    average = s.box(734, high - 28, 100, 56, "weighted\naverage", "op", SMALL)
    context = s.cells(868, high - cell / 2, cell, full(1, 4, 0.6), "output")
    for before, after in ((score, scores), (scores, align), (align, weights), (weights, average), (average, context)):
        s.arrow(before.right, after.left)
    s.arrow(values.right, (average.cx, low), average.bottom)
    s.text(features.cx, features.y1 + 17, "n × d", SMALL, "muted")
    s.text(features.cx, features.y - 17, "features", SMALL, "feature")
    s.text(keys.cx, keys.y - 17, "keys", SMALL, "key")
    s.text(keys.cx, keys.y1 + 17, "n × $\\mathrm{d_k}$", SMALL, "muted")
    s.text(values.cx, values.y - 17, "values", SMALL, "value")
    s.text(values.cx, values.y1 + 17, "n × $\\mathrm{d_v}$", SMALL, "muted")
    s.text(query.cx, 32, "query", SMALL, "query")
    s.text(query.x1 + 14, 58.5, "$\\mathrm{d_q}$", SMALL, "muted", ha="left")
    s.text(scores.cx, scores.y - 17, "$e$", NAME, "ink")
    s.text(scores.cx, scores.y1 + 17, "n", SMALL, "muted")
    s.text(weights.cx, weights.y - 17, "$a$", NAME, "mask")
    s.text(weights.cx, weights.y1 + 17, "n", SMALL, "muted")
    s.text(context.cx, context.y - 17, "context $c$", SMALL, "output")
    s.text(context.cx, context.y1 + 17, "$\\mathrm{d_v}$", SMALL, "muted")
    s.text(score.cx, high + 46, "$e_l = score(q, k_l)$", SMALL, "muted")
    s.text(align.cx, high + 46, "$a = align(e)$", SMALL, "muted")
    s.text(average.cx + 14, high + 46, "$c = Σ_l\\ a_l\\ v_l$", SMALL, "muted", ha="left")


@diagram
def self_attention(s: Sketch) -> None:
    """Keys, queries and values in three rows; the marked query goes through all of them."""
    n, cell, marked = 6, 15, 2
    key_y, query_y, value_y = 82, 228, 392
    between = (key_y + query_y) / 2
    x = s.stack(20, query_y - 43, 50, 7, 6, "feature", [0.5] * 7)
    s.named(x, "$x$", "C × H × W", "feature")
    s.text(x.cx, x.y1 + 39, "M = H · W", SMALL, "muted")
    conv = [
        s.box(158, y - 27, 92, 54, f"1 × 1 conv\n$W_{name}$", family, SMALL)
        for y, name, family in ((key_y, "K", "key"), (query_y, "Q", "query"), (value_y, "V", "value"))
    ]
    s.arrow(x.right, conv[1].left)
    s.dot(130, query_y)
    s.arrow((130, query_y), (130, key_y), conv[0].left, start=0)
    s.arrow((130, query_y), (130, value_y), conv[2].left, start=0)
    keys = s.cells(290, key_y - n * cell / 2, cell, full(n, 2, 0.4), "key")
    queries = s.cells(290, query_y - n * cell / 2, cell, full(n, 2, 0.55), "query")
    values = s.cells(290, value_y - n * cell / 2, cell, full(n, 4, 0.5), "value")
    for box, matrix in zip(conv, (keys, queries, values), strict=True):
        s.arrow(box.right, matrix.left)
    s.text(keys.cx, keys.y1 + 16, "M × C/8", SMALL, "muted")
    s.text(queries.cx, queries.y1 + 16, "M × C/8", SMALL, "muted")
    s.text(values.cx, values.y1 + 16, "M × C/2", SMALL, "muted")
    s.text(keys.cx, keys.y - 16, "keys", SMALL, "key")
    s.text(queries.cx, queries.y - 16, "queries", SMALL, "query")
    s.text(values.cx, values.y - 16, "values", SMALL, "value")
    dots = s.box(412, between - 36, 136, 72, "dot products,\nsoftmax\nover the keys", "op", SMALL)
    s.arrow(keys.right, (380, key_y), (380, between - 14), (dots.x, between - 14))
    s.arrow(queries.right, (380, query_y), (380, between + 14), (dots.x, between + 14))
    weights = example_weights(n, n)
    mask = s.cells(590, between - n * 8, 16, shaded(weights), "mask")
    s.arrow(dots.right, mask.left)
    s.text(mask.cx, mask.y - 18, "$a$", NAME, "mask")
    s.text(mask.x1 + 14, mask.cy + 28, "M × M\neach row\nsums to 1", SMALL, "muted", ha="left")
    average = s.box(mask.cx - 52, value_y - 27, 104, 54, "weighted\naverage", "op", SMALL)
    s.arrow(mask.bottom, average.top)
    s.arrow(values.right, average.left)
    output = s.box(728, value_y - 27, 92, 54, "1 × 1 conv\n$W_O$", "output", SMALL)
    s.arrow(average.right, output.left)
    s.text((average.x1 + output.x) / 2, value_y - 15, "$c$", SMALL, "output")
    gamma = s.operator(860, value_y, "x")
    s.arrow(output.right, gamma.left)
    s.text(860, value_y - 62, "$γ$", NAME, "ink")
    s.arrow((860, value_y - 48), gamma.top, start=0)
    plus = s.operator(918, value_y, "+")
    s.arrow(gamma.right, plus.left, start=4, end=4)
    s.arrow(plus.right, (966, value_y), start=4, end=0)
    s.text(980, value_y, "$y$", NAME, "output")
    s.dot(130, value_y)
    s.arrow((130, value_y), (130, 484), (plus.cx, 484), plus.bottom, start=0)
    s.text(524, 503, "the shortcut: $y = γ\\ W_O c + x$", SMALL, "muted")
    s.outline(row_of(queries, n, marked), "query")
    s.outline(row_of(mask, n, marked), "query")


@diagram
def scaled_dot_product(s: Sketch) -> None:
    """One line of steps from queries and keys to the context."""
    cell, y, n = 17, 138, 4
    queries = s.cells(28, y - 98, cell, full(n, 3, 0.55), "query")
    keys = s.cells(28, y + 32, cell, full(n, 3, 0.4), "key")
    dots = s.box(128, y - 27, 88, 54, "dot\nproducts", "op", SMALL)
    s.arrow(queries.right, (104, queries.cy), (104, y - 12), (dots.x, y - 12))
    s.arrow(keys.right, (104, keys.cy), (104, y + 12), (dots.x, y + 12))
    scale = s.box(244, y - 27, 66, 54, "÷ $\\sqrt{d}$", "op", TEXT)
    block = s.box(338, y - 27, 84, 54, "mask\n(if given)", "op", SMALL)
    soft = s.box(450, y - 27, 92, 54, "softmax\nover keys", "op", SMALL)
    scores = [[2.2 * math.cos(1.3 * q * k + 0.9 * k + q) if k <= q else -math.inf for k in range(n)] for q in range(n)]
    weights = s.cells(576, y - 2 * cell, cell, shaded([softmax(row) for row in scores]), "mask")
    average = s.box(680, y - 27, 92, 54, "weighted\naverage", "op", SMALL)
    context = s.cells(806, y - 2 * cell, cell, full(n, 4, 0.6), "output")
    for before, after in pairwise((dots, scale, block, soft, weights, average, context)):
        s.arrow(before.right, after.left)
    values = s.cells(576, y + 94, cell, full(n, 4, 0.5), "value")
    s.arrow(values.right, (average.cx, values.cy), average.bottom)
    s.text(queries.cx, queries.y - 16, "queries", SMALL, "query")
    s.text(queries.cx, queries.y1 + 15, "Q × d", SMALL, "muted")
    s.text(keys.cx, keys.y - 15, "keys", SMALL, "key")
    s.text(keys.cx, keys.y1 + 16, "K × d", SMALL, "muted")
    s.text(weights.cx, weights.y - 16, "weights", SMALL, "mask")
    s.text(weights.cx, weights.y1 + 16, "Q × K", SMALL, "muted")
    s.text(values.cx, values.y - 15, "values", SMALL, "value")
    s.text(values.cx, values.y1 + 16, "K × $\\mathrm{d_v}$", SMALL, "muted")
    s.text(context.cx, context.y - 16, "context", SMALL, "output")
    s.text(context.cx, context.y1 + 16, "Q × $\\mathrm{d_v}$", SMALL, "muted")


@diagram
def multi_head(s: Sketch) -> None:
    """Three projections, three heads behind each other in rows, one layer that joins them."""
    cell, middle, n = 15, 200, 4
    rows = (78, 200, 322)
    inputs = s.cells(24, middle - 2 * 16, 16, full(n, 6), "feature")
    s.text(inputs.cx, inputs.y - 18, "$x$", NAME, "feature")
    s.text(inputs.cx, inputs.y1 + 17, "L × E", SMALL, "muted")
    s.dot(138, middle)
    projections = [
        s.box(160, y - 26, 96, 52, f"linear\n{words}", family, SMALL)
        for y, words, family in zip(rows, ("query", "key", "value"), ("query", "key", "value"), strict=True)
    ]
    s.arrow(inputs.right, projections[1].left)
    s.arrow((138, middle), (138, rows[0]), projections[0].left, start=0)
    s.arrow((138, middle), (138, rows[2]), projections[2].left, start=0)
    s.text(projections[0].cx, rows[0] + 42, "L × E each", SMALL, "muted")
    cut = s.box(290, 52, 64, 296, "cut\ninto\nheads", "op", SMALL)
    for box, y in zip(projections, rows, strict=True):
        s.arrow(box.right, (cut.x, y))
    join = s.box(706, 52, 64, 296, "join", "op", SMALL)
    for head, y in enumerate(rows):
        group = s.frame(390, y - 52, 280, 104, f"head {head + 1}")
        on = s.inside("op")
        scores = [[2.4 * math.cos((1.1 + head) * q * k + 0.7 * k + head) for k in range(n)] for q in range(n)]
        weights = s.cells(468, y - 30, cell, shaded([softmax(row) for row in scores]), "mask")
        context = s.cells(606, y - 30, cell, full(n, 2, 0.45 + 0.1 * head), "output")
        s.arrow(weights.right, context.left)
        s.text(567, weights.cy - 16, "values", SMALL, "value", on=on)
        s.arrow((cut.x1, y), (group.x, y))
        s.arrow((group.x1, y), (join.x, y))
    for column, words, shape, family in (
        (weights, "weights", "L × L", "mask"),
        (context, "context", "L × E / heads", "output"),
    ):
        s.text(column.cx, 391, words, SMALL, family)
        s.text(column.cx, 412, shape, SMALL, "muted")
    output = s.box(798, middle - 26, 66, 52, "linear", "output", SMALL)
    result = s.cells(890, middle - 2 * 16, 16, full(n, 6, 0.6), "output")
    s.arrow(join.right, output.left)
    s.arrow(output.right, result.left)
    s.text(result.cx, result.y - 18, "output", SMALL, "output")
    s.text(result.cx, result.y1 + 17, "L × E", SMALL, "muted")


@diagram
def vision_transformer(s: Sketch) -> None:
    """Upper row: from the picture to tokens. Lower row: the encoder and the head."""
    from course_utils.data import cued_digits

    high, low, cell, side, patch = 120, 352, 10, 40, 10
    pixels = cued_digits(1, seed=4, split="test").images[0].permute(1, 2, 0).numpy()
    image = s.picture(40, high - 72, 144, 144, pixels)
    count = side // patch
    for step in range(1, count):
        s.cut(image, step / count)
    s.text(image.cx, image.y1 + 17, "3 × 40 × 40", SMALL, "muted")
    left, size, gap = 236, 34, 6
    for number in range(count * count):
        row, column = divmod(number, count)
        piece = pixels[row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
        s.picture(left + column * (size + gap), high - 77 + row * (size + gap), size, size, piece)
    patches = Box(left, high - 77, count * size + (count - 1) * gap, count * size + (count - 1) * gap)
    s.arrow(image.right, (patches.x, high))
    s.text(patches.cx, patches.y1 + 17, "16 patches", SMALL, "muted")
    linear = s.box(436, high - 24, 72, 48, "linear", "op", SMALL)
    s.arrow((patches.x1, high), linear.left)
    words = s.cells(554, high - 80, cell, full(16, 7), "feature")
    s.arrow(linear.right, (words.x, high))
    s.cells(554, high - 80 - cell - 4, cell, full(1, 7, 0.7), "mask")
    s.text(640, high - 89, "class token", SMALL, "mask", ha="left")
    s.text(words.cx, words.y1 + 17, "17 × E", SMALL, "muted")
    plus = s.operator(686, high, "+")
    s.arrow(words.right, plus.left)
    position = s.box(760, high - 32, 128, 64, "position\nembedding\n17 × E", "op", SMALL)
    s.arrow(position.left, plus.right)
    s.arrow(plus.bottom, (plus.cx, 250), (24, 250), (24, low), (78, low), end=4)
    s.frame(44, low - 72, 580, 154, "encoder block, n times")
    norm = s.box(78, low - 24, 66, 48, "layer\nnorm", "op", SMALL)
    heads = s.box(168, low - 24, 98, 48, "multi-head\nattention", "mask", SMALL)
    first = s.operator(304, low, "+", 13)
    norm2 = s.box(366, low - 24, 66, 48, "layer\nnorm", "op", SMALL)
    mlp = s.box(456, low - 24, 66, 48, "MLP", "op", SMALL)
    second = s.operator(560, low, "+", 13)
    for before, after in pairwise((norm, heads, first, norm2, mlp, second)):
        s.arrow(before.right, after.left, start=3, end=3)
    for x, operator in ((61, first), (341, second)):
        s.dot(x, low)
        s.arrow((x, low), (x, low + 54), (operator.cx, low + 54), operator.bottom, start=0, end=4)
    norm3 = s.box(662, low - 24, 66, 48, "layer\nnorm", "op", SMALL)
    token = s.box(756, low - 24, 66, 48, "class\ntoken", "mask", SMALL)
    head = s.box(850, low - 24, 62, 48, "linear", "output", SMALL)
    out = s.column(944, low - 70, (0.95, 0.05, 0.1, 0.0, 0.05, 0.15, 0.0, 0.1, 0.05, 0.0), 14, "output")
    for before, after in pairwise((second, norm3, token, head, out)):
        s.arrow(before.right, after.left, start=4, end=4)
    s.text(token.cx, low + 42, "1 × E", SMALL, "muted")
    s.text(out.cx, out.y1 + 16, "classes", SMALL, "muted")
