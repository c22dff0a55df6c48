"""The files that the page loads, all from installed packages, held in memory, so that a client's path opens no file."""

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

from fastapi import Request
from fastapi.responses import Response
from markdown_it import MarkdownIt

from genreline.web.problems import Problem

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_TYPES |= {".png": "image/png", ".webmanifest": "application/manifest+json"}


class _Asset(NamedTuple):
    content: bytes
    media_type: str
    etag: str


class Assets:
    """The page's files by name."""

    def __init__(self) -> None:
        package = resources.files("genreline")
        files = [file for file in (package / "web" / "static").iterdir() if _suffix(file) in _TYPES]
        files += [file for file in (package / "predict").iterdir() if _suffix(file) in (".js", ".css")]
        files += [
            resources.files("fastapi_offline") / "static" / name for name in ("swagger-ui-bundle.js", "swagger-ui.css")
        ]
        self._assets = {file.name: _asset(file) for file in files}

    def response(self, request: Request, name: str) -> Response:
        """A file, or 304 if the client has it. Raises Problem 404."""
        asset = self._assets.get(name)
        if asset is None:
            raise Problem(404, f"there is no {name} here")
        headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
        known = request.headers.get("if-none-match", "").split(",")
        if asset.etag in (each.strip().removeprefix("W/") for each in known):  # a proxy that packs it weakens it
            return Response(status_code=304, headers=headers)
        return Response(asset.content, headers=headers, media_type=asset.media_type)


def card(model: str) -> str:
    """The card of a model that ships, in Markdown."""
    return (resources.files("genreline") / "models" / model / "README.md").read_text(encoding="utf-8")


def card_html(markdown: str) -> str:
    """A card's Markdown as HTML; HTML in it is shown as text."""
    html = str(MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown))
    return html.replace("<th></th>", "<td></td>")  # an empty corner cell is no header for a screen reader


def _asset(file: Traversable) -> _Asset:
    content = file.read_bytes()
    return _Asset(content, _TYPES[_suffix(file)], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _suffix(file: Traversable) -> str:
    return "." + file.name.rpartition(".")[2]
