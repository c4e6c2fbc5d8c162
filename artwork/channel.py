"""Diagrams of attention over channels: pooling, squeeze-and-excitation, its place in a residual block."""

from __future__ import annotations

from itertools import pairwise

from .registry import diagram
from .style import GAP, NAME, SMALL, TEXT, Box, Sketch

MAPS = (
    ((7, 8, 6, 7), (6, 7, 8, 7), (8, 7, 7, 6), (7, 6, 7, 8)),
    ((4, 0, 4, 0), (0, 4, 0, 4), (4, 0, 4, 0), (0, 4, 0, 4)),
    ((0, 0, 0, 0), (0, 8, 8, 0), (0, 8, 8, 0), (0, 0, 0, 0)),
    ((1, 0, 0, 1), (0, 1, 1, 0), (0, 1, 1, 0), (1, 0, 0, 1)),
)
"""Four channels of 4 x 4 numbers; the second and the third have the same mean."""

GATES = (0.92, 0.15, 0.6, 0.05, 0.8, 0.35, 1.0, 0.25)
SQUEEZED = (0.55, 0.2, 0.75, 0.35, 0.1, 0.9, 0.45, 0.3)


@diagram
def global_average_pooling(s: Sketch) -> None:
    """Four channels, each replaced by its mean."""
    means = [sum(map(sum, channel)) / 16 for channel in MAPS]
    cell, pitch, first = 30, 172, 215
    for number, (channel, mean) in enumerate(zip(MAPS, means, strict=True)):
        x = first + number * pitch
        s.text(x + 2 * cell, 32, f"channel {number + 1}", TEXT, "muted")
        grid = s.cells(
            x,
            52,
            cell,
            [[v / 9 for v in row] for row in channel],
            "feature",
            [[str(v) for v in row] for row in channel],
        )
        pooled = s.cells(x + 2 * cell - 34, 258, (68, 50), [[mean / 9]], "feature", [[f"{mean:g}"]], NAME, bold=True)
        s.arrow(grid.bottom, pooled.top, start=GAP + 2)
    s.text(28, 98, "$x$", NAME, "feature", ha="left", bold=True)
    s.text(28, 122, "C × H × W", SMALL, "muted", ha="left")
    s.text(28, 144, "4 × 4 × 4", SMALL, "muted", ha="left")
    s.text(28, 215, "mean over\nH · W positions", SMALL, "ink", ha="left")
    s.text(28, 271, "$z$", NAME, "feature", ha="left", bold=True)
    s.text(28, 295, "C × 1 × 1", SMALL, "muted", ha="left")
    middle = first + 2 * cell
    s.span(middle + pitch - 34, middle + 2 * pitch + 34, 330, "equal means: where the values were is lost", "mask")


@diagram
def se_block(s: Sketch) -> None:
    """Squeeze, excitation, scale."""
    y, cell, foot = 206, 15, 100
    x = s.stack(24, y - 54.5, 60, 8, 7, "feature", [0.5] * 8)
    s.frame(166, foot, 158, 232, "Squeeze", "feature", foot=True)
    s.frame(340, foot, 372, 232, "Excitation", "mask", foot=True)
    s.frame(728, foot, 76, 232, "Scale", "output", foot=True)
    pale, warm = s.inside("feature"), s.inside("mask")
    mean = s.box(180, y - 30, 72, 60, "mean\nH · W", "op", SMALL)
    z = s.column(288, y - 4 * cell, SQUEEZED, cell, "feature")
    reduce = s.box(354, y - 30, 84, 60, "linear\nReLU", "op", SMALL)
    hidden = s.column(476, y - cell, (0.7, 0.3), cell, "op")
    expand = s.box(529, y - 30, 84, 60, "linear\nsigmoid", "op", SMALL)
    mask = s.column(658, y - 4 * cell, GATES, cell, "mask")
    times = s.operator(766, y, "x")
    out = s.stack(826, y - 54.5, 60, 8, 7, "output", [0.85 * gate for gate in GATES])
    chain = (x, mean, z, reduce, hidden, expand, mask, times, out)
    for before, after in pairwise(chain):
        s.arrow(before.right, after.left, start=4, end=4)
    s.named(x, "$x$", "C × H × W", "feature")
    s.text(z.cx, y - 77, "$z$", NAME, "feature", on=pale)
    s.text(z.cx, y + 77, "C", SMALL, "muted", on=pale)
    s.text(hidden.cx, y + 33, "C / r", SMALL, "muted", on=warm)
    s.text(mask.cx, y - 77, "$s$", NAME, "mask", on=warm)
    s.text(mask.cx, y + 77, "C × 1 × 1", SMALL, "muted", on=warm)
    s.named(out, "$x · s$", "C × H × W", "output")
    s.dot(149, y)
    s.arrow((149, y), (149, 58), (times.cx, 58), times.top, start=0)
    s.text((149 + times.cx) / 2, 38, "the same feature map, unchanged", SMALL, "muted")
    s.span(166, 712, 354, "$g(x)$ makes the mask", "mask")
    s.span(728, 804, 354, "$f$ applies it", "output")


