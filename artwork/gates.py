"""Diagrams of the gated networks and of what lies beyond channel and space: VGG16 with gates, CBAM, branches, time."""

from __future__ import annotations

from itertools import pairwise

from .channel import GATES
from .overview import PLACE
from .registry import diagram
from .style import SMALL, TEXT, Box, Sketch


@diagram
def attention_vgg16(s: Sketch) -> None:
    """The trunk in the middle, one gate above it and one below."""
    y, above, below = 206, 72, 340
    image = s.stack(22, y - 40, 64, 3, 8, "feature", [0.35] * 3)
    first = s.box(126, y - 26, 76, 52, "conv\n1 to 3", "op", SMALL)
    pool3 = s.stack(232, y - 35, 42, 5, 7, "feature", [0.45] * 5)
    fourth = s.box(332, y - 26, 76, 52, "conv 4", "op", SMALL)
    pool4 = s.stack(438, y - 33, 31, 6, 7, "feature", [0.5] * 6, cells=3)
    fifth = s.box(534, y - 26, 76, 52, "conv 5", "op", SMALL)
    pool5 = s.stack(640, y - 31, 20, 7, 7, "feature", [0.55] * 7, cells=2)
    mean = s.box(736, y - 26, 70, 52, "mean\nH · W", "op", SMALL)
    join = s.box(842, 44, 54, 324, "join", "op", SMALL)
    head = s.box(926, y - 26, 58, 52, "linear", "output", SMALL)
    for before, after in pairwise((image, first, pool3, fourth, pool4, fifth, pool5, mean)):
        s.arrow(before.right, after.left, start=4, end=4)
    s.arrow(mean.right, (join.x, y))
    s.arrow((join.x1, y), head.left)
    upper = s.box(pool4.cx - 50, above - 28, 100, 56, "gate", "mask", TEXT, bold=True)
    lower = s.box(pool3.cx - 50, below - 28, 100, 56, "gate", "mask", TEXT, bold=True)
    s.arrow(pool4.top, upper.bottom)
    s.arrow(pool3.bottom, lower.top)
    s.arrow(pool5.top, (pool5.cx, above + 14), (upper.x1, above + 14))
    s.arrow(pool5.bottom, (pool5.cx, below - 14), (lower.x1, below - 14))
    s.arrow((upper.x1, above - 14), (join.x, above - 14))
    s.arrow((lower.x1, below + 14), (join.x, below + 14))
    s.text(590, above + 30, "guide", SMALL, "query")
    s.text(590, below - 30, "guide", SMALL, "query")
    s.text(776, above - 30, "512", SMALL, "muted")
    s.text(776, below + 30, "256", SMALL, "muted")
    s.text(image.cx, image.y1 + 17, "3 × 224 × 224", SMALL, "muted")
    s.text(pool3.cx, pool3.y - 27, "pool 3\n256 × 28 × 28", SMALL, "muted")
    s.text(pool4.cx, pool4.y1 + 27, "pool 4\n512 × 14 × 14", SMALL, "muted")
    s.text(pool5.cx + 12, pool5.y1 + 27, "pool 5\n512 × 7 × 7", SMALL, "muted", ha="left")
    s.text(join.cx, join.y1 + 17, "1,280", SMALL, "muted")


