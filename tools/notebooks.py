"""Execute, normalise and check the course's notebooks.

    python tools/notebooks.py run [4.1.1 ...]    execute, store the widgets' pictures, normalise
    python tools/notebooks.py normalise          normalise what is there
    python tools/notebooks.py check              say what is not as it should be, and change nothing

A committed notebook is executed, holds its printed outputs and figures, and no widget state: a widget is stored as the
picture that a reader saw, with a line that says to run the cell, and with its words as alt text.
"""

import base64
import html
import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
METADATA: dict[str, Any] = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
KEPT_CELL_METADATA = ("tags", "jupyter", "cellView", "numbers")
MAX_BYTES = 1_000_000
PNG_IN_HTML = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")
RUN_ME = "Run this cell to use it"
LABELLED = """(root, words) => {
  const label = document.createElement("p");
  label.textContent = `▶ ${words}`;
  label.style = "margin:0 0 8px;padding:4px 12px;border-radius:8px;background:#0b62b8;color:#fff;font-weight:600";
  root.prepend(label);
}"""


def paths(only: Sequence[str]) -> list[Path]:
    """The notebooks, or those whose name starts with one of `only` and an underscore."""
    found = sorted(NOTEBOOKS.glob("*.ipynb"))
    if chosen := [path for path in found if not only or path.name.partition("_")[0] in only]:
        return chosen
    raise SystemExit(f"No notebook is numbered {', '.join(only)}; there are {', '.join(p.stem for p in found)}.")


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def normalise(notebook: Any) -> None:
    """Bring a notebook into its one form, in place.

    The pictures in HTML become lossless WebP, a third smaller; the PNG beside each stays for other readers.
    """

    def lighter(found: re.Match[str]) -> str:
        return f"data:image/webp;base64,{base64.b64encode(webp(base64.b64decode(found[1]))).decode()}"

    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(METADATA)
    count = 0
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: cell.metadata[k] for k in KEPT_CELL_METADATA if k in cell.metadata})
        cell.source = "\n".join(line.rstrip() for line in cell.source.splitlines())
        if cell.cell_type != "code":
            for key in ("outputs", "execution_count", "attachments"):
                cell.pop(key, None)
            continue
        count += bool(cell.source.strip())
        cell.execution_count = count if cell.execution_count is not None and cell.source.strip() else None
        cell.outputs = [output for output in map(kept, cell.outputs) if output is not None]
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
            if "text/html" in output.get("data", {}):
                output.data["text/html"] = PNG_IN_HTML.sub(lighter, output.data["text/html"])


def webp(png: bytes) -> bytes:
    """The same picture as lossless WebP."""
    drawn = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGBA" if picture.has_transparency_data else "RGB").save(drawn, "WEBP", lossless=True)
    return drawn.getvalue()


def kept(output: Any) -> Any | None:
    """An output without widget views, or None where nothing else was in it."""
    output.get("metadata", {}).clear()
    data = output.get("data", {})
    return None if data.pop(VIEW, None) is not None and set(data) <= {"text/plain"} else output


def dumped(notebook: Any) -> str:
    return nbformat.writes(notebook, version=4) + "\n"


def faults(path: Path) -> Iterator[str]:
    """Everything about a committed notebook that is not as it should be."""
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    counts = [cell.get("execution_count") for cell in code_cells(notebook) if cell.source.strip()]
    if counts != list(range(1, len(counts) + 1)):
        yield f"is not executed from top to bottom; run `make notebooks ONLY={path.name.partition('_')[0]}`"
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                yield f"cell {index} stores the error {output.ename}: {output.evalue}"
            if output.get("name") == "stderr":
                yield f"cell {index} stores words on stderr: {output.text[:80]!r}"
    normalise(notebook)
    if dumped(notebook) != text:
        yield "is not normalised; run `python tools/notebooks.py normalise`"
    if len(text.encode()) > MAX_BYTES:
        yield f"has {len(text.encode())} bytes, more than {MAX_BYTES}"


def execute(path: Path) -> float:
    """Run a notebook from top to bottom, put pictures in place of widgets, write it back; returns seconds."""
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["COURSE_PROGRESS"] = str(Path(scratch) / "progress.json")
        started = time.perf_counter()
        options = {"timeout": 600, "kernel_name": "python3", "coalesce_streams": True}
        NotebookClient(notebook, resources={"metadata": {"path": NOTEBOOKS}}, **options).execute()
        seconds = time.perf_counter() - started
    state = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    views = [output for cell in code_cells(notebook) for output in cell.outputs if VIEW in output.get("data", {})]
    drawn = pictures([state[view.data[VIEW]["model_id"]]["state"] for view in views])
    for view, (png, words) in zip(views, drawn, strict=True):
        data = base64.b64encode(png).decode()
        tag = f'<img alt="{html.escape(words)}" src="data:image/png;base64,{data}" style="max-width:100%">'
        view.data = nbformat.from_dict({"text/html": tag, "image/png": data, "text/plain": words})
    normalise(notebook)
    path.write_text(dumped(notebook), encoding="utf-8")
    return seconds


def pictures(states: list[dict[str, Any]]) -> list[tuple[bytes, str]]:
    """What each widget looks like in its last state, drawn by the browser: PNG bytes and its words."""
    if not states:
        return []
    from browser import launch
    from playwright.sync_api import sync_playwright

    from course_utils.widgets import standalone_page

    drawn = []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 800, "height": 900}, device_scale_factor=640 / 768)  # 640 px wide
        for index, state in enumerate(states):
            document = Path(scratch) / f"{index}.html"
            title = state.get("label", "")
            document.write_text(standalone_page(state["_esm"], state["_css"], state, title), encoding="utf-8")
            page.goto(document.as_uri())
            page.locator("main[data-ready=true]").wait_for()
            page.locator("[aria-busy=true]").first.wait_for(state="detached")  # a network that runs in the page
            root = page.locator(".course-widget")
            root.evaluate(LABELLED, RUN_ME)
            words = f"{title}. {root.locator('[role=status]').first.inner_text()}".strip(". ")
            drawn.append((smaller(root.screenshot(animations="disabled")), f"{words}. {RUN_ME}."))
        browser.close()
    return drawn


def smaller(png: bytes) -> bytes:
    """The picture in 256 colours where it is large: a notebook stores it twice and stays below a megabyte."""
    if len(png) <= 25_000:
        return png
    small = io.BytesIO()
    shot = Image.open(io.BytesIO(png)).convert("RGB")
    shot.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return min(png, small.getvalue(), key=len)


def main(command: str = "check", *only: str) -> int:
    if command not in ("run", "normalise", "check"):
        raise SystemExit(f"There is no command {command!r}; there are run, normalise and check.")
    chosen = paths(only)
    for path in chosen:
        if command == "run":
            print(f"{path.name}: executed in {execute(path):.1f} s", flush=True)
        elif command == "normalise":
            notebook = nbformat.read(path, as_version=4)
            normalise(notebook)
            path.write_text(dumped(notebook), encoding="utf-8")
    found = [f"{path.name}: {fault}" for path in chosen for fault in faults(path)]
    print("\n".join(found) or f"{len(chosen)} notebooks are executed and normalised")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
