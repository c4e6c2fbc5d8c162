"""Diagrams of the experiments: the cued digits and the network of the original course."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .registry import diagram
from .style import SMALL, TEXT, Box, Sketch

if TYPE_CHECKING:
    from course_utils.data import ImageSet

STAGES = ((12, 3, 1, 2), (24, 6, 2, 2), (32, 6, 2, 2))
"""Each convolution of the original network: channels, kernel, stride, padding."""

COLOURS = ("red", "green", "blue")
_SHOWN = 5


def stage_shapes(channels: int, size: int) -> list[tuple[int, int, int]]:
    """(C, H, W) of a square image and of the feature map after each convolution of the original network."""
    shapes = [(channels, size, size)]
    for width, kernel, stride, padding in STAGES:
        size = (size + 2 * padding - kernel) // stride + 1
        shapes.append((width, size, size))
    return shapes


@diagram
def original_network(s: Sketch) -> None:
    """The three stages and the head, with the shapes for both sizes of picture."""
    y, chip, gap, pad = 124, 92, 8, 9
    x = 36.0
    glyphs: list[Box] = []
    columns: list[Box] = []
    kinds = ((68, 2, 8, 0.35, 6), (60, 4, 7, 0.4, 6), (46, 6, 7, 0.5, 4), (32, 8, 7, 0.6, 3))
    chips = [
        [
            (f"conv {kernel} × {kernel}\nstride {stride}\npad {padding}", 74, "op"),
            ("BN, ReLU", 34, "op"),
            ("SE", 34, "mask"),
        ]
        for _, kernel, stride, padding in STAGES
    ]
    chips.append([("flatten", 30, "op"), ("linear", 30, "op"), ("BN, ReLU\ndropout", 52, "op"), ("linear", 30, "op")])
    for (size, sheets, step, shade, cells), parts in zip(kinds, chips, strict=True):
        glyphs.append(
            s.stack(x, y - (size + (sheets - 1) * step) / 2, size, sheets, step, "feature", [shade] * sheets, cells)
        )
        x = glyphs[-1].x1 + 22
        high = sum(part[1] for part in parts) + gap * (len(parts) - 1)
        columns.append(s.frame(x, y - high / 2 - pad, chip + 2 * pad, high + 2 * pad))
        top = y - high / 2
        for words, part_high, family in parts:
            s.box(x + pad, top, chip, part_high, words, family, SMALL)
            top += part_high + gap
        x = columns[-1].x1 + 22
    out = s.column(x, y - 75, (0.05, 0.1, 0.0, 0.95, 0.05, 0.15, 0.0, 0.05, 0.1, 0.0), 15, "output")
    for glyph, column, after in zip(glyphs, columns, [*glyphs[1:], out], strict=True):
        s.arrow(glyph.right, column.left, start=4, end=2)
        s.arrow(column.right, after.left, start=2, end=4)
    for number, (name, channels, pixels) in enumerate((("digits", 1, 28), ("cued digits", 3, 40))):
        strip = s.frame(16, 244 + 78 * number, 968, 66, name)
        on = s.inside("op")
        shapes = stage_shapes(channels, pixels)
        for glyph, shape in zip(glyphs, shapes, strict=True):
            s.text(glyph.cx, strip.y + 46, " × ".join(map(str, shape)), SMALL, "ink", on=on)
        flat = math.prod(shapes[-1])
        s.text((columns[-1].x + out.x1) / 2, strip.y + 46, f"{flat:,} → 200 → 10", SMALL, "ink", on=on)


def cued_examples() -> tuple[ImageSet, list[str]]:
    """The pictures that the diagram shows, and the colour of each one's border."""
    from course_utils.data import cued_digits

    pictures = cued_digits(_SHOWN, seed=4, split="test")
    return pictures, [COLOURS[int(image[:, 0, 0].argmax())] for image in pictures.images]


@diagram
def cued_digits_task(s: Sketch) -> None:
    """One picture explained, four more to try."""
    pictures, cues = cued_examples()
    assert pictures.masks is not None
    images = pictures.images.permute(0, 2, 3, 1).numpy()
    labels = pictures.labels.tolist()
    large = s.picture(32, 32, 320, 320, images[0])
    place = pictures.masks[0].nonzero()
    (top, left), (bottom, right) = place.amin(0).tolist(), place.amax(0).tolist()
    pixel = large.w / images.shape[1]
    answer = Box(large.x + left * pixel, large.y + top * pixel, (right - left + 1) * pixel, (bottom - top + 1) * pixel)
    s.outline(answer, "mask")
    s.text(large.cx, large.y1 + 20, "x: 3 × 40 × 40", SMALL, "muted")
    steps = (f"The border is {cues[0]}: the cue.", f"Find the {cues[0]} digit.", f"Name it: the label is {labels[0]}.")
    for number, words in enumerate(steps):
        middle = 62 + 50 * number
        s.cells(400, middle - 15, 30, [[0.0]], "op", [[str(number + 1)]])
        s.text(446, middle, words, TEXT, "ink", ha="left")
    mask = s.picture(752, 32, 160, 160, pictures.masks[0].numpy())
    s.text(mask.cx, mask.y1 + 18, "where the answer stands", SMALL, "mask")
    for number in range(1, _SHOWN):
        small = s.picture(400 + (number - 1) * 136, 248, 104, 104, images[number])
        s.text(small.cx, small.y1 + 20, f"label {labels[number]}", SMALL, "muted")
