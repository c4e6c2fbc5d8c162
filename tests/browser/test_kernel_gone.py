"""The kernel stops or dies while a widget waits for its answer: the widget says so, and the notebook goes on."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.faults("kernels gone or silent")

CELL = """
import os
from course_utils.data import cued_digits
from course_utils.models import load_network
from course_utils.widgets import explore_channel_gates
print("kernel", os.getpid())
explore_channel_gates(load_network("gsop_cued_digits"), cued_digits(100, seed=4, split="test"))
"""


def move_gate(root, value: float) -> None:
    """Set the focused channel's gate: only the kernel knows what this network then answers."""
    root.locator("input[type=range]").fill(str(value))


def answered(root) -> None:
    """Wait until the kernel's own numbers are drawn."""
    root.locator(".cw-stage[data-by=kernel]").wait_for(timeout=60_000)


def test_a_widget_whose_kernel_stops_or_dies_says_so_and_works_again_when_the_cell_is_run(
    lab: Callable, tmp_path: Path, record_property: Callable
) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(CELL.strip())],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, folder / "gates.ipynb")
    server = lab(folder)
    page = server.open("gates.ipynb")
    server.run_all()
    root = page.locator(".course-widget[data-widget=channel-gates]")
    root.wait_for(timeout=60_000)
    server.wait_idle()
    status = root.locator("[role=status]")

    def pid() -> int:
        said = re.search(r"kernel (\d+)", page.locator(".jp-Notebook").inner_text())
        return int(said[1]) if said else 0

    first = pid()
    move_gate(root, 0.1)
    answered(root)

    os.kill(first, signal.SIGSTOP)  # as in a cell that never ends
    try:
        move_gate(root, 0.2)
        expect(status).to_contain_text("No answer yet", timeout=60_000)
        expect(status).to_contain_text("run again")
        root.locator("canvas[tabindex='0']").focus()
        for _ in range(2):
            page.keyboard.press("ArrowRight")  # what the page can do alone it still does
        expect(status).to_contain_text(re.compile(r"Channel \d+ of"))
    finally:
        os.kill(first, signal.SIGCONT)
    move_gate(root, 0.3)
    answered(root)
    expect(status).not_to_contain_text("No answer yet")

    os.kill(first, signal.SIGKILL)
    move_gate(root, 0.4)
    expect(status).to_contain_text("No answer yet", timeout=60_000)
    dialog = page.locator(".jp-Dialog").get_by_role("button", name=re.compile("OK|Ok"))
    dialog.first.wait_for(timeout=30_000)
    dialog.first.click()
    move_gate(root, 0.5)
    expect(status).to_contain_text("No answer yet")

    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'", timeout=60_000
    )
    server.run_all()
    server.wait_idle()
    assert pid() not in (0, first)
    again = page.locator(".course-widget[data-widget=channel-gates]").last
    move_gate(again, 0.6)
    answered(again)
    assert page.locator(".course-widget").count() == 1, "the silent widget made room for the new one"
    record_property("tried", 2)
