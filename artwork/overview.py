"""Diagrams of the whole field: what attention is, which axes a mask spans, when each was published."""

from __future__ import annotations

from .registry import diagram
from .style import NAME, SMALL, TEXT, Sketch


@diagram
def attention_is_f_g_x(s: Sketch) -> None:
    """The input x goes through g, and straight to f."""
    low, high = 196, 84
    x = s.stack(40, low - 48, 64, 5, 8, "feature", [0.45] * 5)
    g = s.box(262, high - 30, 120, 60, "$g$", "mask", 22, bold=True)
    mask = s.column(480, high - 42.5, (0.95, 0.2, 0.7, 0.05, 0.5), (26, 17), "mask")
    f = s.box(602, low - 34, 120, 68, "$f$", "output", 22, bold=True)
    out = s.stack(784, low - 48, 64, 5, 8, "output", (0.85, 0.15, 0.6, 0.05, 0.4))
    s.arrow(x.right, f.left)
    s.dot(196, low)
    s.arrow((196, low), (196, high), g.left, start=0)
    s.arrow(g.right, mask.left)
    s.arrow(mask.right, (f.cx, high), f.top)
    s.arrow(f.right, out.left)
    s.named(x, "$x$", "input", "feature")
    s.text(g.cx, high + 48, "makes the mask", SMALL, "muted")
    s.text(mask.cx, 23, "$g(x)$", NAME, "mask")
    s.text(mask.cx, high + 60, "block.mask(x)", SMALL, "muted")
    s.text(f.cx, low + 52, "applies it", SMALL, "muted")
    s.named(out, "$f(g(x), x)$", "block(x)", "output")
    cards = (
        ("squeeze-and-excitation", "one gate\nfor each channel", "C × 1 × 1"),
        ("self-attention", "one weight for each\npair of positions", "H·W × H·W"),
        ("selective kernel", "one weight for each\nbranch of each channel", "branches × C × 1 × 1"),
    )
    on = s.inside("mask")
    for number, (name, what, shape) in enumerate(cards):
        left = 28 + number * 286
        s.frame(left, 306, 272, 118, name, "mask")
        s.text(left + 14, 359, what, SMALL, "ink", ha="left", on=on)
        s.text(left + 14, 402, shape, SMALL, "muted", ha="left", on=on)


def _frames(
    s: Sketch, x: float, y: float, shades: tuple[float, ...], cells: tuple[tuple[float, ...], ...] | None
) -> None:
    for number, shade in enumerate(shades):
        left = x + number * 52
        face = [[value * shade for value in row] for row in cells] if cells else [[shade] * 3] * 3
        s.cells(left, y, 14, face, "mask")
        s.text(left + 21, y + 58, f"t{number + 1}", SMALL, "muted", on=s.inside("op"))


PLACE = ((0.05, 0.1, 0.05, 0.0), (0.1, 0.9, 0.6, 0.05), (0.05, 0.7, 1.0, 0.1), (0.0, 0.05, 0.1, 0.05))
"""Where something stands, as a mask of 4 x 4 positions."""


