"""Widgets in a real JupyterLab: they draw, they follow the kernel live, their keys stay theirs."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import matplotlib
import nbformat
import numpy as np
from playwright.sync_api import expect

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
MAP = """
import numpy as np
from course_utils.widgets import AttentionMap, TrainingCurves
masks = np.arange(2 * 3 * 3, dtype=float).reshape(2, 3, 3)
attention = AttentionMap(np.zeros((6, 6, 3)), masks, ["first", "second"], table="viridis")
attention
"""
CURVES = """
curves = TrainingCurves(total=6)
attention.observe(lambda change: setattr(curves, "caption", f"locked {change['new']}"), names="query")
curves
"""
LOOP = """
import pathlib
import time
for run in ("plain", "SE"):
    while run == "SE" and not pathlib.Path("seen").exists():
        time.sleep(0.05)
    for epoch in (1, 2, 3):
        curves.update({"run": run, "seed": 0, "epoch": epoch, "epochs": 3, "accuracy": epoch / 4})
"""


def test_a_map_and_live_curves_work_in_jupyterlab(lab: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source.strip()) for source in (MAP, CURVES, LOOP)],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, folder / "widgets.ipynb")
    server = lab(folder)
    page = server.open("widgets.ipynb")
    server.run_all()

    words = page.locator("[data-widget=training-curves] .cw-progress")
    words.filter(has_text="of 6 epochs in all").wait_for(timeout=60_000)
    assert words.inner_text() == "plain, seed 0: epoch 3 of 3; 3 of 6 epochs in all."  # drawn while the loop runs
    (folder / "seen").touch()
    words.filter(has_text="All 6 epochs are done.").wait_for(timeout=60_000)
    status = page.locator("[data-widget=training-curves] [role=status]")
    assert status.inner_text() == "Latest accuracy: plain 0.75 at epoch 3; SE 0.75 at epoch 3."

    widget = page.locator("[data-widget=attention-map]")
    canvas = widget.locator("canvas[tabindex='0']")
    canvas.scroll_into_view_if_needed()
    raw = widget.locator("canvas").nth(1)
    for row, column in ((0, 1), (2, 2)):
        value = 3 * row + column
        pixel = raw.evaluate(
            "(c, [y, x]) => [...c.getContext('2d').getImageData(x * c.width, y * c.height, 1, 1).data].slice(0, 3)",
            [(row + 0.5) / 3, (column + 0.5) / 3],
        )
        expected = matplotlib.colormaps["viridis"](int(np.floor(value / 17 * 256)), bytes=True)[:3]
        assert pixel == [int(one) for one in expected]
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.9 * box["height"])
    told = widget.locator("[role=status]").inner_text()
    assert told == "first, row 3, column 2: 7, 19.4 % of the map."

    cells = page.locator(".jp-Notebook .jp-Cell").count()
    page.mouse.down()
    page.mouse.up()
    canvas.press("ArrowUp")
    assert canvas.get_attribute("data-query") == "1,1"
    assert canvas.get_attribute("data-locked") == "true"
    page.locator("[data-widget=training-curves] .cw-caption", has_text="locked [1, 1]").wait_for(timeout=60_000)
    for key in ("Escape", "Enter", "ArrowDown"):
        canvas.press(key)
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells
    assert canvas.evaluate("(c) => c === document.activeElement")

    server.wait_idle()
    server.run_all()
    server.wait_idle()
    words.filter(has_text="All 6 epochs are done.").wait_for(timeout=60_000)
    assert page.locator(".course-widget").count() == 2
    assert server.console_errors == []
    assert server.requests_off == []


def test_a_lesson_runs_and_answers_in_notebook_7(notebook_7) -> None:
    shutil.copy(NOTEBOOKS / "4.1.1_senet.ipynb", notebook_7.root)
    page = notebook_7.open("4.1.1_senet.ipynb")
    page.wait_for_load_state("networkidle")
    notebook_7.console_errors.clear()  # what Notebook reports of its own settings as it starts
    notebook_7.run_all()
    notebook_7.wait_idle(240)
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    root = page.locator(".course-widget[data-widget=channel-gates]").first
    root.scroll_into_view_if_needed()
    canvas = root.locator("canvas[tabindex='0']")
    canvas.focus()
    canvas.press("ArrowRight")
    expect(canvas).to_have_attribute("data-query", re.compile(r"\d+,\d+"))
    expect(root.locator("[role=status]")).to_contain_text(re.compile(r"Channel \d+"))
    assert notebook_7.console_errors == []
    assert notebook_7.requests_off == []
