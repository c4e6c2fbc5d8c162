"""Every widget of the course on one page, opened from a folder: alive, accessible, quiet, strangers to each other."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import gallery
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page
from settle import wait_drawn

ROOT = Path(__file__).resolve().parents[2]

VIEWS = (ROOT / "course_utils" / "widgets").glob("*/view.js")
NAMES = sorted(path.parent.name.replace("_", "-") for path in VIEWS)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("gallery") / "gallery.html"
    page.write_text(gallery.gallery(), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def opened(browser: Browser, path: Path) -> Iterator[Page]:
    """The page without a network; at the end nothing may have gone wrong on it, and nobody may have been asked."""
    context = browser.new_context(viewport={"width": 1000, "height": 900}, offline=True)
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.heard = []
    page.on("pageerror", lambda error: page.heard.append(str(error)))
    page.on("console", lambda message: message.type in ("error", "warning") and page.heard.append(message.text))
    page.on(
        "request",
        lambda request: request.url.startswith((path.as_uri(), "blob:", "data:")) or page.heard.append(request.url),
    )
    page.goto(path.as_uri())
    page.wait_for_function(
        "() => [...document.querySelectorAll('[data-shown]')].every((host) => 'ready' in host.dataset)"
    )
    yield page
    context.close()
    assert page.heard == []


def widget(page: Page, name: str) -> Locator:
    return page.locator(f".course-widget[data-widget={name}]")


def state(page: Page, name: str) -> str:
    """Everything that a reader could see changed in a widget."""
    return widget(page, name).evaluate(
        """(root) => JSON.stringify([root.innerText, ...[...root.querySelectorAll("canvas")].map((one) =>
            [one.dataset.query ?? "", one.toDataURL()])])"""
    )


def test_every_widget_is_shown_once_with_a_sentence_and_a_link(opened):
    shown = [one.get_attribute("data-widget") for one in opened.locator(".course-widget").all()]
    assert sorted(shown) == NAMES
    for section in opened.locator("section").all():
        assert section.locator("h2").inner_text()
        words = section.locator("h2 + p")
        assert len(words.inner_text().split()) >= 10
        assert re.search(r"/notebooks/4\.[\w.]+\.ipynb$", words.locator("a").get_attribute("href") or "")


def test_a_module_stands_in_the_page_once(path):
    data = re.search(r'<script type="application/json">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)
    assert data is not None
    page = json.loads(data[1])
    assert len(page["modules"]) == len(set(page["modules"])) == len({one["module"] for one in page["shown"]})
    assert not any("_esm" in one["state"] for one in page["shown"])


@pytest.mark.parametrize("name", NAMES)
def test_a_widget_answers_and_leaves_the_others_alone(name, opened):
    root = widget(opened, name)
    canvas = root.locator("canvas[tabindex='0']:visible").first
    opened.mouse.move(1, 1)
    opened.evaluate("() => document.activeElement.blur()")  # a query that is not locked ends when the focus leaves
    others = {other: state(opened, other) for other in NAMES if other != name}
    before = state(opened, name)
    if canvas.count():
        canvas.press("Escape")  # lets go of a query that the widget starts with
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        opened.mouse.move(box["x"] + 0.62 * box["width"], box["y"] + 0.4 * box["height"])
        assert canvas.get_attribute("data-query")
        opened.mouse.move(1, 1)
        canvas.press("ArrowDown")
    elif root.locator("input[type=radio]").count():
        root.locator("input[type=radio]").first.check()
        root.get_by_role("button", name="Check").first.click()
    else:
        root.locator("input[type=range]").first.press("ArrowRight")
        root.get_by_role("button").first.click()
    assert state(opened, name) != before
    assert {other: state(opened, other) for other in others} == others


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(theme, opened):
    opened.evaluate("(theme) => { document.body.dataset.theme = theme; }", theme)
    wait_drawn(opened)
    found = Axe().run(opened).response["violations"]
    assert [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary']}" for one in found for node in one["nodes"]
    ] == []


@pytest.mark.parametrize("width", [390, 500, 1000])
def test_nothing_is_cut_off(width, opened):
    """A phone, and a window of 1000 pixels at 200 % zoom, need no sideways scrolling of the page."""
    opened.set_viewport_size({"width": width, "height": 900})
    wait_drawn(opened)
    assert opened.evaluate("document.documentElement.scrollWidth") == width
