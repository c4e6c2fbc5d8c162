"""Waiting for what a page shows, so that no test depends on how fast the machine is."""

from playwright.sync_api import Page

_DRAWN = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  await frame();
  await frame();
  const ending = document.getAnimations().filter((one) => Number.isFinite(one.effect.getComputedTiming().endTime));
  await Promise.allSettled(ending.map((one) => one.finished));
  await frame();
}"""


def wait_drawn(page: Page) -> None:
    """Wait until everything that was asked for is drawn and every transition has ended."""
    page.evaluate(_DRAWN)
