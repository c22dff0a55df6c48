"""Runs the service until SIGTERM or Ctrl-C, which let running requests end, within a bound."""

import logging
import os
import socket
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import uvicorn

from genreline.errors import ConfigError, GenrelineError
from genreline.train.folder import read_description, shipped_models
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
    models: Sequence[str | Path] = (),
) -> None:
    """Serve on an address until SIGTERM or Ctrl-C. Logs to standard error: sizes, durations, outcomes, nothing else.

    Args:
        models: model folders to offer besides those that ship; the first is the default.

    Raises:
        ConfigError: the address is invalid or in use, or two models have one name.
        CheckpointError: a folder holds no model, a damaged one, or one without a graph.
        GenrelineError: no worker process starts.
    """
    folders = _folders_of(models)
    limits = limits or Limits()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    log.setLevel(logging.INFO)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # of clients' mistakes
    if sys.platform != "linux":
        log.warning("a decoder's memory is bounded on Linux only; do not offer this service to the public")
    config = uvicorn.Config(
        create_app(limits, allow_urls, root_path, [host, *host_names], folders),
        loop="asyncio",  # security.py sets how much its transports read at a time
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


def _folders_of(models: Sequence[str | Path]) -> list[str]:
    """The models' folders, checked, for a process whose current folder may be another."""
    folders, names = [], shipped_models()
    for model in models:
        described = read_description(model)
        if described.name in names:
            raise ConfigError(f"{model}: another model is named {described.name}, too; rename its folder")
        described.graph()  # is there, and is what the folder says: workers run nothing else
        names.append(described.name)
        folders.append(str(described.folder.absolute()))
    return folders


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ConfigError(f"{host}:{port}: could not listen ({reason}); choose another --host or --port") from error
