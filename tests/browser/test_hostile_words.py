"""Markup in every word that a widget, a card or a table shows: it is read as words, and runs nothing."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gallery
import pytest
from playwright.sync_api import Browser, Page
from settle import wait_drawn

from course_utils import check
from course_utils.check.card import Card
from course_utils.lessons import Glossary, Term
from course_utils.widgets import Question, Quiz
from course_utils.widgets.base import CourseWidget, own_state, standalone_page

pytestmark = pytest.mark.faults("pieces of markup in labels, captions, names and answers")

CANARY = "window.executed = (window.executed ?? 0) + 1"
HOSTILE = (
    f"<img src=x onerror='{CANARY}'>",
    f"</script><script>{CANARY}</script>",
    f'" onmouseover="{CANARY}" autofocus onfocus="{CANARY}" x="',
    f"<svg onload='{CANARY}'><!-- -->",
    f"javascript:{CANARY}",
    "${" + CANARY + "}",
    "\u202egnp.exe\u202c\u2066&lt;b&gt;\u0000\ud800",
)
WORDS = " ".join(HOSTILE)


@pytest.fixture(scope="module")
def unguarded(browser: Browser) -> Iterator[Page]:
    """The page that one content after the other is opened in."""
    context = browser.new_context(bypass_csp=True, offline=True, viewport={"width": 1000, "height": 800})
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.on("pageerror", lambda error: page.heard.append(str(error)))
    yield page
    context.close()


@pytest.fixture
def opened(unguarded: Page, tmp_path: Path) -> Callable[[str], Page]:
    """Open a page with its policy switched off: nothing but the code itself keeps the canary quiet."""

    def open_page(content: str) -> Page:
        path = tmp_path / "hostile.html"
        path.write_text(content, encoding="utf-8", errors="replace")
        unguarded.heard = []
        unguarded.goto(path.as_uri())
        return unguarded

    return open_page


def assert_quiet(page: Page) -> None:
    """Nothing was executed, nothing was made that could be, and nothing broke."""
    page.wait_for_load_state()
    wait_drawn(page)
    assert page.evaluate("window.executed") is None
    active = (
        "[onerror], [onload], [onmouseover], [onfocus], [autofocus], main script, [href^='javascript:'], img[src='x']"
    )
    assert page.locator(active).count() == 0
    assert page.heard == []


def shown_words(page: Page) -> set[str]:
    """Every text of the page: between tags, in names for a screen reader, in options."""
    return set(
        page.evaluate(
            """() => {
              const walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
              const found = [];
              while (walk.nextNode()) found.push(walk.currentNode.data.trim());
              for (const one of document.querySelectorAll("main *")) {
                for (const name of ["aria-label", "title", "alt", "placeholder"]) {
                  if (one.hasAttribute(name)) found.push(one.getAttribute(name));
                }
              }
              return found;
            }"""
        )
    )


def spoilt(value: Any, spoil: set[str]) -> Any:
    """A widget's state with the hostile words behind each of some words, wherever they stand."""
    if isinstance(value, str):
        return value + WORDS if value in spoil else value
    if isinstance(value, dict):
        return {spoilt(key, spoil): spoilt(one, spoil) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [spoilt(one, spoil) for one in value]
    return value


def words_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from words_of(key)
            yield from words_of(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from words_of(one)


def state_of(widget: CourseWidget) -> dict[str, Any]:
    return json.loads(json.dumps(own_state(widget.get_state())))


def page_of(widget: CourseWidget, state: dict[str, Any]) -> str:
    return standalone_page(str(widget._esm), str(widget._css), state, title=state["label"])


def touch_everything(page: Page) -> None:
    """Point at each canvas, move each slider, take each option, press each button: so that every sentence is said."""
    root = page.locator(".course-widget").first
    for canvas in root.locator("canvas:visible").all():
        canvas.hover(position={"x": 9, "y": 9}, force=True)
    for canvas in root.locator("canvas[tabindex='0']:visible").all():
        canvas.focus()
        for key in ("ArrowRight", "ArrowDown", "Enter"):
            page.keyboard.press(key)
    for slider in root.locator("input[type=range]:visible").all():
        slider.press("End")
    for select in root.locator("select:visible").all():
        for number in range(select.locator("option").count()):
            select.select_option(index=number)
    for button in root.locator("button:visible").all():
        if button.is_visible() and button.is_enabled() and "picture" not in button.inner_text():
            button.click()


@pytest.mark.parametrize("exhibit", gallery.EXHIBITS, ids=lambda exhibit: exhibit.title)
def test_words_of_a_widget_stay_words(
    exhibit: gallery.Exhibit, opened: Callable[[str], Page], record_property: Any
) -> None:
    """Every word of the state that the page shows is made hostile, except those that its code knows by name."""
    widget = exhibit.widget()
    state = state_of(widget)
    calm = opened(page_of(widget, state))
    calm.wait_for_selector("main[data-ready] .course-widget")
    text = "\n".join(shown_words(calm))
    known = set(re.findall(r"""["'`]([^"'`\n]*)["'`]""", str(widget._esm))) | set(
        re.findall(r"\b\w+\b", str(widget._esm))
    )
    spoil = {word for word in words_of(state) if len(word) < 400 and word and word in text and word not in known}
    spoil |= {state["label"]} - {""}
    changed = spoilt(state, spoil) | {"caption": WORDS, "error": WORDS}
    page = opened(page_of(widget, changed))
    page.wait_for_selector("main[data-ready] .course-widget")
    assert page.locator("main > .course-widget").first.get_attribute("aria-label").startswith(state["label"] + "<img")
    touch_everything(page)
    assert_quiet(page)
    assert "onerror=" in page.locator(".course-widget").first.inner_text(), "the words are there to be read"
    record_property("tried", len(HOSTILE) * (len(spoil) + 2))


def test_words_of_a_quiz_stay_words(opened: Callable[[str], Page], record_property: Any) -> None:
    questions = [Question(WORDS, {WORDS: WORDS, "b": WORDS}, right=WORDS)]
    for predict in (False, True):
        widget = Quiz(questions, label=WORDS, caption=WORDS, predict=predict)
        page = opened(page_of(widget, state_of(widget)))
        page.wait_for_selector("main[data-ready] .course-widget")
        page.locator("input[type=radio]").first.check()
        touch_everything(page)
        assert_quiet(page)
        assert "onerror=" in page.locator("main").inner_text()
    record_property("tried", 2 * len(HOSTILE))


def learner(x: Any) -> Any:
    raise ValueError(WORDS)


def html_tables() -> dict[str, str]:
    """What the course writes as HTML itself, of words from elsewhere."""
    term = Term(WORDS, WORDS, WORDS, WORDS, WORDS)
    return {
        "a card": Card("solution", WORDS, (WORDS, WORDS), code=WORDS)._repr_html_(),
        "a check's answer": check.squeeze(learner)._repr_html_(),
        "the glossary": Glossary((term,))._repr_html_(),
        "an unknown file": check.import_progress(WORDS)._repr_html_(),
        "a file to write": check.export_progress(WORDS)._repr_html_(),
    }


def test_words_of_cards_and_tables_stay_words(
    opened: Callable[[str], Page], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / f"{HOSTILE[0].replace('/', '')}.json"))
    (tmp_path / f"{HOSTILE[0].replace('/', '')}.json").write_text("{")
    made = {"the map of progress": check.progress()._repr_html_()} | html_tables()
    for what, content in made.items():
        page = opened(f"<!doctype html><meta charset=utf-8><main>{content}</main>")
        assert_quiet(page)
        assert "onerror=" in page.locator("main").inner_text(), what
    record_property("tried", len(made) * len(HOSTILE))


def test_the_canary_sings_where_words_are_taken_for_markup(opened: Callable[[str], Page]) -> None:
    """Else none of the tests above could fail."""
    page = opened(f"<!doctype html><meta charset=utf-8><main>{HOSTILE[0]}</main>")
    page.wait_for_function("() => window.executed === 1")
