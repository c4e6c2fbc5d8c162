"""The static course as a reader opens it: from a folder and from a server, light and dark, with nobody to ask."""

import functools
import http.server
import itertools
import re
import threading
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from settle import wait_drawn

from course_utils.lessons import LESSONS

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "site"
WRITTEN = [lesson for lesson in LESSONS if (ROOT / "notebooks" / lesson.notebook).exists()]
PAGES = [lesson.notebook.replace(".ipynb", ".html") for lesson in WRITTEN]
MOST_BYTES = 3_000_000
MOST_BYTES_OF = {"4.1.4_multi_head_attention.html": 9_000_000}  # the reader's weights are 4.5 MB


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    assert SITE.exists(), "build/site is not built; run `make site`"


class Held(HTMLParser):
    """What a page refers to, the names it defines, and its pictures' words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.parts: list[str] = []
        self.names: set[str] = set()
        self.pictures: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        held = dict(attributes)
        self.names |= {value for key in ("id", "name") if (value := held.get(key))}
        if tag == "a" and held.get("href"):
            self.links.append(held["href"] or "")
        if tag == "img":
            self.pictures.append(held)
        loaded = tag == "link" and held.get("rel") in ("stylesheet", "icon")
        address = held.get("src") or (held.get("href") if loaded else None)
        if address:
            self.parts.append(address)


@functools.cache
def held(path: Path) -> Held:
    return Held(path.read_text(encoding="utf-8"))


def local(page: Path, address: str) -> Path:
    """The file that a page's relative address means."""
    return (page.parent / unquote(urlsplit(address).path)).resolve()


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The address of a server on this machine that serves the folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Reader:
    """A page of the site in a browser, and what went wrong on it."""

    def __init__(self, page: Page, base: str) -> None:
        self.page, self.base = page, base
        self.errors: list[str] = []
        self.away: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: message.type in ("error", "warning") and self.errors.append(message.text))
        page.on("request", self._see)

    def _see(self, request: Any) -> None:
        if not request.url.startswith((self.base, "data:", "blob:")):
            self.away.append(request.url)

    def open(self, name: str) -> None:
        self.page.goto(f"{self.base}/{name}")
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.course-live')].every((host) => 'ready' in host.dataset)"
        )

    def assert_clean(self) -> None:
        """No error, no warning, and no request for anything outside the folder."""
        assert self.errors == []
        assert self.away == []


@pytest.fixture
def reader(browser: Browser) -> Iterator[Callable[..., Reader]]:
    """`reader(base)` reads the site from an address; options go to the browser's context."""
    contexts = []

    def start(base: str, **options: Any) -> Reader:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        context.set_default_timeout(30_000)
        contexts.append(context)
        return Reader(context.new_page(), base)

    yield start
    for context in contexts:
        context.close()


def test_every_written_lesson_has_its_page_and_leads_to_the_next():
    missing = [page for page in PAGES if not (SITE / page).exists()]
    assert missing == [], "the site is older than the lessons; run `make site`"
    for page, following in itertools.pairwise(PAGES):
        text = (SITE / page).read_text(encoding="utf-8")
        assert re.search(rf'<a class="next-page" href="{re.escape(following)}">', text), page


@pytest.mark.parametrize("page", PAGES)
def test_widgets_live_from_a_folder_and_from_a_server(page, reader, served):
    for base in (SITE.as_uri(), served):
        shown = reader(base)
        shown.open(page)
        roots = shown.page.locator(".course-live[data-ready=true] > .course-widget")
        assert roots.count() == shown.page.locator("script[type$='widget-view+json']").count() >= 3
        # The quiz at the end answers; and where a canvas takes the pointer, it answers too.
        quiz = shown.page.locator("[data-widget=quiz]").last
        before = quiz.locator("[role=status]").inner_text()
        quiz.locator("input[type=radio]").first.check()
        quiz.locator("button").first.click()
        assert quiz.locator("[role=status]").inner_text() != before
        canvas = shown.page.locator(".course-widget canvas[tabindex='0']:visible").first
        canvas.scroll_into_view_if_needed()
        root = canvas.locator("xpath=ancestor::*[@data-widget]")
        before = root.locator("[role=status]").inner_text(), canvas.get_attribute("data-query")
        canvas.press("Escape")
        for key in ("ArrowRight", "ArrowDown", "ArrowRight"):
            canvas.press(key)
        after = root.locator("[role=status]").inner_text(), canvas.get_attribute("data-query")
        assert after[1] is not None
        assert after != before
        shown.assert_clean()


