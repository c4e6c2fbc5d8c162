"""Write the repository's address and version, which stand once in pyproject.toml, wherever a reader needs them.

    python tools/links.py                 write everything below from pyproject.toml
    python tools/links.py owner/name      first put a new address into pyproject.toml
    python tools/links.py --check         say what differs, and change nothing

In a notebook the cell tagged "badges" and the cell tagged "bootstrap" are written here, in README.md, CHANGELOG.md and
SECURITY.md what stands between the markers, in CITATION.cff two lines, and resource/SHA256SUMS. Needs nothing but
Python.
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

EXERCISE = re.compile(r"^### .*\((\d+) minutes\)$", re.MULTILINE)
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from course_utils.lessons import LESSONS  # noqa: E402

SUMS = ROOT / "resource" / "SHA256SUMS"

BOOTSTRAP = """\
# This cell finds the course's package. In a clone or an install there is nothing to do; Colab fetches it once.
import importlib.util
import pathlib
import subprocess
import sys

if importlib.util.find_spec("course_utils") is None:
    here = pathlib.Path.cwd()
    home = next((p for p in here.parents if (p / "course_utils").is_dir()), here / "{name}")
    if not (home / "course_utils").is_dir():
        address = "{address}"
        fetch = ["git", "clone", "-q", "--depth=1", "--branch=v{version}", address, str(home)]
        if subprocess.run(fetch).returncode:
            raise RuntimeError(
                f"{{address}} could not be fetched. Is there a network? "
                f"Delete the folder {{home}} if it is there, then run this cell again."
            )
    sys.path.insert(0, str(home))"""


def project() -> tuple[str, str]:
    """The repository's address and the version, from pyproject.toml."""
    read = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return read["urls"]["Repository"].removesuffix("/"), read["version"]


def bootstrap(address: str, version: str) -> str:
    """The first code cell of every notebook."""
    return BOOTSTRAP.format(address=address, version=version, name=address.rsplit("/", 1)[1])


def colab(address: str, version: str, file: str) -> str:
    return f"https://colab.research.google.com/github/{owner_name(address)}/blob/v{version}/notebooks/{file}"


def binder(address: str, version: str, file: str) -> str:
    return f"https://mybinder.org/v2/gh/{owner_name(address)}/v{version}?labpath={quote(f'notebooks/{file}', safe='')}"


def owner_name(address: str) -> str:
    return "/".join(address.split("/")[-2:])


def badge(words: str, colour: str) -> str:
    """A small picture with words on it, inside the page: a lesson opens without a request to anyone."""
    width = 7 * len(words) + 20
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="24"><rect width="{width}" height="24" rx="4" '
        f'fill="{colour}"/><text x="{width / 2}" y="16" font-family="DejaVu Sans,Verdana,sans-serif" font-size="12" '
        f'fill="#fff" text-anchor="middle">{words}</text></svg>'
    )
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def exercise_minutes(notebook: dict[str, Any]) -> int:
    """The minutes that the headings of a notebook's exercises name, added up."""
    texts = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    return sum(int(minutes) for text in texts for minutes in EXERCISE.findall(text))


def badges(address: str, version: str, file: str, minutes: int, exercises: int) -> str:
    """The second cell of every notebook."""
    links = (
        ("Open in Colab", colab(address, version, file), "#8a4b00"),
        ("Open in Binder", binder(address, version, file), "#3b4f9a"),
    )
    shown = " ".join(f'<a href="{link}"><img alt="{words}" src="{badge(words, c)}"></a>' for words, link, c in links)
    words = f"About {minutes} minutes to read and touch, and {exercises} more for the exercises."
    return f"{shown}\n\n{words} It runs on a laptop's CPU as it is."


def readme_lessons(address: str, version: str) -> str:
    """The table of lessons in README.md."""
    rows = ["| lesson | minutes to read and touch | for the exercises | open |", "|---|---|---|---|"]
    total, total_of_exercises = 0, 0
    for lesson in LESSONS:
        path = ROOT / "notebooks" / lesson.notebook
        if not path.exists():
            rows.append(f"| {lesson.number} {lesson.title} | | | in preparation |")
            continue
        exercises = exercise_minutes(json.loads(path.read_text(encoding="utf-8")))
        total, total_of_exercises = total + lesson.minutes, total_of_exercises + exercises
        on_colab = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
        on_binder = "[![Open in Binder](https://mybinder.org/badge_logo.svg)]"
        there = colab(address, version, lesson.notebook), binder(address, version, lesson.notebook)
        opened = f"{on_colab}({there[0]}) {on_binder}({there[1]})"
        name = f"[{lesson.number} {lesson.title}](notebooks/{lesson.notebook})"
        rows.append(f"| {name} | {lesson.minutes} | {exercises} | {opened} |")
    rows.append(f"| the whole course | {hours(total)} | {hours(total_of_exercises)} | |")
    return "\n".join(rows)


def hours(minutes: int) -> str:
    return f"{minutes // 60} h {minutes % 60:02d}"


def readme_results(address: str, version: str) -> str:
    """The tables of the recorded studies in README.md, from each study's summary.json."""
    tables = []
    for path in sorted((ROOT / "resource" / "results").glob("*/summary.json")):
        try:
            study = json.loads(path.read_text(encoding="utf-8"))
            tables.append(study_table(study))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SystemExit(
                f"{path.relative_to(ROOT)} is damaged ({error!r}); `git checkout` restores it, or "
                f"`python -m experiments report {path.parent.name}` makes it again."
            ) from error
    return "\n\n".join(tables)


