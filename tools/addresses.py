"""Every address that the course points to, each with the files it stands in, as a page of links.

    python tools/addresses.py > addresses.md

The weekly workflow hands the page to a link checker, which so sees what a notebook's cells and a docstring hold too.
Needs nothing but Python.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ADDRESS = re.compile(r"https?://[^\s<>\"'`\\{}|^]+")
# Names of XML's vocabularies, which nobody visits, and the repository's own address until it has one.
NOT_VISITED = re.compile(r"https?://(www\.w3\.org/|[^ ]*/OWNER/)")


def texts(root: Path) -> Iterator[tuple[str, str]]:
    """The texts that a reader meets, each with its file's name; of a notebook its cells, not its outputs."""
    pages = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("resource/**/*.md"), root / "CITATION.cff"]
    for path in sorted([*pages, *root.glob("course_utils/**/*.py")]):
        yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
    for path in sorted(root.glob("notebooks/*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        yield path.relative_to(root).as_posix(), "\n\n".join("".join(cell["source"]) for cell in cells)


def addresses(text: str) -> set[str]:
    """The addresses in a text, without the marks of the sentence or of the Markdown around them."""
    found = set()
    for address in ADDRESS.findall(text):
        while address:
            shorter = address.rstrip(".,;:!?*_]")
            if shorter.endswith(")") and shorter.count(")") > shorter.count("("):
                shorter = shorter[:-1]
            if shorter == address:
                break
            address = shorter
        if "](" in address:  # [![picture](address)](address): two in a row
            found |= addresses(address.replace("](", " ").replace(")", " "))
        elif not NOT_VISITED.match(address):
            found.add(address)
    return found


def page(root: Path) -> str:
    """A line of Markdown for each address."""
    places: dict[str, list[str]] = {}
    for name, text in texts(root):
        for address in addresses(text):
            places.setdefault(address, []).append(name)
    return "\n".join(f"- <{address}> in {', '.join(sorted(names))}" for address, names in sorted(places.items()))


if __name__ == "__main__":
    sys.stdout.write(page(ROOT) + "\n")