@pytest.mark.parametrize("page", ["index.html", "glossary.html", *PAGES])
def test_axe_finds_nothing_on_a_page(page, reader):
    shown, found = reader(SITE.as_uri()), []
    shown.open(page)
    for scheme in ("light", "dark"):
        shown.page.emulate_media(color_scheme=scheme)
        wait_drawn(shown.page)
        found += Axe().run(shown.page).response["violations"]
    words = [f"{one['id']}: {node['html'][:200]} {node['failureSummary']}" for one in found for node in one["nodes"]]
    assert words == []


@pytest.mark.parametrize("page", ["index.html", *PAGES])
def test_a_page_fits_a_phone(page, reader):
    shown = reader(SITE.as_uri(), viewport={"width": 390, "height": 844})
    shown.open(page)
    assert shown.page.evaluate("document.documentElement.scrollWidth") == 390


def test_no_internal_link_is_broken_and_every_part_lies_in_the_folder():
    broken, pages = [], sorted(SITE.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        for address in held(page).links:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            place = urldefrag(address).fragment
            target = local(page, address) if parts.path else page
            if not target.exists() or (place and unquote(place) not in held(target).names):
                broken.append(f"{page.name}: {address}")
        for address in held(page).parts:
            if not address.startswith("data:") and (urlsplit(address).scheme or not local(page, address).exists()):
                broken.append(f"{page.name}: {address}")
    assert broken == []


@pytest.mark.parametrize("page", PAGES)
def test_a_lesson_is_light_enough(page):
    path = SITE / page
    parts = {local(path, address) for address in held(path).parts if not address.startswith("data:")}
    heavy = {part.name: part.stat().st_size for part in [path, *parts]}
    largest = sorted(heavy.items(), key=lambda item: -item[1])[:5]
    assert sum(heavy.values()) < MOST_BYTES_OF.get(page, MOST_BYTES), largest


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_has_words(page):
    pictures = held(SITE / page).pictures
    assert pictures
    assert [picture for picture in pictures if not (picture.get("alt") or "").strip()] == []


def test_hidden_cells_stay_hidden_and_exercises_lead_to_colab():
    for page in PAGES:
        text = (SITE / page).read_text(encoding="utf-8")
        assert "This cell finds the course" not in text, page
        assert "check.progress()" not in re.sub(r"<[^>]+>", "", text.split('id="course-widgets"')[0]), page
        assert "Not attempted" not in text, page
        assert text.count("to have it checked, with hints") >= 4, page
        assert "https://colab.research.google.com/github/" in text, page


@pytest.mark.parametrize("from_folder", [True, False], ids=["folder", "server"])
def test_the_search_finds_a_word_of_a_lesson(from_folder, reader, served):
    shown = reader(SITE.as_uri() if from_folder else served)
    shown.open("index.html")
    box = shown.page.locator("input.sidebar-search")
    box.fill("squeeze")
    box.press("Enter")
    shown.page.wait_for_selector("#search-results li a")
    assert any("SENet" in title for title in shown.page.locator("#search-results li a").all_inner_texts())
    shown.page.wait_for_load_state("networkidle")
    shown.assert_clean()


def test_what_needs_a_network_says_so_and_breaks_nothing(reader):
    shown = reader(SITE.as_uri())
    shown.open("4.1.1_senet.html")
    root = shown.page.locator("[data-widget=channel-gates]").first
    root.get_by_label("Network").select_option("photographs")
    expect(root.locator("[role=status]")).to_contain_text("running notebook")
    shown.assert_clean()


def test_the_dark_page_takes_the_widgets_along(reader):
    shown = reader(SITE.as_uri(), color_scheme="light")
    shown.open("4.1.3_self_attention.html")
    root = shown.page.locator(".course-widget").first
    paper = "(node) => getComputedStyle(node).backgroundColor"
    light = root.evaluate(paper)
    shown.page.locator(".theme-toggle:visible").first.click()
    shown.page.wait_for_function("() => document.body.dataset.theme === 'dark'")
    assert root.evaluate(paper) != light
    assert shown.page.locator("img.only-dark").first.is_visible()
    assert not shown.page.locator("img.only-light").first.is_visible()


def test_formulas_are_drawn_in_the_courses_own_font(reader):
    shown = reader(SITE.as_uri())
    shown.open("4.1.3_self_attention.html")
    assert shown.page.locator("math").count() > 50
    assert shown.page.evaluate("document.fonts.check('16px \"Course Math\"')")
    # A sum over an index stands as high as in print only if the font's table for mathematics is read.
    heights = shown.page.locator("math[display=block] munderover > mo").evaluate_all(
        "(sums) => sums.map((sum) => sum.getBoundingClientRect().height / parseFloat(getComputedStyle(sum).fontSize))"
    )
    assert heights
    assert min(heights) > 1.2
