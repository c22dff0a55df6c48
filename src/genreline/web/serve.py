"""Runs the service until it is told to stop. SIGTERM and Ctrl-C let running requests end, within a bound."""

import logging
import sys

import uvicorn

from genreline.errors import GenrelineError
from genreline.web.app import create_app
from genreline.web.limits import Limits
from genreline.web.security import careful_protocol

log = logging.getLogger("genreline.web")


def serve(host: str, port: int, root_path: str = "", allow_urls: bool = False, limits: Limits | None = None) -> None:
    """Serve on an address until SIGTERM or Ctrl-C. Logs to standard error: sizes, durations, outcomes, nothing else.

    Raises:
        GenrelineError: no worker process starts, or the address cannot be had.
    """
    limits = limits or Limits()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    log.setLevel(logging.INFO)
    if sys.platform != "linux":
        log.warning("only on Linux is the memory of a decoder bounded here; do not offer this service to strangers")
    config = uvicorn.Config(
        create_app(limits, allow_urls, root_path),
        host,
        port,
        http=careful_protocol(limits),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=limits.drain_timeout_s,
        h11_max_incomplete_event_size=32_768,
    )
    server = uvicorn.Server(config)
    server.run()
    if not server.started:
        raise GenrelineError(f"{host}:{port}: the service did not start, see above; choose another --port, perhaps")
