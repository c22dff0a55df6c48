"""The formats in which a timeline is sent, which of them a client accepts, and what it is called as a file."""

import re
from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

import mimeparse
from fastapi import Request

from genreline.web.problems import Problem

Format = Literal["json", "csv", "txt", "rttm", "jams", "png", "html"]
MEDIA_TYPES: dict[Format, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "txt": "text/plain",
    "rttm": "text/x-rttm",
    "jams": "application/vnd.jams+json",
    "png": "image/png",
    "html": "text/html",
}
_MOST_ACCEPT = 2000
_NAME_LENGTH = 120


def accepted(request: Request, media_types: Sequence[str]) -> str:
    """Which of some media types a client prefers (RFC 9110, 12.5.1), the first of equals. Raises Problem 400 or 406."""
    header = ", ".join(request.headers.getlist("accept")).strip().lower() or "*/*"
    try:
        if len(header) > _MOST_ACCEPT:
            raise ValueError
        best: str = mimeparse.best_match(media_types[::-1], header)
    except ValueError as error:
        raise Problem(400, "Accept: is no list of media types, such as `text/csv, */*;q=0.5`") from error
    if not best:
        raise Problem(406, f"Accept names no type that is offered here; ask for one of {', '.join(media_types)}")
    return best


def accepted_format(request: Request) -> Format:
    """The format of a timeline that a client prefers. Raises Problem 400 or 406."""
    media_type = accepted(request, list(MEDIA_TYPES.values()))
    return next(each for each in MEDIA_TYPES if MEDIA_TYPES[each] == media_type)


def attachment(title: str, suffix: str) -> str:
    """The Content-Disposition of a file named after a title: in ASCII for old clients, then whole (RFC 6266)."""
    printable = "".join(c for c in re.sub(r"[/\\]", "_", title) if c.isprintable()).strip(" .")
    name = f"{printable[:_NAME_LENGTH] or 'timeline'}.{suffix}"
    plain = re.sub(r'["%?]', "_", name.encode("ascii", "replace").decode())
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