@diagram
def attention_gate(s: Sketch) -> None:
    """The local map along the middle, the guide below, the way round above."""
    y, guide_y = 158, 316
    local = s.stack(24, y - 40, 52, 5, 7, "feature", [0.45] * 5)
    guide = s.stack(36, guide_y - 31, 20, 7, 7, "query", [0.5] * 7, cells=2)
    to_local = s.box(146, y - 27, 92, 54, "1 × 1 conv\n$W_l$", "op", SMALL)
    to_guide = s.box(146, guide_y - 27, 92, 54, "1 × 1 conv\n$W_g$", "op", SMALL)
    enlarge = s.box(266, guide_y - 27, 84, 54, "enlarge\nto H × W", "op", SMALL)
    plus = s.operator(308, y, "+")
    s.arrow(local.right, to_local.left)
    s.arrow(guide.right, to_guide.left)
    s.arrow(to_guide.right, enlarge.left, start=4, end=4)
    s.arrow(enlarge.top, plus.bottom)
    s.arrow(to_local.right, plus.left)
    relu = s.box(346, y - 27, 60, 54, "ReLU", "op", SMALL)
    phi = s.box(430, y - 27, 92, 54, "1 × 1 conv\n$φ$", "op", SMALL)
    align = s.box(544, y - 27, 100, 54, "sigmoid\nor softmax", "op", SMALL)
    mask = s.cells(668, y - 34, 17, PLACE, "mask")
    times = s.operator(776, y, "x")
    pool = s.box(820, y - 27, 78, 54, "mean\nor sum", "op", SMALL)
    out = s.column(936, y - 45, (0.8, 0.2, 0.6, 0.1, 0.5), (24, 18), "output")
    for before, after in pairwise((plus, relu, phi, align, mask, times, pool, out)):
        s.arrow(before.right, after.left, start=4, end=4)
    s.dot(126, y)
    s.arrow((126, y), (126, 58), (times.cx, 58), times.top, start=0)
    s.text((126 + times.cx) / 2, 38, "the local map, unchanged", SMALL, "muted")
    s.text(local.cx - 4, local.y - 17, "local", SMALL, "feature")
    s.text(local.cx, local.y1 + 17, "C × H × W", SMALL, "muted")
    s.text(guide.cx, guide.y - 17, "guide", SMALL, "query")
    s.text(guide.cx, guide.y1 + 17, "512 × h × w", SMALL, "muted")
    s.text(phi.cx, y + 45, "256 → 1", SMALL, "muted")
    s.text(to_local.cx, y + 45, "C → 256", SMALL, "muted")
    s.text(to_guide.cx, guide_y + 45, "512 → 256", SMALL, "muted")
    s.text(mask.cx, mask.y - 17, "mask", SMALL, "mask")
    s.text(mask.cx, mask.y1 + 17, "1 × H × W", SMALL, "muted")
    s.text(out.cx, out.y1 + 17, "C", SMALL, "muted")


@diagram
def cbam(s: Sketch) -> None:
    """Two frames in a row, each with its way round."""
    y, foot, over = 204, 114, 60
    warm = s.inside("mask")
    x = s.stack(22, y - 43, 50, 7, 6, "feature", [0.5] * 7)
    s.frame(146, foot, 370, 204, "Channel", "mask", foot=True)
    s.frame(602, foot, 344, 204, "Spatial", "mask", foot=True)
    joint = s.box(264, y - 57, 74, 114, "shared\nMLP", "op", SMALL)
    add = s.box(364, y - 27, 80, 54, "add,\nsigmoid", "op", SMALL)
    gates = s.column(470, y - 60, GATES, 15, "mask")
    first = s.operator(550, y, "x")
    conv = s.box(720, y - 57, 106, 114, "7 × 7 conv\nBN\nsigmoid", "op", SMALL)
    mask = s.cells(854, y - 30, 15, PLACE, "mask")
    second = s.operator(980, y, "x")
    out = s.stack(1016, y - 43, 50, 7, 6, "output", [0.8 * gate for gate in GATES[:7]], face=PLACE)
    for left, ends, words in (
        (160, joint, ("mean\nH · W", "max\nH · W")),
        (616, conv, ("max\nover C", "mean\nover C")),
    ):
        for side, word in zip((-1, 1), words, strict=True):
            pooled = s.box(left, y + 31 * side - 26, 76, 52, word, "op", SMALL)
            s.arrow(pooled.right, (ends.x, pooled.cy), start=4, end=4)
    for side in (-1, 1):
        s.arrow((joint.x1, y + 14 * side), (add.x, y + 14 * side), start=4, end=4)
    s.arrow(x.right, (146, y))
    s.arrow(first.right, (602, y))
    for before, after in ((add, gates), (gates, first), (conv, mask), (mask, second), (second, out)):
        s.arrow(before.right, after.left, start=4, end=4)
    for start, operator in ((127, first), (584, second)):
        s.dot(start, y)
        s.arrow((start, y), (start, over), (operator.cx, over), operator.top, start=0)
    s.named(x, "$x$", "C × H × W", "feature")
    s.text(gates.cx - 16, y + 77, "C × 1 × 1", SMALL, "muted", on=warm)
    s.text(mask.cx, y + 47, "1 × H × W", SMALL, "muted", on=warm)
    s.text(out.cx, out.y1 + 17, "C × H × W", SMALL, "muted")
    s.text((127 + first.cx) / 2, over - 18, "$x$ unchanged", SMALL, "muted")
    s.text((584 + second.cx) / 2, over - 18, "$x$ times the channel mask", SMALL, "muted")


