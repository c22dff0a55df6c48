"""The web page's pictures in docs/: `python scripts/screenshots.py [NAME...]`, with Chromium and the dev extra."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).parents[1] / "docs"
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
MICROPHONE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
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


def two_models(page: Page) -> None:
    medley(page)
    page.select_option("#second-model", "genres8-resnet")
    page.locator("#agreement").wait_for()  # it is hidden while it is empty
    page.locator("#second-model").evaluate("(menu) => menu.blur()")
    page.evaluate("document.getElementById('player').scrollIntoView()")


def unsure(page: Page) -> None:
    """A composed piece, which the model of recordings does not know."""
    pop = page.request.get("v1/examples/pop").body()
    page.set_input_files("#file", {"name": "synthesizer.mp3", "mimeType": "audio/mpeg", "buffer": pop})
    page.locator("#verdict", has_text="unsure").wait_for()


def several(page: Page) -> None:
    """The examples as files, and one file that is none."""
    names = ("medley", "blues", "classical", "pop", "rock")
    songs = [
        {"name": f"{name}.mp3", "mimeType": "audio/mpeg", "buffer": page.request.get(f"v1/examples/{name}").body()}
        for name in names
    ]
    page.select_option("#model", "composed4-resnet")
    page.set_input_files("#file", [*songs, {"name": "notes.mp3", "mimeType": "audio/mpeg", "buffer": b"no sound"}])
    page.locator("#list button", has_text="waiting, number 2").wait_for()
    page.locator(".timeline-run").first.wait_for()


def silence(page: Page) -> None:
    silent = io.BytesIO()
    with wave.open(silent, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(16000 * 12))
    page.set_input_files("#file", {"name": "nothing.wav", "mimeType": "audio/wav", "buffer": silent.getvalue()})
    page.locator("#verdict strong").wait_for()


def live(page: Page) -> None:
    """Chromium's own microphone, which beeps."""
    page.click("#record")
    page.locator("#clock", has_text="0:12").wait_for()


def offline(page: Page) -> None:
    page.wait_for_function("navigator.serviceWorker.controller")
    page.evaluate(
        "async () => { while (!(await caches.match(location.href))) await new Promise(requestAnimationFrame); }"
    )
    page.context.set_offline(True)
    page.reload()
    page.locator("#error", has_text="offline").wait_for()


LOOKS = {
    "page-first": (first_look, DESKTOP),
    "page": (medley, DESKTOP),
    "page-dark": (medley, {**DESKTOP, "color_scheme": "dark"}),
    "page-greek": (medley, {**DESKTOP, "locale": "el-GR"}),
    "page-phone": (medley, PHONE),
    "page-probabilities": (probabilities, DESKTOP),
    "page-two-models": (two_models, DESKTOP),
    "page-two-models-phone": (two_models, {**PHONE, "color_scheme": "dark"}),
    "page-unsure": (unsure, DESKTOP),
    "page-list": (several, DESKTOP),
    "page-live": (live, {**DESKTOP, "permissions": ["microphone"]}),
    "page-silence": (silence, DESKTOP),
    "page-offline": (offline, {**DESKTOP, "bypass_csp": True}),  # Playwright evaluates a text to wait
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
                    executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu", *MICROPHONE]
                )
                for name in sys.argv[1:] or LOOKS:
                    prepare, settings = LOOKS[name]
                    page = browser.new_context(base_url=address[0], **settings).new_page()
                    page.goto(address[0], timeout=120_000)
                    page.locator(".example").first.wait_for()
                    prepare(page)
                    page.wait_for_timeout(1000)  # whatever moves has moved
                    save(page.screenshot(), name)
                    if name == "page":
                        with page.expect_download() as download:
                            page.click("#picture")
                        save(download.value.path().read_bytes(), "page-card")
                browser.close()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            process.wait()


def save(picture: bytes, name: str) -> None:
    """Write a PNG file with few colours into docs/."""
    image = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS)
    image.save(DOCS / f"{name}.png", optimize=True)


def _text(log: "tempfile._TemporaryFileWrapper[str]") -> str:
    return os.pread(log.fileno(), 65536, 0).decode()


if __name__ == "__main__":
    main()