def _residual_row(s: Sketch, y: float, names: tuple[str, str, str], plus_x: float) -> tuple[Box, Box]:
    s.text(40, y, "$x$", NAME, "feature", bold=True)
    boxes = [s.box(112 + number * 124, y - 28, 100, 56, name, "op", SMALL) for number, name in enumerate(names)]
    plus = s.operator(plus_x, y, "+")
    relu = s.box(plus_x + 42, y - 20, 64, 40, "ReLU", "op", SMALL)
    s.text(plus_x + 150, y, "$y$", NAME, "output", bold=True)
    s.arrow((52, y), boxes[0].left, start=0)
    for before, after in pairwise(boxes):
        s.arrow(before.right, after.left, start=4, end=4)
    s.arrow(plus.right, relu.left, start=4, end=4)
    s.arrow(relu.right, (plus_x + 138, y), start=4, end=0)
    s.dot(80, y)
    s.arrow((80, y), (80, y - 62), (plus_x, y - 62), plus.top, start=0)
    return boxes[-1], plus


@diagram
def se_residual(s: Sketch) -> None:
    """A residual block without and with SE."""
    names = ("1 × 1 conv\nBN, ReLU", "3 × 3 conv\nBN, ReLU", "1 × 1 conv\nBN")
    top, low, plus_x = 108, 262, 812
    s.text(26, 24, "residual block", SMALL, "muted", ha="left", bold=True)
    last, plus = _residual_row(s, top, names, plus_x)
    s.arrow(last.right, plus.left, start=4, end=4)
    s.text((80 + plus_x) / 2, top - 77, "shortcut", SMALL, "muted")
    frame = s.frame(480, low - 42, 296, 222, "", "mask")
    s.text(26, low - 80, "with SE", SMALL, "mask", ha="left", bold=True)
    last, plus = _residual_row(s, low, names, plus_x)
    warm = s.inside("mask")
    times = s.operator(701, low, "x")
    s.text(506, low - 19, "$u$", NAME, "feature", on=warm)
    s.arrow(last.right, times.left, start=4, end=4)
    s.arrow(times.right, plus.left, start=4, end=4)
    s.dot(555, low)
    mean = s.box(494, low + 40, 122, 36, "mean H · W", "op", SMALL)
    reduce = s.box(494, low + 108, 122, 56, "linear, ReLU\nC → C / r", "op", SMALL)
    excite = s.box(640, low + 108, 122, 56, "linear, sigmoid\nC / r → C", "op", SMALL)
    s.arrow((555, low), mean.top, start=0, end=4)
    s.arrow(mean.bottom, reduce.top, start=4, end=4)
    s.arrow(reduce.right, excite.left, start=3, end=3)
    s.arrow(excite.top, times.bottom, start=4)
    s.text(719, low + 60, "$s$", NAME, "mask", on=warm)
    s.text(frame.cx, frame.y1 + 18, "SE block", SMALL, "mask", bold=True)


COVARIANCE = ((0.95, 0.2, 0.65, 0.05), (0.2, 0.7, 0.1, 0.5), (0.65, 0.1, 1.0, 0.3), (0.05, 0.5, 0.3, 0.8))


@diagram
def gsop_block(s: Sketch) -> None:
    """The SE block's frames, with a covariance where the mean was."""
    y, foot = 206, 100
    x = s.stack(20, y - 43, 50, 7, 6, "feature", [0.5] * 7)
    s.frame(138, foot, 382, 232, "Squeeze", "feature", foot=True)
    s.frame(536, foot, 296, 232, "Excitation", "mask", foot=True)
    s.frame(848, foot, 72, 232, "Scale", "output", foot=True)
    pale, warm = s.inside("feature"), s.inside("mask")
    reduce = s.box(150, y - 40, 90, 80, "ReLU\n1 × 1 conv\nBN, ReLU", "op", SMALL)
    reduced = s.stack(264, y - 34, 50, 4, 6, "feature", [0.5] * 4)
    pool = s.box(356, y - 30, 62, 60, "cov\nH · W", "op", SMALL)
    matrix = s.cells(442, y - 34, 17, COVARIANCE, "feature")
    rows = s.box(548, y - 40, 76, 80, "BN\nrow-wise\nconv", "op", SMALL)
    wide = s.column(
        646, y - 72, (0.7, 0.2, 0.5, 0.1, 0.3, 0.8, 0.4, 0.1, 0.9, 0.2, 0.6, 0.3, 0.2, 0.7, 0.1, 0.5), 9, "op"
    )
    expand = s.box(677, y - 30, 86, 60, "1 × 1 conv\nsigmoid", "op", SMALL)
    mask = s.column(786, y - 4 * 15, GATES, 15, "mask")
    times = s.operator(884, y, "x")
    out = s.stack(940, y - 43, 50, 7, 6, "output", [0.85 * gate for gate in GATES[:7]])
    for before, after in pairwise((x, reduce, reduced, pool, matrix, rows, wide, expand, mask, times, out)):
        s.arrow(before.right, after.left, start=3, end=3)
    s.named(x, "$x$", "C × H × W", "feature")
    s.text(reduced.cx, y + 51, "d × H × W", SMALL, "muted", on=pale)
    s.text(matrix.cx, y - 51, "$Σ$", NAME, "feature", on=pale)
    s.text(matrix.cx, y + 51, "d × d", SMALL, "muted", on=pale)
    s.text(wide.cx, y + 89, "4d", SMALL, "muted", on=warm)
    s.text(mask.cx, y - 77, "$s$", NAME, "mask", on=warm)
    s.text(mask.cx - 4, y + 77, "C × 1 × 1", SMALL, "muted", on=warm)
    s.named(out, "$x · s$", "C × H × W", "output")
    s.dot(124, y)
    s.arrow((124, y), (124, 58), (times.cx, 58), times.top, start=0)
    s.text((124 + times.cx) / 2, 38, "the same feature map, unchanged", SMALL, "muted")
    s.span(138, 832, 354, "$g(x)$ makes the mask", "mask")
    s.span(848, 920, 354, "$f$ applies it", "output")