@diagram
def categories(s: Sketch) -> None:
    """Cards on a grid, each with the mask as a small tensor."""
    cards = (
        ("channel", "what?", "SENet"),
        ("spatial", "where?", "self-attention"),
        ("channel & spatial", "what and where?", "CBAM"),
        ("temporal", "when?", "GLTR"),
        ("branch", "which?", "SKNet"),
        ("spatial & temporal", "where and when?", "STA-LSTM"),
    )
    gates = (0.95, 0.1, 0.65, 0.3, 0.85)
    on = s.inside("op")
    for number, (name, question, example) in enumerate(cards):
        x, y = 20 + 310 * (number % 3), 20 + 236 * (number // 3)
        s.frame(x, y, 300, 224)
        s.text(x + 16, y + 24, name, NAME, "ink", ha="left", bold=True, on=on)
        s.text(x + 16, y + 50, question, TEXT, "mask", ha="left", on=on)
        s.text(x + 16, y + 202, example, SMALL, "muted", ha="left", on=on)
        left, top = x + 150, y + 84
        if name == "channel":
            s.stack(left - 45, top, 54, 5, 9, "mask", gates)
        elif name == "spatial":
            s.stack(left - 45, top, 54, 5, 9, "mask", [0.0] * 5, face=PLACE)
        elif name == "channel & spatial":
            s.stack(left - 45, top, 54, 5, 9, "mask", gates, face=PLACE)
        elif name == "temporal":
            _frames(s, left - 99, top + 10, (0.1, 1.0, 0.6, 0.05), None)
        elif name == "spatial & temporal":
            _frames(s, left - 99, top + 10, (0.15, 1.0, 0.6, 0.1), tuple(row[1:] for row in PLACE[1:]))
        else:
            for branch, (words, weight) in enumerate((("3 × 3", 0.15), ("5 × 5", 0.95), ("7 × 7", 0.4))):
                high = top - 4 + branch * 34
                s.cells(left - 76, high, (76, 26), [[0.3]], "feature", [[words]])
                s.cells(left + 34, high, (42, 26), [[weight]], "mask")
                s.arrow((left, high + 13), (left + 34, high + 13), start=3, end=3)


@diagram
def mask_axes(s: Sketch) -> None:
    """One row for each mechanism, one column for each axis of a mask."""
    axes = ("branch", "channel", "time", "height", "width", "query")
    table = (
        ("SE, ECA, GSoP", ("channel",), "C × 1 × 1"),
        ("CBAM", ("channel", "height", "width"), "C × H × W"),
        ("attention gate", ("height", "width"), "1 × H × W"),
        ("self-attention", ("height", "width", "query"), "H·W × H·W"),
        ("multi-head", ("height", "width", "query"), "heads × H·W × H·W"),
        ("selective kernel", ("branch", "channel"), "branches × C × 1 × 1"),
        ("temporal", ("time", "query"), "H·W × T × T"),
        ("space-time, joint", ("time", "height", "width", "query"), "T·H·W × T·H·W"),
    )
    first, pitch, high = 214, 86, 52
    for number, axis in enumerate(axes):
        s.text(first + number * pitch, 34, axis, SMALL, "query" if axis == "query" else "muted")
    s.text(748, 34, "shape of one mask", SMALL, "muted", ha="left")
    for row, (name, spans, shape) in enumerate(table):
        y = 84 + row * high
        s.rule(24, 936, y - high / 2)
        s.text(28, y, name, TEXT, "ink", ha="left", bold=True)
        for number, axis in enumerate(axes):
            if axis == "query" and axis not in spans:
                continue
            family = "query" if axis == "query" else "mask" if axis in spans else "op"
            s.cells(first + number * pitch - 14, y - 14, 28, [[0.85 if axis in spans else 0.0]], family)
        s.text(748, y, shape, SMALL, "ink", ha="left")


@diagram
def channel_vs_spatial(s: Sketch) -> None:
    """x times mask gives output, once for each of the two masks."""
    gates = (0.95, 0.1, 0.65, 0.3, 0.85)
    for y, name, question in ((116, "channel", "what?"), (306, "spatial", "where?")):
        s.text(28, y - 14, name, NAME, "ink", ha="left", bold=True)
        s.text(28, y + 14, question, TEXT, "mask", ha="left")
        x = s.stack(164, y - 52, 68, 5, 9, "feature", [0.45] * 5)
        s.operator(322, y, "x")
        if name == "channel":
            mask = s.column(409, y - 45, gates, (26, 18), "mask")
            note, shape = "One gate per channel:\nthe same at\nevery position.", "C × 1 × 1"
            out = s.stack(554, y - 52, 68, 5, 9, "output", [0.9 * gate for gate in gates])
        else:
            mask = s.cells(388, y - 34, 17, PLACE, "mask")
            note, shape = "One weight per position:\nthe same in\nevery channel.", "1 × H × W"
            out = s.stack(554, y - 52, 68, 5, 9, "output", [0.15] * 5, face=PLACE)
        s.text(505, y, "=", 26, "ink")
        s.text(704, y, note, TEXT, "ink", ha="left")
        s.text(x.cx, x.y1 + 17, "C × H × W", SMALL, "muted")
        s.text(mask.cx, x.y1 + 17, shape, SMALL, "muted")
        s.text(out.cx, out.y1 + 17, "C × H × W", SMALL, "muted")
    s.text(216, 32, "$x$", NAME, "feature")
    s.text(422, 32, "mask", TEXT, "mask")
    s.text(606, 32, "output", TEXT, "output")
    s.rule(24, 916, 216)


@diagram
def attention_types(s: Sketch) -> None:
    """One row for each question, one group of boxes for each answer."""
    rows = (
        (
            ("any", "attention"),
            (
                ("score", ("eight of them",), ""),
                ("alignment", ("six of them",), ""),
                ("weights of a value", ("single", "multi-dimensional"), ""),
            ),
        ),
        (
            ("by its", "features"),
            (
                ("inputs", ("one",), "co-attention"),
                ("levels", ("one",), "hierarchical"),
                ("descriptions", ("one",), "multi-representational"),
            ),
        ),
        (
            ("by its", "queries"),
            (
                ("source of the query", ("specialised", "self"), "basic"),
                ("number of queries", ("one", "multi-head"), "multi-hop|capsules"),
            ),
        ),
    )
    on = s.inside("op")
    for number, (name, groups) in enumerate(rows):
        y = 20 + 126 * number
        s.frame(20, y, 920, 110)
        for line, words in enumerate(name):
            s.text(40, y + 44 + 22 * line, words, TEXT, "ink", ha="left", bold=True, on=on)
        for place, (question, taught, others) in enumerate(groups):
            x = (156.0, 420.0, 662.0)[place]
            s.text(x, y + 30, question, SMALL, "muted", ha="left", on=on)
            for kind in (*taught, *others.split("|")):
                if kind:
                    wide = 20 + 8.4 * len(kind)
                    s.box(x, y + 50, wide, 40, kind, "mask" if kind in taught else "op", SMALL)
                    x += wide + 8


MILESTONES = (
    ("spatial", 0, "RAM", 2014 + 5 / 12),
    ("spatial", 0, "STN", 2015 + 5 / 12),
    ("self-attention", 0, "Non-local", 2017 + 10 / 12),
    ("self-attention", 1, "SAGAN", 2018 + 4 / 12),
    ("self-attention", 0, "DETR", 2020 + 4 / 12),
    ("self-attention", 1, "ViT", 2020 + 9 / 12),
    ("channel", 0, "SENet", 2017 + 8 / 12),
    ("channel", 0, "GSoP", 2018 + 10 / 12),
    ("channel & spatial", 0, "CBAM", 2018 + 6 / 12),
    ("branch", 0, "Highway", 2015 + 6 / 12),
    ("no attention", 0, "MLP models", 2021 + 4 / 12),
)
"""Category, line within it, name, and the month of first publication as a year and a fraction."""

SPANS = (
    ("self-attention", 2, "DANet, EMANet, OCRNet", 2018, 2021),
    ("self-attention", 3, "DeiT, PVT, Swin", 2020, 2022),
    ("branch", 0, "SKNet", 2019, 2020),
)
"""The same for papers of which only the year is known: from 1 January to 31 December."""


@diagram
def timeline(s: Sketch) -> None:
    """Years from left to right, one lane for each category."""
    lanes = (
        ("spatial", 1),
        ("self-attention", 4),
        ("channel", 1),
        ("channel & spatial", 1),
        ("branch", 1),
        ("no attention", 1),
    )
    left, right, year_wide, line_high = 200, 984, 98, 32

    def across(year: float) -> float:
        return left + (year - 2014) * year_wide

    tops = {}
    top = 20.0
    for name, lines in lanes:
        tops[name] = top + 4
        s.text(24, top + 4 + lines * line_high / 2, name, SMALL, "ink", ha="left", bold=True)
        top += lines * line_high + 8
        s.rule(16, right, top)
    for year in range(2014, 2022):
        if year % 2 == 0:
            s.band(across(year), 20, year_wide, top - 20)
        s.text(across(year + 0.5), top + 20, str(year), SMALL, "muted")
    for lane, line, name, start, end in SPANS:
        y = tops[lane] + line * line_high
        s.box(across(start) + 3, y + 3, (end - start) * year_wide - 6, line_high - 6, name, "mask", SMALL)
    for lane, line, name, when in MILESTONES:
        y = tops[lane] + (line + 0.5) * line_high
        s.mark(across(when), y)
        room = across(when) + 120 < right
        s.text(
            across(when) + (11 if room else -11),
            y,
            name,
            SMALL,
            "ink",
            ha="left" if room else "right",
            on=s.inside("op"),
        )
