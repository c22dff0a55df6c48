"""Protection on the open internet, the same for every route.

It covers headers, requests from other sites' pages, and clients that are slow on purpose.
"""

import asyncio
import errno
import logging
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from genreline.web.limits import Limits
from genreline.web.problems import Problem, overloaded, response_to

_SEND_BUFFER = 65_536
_READ_BYTES = 16_384  # at a time: what one client sends in tiny pieces must not keep the others waiting
_MOST_FRAMES = 1000  # of one message
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

log = logging.getLogger("genreline.web")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; manifest-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class SafeHeaders:
    """Adds HEADERS to every response, and `Cache-Control: no-store` where the response sets none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the headers to its response."""

        async def send_safely(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_safely)


class RejectCrossSite:
    """Refuses requests that another site's page makes a visitor's browser post. Programs send neither header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless it is another site's."""
        is_open = scope["type"] == "lifespan" or scope.get("method") in _SAFE_METHODS
        if not is_open and _is_foreign(scope):  # a WebSocket has no method, and no browser protects it
            problem = Problem(403, "another site's page may not use this service through its visitors' browsers")
            await response_to(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_foreign(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    if site := headers.get("sec-fetch-site"):  # sent by browsers
        return site not in ("same-origin", "none")
    origin = headers.get("origin")  # a browser where the page did not come by https nor from this machine
    try:
        return origin is not None and urlsplit(origin).netloc != headers.get("host", "")
    except ValueError:  # it is no URL
        return True


class KnownHosts:
    """Refuses requests for other hosts than this one's names with 421.

    So a page whose name its owner points at this machine (DNS rebinding) cannot use it through a visitor's browser. An
    IP address is no name, and is always taken.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless it is for another host."""
        if scope["type"] in ("http", "websocket") and not self._is_known(Headers(scope=scope).getlist("host")):
            problem = Problem(421, "this host name is not the service's; its operator can allow it by --host-name")
            await response_to(problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_known(self, hosts: list[str]) -> bool:
        if len(hosts) != 1:
            return False
        try:
            name = (urlsplit(f"//{hosts[0]}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in self._names or name.endswith(".localhost"):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


class BodyLimits:
    """Bounds a request's body: 413 if it is too large, 408 if nothing comes for a while or all of it takes too long."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a bounded body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limits.upload_timeout_s
        declared = Headers(scope=scope).get("content-length", "")
        n_bytes = int(declared) if declared.isdecimal() else 0
        n_received = 0
        complete = False

        async def receive_bounded() -> Message:
            nonlocal complete, n_received
            if complete:  # the next message is that the client has disconnected
                return await receive()
            self._check_size(n_bytes)
            try:
                async with asyncio.timeout_at(min(end, loop.time() + self._limits.idle_timeout_s)):
                    message = await receive()
            except TimeoutError as error:
                raise Problem(408, "the request's body did not come in time; send it again") from error
            n_received += len(message.get("body", b""))
            self._check_size(n_received)
            complete = not message.get("more_body")
            return message

        await self._app(scope, receive_bounded, send)

    def _check_size(self, n_bytes: int) -> None:
        if n_bytes > self._limits.max_bytes:
            most = self._limits.max_bytes / 1e6
            raise Problem(413, f"the upload is larger than the {most:g} MB that are taken here; convert or cut it")


class Clients:
    """Counts the jobs of each address, so that one client cannot take every place."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._jobs: Counter[str] = Counter()

    @contextmanager
    def one(self, address: str) -> Iterator[None]:
        """Count a job of an address during the block. Raises Problem 429 if it has as many as it may."""
        client = household(address)
        if self._jobs[client] >= self._most:
            raise Problem(429, f"{self._most} songs of yours are in progress; wait for them", retry_after_s=5)
        self._jobs[client] += 1
        try:
            yield
        finally:
            self._jobs[client] -= 1
            self._jobs += Counter()  # forgets those at zero


@lru_cache(maxsize=4096)
def household(address: str) -> str:
    """The address, or for IPv6 its network of 64 bits, all of which one customer has."""
    try:
        parsed = ip_address(address)
    except ValueError:  # a Unix socket, or a proxy's text
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ip_network((address, 64), strict=False))


def most_files() -> int:
    """How many files and connections this process may have open."""
    if sys.platform == "win32":
        return 8192
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**20 if most == resource.RLIM_INFINITY else most


class _Seldom:
    """Logs a warning at most once a second: who fills the service must not fill the log, too."""

    def __init__(self) -> None:
        self._last_s = float("-inf")

    def warn(self, text: str, *values: object) -> None:
        if time.monotonic() - self._last_s >= 1:
            self._last_s = time.monotonic()
            log.warning(text, *values)


_exhausted, _crowded = _Seldom(), _Seldom()


def log_briefly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A loop's exception handler that logs exhausted files or memory in at most one line a second."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
        _exhausted.warn("no connection could be accepted (%s)", error.strerror)
    else:
        loop.default_exception_handler(context)


def is_trusted(address: str, allowed: str | list[str]) -> bool:
    """Whether it is that of a proxy which names its clients: among uvicorn's `forwarded_allow_ips`, `*` is all."""
    names = allowed.split(",") if isinstance(allowed, str) else allowed
    for name in map(str.strip, names):
        try:
            if name in ("*", address) or ip_address(address) in ip_network(name, strict=False):
                return True
        except ValueError:  # a Unix socket's path
            pass
    return False


async def _turn_away(scope: Scope, receive: Receive, send: Send) -> None:
    _crowded.warn("more connections than there may be")
    await response_to(overloaded())(scope, receive, send)


_TURN_AWAY = SafeHeaders(_turn_away)


def careful_socket(limits: Limits) -> type[WebSocketsSansIOProtocol]:
    """uvicorn's WebSocket protocol, which drops clients that do not read, and those that would fill the memory.

    Pings are answered, and pieces of a message kept, before the application knows of them.
    """

    class CarefulSocket(WebSocketsSansIOProtocol):
        _stuck: asyncio.TimerHandle | None = None

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.transport.get_write_buffer_size() > 4 * _SEND_BUFFER or len(self.frames) > _MOST_FRAMES:
                self.transport.abort()

        async def send(self, message: Any) -> None:
            await super().send(message)
            if self.initial_response and self.close_sent:  # which uvicorn forgets, and then logs an error
                self.handshake_complete = True

        def pause_writing(self) -> None:
            self._stuck = self.loop.call_later(limits.idle_timeout_s, self.transport.abort)
            super().pause_writing()

        def resume_writing(self) -> None:
            self._let_be()
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._let_be()
            super().connection_lost(exc)

        def _let_be(self) -> None:
            if self._stuck:
                self._stuck.cancel()

    return CarefulSocket


def careful_protocol(limits: Limits) -> type[H11Protocol]:
    """uvicorn's HTTP protocol, which drops a connection that sends no headers in time, or does not read its answer.

    It also keeps the limits of connections, of all clients and of each: uvicorn's own (`limit_concurrency`) answers in
    plain text. A proxy that is trusted to name its clients may have all of them.
    """

    most_open = min(2 * limits.connections + 64, most_files() // 2)

    class CarefulProtocol(H11Protocol):
        _late: asyncio.TimerHandle | None = None
        _stuck: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            transport.max_size = _READ_BYTES  # type: ignore[attr-defined]  # asyncio's, by its sockets' transport
            if len(self.connections) > most_open or self._n_of_client() > 1.5 * limits.connections_per_client:
                _crowded.warn("more connections than there may be")
                transport.abort()
                return
            if sock := transport.get_extra_info(
                "socket"
            ):  # else megabytes wait in the system, and nobody sees who reads
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            self._expect_headers()

        def data_received(self, data: bytes) -> None:
            self._expect_headers()
            is_full = max(len(self.connections), len(self.tasks)) >= limits.connections
            is_full |= self._n_of_client() > limits.connections_per_client
            self.app = _TURN_AWAY if is_full else self.config.loaded_app
            super().data_received(data)
            if self._is_serving() and self._late:
                self._late.cancel()
                self._late = None

        def handle_websocket_upgrade(self, event: Any) -> None:
            super().handle_websocket_upgrade(event)
            if self._late:  # from here on, routes/live.py keeps the time
                self._late.cancel()
                self._late = None

        def connection_lost(self, exc: Exception | None) -> None:
            for timer in filter(None, (self._late, self._stuck)):
                timer.cancel()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            self._watch_reader()
            super().pause_writing()

        def resume_writing(self) -> None:
            if self._stuck:
                self._stuck.cancel()
            super().resume_writing()

        def _watch_reader(self) -> None:
            """Drop the connection if the client reads too little within the timeout, else check again later."""
            waiting = self.transport.get_write_buffer_size()

            def look() -> None:
                if waiting - self.transport.get_write_buffer_size() >= limits.read_rate * limits.idle_timeout_s:
                    self._watch_reader()
                else:
                    if sock := self.transport.get_extra_info("socket"):  # or the system goes on sending
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.transport.abort()

            self._stuck = self.loop.call_later(limits.idle_timeout_s, look)

        def _n_of_client(self) -> int:
            """How many connections this one's client has; 0 of a trusted proxy."""
            address = self.client[0] if self.client else ""
            if is_trusted(address, self.config.forwarded_allow_ips):
                return 0
            mine = household(address)
            clients = (getattr(each, "client", None) for each in self.connections)
            return sum(household(client[0]) == mine for client in clients if client)

        def _is_serving(self) -> bool:
            cycle: Any = self.cycle
            return cycle is not None and not cycle.response_complete

        def _expect_headers(self) -> None:
            if self._late is None and not self._is_serving():
                self._late = self.loop.call_later(limits.header_timeout_s, self._drop)

        def _drop(self) -> None:
            self._late = None
            if not self._is_serving():
                self.transport.abort()

    return CarefulProtocol
