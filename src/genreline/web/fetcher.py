"""Fetch a URL in a separate process, because its contents are as hostile as an upload.

This module is both sides: `fetched` in the service, and `python -m genreline.web.fetcher` in the process, which reads
a line of JSON from standard input and writes one to standard output. The service ends the process and removes
whatever it wrote.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from genreline.web.limits import Limits
from genreline.web.problems import Problem
from genreline.web.sandbox import die_with_parent, limit_processor_time, limit_resources

_ANSWER_BYTES = 65_536
_TITLE_LENGTH = 200


class Song(NamedTuple):
    """A song that has been fetched: its file, and what the site calls it."""

    path: Path
    title: str


@asynccontextmanager
async def fetched(url: str, limits: Limits) -> AsyncIterator[Song]:
    """The song that a URL leads to, whose file is gone after the block; leaving the block early ends the fetching.

    Raises:
        Problem: 422, it cannot be fetched or is out of bounds; 503, it takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="genreline-") as folder:
        order = {
            "url": url,
            "folder": folder,
            "max_duration_s": limits.max_duration_s,
            "max_bytes": limits.max_bytes,
            "timeout_s": limits.fetch_timeout_s,
            "public_only": limits.public_urls_only,
            "memory_bytes": limits.job_memory_bytes,
        }
        answer = await _ask(order, limits.fetch_timeout_s + 30)  # the process keeps the limit itself, if it can
        if "error" in answer:
            raise Problem(422, answer["error"])
        path = Path(folder, answer["path"])
        # The answer comes from a process that a hostile file may have taken over.
        if not (path.resolve().is_relative_to(Path(folder).resolve()) and path.is_file()):
            raise Problem(422, "the link led to no file; download the song and send the file")
        title = "".join(c for c in str(answer.get("title", "")) if c.isprintable())
        yield Song(path, title[:_TITLE_LENGTH])


async def _ask(order: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "genreline.web.fetcher"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a log must not reveal what a client listens to
        limit=_ANSWER_BYTES,
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        async with asyncio.timeout(timeout_s):
            process.stdin.write(json.dumps(order).encode() + b"\n")
            text = await process.stdout.readline()
        answer: dict[str, Any] = json.loads(text)
    except TimeoutError as error:
        raise Problem(503, "the link takes too long to fetch; try again later, or send the file") from error
    except ValueError as error:
        raise Problem(422, "the download failed on the link's contents; download the song and send the file") from error
    finally:
        with contextlib.suppress(ProcessLookupError):  # with all that it started
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        await process.wait()
    return answer


def main() -> None:
    """Fetch as the order on standard input says, into its folder."""
    from genreline.errors import GenrelineError
    from genreline.fetch.cache import fetch

    die_with_parent()
    order = json.loads(sys.stdin.readline())
    limit_resources(order["memory_bytes"], file_bytes=2 * order["max_bytes"])
    limit_processor_time(order["timeout_s"])
    bounds = {key: order[key] for key in ("max_duration_s", "max_bytes", "timeout_s", "public_only")}
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a library prints is no answer
            song = fetch(order["url"], Path(order["folder"]), **bounds)
        answer = {"path": str(song.path.relative_to(order["folder"])), "title": song.full_title}
    except GenrelineError as error:
        answer = {"error": " ".join(str(error).splitlines())}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
