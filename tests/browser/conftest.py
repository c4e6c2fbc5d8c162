"""Chromium for the widgets: alone on file://, and inside a real JupyterLab."""

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import NO_BROWSER, find_browser, launch
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from settle import wait_drawn

# How long a test waits for what must come. It is no bound on the widgets: a slow machine only takes longer.
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where no browser is found, one skipped test speaks for all; with REQUIRE_BROWSER=1 each of them fails."""
    needing = [item for item in items if "browser" in getattr(item, "fixturenames", ())]
    if not needing or os.environ.get("REQUIRE_BROWSER") == "1" or find_browser():
        return
    needing[0].add_marker(pytest.mark.skip(reason=f"{len(needing)} tests need a browser. {NO_BROWSER}"))
    config.hook.pytest_deselected(items=needing[1:])
    left_out = set(needing[1:])
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if find_browser() is None:
        pytest.fail(NO_BROWSER, pytrace=False)
    with sync_playwright() as playwright:
        # A fade at every press would take a third of the tests' time; the one that watches it asks for it.
        browser = launch(playwright, "--force-prefers-reduced-motion")
        yield browser
        browser.close()


class WidgetPage:
    """A widget's stand-alone page, and what went wrong on it."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.address = path.as_uri()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._heard: dict[str, Callable[[Any], Any]] = {
            "pageerror": lambda error: self.errors.append(str(error)),
            "console": lambda message: message.type == "error" and self.errors.append(message.text),
            "request": lambda request: self.requests.append(request.url),
        }
        for event, heard in self._heard.items():
            page.on(event, heard)
        page.goto(self.address)
        page.wait_for_selector("main[data-ready] .course-widget")
        wait_drawn(page)

    def release(self) -> None:
        """Stop listening: the next test gets the same page."""
        for event, heard in self._heard.items():
            self.page.remove_listener(event, heard)

    @property
    def root(self) -> Any:
        """The (first) widget on the page."""
        return self.page.locator(".course-widget").first

    @property
    def canvas(self) -> Any:
        """The canvas that takes the keyboard."""
        return self.page.locator(".course-widget canvas[tabindex='0']").first

    @property
    def status(self) -> str:
        """What the status line says."""
        return self.root.locator("[role=status]").inner_text()

    def state(self, name: str) -> Any:
        """The value of a trait in the page."""
        return self.page.evaluate("(name) => document.querySelector('main').model.get(name)", name)

    def set(self, **traits: Any) -> None:
        """Set traits in the page, as the kernel would, and wait until they are drawn."""
        for name, value in traits.items():
            self.page.evaluate(
                "([name, value]) => document.querySelector('main').model.set(name, value)", [name, value]
            )
        wait_drawn(self.page)

    def becomes(self, name: str, value: Any) -> None:
        """Wait until a trait has a value."""
        # A function, as wherever a test waits so: a bare expression is evaluated anew at each look, and the second
        # time the page's own policy refuses it. The test then passes only where the first look was late enough.
        self.page.wait_for_function(
            "([name, text]) => JSON.stringify(document.querySelector('main').model.get(name)) === text",
            arg=[name, json.dumps(value, separators=(",", ":"))],
        )

    def says(self, pattern: str) -> None:
        """Wait until the status line says something, a regular expression."""
        expect(self.root.locator("[role=status]")).to_have_text(re.compile(pattern))

    def pixels(self, canvas: Any) -> np.ndarray:
        """The pixels of a canvas as they are drawn, (height, width, 4), uint8."""
        height, width, flat = canvas.evaluate(
            "(c) => [c.height, c.width, btoa(Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data,"
            " (v) => String.fromCharCode(v)).join(''))]"
        )
        return np.frombuffer(base64.b64decode(flat), np.uint8).reshape(height, width, 4)

    def saved_picture(self) -> np.ndarray:
        """The pixels of the file that "Save the picture" gives, (height, width, 3), uint8."""
        with self.page.expect_download() as download:
            self.root.get_by_role("button", name="Save the picture").click()
        return np.asarray(Image.open(download.value.path()).convert("RGB"))

    def assert_saved_picture_shows(self, *canvases: Any) -> None:
        """The saved picture holds every pixel of the canvases, and words above and below each."""
        picture = self.saved_picture()
        for canvas in canvases:
            pixels = self.pixels(canvas)
            assert (pixels[..., 3] == 255).all()
            top, left = place_of(picture, pixels[..., :3])
            ground = picture[0, 0]
            below = picture[top + pixels.shape[0] :, left : left + pixels.shape[1]]
            assert (picture[:top, left : left + pixels.shape[1]] != ground).any(), "no name above the canvas"
            assert (below != ground).any(), "no words below the canvas"

    def hover(self, canvas: Any, x: float, y: float) -> None:
        """Put the pointer at a place of a canvas, x and y from 0 to 1."""
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        self.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])

    def theme(self, name: str) -> None:
        """Switch the page between "light" and "dark", as a static site does."""
        self.page.evaluate("(name) => { document.body.dataset.theme = name; }", name)
        wait_drawn(self.page)

    def violations(self) -> list[str]:
        """What axe-core finds wrong in the widget."""
        found = Axe().run(self.page, context=".course-widget").response["violations"]
        return [f"{one['id']}: {node['html']} {node['failureSummary']}" for one in found for node in one["nodes"]]

    def second_copy(self) -> None:
        """Draw the same widget once more on the same page, with a model of its own."""
        self.page.evaluate(
            """async () => {
              const page = JSON.parse(document.querySelector("script[type='application/json']").textContent);
              const { state } = page.shown[0];
              const handlers = [];
              const model = {
                get: (name) => state[name],
                set(name, value) {
                  state[name] = value;
                  for (const [one, handler] of handlers) if (one === `change:${name}`) handler();
                },
                on: (name, handler) => handlers.push([name, handler]), off() {}, save_changes() {}, send() {},
              };
              const address = URL.createObjectURL(new Blob(page.modules, { type: "text/javascript" }));
              const { default: widget } = await import(address);
              const el = document.createElement("section");
              el.model = model;
              document.body.append(el);
              await widget.render({ model, el });
            }"""
        )

    def move_every_control(self) -> int:
        """Move each slider to both ends, take each option, press each checkbox twice; returns how many were moved."""
        moved = 0
        self.root.locator("details").evaluate_all("(all) => all.forEach((one) => { one.open = true; })")
        for slider in self.root.locator("input[type=range]:visible").all():
            for key in ("Home", "End"):
                slider.press(key)
            moved += 1
        for select in self.root.locator("select:visible").all():
            for value in select.locator("option").evaluate_all("(options) => options.map((o) => o.value)"):
                select.select_option(value)
            moved += 1
        for box in self.root.locator("input[type=checkbox]:visible").all():
            box.click()
            box.click()
            moved += 1
        for radio in self.root.locator("input[type=radio]:visible").all():
            radio.check()
            moved += 1
        return moved

    def assert_clean(self) -> None:
        """No error on the page, and no request for anything but the page itself and its own blobs."""
        assert self.errors == []
        away = [url for url in self.requests if url != self.address and not url.startswith(("blob:", "data:"))]
        assert away == []


