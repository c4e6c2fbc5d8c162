"""Every control of every widget is moved: each slider to both ends, each option taken, each box set and cleared.

A second copy of the widget on the same page does not notice.
"""

from pathlib import Path

import pytest
from gallery import EXHIBITS
from settle import wait_drawn

ROOT = Path(__file__).resolve().parents[2]

NATIVE = "input:not([type=file]):visible, select:visible"
SEEN = """
(root) => [root.innerText, ...[...root.querySelectorAll("canvas")].map((one) => one.toDataURL()),
  ...[...root.querySelectorAll("input, select")].map((one) => `${one.value} ${one.checked}`)]
"""
MOVE = """
(root) => {
  const seen = new Set();
  const moved = [];
  const fire = (one) => {
    for (const name of ["input", "change"]) one.dispatchEvent(new Event(name, { bubbles: true }));
  };
  // What one position of a control brings to light is moved there too; then the control goes back to where it was.
  function moveAll() {
    for (const one of root.querySelectorAll("input, select")) {
      if (seen.has(one) || one.disabled || !one.checkVisibility() || one.type === "file") continue;
      seen.add(one);
      moved.push(one.getAttribute("aria-label") ?? one.labels?.[0]?.textContent ?? "");
      if (one.type === "checkbox" || one.type === "radio") {
        one.click();
        moveAll();
        if (one.type === "checkbox") one.click();
        continue;
      }
      const before = one.value;
      const options = one.tagName === "SELECT" ? [...one.options].filter((option) => !option.disabled) : null;
      for (const value of options?.map((option) => option.value) ?? [one.min || "0", one.max || "1", before]) {
        one.value = value;
        fire(one);
        moveAll();
      }
      one.value = before;
      fire(one);
    }
  }
  moveAll();
  return moved;
}
"""


def test_the_exhibits_are_all_widgets_of_the_course() -> None:
    folders = {path.parent.name for path in (ROOT / "course_utils" / "widgets").glob("*/view.js")}
    shown = f"site/gallery.toml shows {len(EXHIBITS)} of {len(folders)} widgets"
    assert len({exhibit.title for exhibit in EXHIBITS}) == len(EXHIBITS) == len(folders), shown


def settled(page, widget):
    """What a widget shows once its small pictures are decoded, which none of them waits for."""
    before = None
    while before != (seen := widget.evaluate(SEEN)):
        before = seen
        page.wait_for_timeout(200)
    return seen


@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: exhibit.title)
def test_every_control_can_be_moved(alone, exhibit) -> None:
    opened = alone(exhibit.widget())
    opened.second_copy()
    wait_drawn(opened.page)
    copy = opened.page.locator(".course-widget").nth(1)
    untouched = settled(opened.page, copy)
    shown = opened.root.locator(NATIVE).count()
    labels = opened.root.evaluate(MOVE)
    wait_drawn(opened.page)
    assert len(labels) >= shown
    assert all(label.strip() for label in labels), f"a control without a label: {labels}"
    assert opened.root.locator("[role=alert]:visible").count() == 0
    assert opened.status.strip()
    assert copy.evaluate(SEEN) == untouched
    assert opened.page.locator(".course-widget [id]").count() == 0
    opened.assert_clean()
