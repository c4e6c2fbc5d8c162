"""The camera, played by Chromium's fake one: frames stay in the page, and each refusal gets its words."""

import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from browser import FLAGS, find_browser
from conftest import WidgetPage
from playwright.sync_api import Browser, expect

from course_utils.data.images import decode_base64
from course_utils.models import VisionTransformer
from course_utils.widgets import (
    explore_channel_gates,
    explore_mask_playground,
    explore_patch_tokens,
    explore_query_map,
    explore_reader,
    look,
)

SECONDS = 30_000  # a frame takes long on a busy machine
COW = {"label": "the cow", "set": {"source": "photographs", "example": 1, "query": [6, 6]}, "notice": "A cow."}
# Of each widget the canvas that shows the picture taken, as the name of a learner's picture tells.
SHOWN = {
    "gates": "canvas[aria-label^='{}']",
    "playground": "canvas[aria-label^='{}']",
    "query": "button[aria-label='{}'][aria-pressed=true] canvas",
}


@pytest.fixture(scope="module", params=[True, False], ids=["allowed", "denied"])
def camera(request, browser: Browser) -> Iterator[tuple[Browser, bool]]:
    """A browser with a fake camera, where the learner allows it, and where not."""
    extra = ["--use-fake-device-for-media-stream"]
    if request.param:
        extra.append("--use-fake-ui-for-media-stream")
    started = browser.browser_type.launch(executable_path=find_browser(), args=[*FLAGS, *extra])
    yield started, request.param
    started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("camera")
    widgets = {"gates": explore_channel_gates(), "digits": explore_channel_gates(source="digits")}
    widgets["playground"] = explore_mask_playground(source="trained", rest="blurred")
    widgets["query"] = explore_query_map(picture="cow")
    widgets["query"].steps = [COW]
    widgets["reader"] = explore_reader(query=18)
    torch.manual_seed(0)
    small = VisionTransformer(32, 8, 2, 16, 2, 32, 4)
    widgets["patches"] = explore_patch_tokens(small, torch.rand(1, 3, 32, 32))
    widgets["look"] = look(small, torch.rand(1, 3, 32, 32))
    return {name: widget.save_html(folder / f"{name}.html") for name, widget in widgets.items()}


def opened(browser: Browser, path: Path) -> WidgetPage:
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    context.set_default_timeout(SECONDS)
    return WidgetPage(context.new_page(), path)


def moves(page, canvas) -> None:
    """Wait for another picture of the fake camera, which may come back later to what it was."""
    seen = [canvas.element_handle(), canvas.evaluate("(c) => c.toDataURL()")]
    page.wait_for_function("([canvas, seen]) => canvas.toDataURL() !== seen", arg=seen)


@pytest.mark.parametrize("name", SHOWN)
def test_a_widget_follows_the_camera_keeps_a_still_and_stops(camera, pages, name):
    started, allowed = camera
    page = opened(started, pages[name])
    calls = "navigator.mediaDevices.getUserMedia"
    page.page.evaluate(
        f"() => {{ const ask = {calls}.bind(navigator.mediaDevices); window.asked = 0; "
        f"{calls} = (what) => {{ window.asked += 1; window.given = ask(what); return window.given; }}; }}"
    )
    assert page.page.evaluate("window.asked") == 0
    page.root.get_by_role("button", name="Use the camera").click()
    if not allowed:
        expect(page.root.locator("[role=alert]")).to_contain_text("The camera was not allowed", timeout=SECONDS)
        assert page.root.get_by_role("button", name="Use the camera").is_visible()
    else:
        live, kept = (page.root.locator(SHOWN[name].format(words)).first for words in ("your camera", "your picture"))
        expect(live).to_be_attached(timeout=SECONDS)
        moves(page.page, live)
        page.root.get_by_role("button", name="Keep this picture").click()
        expect(kept).to_be_attached(timeout=SECONDS)
        assert page.page.evaluate("async () => (await window.given).getTracks().every((t) => t.readyState === 'ended')")
        page.root.get_by_role("button", name="Use the camera").click()
        page.root.get_by_role("button", name="Stop the camera").click(timeout=SECONDS)
        assert page.root.get_by_role("button", name="Use the camera").is_visible()
        assert page.state("own") in ({}, None), "a frame is no trait: traits go to the kernel"
    page.assert_clean()
    page.page.context.close()


