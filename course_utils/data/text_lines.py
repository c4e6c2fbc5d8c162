"""Lines of text as pictures, drawn as the text reader expects them."""

from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..names import check_name

HEIGHT = 48
STANDARD_WIDTH = 320
_LONGEST = 100
_INK, _PAPER = (32, 28, 48), (228, 224, 212)
MARGIN = 8
TYPEFACES = {
    "sans": "DejaVuSans",
    "bold": "DejaVuSans-Bold",
    "serif": "DejaVuSerif",
    "mono": "DejaVuSansMono",
    "times": "STIXGeneral",
    "italic": "STIXGeneralItalic",
}


def draw_text(words: str, typeface: str = "sans", size: int = 30) -> Tensor:
    """A line of dark text on light paper.

    Args:
        words: one line of printable ASCII, at most 100 characters.
        typeface: one of `TYPEFACES`, all of which come with matplotlib.
        size: height of the letters in pixels, from 12 to 40.

    Returns:
        (3, 48, W) in [0, 1], W a multiple of 8, at least 320.

    Raises:
        ValueError: if the line is empty, too long or has other characters, or the typeface or size is unknown.
    """
    words = words.strip()
    if not words:
        raise ValueError("draw_text was given an empty line; give it a word.")
    if len(words) > _LONGEST:
        raise ValueError(f"draw_text was given {len(words)} characters; use at most {_LONGEST}, or several lines.")
    unknown = sorted({letter for letter in words if not " " <= letter <= "~"})
    if unknown:
        raise ValueError(
            f"The text reader knows printable ASCII, but was given {', '.join(map(repr, unknown))}; leave them out."
        )
    check_name("typeface", typeface, TYPEFACES)
    if not 12 <= size <= 40:
        raise ValueError(f"draw_text was given size={size}; letters of 12 to 40 pixels fit a line of {HEIGHT}.")
    font = ImageFont.truetype(str(typeface_file(typeface)), size)
    left, top, right, bottom = font.getbbox(words)
    width = max(STANDARD_WIDTH, -int(-(right - left + 2 * MARGIN) // 8) * 8)
    picture = Image.new("RGB", (width, HEIGHT), _PAPER)
    place = (MARGIN - left, (HEIGHT - (bottom - top)) / 2 - top)
    ImageDraw.Draw(picture).text(place, words, _INK, font=font)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255


def typeface_file(typeface: str) -> Path:
    """The font file of one of `TYPEFACES`."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{TYPEFACES[typeface]}.ttf"
