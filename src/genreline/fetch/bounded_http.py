"""HTTP within bounds, whatever the server does: schemes, addresses, redirects, bytes and time.

Standard library only. A Guard serves one fetch: all requests of it share the bytes and the time.
"""

import http.client
import io
import socket
import ssl
import string
import threading
import urllib.request
import zlib
from collections.abc import Mapping
from contextlib import suppress
from http.cookiejar import CookieJar
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Self
from urllib.parse import quote, urljoin, urlsplit

from genreline.errors import AudioError

STALL_S = 20.0
"""Seconds without a byte after which a server counts as stalled."""
MOST_REDIRECTS = 10

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_NOT_PUBLIC = [
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's service for its virtual machines
        "192.0.0.0/24",  # RFC 6890; Python 3.11 calls some of it global
        "192.88.99.0/24",  # RFC 7526
        "::/96",  # RFC 4291, 2.5.5.1: an IPv4 address inside
        "::ffff:0:0:0/96",  # RFC 2765, the same
        "3fff::/20",  # RFC 9637
        "5f00::/16",  # RFC 9602
    )
]
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # RFC 8215: for use within a network; Python 3.11 calls it global
_PIECE = 65536  # bytes read at a time


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet, also where it holds an IPv4 address inside (mapped, 6to4...)."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        inside = [ip.sixtofour, *(ip.teredo or ()), ip_address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None]
        if ip.is_site_local or ip in _LOCAL_NAT64 or any(inner and not is_public(str(inner)) for inner in inside):
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NOT_PUBLIC)


class Guard:
    """Sends requests for one fetch and refuses what is out of bounds. A context manager, whose end stops the clock.

    The first refusal is kept in `refusal`, and every later request is refused with the same message.

    Args:
        url: what messages call the fetch.
        max_bytes: of all bodies together since the last `allow`, as sent and after decompression.
        timeout_s: for everything together.
        public_only: connect to addresses of the public internet only. Each name is resolved once, every address of it
            checked, and the connection made to a checked one, at every redirect; proxies are not used.
    """

    def __init__(self, url: str, max_bytes: int, timeout_s: float, public_only: bool) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self.public_only = public_only
        self.refusal: AudioError | None = None
        self._most = max_bytes
        self._bodies: list[Body] = []
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(timeout_s, self._time_is_up)
        self._timer.daemon = True
        self.allow(max_bytes)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for body in self._bodies:
            body.close()
        if self._socket:
            self._socket.close()

    def allow(self, n_bytes: int) -> None:
        """From now on, bodies may be this many bytes together."""
        self._allowed = self._left = n_bytes

    def refuse(self, reason: str) -> AudioError:
        """The error to raise, with the reason of the first refusal."""
        self.refusal = self.refusal or AudioError(f"{self.url}: {reason}")
        return self.refusal

    def check(self) -> None:
        """Raise AudioError if something was refused, or the time is up."""
        if self.refusal:
            raise self.refusal

    def spend(self, n_bytes: int) -> None:
        """Count bytes of a body. Raises AudioError if they are more than is left."""
        self._left -= n_bytes
        if self._left < 0:
            raise self.refuse(f"sends more than the {_mb(self._allowed)} allowed; raise the bound, or give another URL")

    def watch(self, connection: socket.socket) -> None:
        """Let the timeout close this connection, even in the middle of a read."""
        if self._socket:
            self._socket.close()
        self._socket = connection.dup()  # TLS takes the connection's own descriptor away
        self.check()

    def open(
        self,
        url: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        cookies: CookieJar | None = None,
        context: ssl.SSLContext | None = None,
    ) -> "Body":
        """The response to a request, at the end of its redirects, whatever its status.

        Raises:
            AudioError: a bound is exceeded.
            OSError, http.client.HTTPException: what the standard library raises for broken connections and servers.
        """
        headers = dict(headers or {})
        opener = self._opener(cookies, context)
        for _ in range(MOST_REDIRECTS + 1):
            self.check()
            if urlsplit(url).scheme.lower() not in ("http", "https"):
                raise self.refuse(f"leads to {url[:80]!r}; only http and https are followed")
            try:
                request = urllib.request.Request(url, data, headers, method=method)
                response = opener.open(request, timeout=min(STALL_S, self.timeout_s))
            except (OSError, http.client.HTTPException):
                self.check()  # the time was up, or an address was refused
                raise
            except ValueError as error:  # names that are too long, among others
                raise self.refuse(f"leads to {url[:80]!r}, which is not a valid URL") from error
            body = Body(self, response, url)
            self._bodies.append(body)
            location = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or not location:
                body.check_size(self._most)
                return body
            body.close()
            try:
                target = urljoin(url, quote(location, safe=string.punctuation, encoding="iso-8859-1"))
                moves = urlsplit(target)[:2] != urlsplit(url)[:2]
            except ValueError as error:
                raise self.refuse(f"leads to {location[:80]!r}, which is not a valid URL") from error
            if moves:
                headers = {name: text for name, text in headers.items() if name.lower() not in _SECRETS}
            if response.status == 303 or (response.status in (301, 302) and method == "POST"):
                method, data = "HEAD" if method == "HEAD" else "GET", None
            url = target
        raise self.refuse(f"redirects more than {MOST_REDIRECTS} times, in a circle perhaps; give the final URL")

    def _opener(self, cookies: CookieJar | None, context: ssl.SSLContext | None) -> urllib.request.OpenerDirector:
        opener = urllib.request.OpenerDirector()
        handlers = [_Handler(self, context), urllib.request.HTTPCookieProcessor(cookies)]
        if not self.public_only:
            handlers.append(urllib.request.ProxyHandler())
        for handler in handlers:
            opener.add_handler(handler)
        return opener

    def _time_is_up(self) -> None:
        self.refuse(f"took longer than the {self.timeout_s:g} s allowed; try again later, or allow more time")
        if self._socket:
            with suppress(OSError):  # the connection may have ended already
                self._socket.shutdown(socket.SHUT_RDWR)


