"""Waiting for what a page shows, so that no test depends on how fast the machine is."""

from playwright.sync_api import Page

_DRAWN = """async () => {
  const soon = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  const frame = () => Promise.race([new Promise((done) => requestAnimationFrame(done)), soon(500)]);
  await frame();
  await frame();
  const ending = document.getAnimations().filter((one) => Number.isFinite(one.effect.getComputedTiming().endTime));
  // A transition that is replaced while it waits to begin may never tell that it has finished.
  await Promise.race([Promise.allSettled(ending.map((one) => one.finished)), soon(1000)]);
  await frame();
}"""


def wait_drawn(page: Page) -> None:
    """Wait until everything that was asked for is drawn and every transition has ended."""
    page.evaluate(_DRAWN)
