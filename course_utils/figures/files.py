"""The diagrams as files: each one as PNG and SVG, light and dark, in resource/figures, and whether they are up to date.

A PNG has its own background, so it can be read on any page; its colours are few, so it is small. An SVG holds its words
as outlines, so it looks the same everywhere, and carries its alt text.
"""

from __future__ import annotations

import hashlib
import html
import io
import platform
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from course_utils.resources import resource_root

from .registry import DIAGRAMS, Diagram
from .style import THEMES, Sketch

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS = 256
_SECTION = re.compile(r"^## Figures\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_DRAWN_WITH = re.compile(r"^Drawn with (.+?)\.$", re.MULTILINE)
_BLOCK = 4
_NEIGHBOURS = 5
_TOLERANCE = 96


def path_of(name: str, theme: str = "light", kind: str = "png") -> str:
    """The path below resource/: the dark one has "-dark" in its name."""
    return f"figures/{name}{'' if theme == 'light' else '-' + theme}.{kind}"


def png_bytes(sketch: Sketch) -> bytes:
    """The picture at two pixels a unit, in at most `COLOURS` colours, without a date or a version."""
    from PIL import Image

    sketch.figure.canvas.draw()  # type: ignore[attr-defined]
    pixels = sketch.figure.canvas.buffer_rgba()  # type: ignore[attr-defined]
    image = Image.frombuffer("RGBA", sketch.figure.canvas.get_width_height(), pixels, "raw", "RGBA", 0, 1).convert(
        "RGB"
    )
    stream = io.BytesIO()
    _few_colours(image).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _few_colours(image: Image) -> Image:
    from PIL import Image as images

    return image.quantize(COLOURS, images.Quantize.MEDIANCUT, dither=images.Dither.NONE)


def svg_bytes(sketch: Sketch, diagram: Diagram) -> bytes:
    """The picture as SVG, its words as outlines, with its alt text for screen readers."""
    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": diagram.name, "svg.fonttype": "path", "svg.image_inline": True}):
        sketch.figure.savefig(
            stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", stream.getvalue(), flags=re.DOTALL)
    label = f'role="img"><title>{html.escape(diagram.alt, quote=False)}</title>'
    return re.sub(r"(<svg [^>]*)>", lambda found: f"{found[1]} {label}", text, count=1).encode()


def drawn_with() -> str:
    """The versions on which the bytes of a drawing depend."""
    from importlib.metadata import version

    return f"matplotlib {version('matplotlib')}, Pillow {version('pillow')}, {platform.system()} {platform.machine()}"


def recorded() -> str:
    """The versions that the shipped figures were drawn with, as resource/LICENSES.md states them; "" if it does not."""
    found = _DRAWN_WITH.search((resource_root() / "LICENSES.md").read_text(encoding="utf-8"))
    return found[1] if found else ""


def write(folder: Path) -> list[Path]:
    """Draw every diagram into a folder, each as PNG and SVG, light and dark; nothing else stays in it."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for diagram in DIAGRAMS.values():
        for theme in THEMES:
            sketch = diagram.sketch(theme)
            for kind, content in (("png", png_bytes(sketch)), ("svg", svg_bytes(sketch, diagram))):
                path = folder / Path(path_of(diagram.name, theme, kind)).name
                path.write_bytes(content)
                written.append(path)
    for old in {*folder.glob("*.png"), *folder.glob("*.svg")} - {*written}:
        old.unlink()
    return written


def ship() -> list[Path]:
    """Draw every diagram into resource/figures and list the files with their checksums in resource/LICENSES.md."""
    root = resource_root()
    written = write(root / "figures")
    listing = root / "LICENSES.md"
    text = listing.read_text(encoding="utf-8")
    rows = []
    for diagram in DIAGRAMS.values():
        source = f"drawn by `python -m course_utils.figures`{diagram.source and ', with ' + diagram.source}"
        for theme in THEMES:
            what = f"{diagram.name.replace('_', ' ')}, {theme}"
            for kind in ("png", "svg"):
                name = path_of(diagram.name, theme, kind)
                digest = hashlib.sha256((root / name).read_bytes()).hexdigest()
                rows.append(f"| `{name}` | {what} | {source} | the course's authors | {diagram.licence} | `{digest}` |")
    section = "\n".join(
        [
            "## Figures",
            "",
            f"Drawn with {drawn_with()}.",
            "",
            "| file | what | source | author | licence | SHA-256 |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
    if _SECTION.search(text):
        text = _SECTION.sub(lambda old: section + ("\n" if old.end() < len(old.string) else ""), text)
    else:
        text = text.rstrip("\n") + "\n\n" + section
    listing.write_text(text, encoding="utf-8")
    return written


def check() -> list[str]:
    """What differs between resource/figures and what the code draws: one line a file, none if all is well.

    With the recorded versions every byte must be equal. With others, letters are drawn a little differently: then the
    pictures must be alike, and the SVGs there.
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
            elif not exact and path.suffix == ".png" and not alike(there.read_bytes(), path.read_bytes()):
                problems.append(f"{path.name} looks different from what the code draws")
        names = {path.name for path in drawn}
    problems += [f"{path.name} is drawn by no code" for path in sorted(shipped.iterdir()) if path.name not in names]
    return problems


def alike(first: bytes, second: bytes) -> bool:
    """Whether two PNGs show the same, but for how another version sets letters.

    Both are made four times smaller. Each pixel of one must lie between the darkest and the brightest of the pixels
    around its place in the other, with a tolerance: a letter that is a little off passes, a word or an arrow that moved
    by half its height, changed or is missing does not.
    """
    from PIL import Image, ImageChops, ImageFilter

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