class Body:
    """A response whose body is counted, decompressed in pieces, and checked to be complete at its end."""

    def __init__(self, guard: Guard, response: Any, url: str) -> None:
        self.url = url
        self.status: int = response.status
        self.reason: str = response.reason
        self.headers: Any = response.headers
        self.closed = False
        self.size: int | None = response.length  # bytes as sent; None if the server does not say
        self._guard = guard
        self._response = response
        self._left = self.size
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower() or "identity"
        if encoding not in ("identity", "gzip", "x-gzip", "deflate"):
            self.close()
            raise guard.refuse(f"sends its content encoded as {encoding[:40]!r}, which was not requested")
        self._decoder = None if encoding == "identity" else zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)

    def check_size(self, max_bytes: int) -> None:
        """AudioError if the declared length is beyond `max_bytes`."""
        if self._left is not None and self._left > max_bytes:
            size, most = _mb(self._left), _mb(max_bytes)
            raise self._guard.refuse(f"is {size}, more than the {most} allowed; raise the bound, or give another URL")

    def readable(self) -> bool:
        """Whether it can be read from."""
        return not self.closed

    def read(self, n_bytes: int | None = None) -> bytes:
        """The next `n_bytes`, fewer only at the end; all that is left by default.

        Raises:
            AudioError: a bound is exceeded.
            http.client.IncompleteRead: the connection ended before the body did.
            OSError, zlib.error: the connection is broken, or the compressed data is.
        """
        text = io.BytesIO()
        while not self.closed and (n_bytes is None or text.tell() < n_bytes):
            piece = self._piece(_PIECE if n_bytes is None else n_bytes - text.tell())
            if not piece:
                self.close()
            text.write(piece)
        return text.getvalue()

    def close(self) -> None:
        """End the connection."""
        self.closed = True
        self._response.close()

    def _piece(self, most: int) -> bytes:
        """Up to `most` bytes of the decoded body; none at its end."""
        if not self._decoder:
            return self._raw(most)
        while not self._decoder.eof:
            raw = self._decoder.unconsumed_tail or self._raw(_PIECE)
            piece = self._decoder.decompress(raw, most)
            self._guard.spend(len(piece))
            if piece:
                return piece
            if not raw:
                raise http.client.IncompleteRead(b"")
        return b""

    def _raw(self, most: int) -> bytes:
        """Up to `most` bytes of the body as sent; none at its end."""
        self._guard.check()
        if self._left == 0:
            return b""
        piece: bytes = self._response.read1(min(most, _PIECE, self._left or _PIECE))
        self._guard.check()
        if not piece and self._left:
            raise http.client.IncompleteRead(b"", self._left)
        self._guard.spend(len(piece))
        if self._left is not None:
            self._left -= len(piece)
        return piece


class _Connection(http.client.HTTPConnection):
    """A connection that the guard watches."""

    guard: Guard

    def connect(self) -> None:
        if self.guard.public_only:
            self.sock = self._connect_public()
        else:
            super().connect()
        self.guard.watch(self.sock)

    def _connect_public(self) -> socket.socket:
        """Resolve once, check every address, and connect to one that was checked."""
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except socket.gaierror:
            found = []
        if not found or not all(is_public(str(place[0])) for *_, place in found):
            # The same sentence for a name that is unknown, or strangers could ask which private names there are.
            raise self.guard.refuse(f"leads to {self.host}, which is not on the public internet")
        error: OSError | None = None
        for family, kind, protocol, _, place in found:
            self.guard.check()  # the time may be up, because nothing interrupts a connect
            connection = socket.socket(family, kind, protocol)
            connection.settimeout(self.timeout)
            try:
                connection.connect(place)
            except OSError as failure:
                connection.close()
                error = failure
            else:
                return connection
        raise error or OSError(f"{self.host} has no address")


class _TLSConnection(http.client.HTTPSConnection, _Connection):
    """The same with TLS: HTTPSConnection wraps what _Connection connects."""


class _Handler(urllib.request.HTTPSHandler):
    """Opens http and https by the connections above."""

    def __init__(self, guard: Guard, context: ssl.SSLContext | None) -> None:
        super().__init__(context=context)
        self.guard = guard
        self.tls = context

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._plain, request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._with_tls, request)

    http_request = urllib.request.AbstractHTTPHandler.do_request_

    def _plain(self, host: str, /, **options: Any) -> _Connection:
        return self._guarded(_Connection(host, **options))

    def _with_tls(self, host: str, /, **options: Any) -> _Connection:
        return self._guarded(_TLSConnection(host, context=self.tls, **options))

    def _guarded(self, connection: _Connection) -> _Connection:
        connection.guard = self.guard
        return connection


_SECRETS = ("authorization", "cookie")  # headers that another host must not see


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.3g} MB"
