"""The web page's pictures in docs/: `python scripts/screenshots.py`, with Chromium and the dev extra installed."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).parents[1] / "docs"
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
COLOURS = 160  # a picture is to be small


def first_look(page: Page) -> None:
    """Nothing is chosen yet."""


def medley(page: Page) -> None:
    page.locator(".example").first.click()
    page.locator(".timeline-slider").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.evaluate("document.activeElement.blur()")


def probabilities(page: Page) -> None:
    medley(page)
    page.click("#lanes")
    page.evaluate("document.getElementById('player').scrollIntoView()")


LOOKS = {
    "page-first": (first_look, DESKTOP),
    "page": (medley, DESKTOP),
    "page-dark": (medley, {**DESKTOP, "color_scheme": "dark"}),
    "page-phone": (medley, PHONE),
    "page-probabilities": (probabilities, DESKTOP),
}


def main() -> None:
    """Serve the page, bring it into each state, and take the pictures."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([sys.executable, "-m", "genreline", "serve", "--port", "0"], stderr=log)
        try:
            while not (address := re.search(r"http://[\d.:]+", _text(log))):
                time.sleep(0.1)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
                )
                for name, (prepare, settings) in LOOKS.items():
                    page = browser.new_context(**settings).new_page()
                    page.goto(address[0], timeout=120_000)
                    page.locator(".example").first.wait_for()
                    prepare(page)
                    page.wait_for_timeout(1000)  # whatever moves has moved
                    picture = Image.open(io.BytesIO(page.screenshot()))
                    picture.convert("RGB").quantize(COLOURS).save(DOCS / f"{name}.png", optimize=True)
                browser.close()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            process.wait()


def _text(log: "tempfile._TemporaryFileWrapper[str]") -> str:
    return os.pread(log.fileno(), 65536, 0).decode()


if __name__ == "__main__":
    main()
