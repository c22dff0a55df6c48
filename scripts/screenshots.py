"""The web page's pictures in docs/: `python scripts/screenshots.py`, with Chromium and the dev extra installed."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parents[1] / "docs"
LOOKS = {
    "page": {"viewport": {"width": 1100, "height": 900}},
    "page-dark": {"viewport": {"width": 1100, "height": 900}, "color_scheme": "dark"},
    "page-phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}


def main() -> None:
    """Serve, have the embedded medley heard, and take the pictures."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([sys.executable, "-m", "genreline", "serve", "--port", "0"], stderr=log)
        try:
            while not (address := re.search(r"http://[\d.:]+", _text(log))):
                time.sleep(0.1)
            httpx.get(f"{address[0]}/v1/examples/medley", timeout=120)  # waits until it is there, and composed
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
                )
                for name, settings in LOOKS.items():
                    page = browser.new_context(**settings).new_page()
                    page.goto(address[0])
                    page.select_option("#example", "medley")
                    page.locator("#downloads button:enabled").first.wait_for()
                    page.locator(".timeline-slider").focus()
                    page.keyboard.press("ArrowUp")
                    page.keyboard.press("ArrowUp")
                    page.locator("#about").focus()
                    page.evaluate("document.activeElement.blur()")
                    page.screenshot(path=DOCS / f"{name}.png", full_page=True)
                browser.close()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            process.wait()


def _text(log: "tempfile._TemporaryFileWrapper[str]") -> str:
    return os.pread(log.fileno(), 65536, 0).decode()


if __name__ == "__main__":
    main()
