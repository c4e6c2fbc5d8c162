"""How long the two real networks take in the page: Chromium, one thread, medians in milliseconds beside their bounds.

    python -m benchmarks.bench_page_networks

A picture of the segmenter, from its pixels to the mask; a gate that moves a little, as under a dragging hand, at each
of the ten gates, of which the slowest counts; a new line of 320 pixels of the reader; one of its heads switched off.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from browser import launch  # noqa: E402

import course_utils.widgets  # noqa: E402
from course_utils.attention import record_masks  # noqa: E402
from course_utils.models import load_network  # noqa: E402
from course_utils.models.page_graph import page_graph  # noqa: E402
from course_utils.widgets.joiner import join  # noqa: E402

ENGINE = Path(course_utils.widgets.__file__).with_name("page") / "network.js"
BOUNDS = {"a picture": 70, "a dragged gate": 70, "a line": 450, "a head switched off": 30}
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
    graph, weights = page_graph(network)
    with torch.no_grad(), record_masks(network) as masks:
        network(torch.rand(1, *shape))
    shown = [one for one, mask in masks.items() if (mask.shape[2:] != (1, 1)) == heads]
    told = {"source": join(ENGINE) + "\nexport { createNetwork };", "graph": graph, "weights": weights}
    return page.evaluate(TIME, {**told, "shape": shape, "masks": shown, "heads": heads, "times": times})


def main() -> None:
    """Print the four medians."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page()
        segmenter = measure(page, "person_segmenter", [3, 256, 256], heads=False, times=15)
        reader = measure(page, "text_reader", [3, 48, 320], heads=True, times=7)
        browser.close()
    found = (segmenter["whole"], max(segmenter["moved"]), reader["whole"], max(reader["moved"]))
    for (what, bound), taken in zip(BOUNDS.items(), found, strict=True):
        print(f"{what:20s} {taken:6.1f} ms   at most {bound} ms   {taken / bound:.2f}")


if __name__ == "__main__":
    main()
