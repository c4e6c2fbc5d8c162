"""The house style of the diagrams: one family of colours, one type, one set of pieces on a grid.

A diagram is drawn on a `Sketch`, whose unit is one CSS pixel at full size, with y growing downwards. Each piece notes
where it stands, so that a test can tell whether a word is cut off, covered or crossed by a line.

Colours carry one meaning everywhere: blue is the feature map that comes in, orange the mask, green what goes out (and
the values that it is made of), purple the query, gold the key, grey an operation. They start from Okabe and Ito's
palette, which people with a colour vision deficiency can distinguish. matplotlib is imported only when drawing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Point = tuple[float, float]

UNITS_PER_INCH = 128
"""A power of two, so that no version of matplotlib loses a row of pixels to rounding."""
DOTS_PER_UNIT = 2
POINTS_PER_UNIT = 72 / UNITS_PER_INCH

TEXT = 16
"""Size of ordinary words; nothing is smaller than `SMALL`, so that half size can still be read."""
SMALL = 14.5
NAME = 17.5
LINE = 1.7
THIN = 0.8
GAP = 5
HEAD = 10
CORNER = 8


@dataclass(frozen=True)
class Family:
    """One hue: `strong` for borders and full cells, `text` for words, `fill` for surfaces."""

    strong: str
    text: str
    fill: str


@dataclass(frozen=True)
class Theme:
    """All colours of a light or a dark diagram."""

    background: str
    ink: str
    muted: str
    line: str
    families: dict[str, Family]

    def words(self, color: str) -> str:
        """The colour of words: "ink", "muted" or the name of a family."""
        return {"ink": self.ink, "muted": self.muted}.get(color) or self.families[color].text

    def shade(self, family: str, value: float) -> str:
        """A cell's colour for a value from 0 (the pale surface) to 1 (the full colour)."""
        hue = self.families[family]
        return blend(hue.fill, hue.strong, value)

    def legible_on(self, surface: str) -> str:
        """Black or white, whichever stands out more on a surface: one of them always reaches 4.5."""
        return max(("#000000", "#ffffff"), key=lambda color: contrast(color, surface))


# Each hue's strong, text and fill, and the parts that it colours.
_MEANT = {
    "grey": ("op",), "blue": ("feature",), "orange": ("mask",), "green": ("output", "value"), "purple": ("query",),
    "gold": ("key",),
}  # fmt: skip


def _theme(background: str, ink: str, muted: str, line: str, **hues: tuple[str, str, str]) -> Theme:
    families = {part: Family(*colours) for hue, colours in hues.items() for part in _MEANT[hue]}
    return Theme(background, ink, muted, line, families)


THEMES = {
    "light": _theme(
        "#fbfcfd", "#1b2430", "#525d6b", "#4a5564",
        grey=("#7f8a98", "#1b2430", "#e9edf1"),
        blue=("#0068a8", "#005084", "#d6e9f6"),
        orange=("#b93e00", "#8c3300", "#fde5d2"),
        green=("#2a9d63", "#006247", "#cfefe3"),
        purple=("#7d2a63", "#75265c", "#f4dcee"),
        gold=("#b68a00", "#6a4f00", "#faeeb9"),
    ),
    "dark": _theme(
        "#151a21", "#eef2f6", "#adb8c4", "#b4bfca",
        grey=("#76828f", "#eef2f6", "#262e38"),
        blue=("#6aa6ff", "#9cc6ff", "#1a3355"),
        orange=("#f07f2e", "#ffad6e", "#4d2b12"),
        green=("#56c98a", "#7fdfab", "#164231"),
        purple=("#d884c4", "#f3a9da", "#482142"),
        gold=("#ecd04a", "#f0d766", "#433610"),
    ),
}  # fmt: skip


def _channels(color: str) -> tuple[float, float, float]:
    red, green, blue = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue


def blend(start: str, end: str, share: float) -> str:
    """The colour that lies a share of the way from `start` to `end`."""
    pairs = zip(_channels(start), _channels(end), strict=True)
    return "#" + "".join(f"{round(255 * (a + (b - a) * share)):02x}" for a, b in pairs)


def contrast(first: str, second: str) -> float:
    """Contrast of two colours as WCAG 2 defines it, from 1 to 21; words need 4.5."""

    def luminance(color: str) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _channels(color)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