def place_of(picture: np.ndarray, part: np.ndarray) -> tuple[int, int]:
    """Where a part of a picture stands in it, (top, left); fails where it does not."""
    whole, own = (pixels.astype(np.int64) @ (65536, 256, 1) for pixels in (picture, part))
    colours, counts = np.unique(whole, return_counts=True)
    rarity = counts[np.searchsorted(colours, own).clip(max=len(colours) - 1)]
    y, x = np.unravel_index(rarity.argmin(), own.shape)  # the pixel of which the picture has the fewest
    for top, left in np.argwhere(whole == own[y, x]) - (y, x):
        if min(top, left) >= 0 and np.array_equal(whole[top : top + len(own), left : left + own.shape[1]], own):
            return int(top), int(left)
    raise AssertionError("the saved picture does not hold what the canvas shows")


VIEWPORT = {"width": 1000, "height": 800}
MEDIA = {"color_scheme": "null", "forced_colors": "null", "reduced_motion": "null"}


def new_page(browser: Browser, **options: Any) -> Page:
    """A page of its own; options go to the browser's context."""
    context = browser.new_context(**{"viewport": VIEWPORT, "offline": True, "service_workers": "block", **options})
    context.set_default_timeout(PATIENCE)
    return context.new_page()


@pytest.fixture(scope="session")
def shared_page(browser: Browser) -> Iterator[Page]:
    """The page that one test after the other loads its widget into."""
    page = new_page(browser)
    yield page
    page.context.close()


@pytest.fixture
def alone(browser: Browser, shared_page: Page, tmp_path: Path) -> Iterator[Callable[..., WidgetPage]]:
    """`alone(widget)` opens a widget's own page in Chromium.

    The first goes into the page that all tests share, as it was at first, with its viewport and media as the options
    say; a further one of the same test, or one with other options for the browser's context, gets a page of its own.
    """
    opened: list[WidgetPage] = []

    def open_page(widget: Any, **options: Any) -> WidgetPage:
        path = widget.save_html(tmp_path / f"widget-{len(opened)}.html")
        if options.keys() - {"viewport", *MEDIA} or any(one.page is shared_page for one in opened):
            page = new_page(browser, **options)
        else:
            page = shared_page
            page.mouse.move(0, 0)
            page.set_viewport_size(options.pop("viewport", VIEWPORT))
            page.emulate_media(**{**MEDIA, **options})
        opened.append(WidgetPage(page, path))
        return opened[-1]

    yield open_page
    for one in opened:
        if one.page is shared_page:
            one.release()
        else:
            one.page.context.close()


@pytest.fixture
def page(alone: Callable[..., WidgetPage], course: Any) -> Iterator[WidgetPage]:
    """The page of the widget that a test file names as `course`; afterwards nothing may have gone wrong on it."""
    opened = alone(course)
    yield opened
    opened.assert_clean()