def study_table(study: dict) -> str:
    """One study's table: a row a network, a column a task."""
    tasks = study["tasks"]
    found = {(row["task"], row["network"]): row for row in study["rows"]}
    lines = [["network", *tasks.values()], ["---"] * (1 + len(tasks))]
    for network, title in study["networks"].items():
        cells = [found[task, network] for task in tasks]
        lines.append([title, *(f"{c['mean']:.3f} ({c['low']:.3f} to {c['high']:.3f})" for c in cells)])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f"**{study['study']}. {study['title']}.** Test accuracy, mean of {study['seeds']} seeds with its 95 % "
        f"interval; `python -m experiments report {study['study']}` adds differences"
        f"{' and costs' if study['costs'] else ''}.\n\n" + table
    )


def readme_badges(address: str, version: str) -> str:
    """The badges at the head of README.md."""
    workflow = f"{address}/actions/workflows/test.yml"
    return f"[![test]({workflow}/badge.svg)]({workflow}) version {version}"


def changelog_links(address: str, version: str) -> str:
    """Where each version in CHANGELOG.md can be had."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"(?m)^## \[(\d[^\]]*)\]", text)
    lines = [f"[Unreleased]: {address}/compare/v{version}...HEAD"]
    return "\n".join([*lines, *(f"[{each}]: {address}/releases/tag/v{each}" for each in released)])


def security_report(address: str, version: str) -> str:
    """How to report a hole, in SECURITY.md."""
    return (
        f"Write a private report at {address}/security/advisories/new. Say what you did, what happened and with which\n"
        "version; a notebook or a file that shows it helps most. Please do not publish it until it is fixed."
    )


def checksums() -> str:
    """The checksums of every recorded result and of the list of all other files, as `sha256sum` writes them."""
    root = SUMS.parent
    files = (path for path in (root / "results").rglob("*") if path.is_file() and not path.name.startswith("."))
    names = ["LICENSES.md", *sorted(path.relative_to(root).as_posix() for path in files)]
    return "".join(f"{hashlib.sha256((root / name).read_bytes()).hexdigest()}  {name}\n" for name in names)


PARTS = {
    "README.md": {
        "badges": readme_badges,
        "lessons": readme_lessons,
        "results": readme_results,
    },
    "CHANGELOG.md": {"links": changelog_links},
    "SECURITY.md": {"report": security_report},
}


def written(path: Path, address: str, version: str) -> str:
    """What a file's text should be."""
    if path == SUMS:
        return checksums()
    text = path.read_text(encoding="utf-8")
    if path.name == "CITATION.cff":
        text = re.sub(r"(?m)^version: .*$", f"version: {version}", text)
        return re.sub(r"(?m)^repository-code: .*$", f'repository-code: "{address}"', text)
    if path.name in PARTS:
        for name, made in PARTS[path.name].items():
            start, end = f"<!-- {name}: made by `make links` -->", f"<!-- end of {name} -->"
            if start not in text or end not in text:
                raise SystemExit(f"{path.name} must hold the markers {start} and {end}.")
            before, rest = text.split(start, 1)
            text = f"{before}{start}\n{made(address, version)}\n{end}{rest.split(end, 1)[1]}"
        return text
    return written_notebook(path, text, address, version)


def written_notebook(path: Path, text: str, address: str, version: str) -> str:
    lesson = next((lesson for lesson in LESSONS if lesson.notebook == path.name), None)
    if lesson is None:
        raise SystemExit(
            f"notebooks/{path.name} has no folder in course_utils/lessons; CONTRIBUTING.md says what belongs there."
        )
    notebook = json.loads(text)
    made = {
        "badges": badges(address, version, lesson.notebook, lesson.minutes, exercise_minutes(notebook)),
        "bootstrap": bootstrap(address, version),
    }
    for tag, source in made.items():
        cells = [cell for cell in notebook["cells"] if tag in cell["metadata"].get("tags", [])]
        if len(cells) != 1:
            raise SystemExit(f"notebooks/{path.name} must have one cell tagged {tag!r}; it has {len(cells)}.")
        cells[0]["source"] = source.splitlines(keepends=True)
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True, separators=(",", ": ")) + "\n"


def main(arguments: list[str]) -> int:
    check = arguments == ["--check"]
    if arguments and not check:
        if len(arguments) > 1 or not re.fullmatch(r"[\w.-]+/[\w.-]+", arguments[0]):
            raise SystemExit(
                f"Given {' '.join(arguments)!r}; needed is owner/name, as in make links REPOSITORY=owner/name."
            )
        pyproject = ROOT / "pyproject.toml"
        text = pyproject.read_text(encoding="utf-8")
        line = f'Repository = "https://github.com/{arguments[0]}"'
        pyproject.write_text(re.sub(r'(?m)^Repository = ".*"$', line, text), encoding="utf-8")
    address, version = project()
    stale = []
    pages = (ROOT / name for name in (*PARTS, "CITATION.cff"))
    for path in (*pages, SUMS, *sorted((ROOT / "notebooks").glob("*.ipynb"))):
        text = written(path, address, version)
        if not path.exists() or text != path.read_text(encoding="utf-8"):
            stale.append(path.relative_to(ROOT).as_posix())
            if not check:
                path.write_text(text, encoding="utf-8")
    if check and stale:
        print(f"What `make links` writes is old in {', '.join(stale)}; run it.")
        return 1
    print(f"{address} {version}: " + ("every link agrees" if not stale else f"written into {', '.join(stale)}"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
