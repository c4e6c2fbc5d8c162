"""Write the repository's address and version, which stand once in pyproject.toml, wherever a reader needs them.

    python tools/links.py                 write everything below from pyproject.toml
    python tools/links.py owner/name      first put a new address into pyproject.toml
    python tools/links.py --check         say what differs, and change nothing

Written are the cells tagged "badges" and "bootstrap" of each notebook, what stands between the markers in README.md,
two lines of CITATION.cff, and resource/SHA256SUMS. Needs nothing but Python.
"""

import base64
import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from course_utils.lessons import LESSONS, Lesson  # noqa: E402

PYPROJECT = ROOT / "pyproject.toml"
SUMS = ROOT / "resource" / "SHA256SUMS"
HIDDEN = {"cellView": "form", "jupyter": {"source_hidden": True}}
PLACES = {
    "Colab": ("https://colab.research.google.com/assets/colab-badge.svg", "#8a4b00"),
    "Kaggle": ("https://kaggle.com/static/images/open-in-kaggle.svg", "#00658f"),
    "Binder": ("https://mybinder.org/badge_logo.svg", "#3b4f9a"),
}
BOOTSTRAP = """\
# @title Run this first: it finds the course's package; Colab and Kaggle fetch it once.
import importlib.util
import pathlib
import subprocess
import sys

if importlib.util.find_spec("course_utils") is None:
    here = pathlib.Path.cwd()
    home = next((p for p in here.parents if (p / "course_utils").is_dir()), here / "{name}")
    if not (home / "course_utils").is_dir():
        address = "{address}"
        fetch = ["git", "clone", "-q", "--depth=1", address, str(home)]
        tagged = subprocess.run([*fetch, "--branch=v{version}"], capture_output=True)
        if tagged.returncode and subprocess.run(fetch).returncode:  # where the tag is missing, what is newest
            raise RuntimeError(
                f"{{address}} could not be fetched. Is there a network? (On Kaggle: Settings, Turn on internet.) "
                f"Delete the folder {{home}} if it is there, then run this cell again."
            )
    sys.path.insert(0, str(home))"""


def project() -> tuple[str, str]:
    """The repository's address and the version, from pyproject.toml."""
    read = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    return read["urls"]["Repository"].removesuffix("/"), read["version"]


def opened(place: str, file: str) -> str:
    """The address that opens a notebook in Colab, Kaggle or Binder."""
    address, version = project()
    repository = address.removeprefix("https://github.com/")
    blob = f"{repository}/blob/v{version}/notebooks/{file}"
    return {
        "Colab": f"https://colab.research.google.com/github/{blob}",
        "Kaggle": f"https://kaggle.com/kernels/welcome?src=https://github.com/{blob}",
        "Binder": f"https://mybinder.org/v2/gh/{repository}/v{version}?labpath={quote(f'notebooks/{file}', safe='')}",
    }[place]


def badge(words: str, colour: str) -> str:
    """A small picture with words on it, inside the page: a lesson opens without a request to anyone."""
    width = 7 * len(words) + 20
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="24"><rect width="{width}" height="24" rx="4" '
        f'fill="{colour}"/><text x="{width / 2}" y="16" font-family="DejaVu Sans,Verdana,sans-serif" font-size="12" '
        f'fill="#fff" text-anchor="middle">{words}</text></svg>'
    )
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def exercise_minutes(lesson: Lesson) -> int:
    """The minutes of a lesson's exercises, added up."""
    path = lesson.folder / "exercises.toml"
    if not path.exists():
        raise SystemExit(f"{path} is missing; CONTRIBUTING.md says what a lesson's folder holds.")
    return sum(exercise["minutes"] for exercise in tomllib.loads(path.read_text(encoding="utf-8")).values())


def badges(file: str, minutes: int, exercises: int) -> str:
    """The second cell of every notebook."""
    shown = " ".join(
        f'<a href="{opened(place, file)}"><img alt="Open in {place}" src="{badge(f"Open in {place}", colour)}"></a>'
        for place, (_, colour) in PLACES.items()
    )
    words = f"About {minutes} minutes to read and try, and {exercises} more for the exercises."
    return f"{shown}\n\n{words} It runs on a laptop's CPU as it is."


