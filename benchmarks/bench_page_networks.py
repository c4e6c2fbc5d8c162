"""How long the two real networks take in the page: Chromium, medians in milliseconds beside their bounds.

    python -m benchmarks.bench_page_networks

A picture of the segmenter, from its pixels to the mask; a gate that moves a little, as under a dragging hand, at each
of the ten gates, of which the slowest counts; a new line of 320 pixels of the reader; one of its heads switched off;
all in one thread. Then the camera, played by the browser's fake one at 30 frames a second, in two widgets, whose
network runs beside the page: how often a second the result is drawn, over five seconds, and how long the page was busy
at most.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from browser import FLAGS, find_browser, launch  # noqa: E402

import course_utils.widgets  # noqa: E402
from course_utils.attention import record_masks  # noqa: E402
from course_utils.models import load_network  # noqa: E402
from course_utils.models.page_graph import page_graph  # noqa: E402
from course_utils.widgets import CourseWidget, explore_channel_gates, explore_mask_playground  # noqa: E402
from course_utils.widgets.joiner import join  # noqa: E402

ENGINE = Path(course_utils.widgets.__file__).with_name("page") / "network.js"
BOUNDS = {"a picture": 70, "a dragged gate": 70, "a line": 450, "a head switched off": 30}
LEAST_FRAMES, LONGEST_BLOCK = 12, 100
FAKE_CAMERA = ["--use-fake-device-for-media-stream=fps=30", "--use-fake-ui-for-media-stream"]
# Each drawing of the result names its canvas; a chain of timers is late by as long as the page is busy.
WATCH = """async ({ canvas, seconds }) => {
  const turn = () => new Promise((done) => { setTimeout(done); });
  let drawn = 0;
  const watching = new MutationObserver(() => { drawn += 1; });
  watching.observe(document.querySelector(canvas), { attributeFilter: ["aria-label"] });
  const start = performance.now();
  let longest = 0;
  for (let before = start; before - start < 1000 * seconds;) {
    await turn();
    const now = performance.now();
    longest = Math.max(longest, now - before);
    before = now;
  }
  watching.disconnect();
  return { frames: drawn / seconds, longest };
}"""
TIME = """async ({ source, graph, weights, shape, masks, heads, times }) => {
  const { createNetwork } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const network = createNetwork(graph, weights);
  const length = shape.reduce((product, side) => product * side, 1);
  const median = (act) => {
    const taken = [];
    for (let i = 0; i < times + 3; i++) {
      const start = performance.now();
      act(i);
      taken.push(performance.now() - start);
    }
    return taken.slice(3).sort((one, two) => one - two)[Math.floor(times / 2)];
  };
  const inputs = [0, 1].map(() => ({ shape, data: Float32Array.from({ length }, Math.random) }));
  const whole = median((i) => network.run(inputs[i % 2]));
  const moved = masks.map((name) => median((i) => network.run(null, { [name]: [[0, heads ? i % 2 : i / 100]] })));
  return { whole, moved };
}"""


def measure(page: Any, name: str, shape: list[int], heads: bool, times: int) -> dict[str, Any]:
    network = load_network(name)
    graph, weights = page_graph(network).values()
    with torch.no_grad(), record_masks(network) as masks:
        network(torch.rand(1, *shape))
    shown = [one for one, mask in masks.items() if (mask.shape[2:] != (1, 1)) == heads]
    told = {"source": join(ENGINE) + "\nexport { createNetwork };", "graph": graph, "weights": weights}
    return page.evaluate(TIME, {**told, "shape": shape, "masks": shown, "heads": heads, "times": times})


def follow_camera(browser: Any, widget: CourseWidget, canvas: str) -> dict[str, float]:
    """Frames drawn a second, and the longest time in milliseconds for which the page was busy."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    with tempfile.TemporaryDirectory() as folder:
        page.goto(widget.save_html(Path(folder) / "widget.html").as_uri())
        page.wait_for_selector("main[data-ready] .course-widget")
    page.get_by_role("button", name="Use the camera", exact=True).click()
    page.wait_for_timeout(2000)  # the first frames compile the network
    found = page.evaluate(WATCH, {"canvas": canvas, "seconds": 5})
    page.close()
    return found


def main() -> None:
    """Print each number beside its bound."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page()
        segmenter = measure(page, "person_segmenter", [3, 256, 256], heads=False, times=15)
        reader = measure(page, "text_reader", [3, 48, 320], heads=True, times=7)
        browser.close()
    found = (segmenter["whole"], max(segmenter["moved"]), reader["whole"], max(reader["moved"]))
    for (what, bound), taken in zip(BOUNDS.items(), found, strict=True):
        print(f"{what:20s} {taken:6.1f} ms   at most {bound} ms   {taken / bound:.2f}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=[*FLAGS, *FAKE_CAMERA])
        for widget, canvas in (
            (explore_channel_gates(), "canvas[data-kept]"),
            (explore_mask_playground(source="trained", rest="blurred"), "canvas[data-panel=output]"),
        ):
            seen = follow_camera(browser, widget, canvas)
            print(
                f"{widget._module}, the camera: {seen['frames']:.1f} frames a second, at least {LEAST_FRAMES}; ", end=""
            )
            print(f"busy for {seen['longest']:.0f} ms at most, bound {LONGEST_BLOCK} ms")
        browser.close()


if __name__ == "__main__":
    main()