@diagram
def selective_kernel(s: Sketch) -> None:
    """Two branches above and below, what chooses between them in the middle."""
    y, above, below = 216, 84, 348
    x = s.stack(22, y - 40, 52, 5, 7, "feature", [0.5] * 5)
    s.named(x, "$x$", "C × H × W", "feature")
    convs = [
        s.box(150, branch - 34, 104, 68, f"3 × 3 conv\n{dilation}BN, ReLU", "op", SMALL)
        for branch, dilation in ((above, ""), (below, "dilation 2\n"))
    ]
    maps = [
        s.stack(288, branch - 40, 52, 5, 7, "feature", [shade] * 5) for branch, shade in ((above, 0.3), (below, 0.65))
    ]
    s.dot(126, y)
    s.arrow(x.right, (126, y), (126, above), convs[0].left)
    s.arrow((126, y), (126, below), convs[1].left, start=0)
    for conv, branch in zip(convs, maps, strict=True):
        s.arrow(conv.right, branch.left)
    plus = s.operator(400, y, "+")
    s.dot(400, above)
    s.dot(400, below)
    s.arrow((400, above), plus.top, start=0)
    s.arrow((400, below), plus.bottom, start=0)
    mean = s.box(444, y - 27, 64, 54, "mean\nH · W", "op", SMALL)
    squeeze = s.box(532, y - 27, 84, 54, "linear, BN\nReLU", "op", SMALL)
    logits = s.box(640, y - 27, 78, 54, "linear\nsoftmax", "op", SMALL)
    chosen = (0.85, 0.2, 0.6, 0.1, 0.45)
    mask = s.cells(752, y - 18, 18, [chosen, [1 - share for share in chosen]], "mask")
    for before, after in pairwise((plus, mean, squeeze, logits, mask)):
        s.arrow(before.right, after.left, start=4, end=4)
    s.text(logits.cx, y - 42, "across branches", SMALL, "muted")
    s.text(mask.cx - 10, y + 38, "branches × C", SMALL, "mask", ha="right")
    total = s.operator(892, y, "+")
    out = s.stack(928, y - 40, 52, 5, 7, "output", [0.3 + 0.35 * (1 - share) for share in chosen])
    s.arrow(total.right, out.left, start=4, end=4)
    s.text(out.cx, out.y1 + 17, "C × H × W", SMALL, "muted")
    for branch, side, end in ((maps[0], mask.top, total.top), (maps[1], mask.bottom, total.bottom)):
        times = s.operator(mask.cx, branch.cy, "x")
        s.arrow(side, (mask.cx, times.y1 if side == mask.top else times.y))
        s.arrow(branch.right, times.left)
        s.arrow(times.right, (total.cx, branch.cy), end)


@diagram
def space_time(s: Sketch) -> None:
    """Three rows of the same frames, the attended patches full."""
    frames, side, cell = 4, 4, 20
    query = (2, 1, 2)
    products = (f"T · S = {frames} · {side * side}", f"T = {frames}", f"S = {side * side}")
    rows = (
        ("joint", "all at once", lambda t, r, c: True),
        ("divided, step 1", "over time", lambda t, r, c: (r, c) == query[1:]),
        ("divided, step 2", "over space", lambda t, r, c: t == query[0]),
    )
    for number, (name, what, sees) in enumerate(rows):
        top = 30 + number * 128
        middle = top + side * cell / 2
        s.text(28, middle - 13, name, TEXT, "ink", ha="left", bold=True)
        s.text(28, middle + 13, what, TEXT, "mask", ha="left")
        keys = 0
        for t in range(frames):
            left = 230 + t * 112
            seen = [[float(sees(t, r, c)) for c in range(side)] for r in range(side)]
            keys += int(sum(map(sum, seen)))
            s.cells(left, top, cell, [[0.6 * value for value in row] for row in seen], "mask")
            if t == query[0]:
                s.outline(Box(left + query[2] * cell, top + query[1] * cell, cell, cell), "query", 4)
        s.text(700, middle - 13, f"{keys} keys for this query", TEXT, "ink", ha="left")
        s.text(700, middle + 13, products[number], SMALL, "muted", ha="left")
    for t in range(frames):
        s.text(230 + t * 112 + side * cell / 2, 412, f"frame {t}", SMALL, "muted")
    s.cells(700, 403, 18, [[0.0]], "query")
    s.text(728, 412, "the query", SMALL, "query", ha="left")
