"""Build the static course, `build/site`: every lesson executed, every widget alive, no kernel and no request.

    python site/assemble.py             what `make site` does

The folder can be opened as it is (build/site/index.html) or served by any web server.
"""

import base64
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "build" / "site"
SOURCE = ROOT / "build" / "site-source"
WIDGETS = ROOT / "course_utils" / "widgets"
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from links import PLACES, opened, project  # noqa: E402

from course_utils.lessons import LESSONS, Lesson, glossary, lesson  # noqa: E402
from course_utils.widgets.base import join_module  # noqa: E402
from course_utils.widgets.joiner import join  # noqa: E402

EXERCISE = re.compile(r"^check\.(\w+)\(\1\)$")
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)\s]+)(?=\))")


def outward(text: str, folder: Path, pages: set[str]) -> str:
    """Let a link to a file that is no page of the site lead to the repository."""
    address, version = project()

    def target(found: re.Match[str]) -> str:
        file, mark, place = found[1].partition("#")
        path = (folder / file).resolve().relative_to(ROOT).as_posix()
        return found[1] if path in pages else f"{address}/blob/v{version}/{path}{mark}{place}"

    return LINK.sub(target, text)


def page_of(notebook: Any, shown: Lesson, pages: set[str]) -> Any:
    """A lesson as the site shows it: without its hidden cells, and with words where a kernel would answer."""
    on_colab, *others = (f"[{place}]({opened(place, shown.notebook)})" for place in PLACES)
    cells = []
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        last = (cell.source.strip().splitlines() or [""])[-1]
        if "bootstrap" in tags:
            continue
        if last == "check.progress()":
            if re.fullmatch(r"#{2,} [^\n]+", cells[-1].source.strip()):  # a heading with nothing under it now
                cells.pop()
            continue
        if "badges" in tags:
            cell.source = (
                f"About {shown.minutes} minutes to read and try. This page needs no Python: point at a widget, "
                f"click or tap, move its controls, or use the arrow keys. To change the code, to have what you write "
                f"checked, and for what a widget must ask a network, run the lesson in "
                f"{', '.join([on_colab, *others])} or on your own machine."
            )
        cells.append(cell)
        if cell.cell_type == "markdown":
            cell.source = outward(cell.source, ROOT / "notebooks", pages)
            continue
        cell.outputs, cell.execution_count = [], None
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.metadata["tags"] = [*tags, "hide-input"]
        if EXERCISE.match(last):
            cell.metadata["tags"] = [*tags, "remove-output"]
            words = f"*Yours to write. [Open the lesson in {on_colab[1:]} to have it checked, with hints.*"
            cells.append(nbformat.v4.new_markdown_cell(words))
    notebook.cells = cells
    return notebook


def glossary_page() -> str:
    """Every word of the course, with the lesson that introduces it."""
    lines = ["# The words of the course", ""]
    for term in glossary().terms:
        where = f"[lesson {term.lesson}]({lesson(term.lesson).notebook})"
        facts = [f"{name} {escaped(fact)}" for name, fact in (("symbol", term.symbol), ("shape", term.shape)) if fact]
        lines += [term.word, f":   {escaped(term.meaning)}", "", f"    {' · '.join([*facts, where])}", ""]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Plain words in which Markdown finds nothing to do."""
    return re.sub(r"([\\`*_\[\]<>$|#])", r"\\\1", text)


def widget_modules() -> dict[str, str]:
    """The joined ES module of each widget, by the widget's name."""
    return {name: join_module(name) for name in sorted(path.parent.name for path in WIDGETS.glob("*/view.js"))}


def classic(name: str, module: str) -> str:
    """A module as a script that enters it in `courseWidgets`: from a folder on disk a browser loads no module."""
    entered = f"(window.courseWidgets ??= {{}}).{name} = {{ default: {{ render }} }};"
    return f'"use strict";\n(() => {{\n{module.replace("export default { render };", entered)}}})();\n'


