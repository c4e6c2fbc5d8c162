"""`look` on large networks: how soon it is there, how much crosses, what a hover takes, and what the page keeps.

ViT-B/16 gets six pictures of 224 pixels. DINOv2's ViT-S/14 gets one of 518, 1,370 tokens; its page is given every mask
that it asks for, as by a kernel, then the rollout of all layers. The page's memory is that of its process, less what an
empty page takes, once the messages that nobody holds any more are collected.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from playwright.sync_api import Browser, Page, sync_playwright
from torch import Tensor, nn

from benchmarks.bench_widgets import HOVER, launch
from benchmarks.timing import THREADS
from course_utils.widgets import CourseWidget, look
from course_utils.widgets.base import own_state

MODEL = "document.querySelector('main').model"


def open_page(page: Page, widget: CourseWidget, folder: Path) -> None:
    """Show the widget's saved page, and let it believe that a kernel answers it."""
    page.goto(widget.save_html(folder / "look.html").as_uri())
    page.wait_for_selector("main[data-ready] .course-widget")
    page.evaluate(f"{MODEL}.widget_manager = {{}}")


def answer_all(page: Page, widget: CourseWidget) -> int:
    """Answer what the page asks until it asks nothing more; how many masks that were."""
    answered = set()
    while (request := page.evaluate(f"{MODEL}.get('request')")) and request["id"] not in answered:
        answered.add(request["id"])
        widget.request = request
        page.evaluate(f"(answer) => {MODEL}.set('answer', answer)", widget.answer)
    return len(answered)


def hover(page: Page) -> float:
    """Milliseconds from a hover to the read-back of every canvas, 95th percentile; the better of three series."""
    page.evaluate(HOVER)
    return min(float(np.percentile(page.evaluate(HOVER), 95)) for _ in range(3))


def largest_page(browser: Browser) -> float:
    """Megabytes of the largest process that draws a page."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    drawing = [Path(f"/proc/{one['id']}/status") for one in processes if one["type"] == "renderer"]
    lines = [line for one in drawing for line in one.read_text().splitlines() if line.startswith("VmRSS")]
    return max(int(line.split()[1]) for line in lines) / 1024


def seconds(network: nn.Module, pictures: Tensor) -> float:
    """What the forward passes alone take, picture by picture."""
    start = time.perf_counter()
    with torch.no_grad():
        for picture in pictures:
            network(picture[None])
    return time.perf_counter() - start


def measure(browser: Browser, folder: Path) -> dict[str, tuple[float, float | None]]:
    """Every number with what it may be at most."""
    found: dict[str, tuple[float, float | None]] = {}
    vit = timm.create_model("vit_base_patch16_224").eval()
    pictures = torch.rand(6, 3, 224, 224)
    passes = min(seconds(vit, pictures) for _ in range(2))
    page = browser.new_page(viewport={"width": 1000, "height": 900})
    start = time.perf_counter()
    widget = look(vit, pictures)
    open_page(page, widget, folder)
    found["ViT-B/16, six pictures: from call to page beyond the forward passes, s"] = (
        time.perf_counter() - start - passes,
        3.0,
    )
    found["ViT-B/16, six pictures: message, MB"] = (len(json.dumps(own_state(widget.get_state()))) / 1e6, 6.0)
    answer_all(page, widget)
    found["ViT-B/16: hover to read-back, 95 %, ms"] = (hover(page), 5.0)
    page.close()

    page = browser.new_page(viewport={"width": 1000, "height": 900})
    page.goto("about:blank")
    empty = largest_page(browser)
    widget = look(timm.create_model("vit_small_patch14_dinov2"), torch.rand(1, 3, 518, 518))
    open_page(page, widget, folder)
    answer_all(page, widget)
    found["1,370 tokens: hover to read-back, 95 %, ms"] = (hover(page), 16.0)
    page.evaluate(f"{MODEL}.set('head', -2)")
    answer_all(page, widget)
    found["1,370 tokens, rollout of twelve layers: hover to read-back, 95 %, ms"] = (hover(page), None)
    session = page.context.new_cdp_session(page)
    for _ in range(3):  # what the first round frees may hold more
        session.send("HeapProfiler.collectGarbage")
    page.wait_for_timeout(2000)
    found["1,370 tokens: the page's memory with all layers and their rollout, MB"] = (
        largest_page(browser) - empty,
        400.0,
    )
    return found


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        browser: Any = launch(playwright)
        rows = measure(browser, Path(scratch))
        browser.close()
    for name, (value, goal) in rows.items():
        print(f"{name:72s} {value:8.2f}" + ("" if goal is None else f"   at most {goal:.0f}"))


if __name__ == "__main__":
    main()