@dataclass(frozen=True)
class Box:
    """Where a piece stands, and the points at which arrows leave and reach it."""

    x: float
    y: float
    w: float
    h: float

    @property
    def cx(self) -> float:
        """The middle, across."""
        return self.x + self.w / 2

    @property
    def cy(self) -> float:
        """The middle, down."""
        return self.y + self.h / 2

    @property
    def x1(self) -> float:
        """The right end."""
        return self.x + self.w

    @property
    def y1(self) -> float:
        """The lower end."""
        return self.y + self.h

    @property
    def left(self) -> Point:
        """The middle of the left side."""
        return self.x, self.cy

    @property
    def right(self) -> Point:
        """The middle of the right side."""
        return self.x1, self.cy

    @property
    def top(self) -> Point:
        """The middle of the upper side."""
        return self.cx, self.y

    @property
    def bottom(self) -> Point:
        """The middle of the lower side."""
        return self.cx, self.y1


class Sketch:
    """A diagram in the making.

    Args:
        width, height: in units of one CSS pixel.
        theme: "light" or "dark".

    Attributes:
        figure: the matplotlib Figure.
        words: every line of text with the colour it stands on.
        solids: boxes and tensors, which neither words nor lines may cross.
        frames: areas drawn around a group, whose border words may not cross.
        lines: the corner points of every arrow.
    """

    def __init__(self, width: float, height: float, theme: str):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self.theme = THEMES[theme]
        self.figure: Figure = Figure(
            figsize=(width / UNITS_PER_INCH, height / UNITS_PER_INCH),
            dpi=UNITS_PER_INCH * DOTS_PER_UNIT,
            facecolor=self.theme.background,
            edgecolor="none",
        )
        FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)
        self.axes.set_axis_off()
        self.words: list[tuple[Any, str]] = []
        self.solids: list[Box] = []
        self.frames: list[Box] = []
        self.lines: list[list[Point]] = []

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float = TEXT,
        color: str = "ink",
        ha: str = "center",
        bold: bool = False,
        on: str | None = None,
    ) -> None:
        """Lines of words, their block centred on y.

        `color` is "ink", "muted", a family or a colour; `on` is the surface that the words stand on.
        """
        lines = words.split("\n")
        step = 1.36 * size
        for number, line in enumerate(lines):
            middle = y + (number - (len(lines) - 1) / 2) * step
            artist = self.axes.text(
                x,
                middle + 0.36 * size,
                line,
                fontsize=size * POINTS_PER_UNIT,
                color=color if color.startswith("#") else self.theme.words(color),
                ha=ha,
                va="baseline",
                family="DejaVu Sans",
                math_fontfamily="dejavusans",
                fontweight="bold" if bold else "normal",
                zorder=6,
            )
            self.words.append((artist, on or self.theme.background))

    def _patch(self, patch: Any) -> None:
        self.axes.add_patch(patch)

    def _rectangle(self, box: Box, face: str, edge: str, width: float, zorder: float, radius: float = 0) -> None:
        from matplotlib.patches import FancyBboxPatch, Rectangle

        style: dict[str, Any] = {
            "facecolor": face,
            "edgecolor": edge,
            "linewidth": width * POINTS_PER_UNIT,
            "zorder": zorder,
            "joinstyle": "miter",
        }
        if radius:
            self._patch(
                FancyBboxPatch(
                    (box.x, box.y),
                    box.w,
                    box.h,
                    boxstyle=f"round,pad=0,rounding_size={radius}",
                    mutation_aspect=1,
                    **style,
                )
            )
        else:
            self._patch(Rectangle((box.x, box.y), box.w, box.h, **style))

    def box(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        words: str = "",
        family: str = "op",
        size: float = TEXT,
        bold: bool = False,
    ) -> Box:
        """An operation: a rounded box with its words in the middle."""
        box = Box(x, y, w, h)
        hue = self.theme.families[family]
        self._rectangle(box, hue.fill, hue.strong, LINE, 3, radius=7)
        self.solids.append(box)
        if words:
            self.text(box.cx, box.cy, words, size, family, bold=bold, on=hue.fill)
        return box

    def frame(
        self, x: float, y: float, w: float, h: float, label: str = "", family: str = "op", foot: bool = False
    ) -> Box:
        """A soft area around a group, its label inside at the upper left, or at the foot."""
        box = Box(x, y, w, h)
        hue = self.theme.families[family]
        face = self.inside(family)
        self._rectangle(box, face, blend(self.theme.background, hue.strong, 0.45), THIN * 1.4, 1, radius=11)
        self.frames.append(box)
        if label:
            self.text(x + 14, box.y1 - 19 if foot else y + 19, label, SMALL, family, ha="left", bold=True, on=face)
        return box

    def inside(self, family: str) -> str:
        """The surface of a frame, for words that stand on it."""
        return blend(self.theme.background, self.theme.families[family].fill, 0.35)

    def stack(
        self,
        x: float,
        y: float,
        size: float = 64,
        sheets: int = 5,
        step: float = 9,
        family: str = "feature",
        shades: Sequence[float] | None = None,
        cells: int = 4,
        face: Sequence[Sequence[float]] | None = None,
    ) -> Box:
        """A feature map C x H x W: one sheet per channel, the first in front.

        `shades` colours each sheet; `face` instead colours each position of the sheet in front.
        """
        hue = self.theme.families[family]
        shades = shades if shades is not None else [0.0] * sheets
        depth = (sheets - 1) * step
        for sheet in reversed(range(sheets)):
            corner = Box(x + sheet * step, y + depth - sheet * step, size, size)
            self._rectangle(corner, self.theme.shade(family, shades[sheet]), hue.strong, LINE * 0.8, 3 - sheet * 0.01)
        front = Box(x, y + depth, size, size)
        if face:
            cells = len(face)
            for r, row in enumerate(face):
                for c, value in enumerate(row):
                    place = Box(x + size * c / cells, front.y + size * r / cells, size / cells, size / cells)
                    self._rectangle(place, self.theme.shade(family, value), "none", 0, 3.05)
            self._rectangle(front, "none", hue.strong, LINE * 0.8, 3.15)
        grid = blend(self.theme.shade(family, shades[0]), hue.strong, 0.55)
        self._grid(front, cells, cells, grid, 3.1)
        box = Box(x, y, size + depth, size + depth)
        self.solids.append(box)
        return box

    def _grid(self, box: Box, rows: int, columns: int, color: str, zorder: float) -> None:
        from matplotlib.collections import LineCollection

        across = [[(box.x, box.y + box.h * r / rows), (box.x1, box.y + box.h * r / rows)] for r in range(1, rows)]
        down = [
            [(box.x + box.w * c / columns, box.y), (box.x + box.w * c / columns, box.y1)] for c in range(1, columns)
        ]
        self.axes.add_collection(
            LineCollection(across + down, colors=color, linewidths=THIN * POINTS_PER_UNIT, zorder=zorder), autolim=False
        )

    def cells(
        self,
        x: float,
        y: float,
        cell: float | tuple[float, float],
        values: Sequence[Sequence[float]],
        family: str = "feature",
        labels: Sequence[Sequence[str]] | None = None,
        size: float = SMALL,
        bold: bool = False,
    ) -> Box:
        """A matrix, or a vector of one row or column: each cell shaded by its value in [0, 1], labelled if asked."""
        wide, high = cell if isinstance(cell, tuple) else (cell, cell)
        hue = self.theme.families[family]
        for r, row in enumerate(values):
            for c, value in enumerate(row):
                face = self.theme.shade(family, value)
                place = Box(x + c * wide, y + r * high, wide, high)
                self._rectangle(place, face, blend(face, hue.strong, 0.6), THIN, 3)
                if labels:
                    self.text(place.cx, place.cy, labels[r][c], size, self.theme.legible_on(face), on=face, bold=bold)
        box = Box(x, y, wide * len(values[0]), high * len(values))
        self._rectangle(box, "none", hue.strong, LINE, 3.2)
        self.solids.append(box)
        return box

    def column(
        self,
        x: float,
        y: float,
        values: Sequence[float],
        cell: float | tuple[float, float] = 15,
        family: str = "feature",
    ) -> Box:
        """A vector that stands upright."""
        return self.cells(x, y, cell, [[value] for value in values], family)

    def picture(self, x: float, y: float, w: float, h: float, pixels: Any) -> Box:
        """An image (H, W, 3) or (H, W) in [0, 1], every pixel a crisp square."""
        import numpy as np

        pixels = np.asarray(pixels, dtype=float)
        if pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        box = Box(x, y, w, h)
        self.axes.imshow(
            np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8),
            extent=(x, box.x1, box.y1, y),
            interpolation="nearest",
            aspect="auto",
            zorder=3,
        )
        self.axes.set_xlim(0, self.width)
        self.axes.set_ylim(self.height, 0)
        self._rectangle(box, "none", self.theme.line, LINE * 0.8, 3.2)
        self.solids.append(box)
        return box

    def outline(self, box: Box, family: str, width: float = 3) -> None:
        """A strong border that marks a part of a picture."""
        self._rectangle(box, "none", self.theme.families[family].strong, width, 4)

    def cut(self, box: Box, share: float) -> None:
        """A cut through a picture, across and down, at a share of its size."""
        color = self.theme.background
        x, y = box.x + box.w * share, box.y + box.h * share
        self._segment([(x, box.y), (x, box.y1)], color, LINE * 1.5, 3.5)
        self._segment([(box.x, y), (box.x1, y)], color, LINE * 1.5, 3.5)

    def operator(self, cx: float, cy: float, sign: str, radius: float = 15) -> Box:
        """A circle with a drawn sign: "x" multiplies element by element, "+" adds."""
        from matplotlib.patches import Circle

        color = self.theme.line
        self._patch(
            Circle(
                (cx, cy),
                radius,
                facecolor=self.theme.background,
                edgecolor=color,
                linewidth=LINE * POINTS_PER_UNIT,
                zorder=3,
            )
        )
        arm = radius * (0.42 if sign == "x" else 0.55)
        strokes = {
            "x": [(-arm, -arm, arm, arm), (-arm, arm, arm, -arm)],
            "+": [(-arm, 0, arm, 0), (0, -arm, 0, arm)],
        }[sign]
        for x0, y0, x1, y1 in strokes:
            self._segment([(cx + x0, cy + y0), (cx + x1, cy + y1)], self.theme.ink, LINE * 1.25, 4)
        box = Box(cx - radius, cy - radius, 2 * radius, 2 * radius)
        self.solids.append(box)
        return box

    def _segment(self, points: Sequence[Point], color: str, width: float, zorder: float) -> None:
        from matplotlib.lines import Line2D

        self.axes.add_line(
            Line2D(
                [x for x, _ in points],
                [y for _, y in points],
                color=color,
                linewidth=width * POINTS_PER_UNIT,
                solid_capstyle="butt",
                zorder=zorder,
            )
        )

    def dot(self, x: float, y: float) -> None:
        """A junction, where one line becomes two."""
        from matplotlib.patches import Circle

        self._patch(Circle((x, y), 3.4, facecolor=self.theme.line, edgecolor="none", zorder=3))

    def rule(self, x0: float, x1: float, y: float) -> None:
        """A thin line across, between two rows."""
        faint = blend(self.theme.background, self.theme.line, 0.25)
        self._segment([(x0, y), (x1, y)], faint, THIN, 1.5)

    def band(self, x: float, y: float, w: float, h: float) -> None:
        """A faint area behind everything, such as every second year of a scale."""
        self._rectangle(Box(x, y, w, h), self.inside("op"), "none", 0, 0.5)

    def mark(self, x: float, y: float) -> None:
        """A full dot: something that happened there."""
        from matplotlib.patches import Circle

        self._patch(Circle((x, y), 5.5, facecolor=self.theme.families["mask"].strong, edgecolor="none", zorder=4))

    def arrow(
        self,
        *points: Point,
        start: float = GAP,
        end: float = GAP,
    ) -> None:
        """A line through the points, corners rounded, leaving a gap at both ends; the last point gets the head."""
        from matplotlib.patches import PathPatch, Polygon
        from matplotlib.path import Path

        color = self.theme.line
        route = [*points]
        route[0] = _towards(route[0], route[1], start)
        route[-1] = _towards(route[-1], route[-2], end)
        self.lines.append(route)
        tip = route[-1]
        stop = _towards(tip, route[-2], HEAD * 0.8)
        vertices, codes = [route[0]], [Path.MOVETO]
        for before, corner, after in zip(route[:-2], route[1:-1], [*route[2:-1], stop], strict=False):
            cut = min(CORNER, math.dist(before, corner) / 2, math.dist(corner, after) / 2)
            vertices += [_towards(corner, before, cut), corner, _towards(corner, after, cut)]
            codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
        vertices.append(stop)
        codes.append(Path.LINETO)
        self._patch(
            PathPatch(
                Path(vertices, codes),
                facecolor="none",
                edgecolor=color,
                linewidth=LINE * POINTS_PER_UNIT,
                capstyle="butt",
                joinstyle="round",
                zorder=2,
            )
        )
        back = _towards(tip, route[-2], HEAD)
        dx, dy = (tip[0] - back[0]) / HEAD, (tip[1] - back[1]) / HEAD
        half = HEAD * 0.44
        wings = [(back[0] - dy * half, back[1] + dx * half), (back[0] + dy * half, back[1] - dx * half)]
        self._patch(Polygon([tip, *wings], closed=True, facecolor=color, edgecolor="none", zorder=2.1))

    def span(self, x0: float, x1: float, y: float, words: str, family: str = "op") -> None:
        """A bracket under a stretch, with its words."""
        color = self.theme.families[family].strong
        self._segment([(x0, y - 7), (x0, y), (x1, y), (x1, y - 7)], color, LINE, 2)
        self.text((x0 + x1) / 2, y + 15, words, TEXT, family)

    def named(self, box: Box, name: str, shape: str, color: str) -> None:
        """A tensor's name above it and its shape beneath it."""
        self.text(box.cx, box.y - 16, name, NAME, color)
        self.text(box.cx, box.y1 + 17, shape, SMALL, "muted")


def _towards(start: Point, end: Point, length: float) -> Point:
    whole = math.dist(start, end)
    share = length / whole if whole else 0.0
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share
