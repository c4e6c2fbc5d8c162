"""The machine's Chromium, for tests, benchmarks and the pictures of widgets."""

import functools
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

NO_BROWSER = (
    "No browser was found: install Chromium (`apt-get install chromium`, `brew install --cask chromium`), "
    "Google Chrome, or Playwright's own (`python -m playwright install chromium`)."
)
_OFF = "gpu background-networking component-update sync quic"
FLAGS = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in _OFF.split())]
_ON_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_ON_MAC = [f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Chromium", "Google Chrome")]


@functools.cache
def find_browser() -> str | None:
    """The machine's own Chromium or Chrome, else the one that Playwright installed; None where there is none."""
    for path in [*map(shutil.which, _ON_PATH), *_ON_MAC]:
        if path and Path(path).exists():
            return path
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def launch(playwright: Playwright, *flags: str) -> Browser:
    """Start it headless, and quiet towards the network; further flags as Chromium takes them.

    Raises:
        RuntimeError: where there is no browser; says how to get one.
    """
    path = find_browser()
    if path is None:
        raise RuntimeError(NO_BROWSER)
    return playwright.chromium.launch(executable_path=path, args=[*FLAGS, *flags])