def test_a_step_or_another_picture_ends_the_camera_and_stays(camera, pages):
    started, allowed = camera
    if not allowed:
        return
    page = opened(started, pages["query"])
    live = page.root.locator(SHOWN["query"].format("your camera"))
    for name in ("the cow", "hens"):
        page.root.get_by_role("button", name="Use the camera").click()
        expect(live).to_be_attached(timeout=SECONDS)
        page.canvas.press("Enter")
        page.page.wait_for_timeout(500)
        assert page.canvas.get_attribute("data-locked") == "true", "a further frame leaves the query where it is"
        page.root.get_by_role("button", name=name, exact=True).click()
        page.page.wait_for_timeout(1000)
        assert page.state("source") == "photographs"
        assert page.root.get_by_role("button", name="Use the camera").is_visible()
    page.page.context.close()


def test_the_reader_reads_what_the_camera_sees_until_a_line_is_typed(camera, pages):
    started, allowed = camera
    if not allowed:
        return
    page = opened(started, pages["reader"])
    stage, answer = page.root.locator(".cw-stage[aria-busy=false]"), page.root.locator(".cw-reading")
    stage.wait_for(timeout=SECONDS)
    typed, line = answer.inner_text(), page.state("line")
    for end in ("Keep this picture", "typed"):
        page.root.get_by_role("button", name="Use the camera").click()
        expect(answer).not_to_have_text(typed, timeout=SECONDS)
        moves(page.page, page.canvas)
        assert page.state("line") == line and page.state("words") == "", "a frame is no trait: traits go to the kernel"
        if end != "typed":
            page.root.get_by_role("button", name=end).click()
            assert answer.inner_text() != typed
    page.root.get_by_label("Type a line").fill("so we saw zoos")
    expect(answer).to_have_text(typed, timeout=SECONDS)
    assert page.root.get_by_role("button", name="Use the camera").is_visible()
    page.assert_clean()
    page.page.context.close()


@pytest.mark.parametrize("name", ["digits", "patches", "look"])
def test_where_the_kernel_needs_the_picture_the_button_says_so_and_only_the_still_goes(camera, pages, name):
    started, allowed = camera
    if not allowed:
        return
    page = opened(started, pages[name])
    start = page.root.get_by_role("button", name=re.compile("picture goes to your notebook's kernel"))
    assert name == "digits" or not (start.is_visible() or page.root.get_by_text("Upload a picture").is_visible())
    page.page.evaluate("() => { document.querySelector('main').model.widget_manager = {}; }")
    page.theme("dark")  # which draws the widget again
    start.click()
    page.root.get_by_role("img", name="What the camera sees, mirrored").wait_for(timeout=SECONDS)
    page.page.wait_for_timeout(500)
    sent = {"digits": "data"}.get(name, "upload")
    assert sent not in (page.state("request") or {})
    page.root.get_by_role("button", name="Keep this picture").click()
    still = decode_base64(page.state("request")[sent])
    assert still.shape == (512, 512, 3) and still.std() > 1
    page.page.context.close()


@pytest.mark.parametrize(
    ("name", "words"),
    [("NotFoundError", "No camera was found"), ("NotReadableError", "another program may be using it")],
)
def test_a_camera_that_is_not_there_or_not_free_gets_its_words(browser, pages, name, words):
    page = opened(browser, pages["gates"])
    page.page.evaluate(
        "(name) => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', name)); }", name
    )
    page.root.get_by_role("button", name="Use the camera").click()
    expect(page.root.locator("[role=alert]")).to_contain_text(words)
    page.page.context.close()


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine that notes who asks."""
    asked: list[str] = []

    class Noting(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()

        def log_message(self, *_):
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Noting)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}", asked
    listening.shutdown()
    listening.server_close()


def test_nothing_can_leave_a_saved_page_nor_its_workers(browser, pages, server):
    address, asked = server
    page = opened(browser, pages["gates"])
    tried = page.page.evaluate(
        """async (address) => {
          const code = `fetch("${address}/worker").then(() => postMessage("went"), () => postMessage("blocked"));`;
          const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
          const fromWorker = await new Promise((done) => { worker.onmessage = ({ data }) => done(data); });
          const fromPage = await fetch(`${address}/page`).then(() => "went", () => "blocked");
          navigator.sendBeacon(`${address}/beacon`, "a frame");
          const image = new Image();
          image.src = `${address}/image`;
          await new Promise((done) => { image.onload = image.onerror = done; });
          return [fromPage, fromWorker];
        }""",
        address,
    )
    assert tried == ["blocked", "blocked"]
    page.page.wait_for_timeout(200)
    assert asked == []
    page.page.context.close()
