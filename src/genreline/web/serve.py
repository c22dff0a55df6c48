"""Runs the service until SIGTERM or Ctrl-C, which let running requests end, within a bound."""

import logging
import os
import socket
import sys
from collections.abc import Collection

import uvicorn

from genreline.errors import ConfigError, GenrelineError
from genreline.web.app import create_app
from genreline.web.limits import Limits
from genreline.web.security import careful_protocol, careful_socket

_MOST_MESSAGE_BYTES = 2**20

log = logging.getLogger("genreline.web")


def serve(
    host: str,
    port: int,
    root_path: str = "",
    allow_urls: bool = False,
    limits: Limits | None = None,
    host_names: Collection[str] = (),
) -> None:
    """Serve on an address until SIGTERM or Ctrl-C. Logs to standard error: sizes, durations, outcomes, nothing else.

    Raises:
        ConfigError: the address is invalid or in use.
        GenrelineError: no worker process starts.
    """
    limits = limits or Limits()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    log.setLevel(logging.INFO)
    if sys.platform != "linux":
        log.warning("a decoder's memory is bounded on Linux only; do not offer this service to the public")
    config = uvicorn.Config(
        create_app(limits, allow_urls, root_path, [host, *host_names]),
        http=careful_protocol(limits),
        ws=careful_socket(limits),
        ws_max_size=_MOST_MESSAGE_BYTES,
        ws_per_message_deflate=False,  # a small message must not become a large one
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=limits.drain_timeout_s,
        backlog=128,
        h11_max_incomplete_event_size=32_768,
    )
    server = uvicorn.Server(config)
    with _listening(host, port) as address:
        name = f"[{host}]" if ":" in host else host
        log.info("starting on http://%s:%d%s/; Ctrl-C ends it", name, address.getsockname()[1], root_path.rstrip("/"))
        server.run(sockets=[address])
    if not server.started:
        raise GenrelineError("the service did not start, see above")


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ConfigError(f"{host}:{port}: could not listen ({reason}); choose another --host or --port") from error
