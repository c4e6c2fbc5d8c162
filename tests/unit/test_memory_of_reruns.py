"""A learner runs a widget's cell again and again: the kernel's memory stays where it was."""

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from course_utils.lessons import lesson

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
WARM = 4
RUNS = 8
MOST_BYTES = 4_000_000
# The widget with the most data in each lesson: words that its cell holds and no other.
HEAVIEST = {
    "4.1": 'widgets.explore_mask_playground(category="spatial"',
    "4.1.1": "widgets.explore_channel_gates(",
    "4.1.2": "widgets.explore_covariance(",
    "4.1.3": 'widgets.explore_query_map(picture="cow"',
    "4.1.4": "widgets.explore_head_grid(",
    "4.1.5": "widgets.explore_patch_tokens(layer=3, head=1",
    "4.2": "widgets.AttentionMap(",
    "4.3": "widgets.AttentionMap(",
    "4.4": "widgets.explore_score_lab(",
    "4.5": "widgets.explore_gate_maps(stage=1",
    "4.6": "widgets.explore_cbam_steps(",
    "4.7": "look(segmenter, photos)",
}


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingKernelClient]:
    progress = tmp_path_factory.mktemp("progress") / "progress.json"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COURSE_PROGRESS": str(progress)}
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(NOTEBOOKS), env=environment)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(kernel: BlockingKernelClient, source: str) -> str:
    """Run a cell; returns what it printed.

    Raises:
        AssertionError: if the cell fails.
    """
    heard: list[str] = []

    def hear(message: dict) -> None:
        if message["msg_type"] == "stream":
            heard.append(message["content"]["text"])

    reply = kernel.execute_interactive(source, timeout=120, output_hook=hear)["content"]
    assert reply["status"] == "ok", f"{reply.get('ename')}: {reply.get('evalue')}\n{source}"
    return "".join(heard)


# What is held: the pages that the allocator keeps free come and go by 30 MB, so it gives them back first.
HELD = """
import ctypes, gc, platform, psutil
from course_utils.widgets import CourseWidget
gc.collect()
if platform.libc_ver()[0] == "glibc":
    ctypes.CDLL("libc.so.6").malloc_trim(0)
print(psutil.Process().memory_info().rss, sum(issubclass(type(one), CourseWidget) for one in gc.get_objects()))
"""


def held(kernel: BlockingKernelClient) -> tuple[int, int]:
    """The kernel's memory in bytes, and how many widgets are in it."""
    memory, widgets = map(int, run(kernel, HELD).split())
    return memory, widgets


@pytest.mark.parametrize("number", HEAVIEST)
def test_running_a_widgets_cell_again_and_again_leaves_memory_where_it_was(number, kernel):
    cells = [
        cell
        for cell in nbformat.read(NOTEBOOKS / lesson(number).notebook, as_version=4).cells
        if cell.cell_type == "code" and "bootstrap" not in cell.metadata.get("tags", [])
    ]
    shown = next(cell.source for cell in cells if HEAVIEST[number] in cell.source)
    run(kernel, cells[0].source)  # the imports
    for _ in range(WARM):  # what is loaded or compiled once is there afterwards
        run(kernel, shown)
    before, widgets = held(kernel)
    for _ in range(RUNS):
        run(kernel, shown)
    after, left = held(kernel)
    print(f"{number}: {(after - before) / 1e6:+.1f} MB in {RUNS} runs")
    assert left == widgets
    assert after - before < MOST_BYTES