def readme_lessons() -> str:
    """The table of lessons in README.md."""
    rows = ["| lesson | minutes to read and try | for the exercises | open |", "|---|---|---|---|"]
    totals = [0, 0]
    for lesson in LESSONS:
        minutes = lesson.minutes, exercise_minutes(lesson)
        totals = [total + more for total, more in zip(totals, minutes, strict=True)]
        links = (f"[![Open in {p}]({picture})]({opened(p, lesson.notebook)})" for p, (picture, _) in PLACES.items())
        name = f"[{lesson.number} {lesson.title}](notebooks/{lesson.notebook})"
        rows.append(f"| {name} | {minutes[0]} | {minutes[1]} | {' '.join(links)} |")
    reading, writing = (f"{minutes // 60} h {minutes % 60:02d}" for minutes in totals)
    return "\n".join([*rows, f"| the whole course | {reading} | {writing} | |"])


def checksums() -> str:
    """The checksums of every recorded result and of the list of all other files, as `sha256sum` writes them."""
    root = SUMS.parent
    files = (path for path in root.glob("results/**/[!.]*") if path.is_file())
    names = ["LICENSES.md", *sorted(path.relative_to(root).as_posix() for path in files)]
    return "".join(f"{hashlib.sha256((root / name).read_bytes()).hexdigest()}  {name}\n" for name in names)


def written(path: Path) -> str:
    """What a file's text should be."""
    if path == SUMS:
        return checksums()
    text, (address, version) = path.read_text(encoding="utf-8"), project()
    if path.suffix == ".ipynb":
        return written_notebook(path, json.loads(text))
    if path.suffix == ".cff":
        text = re.sub(r"(?m)^version: .*$", f"version: {version}", text)
        return re.sub(r"(?m)^repository-code: .*$", f'repository-code: "{address}"', text)
    test = f"{address}/actions/workflows/test.yml"
    head = f"[![test]({test}/badge.svg)]({test}) version {version}"
    for name, made in {"badges": head, "lessons": readme_lessons()}.items():
        start, end = f"<!-- {name}: made by `make links` -->", f"<!-- end of {name} -->"
        if start not in text or end not in text:
            raise SystemExit(f"{path.name} must hold the markers {start} and {end}.")
        text = f"{text.split(start)[0]}{start}\n{made}\n{end}{text.split(end)[1]}"
    return text


def written_notebook(path: Path, notebook: dict[str, Any]) -> str:
    lesson = next(each for each in LESSONS if each.notebook == path.name)
    address, version = project()
    made = {
        "badges": badges(path.name, lesson.minutes, exercise_minutes(lesson)),
        "bootstrap": BOOTSTRAP.format(address=address, version=version, name=address.rsplit("/", 1)[1]),
    }
    for tag, source in made.items():
        cells = [cell for cell in notebook["cells"] if tag in cell["metadata"].get("tags", [])]
        if len(cells) != 1:
            raise SystemExit(f"notebooks/{path.name} must have one cell tagged {tag!r}; it has {len(cells)}.")
        cells[0]["source"] = source.splitlines(keepends=True)
        cells[0]["metadata"] |= HIDDEN if tag == "bootstrap" else {}
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True, separators=(",", ": ")) + "\n"


def main(arguments: list[str]) -> int:
    check, repository = arguments == ["--check"], " ".join(arguments)
    if repository and not check:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
            raise SystemExit(f"Given {repository!r}; needed is owner/name, as in make links REPOSITORY=owner/name.")
        line = f'Repository = "https://github.com/{repository}"'
        text = re.sub(r'(?m)^Repository = ".*"$', line, PYPROJECT.read_text(encoding="utf-8"))
        PYPROJECT.write_text(text, encoding="utf-8")
    stale = []
    notebooks = (ROOT / "notebooks" / lesson.notebook for lesson in LESSONS)
    for path in (ROOT / "README.md", ROOT / "CITATION.cff", SUMS, *notebooks):
        text = written(path)
        if not path.exists() or text != path.read_text(encoding="utf-8"):
            stale.append(path.relative_to(ROOT).as_posix())
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"What `make links` writes is old in {', '.join(stale)}; run it.")
        return 1
    print(f"{' '.join(project())}: " + ("every link agrees" if not stale else f"written into {', '.join(stale)}"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