def write_static(folder: Path) -> None:
    """Write the scripts and the style of the site, put together from the package's own and from those beside this."""
    here = Path(__file__).parent
    (folder / "widgets").mkdir(parents=True)
    for name, module in widget_modules().items():
        (folder / "widgets" / f"{name}.js").write_text(classic(name, module), encoding="utf-8")
    (folder / "live.js").write_text(f'"use strict";\n{join(here / "live.js")}', encoding="utf-8")
    # A part of STIX Two Math 2.12: letters and operators, subscripts held to their line under letters that reach below.
    # It stands inside the style sheet, since some browsers load no font from a folder on disk.
    font = base64.b64encode((here / "stix-two-math.woff").read_bytes()).decode()
    face = f'@font-face {{ font-family: "Course Math"; src: url("data:font/woff;base64,{font}"); }}\n'
    style = [path.read_text(encoding="utf-8") for path in (WIDGETS / "page" / "shared.css", here / "course.css")]
    (folder / "course.css").write_text("\n".join([*style, face]), encoding="utf-8")


def prepare() -> None:
    """Write what Sphinx reads."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    write_static(SOURCE / "_static")
    (SOURCE / "docs").mkdir()
    documents = [f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))]
    pages = {*documents, *(f"notebooks/{each.notebook}" for each in LESSONS)}
    for each in LESSONS:
        notebook = nbformat.read(ROOT / "notebooks" / each.notebook, as_version=4)
        nbformat.write(page_of(notebook, each, pages), SOURCE / each.notebook)
    for name in documents:
        text = outward((ROOT / name).read_text(encoding="utf-8"), ROOT / "docs", pages)
        (SOURCE / name).write_text(text.replace("](../notebooks/", "](../"), "utf-8")  # the lessons stand at the top
    (SOURCE / "glossary.md").write_text(glossary_page(), encoding="utf-8")
    shutil.copy(ROOT / "resource" / "screenshots" / "channel_gates.png", SOURCE)
    index = Path(__file__).with_name("index.md").read_text(encoding="utf-8")
    rows = [f"| [{each.number} {each.title}]({each.notebook}) | {each.minutes} |" for each in LESSONS]
    index = index.replace("{lessons}", "\n".join(rows)).replace("{address}", project()[0])
    index = index.replace("{contents}", "\n".join(each.notebook for each in LESSONS))
    (SOURCE / "index.md").write_text(index.replace("{documents}", "\n".join(documents)), encoding="utf-8")


def build() -> None:
    """Execute, write and put in place.

    Raises:
        SystemExit: if a cell fails or Sphinx has a warning; the site that was there stays.
    """
    prepare()
    fresh = SITE.with_name("site-new")
    shutil.rmtree(fresh, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        environment = {"OMP_NUM_THREADS": "1"} | os.environ | {"COURSE_PROGRESS": str(Path(scratch) / "progress.json")}
        command = [sys.executable, "-m", "sphinx", "-q", "-n", "-W", "--keep-going", "-E", "-j", "2"]
        command += ["-c", str(ROOT / "site"), "-d", str(Path(scratch) / "doctrees"), str(SOURCE), str(fresh)]
        if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
            raise SystemExit("The site was not built: see the words above.")
    (fresh / ".buildinfo").unlink(missing_ok=True)
    from gallery import gallery  # not above: it loads torch, which Sphinx need not carry

    page = gallery(lambda lesson: lesson.notebook.replace(".ipynb", ".html"))
    (fresh / "gallery.html").write_text(page, encoding="utf-8")
    shutil.rmtree(SITE, ignore_errors=True)
    fresh.rename(SITE)
    megabytes = sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file()) / 1e6
    print(f"build/site: {len(LESSONS)} lessons, {megabytes:.1f} MB; open build/site/index.html")


if __name__ == "__main__":
    build()
