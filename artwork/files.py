"""The diagrams as files: a light PNG each in resource/figures, and whether these are up to date.

A PNG has its own background, so it can be read on any page; it has few colours, so it is small. The static pages take
SVGs in both themes, drawn when the pages are built; an SVG has outlines for words, so it looks the same everywhere.
"""

from __future__ import annotations

import hashlib
import html
import io
import platform
import re
import tempfile
from importlib.metadata import version
from pathlib import Path

import matplotlib
from PIL import Image, ImageChops, ImageFilter

from course_utils.figures import diagram, diagrams
from course_utils.resources import resource_root

from .registry import sketch
from .style import Sketch

COLOURS = 256
_SECTION = re.compile(r"^## Figures\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_DRAWN_WITH = re.compile(r"^Drawn with (.+?)\.$", re.MULTILINE)
_BLOCK = 4
_NEIGHBOURS = 5
_TOLERANCE = 96


def png_bytes(drawn: Sketch) -> bytes:
    """The picture at two pixels per unit, in at most `COLOURS` colours, without a date or a version."""
    canvas = drawn.figure.canvas
    canvas.draw()
    pixels = canvas.buffer_rgba()
    image = Image.frombuffer("RGBA", canvas.get_width_height(), pixels, "raw", "RGBA", 0, 1).convert("RGB")
    stream = io.BytesIO()
    few = image.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def svg_text(name: str, theme: str) -> str:
    """A diagram as SVG, its words as outlines, with its alt text for screen readers."""
    stream = io.StringIO()
    drawn = sketch(name, theme)
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "path", "svg.image_inline": True}):
        drawn.figure.savefig(
            stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", stream.getvalue(), flags=re.DOTALL)
    label = f'role="img"><title>{html.escape(diagram(name).alt, quote=False)}</title>'
    return re.sub(r"(<svg [^>]*)>", lambda found: f"{found[1]} {label}", text, count=1)


def drawn_with() -> str:
    """The versions on which the bytes of a drawing depend."""
    return f"matplotlib {version('matplotlib')}, Pillow {version('pillow')}, {platform.system()} {platform.machine()}"


def recorded() -> str:
    """The versions that the shipped figures were drawn with, as resource/LICENSES.md states them; "" if it does not."""
    found = _DRAWN_WITH.search((resource_root() / "LICENSES.md").read_text(encoding="utf-8"))
    return found[1] if found else ""


def write(folder: Path) -> list[Path]:
    """Draw every diagram into a folder; no other PNG stays in it."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, described in diagrams().items():
        path = folder / Path(described.file).name
        path.write_bytes(png_bytes(sketch(name)))
        written.append(path)
    for old in {*folder.glob("*.png")} - {*written}:
        old.unlink()
    return written


def ship() -> list[Path]:
    """Draw every diagram into resource/figures and list the files with their checksums in resource/LICENSES.md."""
    root = resource_root()
    written = write(root / "figures")
    listing = root / "LICENSES.md"
    text = listing.read_text(encoding="utf-8")
    rows = []
    for name, described in diagrams().items():
        source = f"drawn by `python -m artwork`{described.source and ', with ' + described.source}"
        digest = hashlib.sha256((root / described.file).read_bytes()).hexdigest()
        what = name.replace("_", " ")
        cells = [f"`{described.file}`", what, source, "the course's authors", described.licence, f"`{digest}`"]
        rows.append(f"| {' | '.join(cells)} |")
    head = ["| file | what | source | author | licence | SHA-256 |", "|---|---|---|---|---|---|"]
    section = "\n".join(["## Figures", "", f"Drawn with {drawn_with()}.", "", *head, *rows, ""])
    if _SECTION.search(text):
        text = _SECTION.sub(lambda old: section + ("\n" if old.end() < len(old.string) else ""), text)
    else:
        text = text.rstrip("\n") + "\n\n" + section
    listing.write_text(text, encoding="utf-8")
    return written


def check() -> list[str]:
    """What differs between resource/figures and what the code draws: one line for each file, none if all is well.

    With the recorded versions every byte must be equal. With other versions letters are drawn a little differently:
    then the pictures must show the same.
    """
    shipped = resource_root() / "figures"
    exact = drawn_with() == recorded()
    problems = []
    with tempfile.TemporaryDirectory() as place:
        drawn = write(Path(place))
        for path in drawn:
            there = shipped / path.name
            if not there.exists():
                problems.append(f"{path.name} is missing")
            elif exact and there.read_bytes() != path.read_bytes():
                problems.append(f"{path.name} is not what the code draws")
            elif not exact and not same_picture(there.read_bytes(), path.read_bytes()):
                problems.append(f"{path.name} looks different from what the code draws")
        names = {path.name for path in drawn}
    problems += [f"{path.name} is drawn by no code" for path in sorted(shipped.iterdir()) if path.name not in names]
    return problems


def same_picture(first: bytes, second: bytes) -> bool:
    """Whether two PNGs show the same, apart from how another version sets letters.

    Both are made four times smaller. Each pixel of one must lie between the darkest and the brightest of the pixels
    around its place in the other, with a tolerance: a letter that is slightly off passes; a word or an arrow that
    changed, is missing, or moved by half its height does not.
    """
    images = [Image.open(io.BytesIO(content)).convert("RGB") for content in (first, second)]
    if images[0].size != images[1].size:
        return False
    small = [image.reduce(_BLOCK) for image in images]
    for one, other in (small, reversed(small)):
        too_dark = ImageChops.subtract(other.filter(ImageFilter.MinFilter(_NEIGHBOURS)), one)
        too_bright = ImageChops.subtract(one, other.filter(ImageFilter.MaxFilter(_NEIGHBOURS)))
        if max(max(part.tobytes()) for part in (too_dark, too_bright)) > _TOLERANCE:
            return False
    return True
