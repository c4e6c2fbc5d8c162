"""Diagrams of the whole field: what attention is, which axes a mask spans, who came when."""

from __future__ import annotations

from .registry import diagram
from .style import NAME, SMALL, Sketch


@diagram(
    900,
    440,
    alt="The input x goes two ways: through g, which makes the mask g(x), and straight to f, which applies the mask to "
    "x; the result is f(g(x), x). Below, three examples: squeeze-and-excitation masks channels, self-attention "
    "positions, selective kernels branches.",
    caption="One idea carries every lesson: g makes a mask from the input, f applies it. Notice that x is used twice: "
    "that is what makes the weights depend on the image.",
)
def attention_is_f_g_x(s: Sketch) -> None:
    """x twice: once through g, once straight to f."""
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