class Lab:
    """A JupyterLab of our own on a free port of 127.0.0.1, and a page in it. One serves all tests."""

    command, application, place = "lab", "LabApp", "lab/tree"

    def __init__(self, root: Path, browser: Browser, workspace: Path) -> None:
        self.root = self.folder = root
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.console_errors: list[str] = []
        self.requests_off: list[str] = []
        environment = {**os.environ, "JUPYTER_CONFIG_DIR": str(workspace / "config"), "OMP_NUM_THREADS": "1"}
        options = [
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            f"--port={port}",
            "--ServerApp.port_retries=0",
            "--IdentityProvider.token=",
            "--ServerApp.password=",
            f"--{self.application}.expose_app_in_browser=True",
            f"--ServerApp.root_dir={root}",
            f"--{self.application}.workspaces_dir={workspace / 'workspaces'}",
            f"--{self.application}.user_settings_dir={workspace / 'settings'}",
        ]
        quiet = workspace / "settings" / "@jupyterlab" / "apputils-extension"
        quiet.mkdir(parents=True)
        (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
        self.log = (workspace / "lab.log").open("w")
        self.server = subprocess.Popen(
            [sys.executable, "-m", "jupyter", self.command, *options],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            cwd=root,
            env=environment,
        )
        self.context = browser.new_context(viewport={"width": 1300, "height": 1000})
        self.context.set_default_navigation_timeout(120_000)
        self.page = self.context.new_page()
        try:
            self._wait_until_up()
        except BaseException:
            self.stop()
            raise
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.console_errors.append(str(error)))
        self.page.on("request", self._see)

    def _wait_until_up(self, seconds: float = 60) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.server.poll() is not None:
                break
            try:
                with opener.open(f"{self.address}/api/status", timeout=2):
                    return
            except OSError:
                time.sleep(0.2)
        self.log.flush()
        raise RuntimeError(f"jupyter {self.command} did not start:\n{Path(self.log.name).read_text()[-3000:]}")

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.console_errors.append(message.text)

    def _see(self, request: Any) -> None:
        local = (self.address, self.address.replace("http", "ws"), "blob:", "data:")
        if not request.url.startswith(local):
            self.requests_off.append(request.url)

    def open(self, notebook: str) -> Page:
        """Open a notebook of this test's folder and wait until its kernel is idle."""
        self.page.goto(
            f"{self.address}/{self.place}/{(self.folder / notebook).relative_to(self.root).as_posix()}?reset"
        )
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        self.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
            timeout=60_000,
        )
        return self.page

    def run_all(self) -> None:
        """Run every cell; wait for what the cells show, for awaiting the command may never end."""
        self.page.evaluate(
            """() => {
              const { sessionContext } = window.jupyterapp.shell.currentWidget;
              window.courseBegan = false;
              sessionContext.statusChanged.connect((_, status) => { window.courseBegan ||= status === "busy"; });
              void window.jupyterapp.commands.execute("notebook:run-all-cells");
            }"""
        )

    def wait_idle(self, seconds: float = 60) -> None:
        """Wait until the kernel has begun, and has worked off every cell."""
        self.page.wait_for_function(
            """() => window.courseBegan
                && window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'
                && ![...document.querySelectorAll('.jp-InputPrompt')].some((one) => one.textContent.includes('*'))""",
            timeout=1000 * seconds,
        )

    def begin(self, folder: Path) -> None:
        """Take a folder below the root for the next test; nothing has gone wrong in it yet."""
        self.folder = folder
        self.console_errors.clear()
        self.requests_off.clear()

    def end(self) -> None:
        """End the kernels of a test and leave its page."""
        self.page.evaluate("() => window.jupyterapp?.serviceManager.sessions.shutdownAll()")
        self.page.goto("about:blank")

    def stop(self) -> None:
        """Close the page and end this server, which ends its kernels; nothing else is touched."""
        try:
            self.context.close()
        finally:
            self.server.terminate()
            try:
                self.server.wait(15)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait(5)
            self.log.close()


class Notebook(Lab):
    """The same in Jupyter Notebook 7."""

    command, application, place = "notebook", "JupyterNotebookApp", "notebooks"


@pytest.fixture
def notebook_7(browser: Browser, tmp_path: Path) -> Iterator[Lab]:
    """Jupyter Notebook 7 on this test's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
        server = Notebook(tmp_path, browser, tmp_path / "settings")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The one JupyterLab, which sees the folders of all tests, and what a learner has done in them."""
    workspace = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_PROGRESS", str(workspace / "progress.json"))
        server = Lab(tmp_path_factory.getbasetemp(), browser, workspace)
    yield server
    server.stop()


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Callable[[Path], Lab]]:
    """`lab(folder)` opens JupyterLab on a folder; its notebooks need a python3 kernelspec in their metadata."""

    def begin(folder: Path) -> Lab:
        shared_lab.begin(folder)
        return shared_lab

    yield begin
    shared_lab.end()
