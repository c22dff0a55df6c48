"""The page's icons as PNG files, from icon.svg: `python scripts/make_icons.py`, with Chromium and the dev extra."""

import base64
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

STATIC = Path(__file__).parents[1] / "src" / "genreline" / "web" / "static"
GROUND = "#10141a"  # a maskable icon has no corners of its own, and its middle 80% are safe


def main() -> None:
    svg = base64.b64encode((STATIC / "icon.svg").read_bytes()).decode()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, size, share, ground in (
            ("icon-192", 192, 1, "transparent"),
            ("icon-512", 512, 1, "transparent"),
            ("icon-maskable", 512, 0.8, GROUND),
        ):
            page = browser.new_page(viewport={"width": size, "height": size})
            page.set_content(
                f'<body style="display: grid; place-items: center; height: 100vh; margin: 0; background: {ground}">'
                f'<img width="{size * share}" src="data:image/svg+xml;base64,{svg}">'
            )
            picture = Image.open(io.BytesIO(page.screenshot(omit_background=True)))
            picture.save(STATIC / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
