"""The audio of a page, found by yt-dlp as a library. The only module that knows yt-dlp; imported only when needed.

All its requests go through one Guard. It runs no other program, except, for YouTube, deno (sandboxed by yt-dlp).

yt-dlp searches the pages of unknown sites with regular expressions that a hostile page can keep busy for minutes (80 kB
of `<audio ` are enough), and no time limit interrupts them. Where a guard is `public_only`, as in a service, yt-dlp
therefore only gets trusted sites, which serve nobody else's pages, and any other URL must be that of an audio file.
"""

import errno
import http.client
import re
import socket
import ssl
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import yt_dlp
from yt_dlp.networking import Request, RequestHandler, Response
from yt_dlp.networking.exceptions import HTTPError, IncompleteRead, RequestError, TransportError
from yt_dlp.utils import ContentTooShortError, UnsupportedError

from genreline.audio.names import title_of
from genreline.errors import AudioError
from genreline.fetch.bounded_http import STALL_S, Body, Guard

_PAGES_BYTES = 32_000_000  # of pages and scripts that may be read to find the audio
# Downloaded by yt-dlp itself; other protocols need ffmpeg or rtmpdump, which no Guard watches.
_PROTOCOLS = "[protocol~='^(https?|m3u8_native|http_dash_segments)$']"
_TRUSTED_SITES = ["youtube(:.*)?", "soundcloud"]  # as yt-dlp names them
_TRUSTED_HOSTS = ("youtube.com", "youtu.be", "youtube-nocookie.com", "soundcloud.com")
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")

_ADVICE = {
    401: "it requires a login; download the file yourself and give its path",
    403: "it refuses programs, or requires a login; download the file yourself and give its path",
    404: "check the URL",
    410: "check the URL",
    429: "it received too many requests; try again later",
}


class FoundAudio(NamedTuple):
    """What is known about the audio of a URL before it is downloaded.

    `version` distinguishes what `site` and `id` do not; empty for known sites. `info` is yt-dlp's, for `download`.
    """

    site: str
    id: str
    version: str
    title: str
    channel: str
    duration_s: float | None
    n_bytes: int | None
    suffix: str
    info: dict[str, Any]


class Site:
    """yt-dlp behind a guard, for one URL and one song; `folder` is where its audio goes. A context manager."""

    def __init__(self, url: str, guard: Guard, folder: Path, on_progress: Callable[[int, int | None], object]) -> None:
        self._url = url
        self._guard = guard
        self._folder = folder
        self._on_progress = on_progress
        self._body: Body | None = None
        self._log = _Log()
        self._yt_dlp = _YtDlp(guard, self._options())

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *_: object) -> None:
        self._yt_dlp.close()

    def known_id(self) -> tuple[str, str] | None:
        """The site and the id that the URL itself names, without any request; None where it names none."""
        site = self._extractor()
        named = site.get_temp_id(self._url) if site.ie_key() != "Generic" else None
        return (site.ie_key(), str(named)) if named else None

    def find(self) -> FoundAudio:
        """The one song that the URL leads to. Raises AudioError."""
        if self._guard.public_only and not _is_trusted(self._url, self._extractor().IE_NAME):
            found: FoundAudio = self._guarded(self._find_file)
            return found
        self._guard.allow(_PAGES_BYTES)
        info = self._guarded(lambda: self._yt_dlp.extract_info(self._url, download=False))
        if not isinstance(info, dict) or info.get("_type", "video") != "video":
            raise self._guard.refuse("is a list of songs; give the URL of one of them")
        if info.get("is_live") or info.get("live_status") in ("is_live", "is_upcoming", "post_live"):
            raise self._guard.refuse("is a live stream, which has no end; give a recording")
        site = str(info["extractor_key"])
        # Where no site gives an id, yt-dlp takes the end of the URL, which is not unique.
        is_named = site != "Generic" and yt_dlp.extractor.get_info_extractor(site)._VALID_URL
        return FoundAudio(
            site=site,
            id=str(info["id"]),
            version="" if is_named else f"{info.get('webpage_url')} {info.get('timestamp')}",
            title=_title_of_url(str(info["url"])) if info.get("direct") else str(info.get("title") or info["id"]),
            channel=str(info.get("channel") or info.get("uploader") or info.get("artist") or ""),
            duration_s=_number(info.get("duration")),
            n_bytes=None if (size := _number(info.get("filesize"))) is None else int(size),
            suffix=str(info.get("ext") or ""),
            info=info,
        )

    def download(self, song: FoundAudio, max_bytes: int) -> Path:
        """The song's audio as a file in the folder. Raises AudioError."""
        path = self._folder / "audio"
        if self._body:
            self._guarded(lambda: self._download_file(path))
        else:
            self._guard.allow(max_bytes)
            self._guarded(lambda: self._yt_dlp.process_ie_result(song.info, download=True))
        if not path.is_file() or not path.stat().st_size:
            raise self._guard.refuse("sends an empty file; check the URL")
        return path

    def _extractor(self) -> Any:
        """The yt-dlp class that the URL is for; the last of them accepts any URL."""
        return next(site for site in yt_dlp.extractor.gen_extractor_classes() if site.suitable(self._url))

    def _find_file(self) -> FoundAudio:
        """The audio file at the URL itself, whose download begins."""
        self._body = body = self._guard.open(self._url, headers={"Accept-Encoding": "identity"})
        if not 200 <= body.status < 300:
            raise self._guard.refuse(_status_reason(body.status, body.reason))
        name = PurePosixPath(unquote(urlsplit(body.url).path))
        changed = body.headers.get("Last-Modified")
        version = f"{body.url} {changed}"
        return FoundAudio("file", name.stem, version, _title_of_url(body.url), "", None, body.size, name.suffix[1:], {})

    def _download_file(self, path: Path) -> None:
        assert self._body
        size, done = self._body.size, 0
        with path.open("wb") as file:
            while piece := self._body.read(65536):
                done += file.write(piece)
                self._on_progress(done, size)

    def _guarded(self, action: Callable[[], Any]) -> Any:
        """Run an action; every error becomes an AudioError of one line."""
        try:
            result = action()
        except Exception as error:  # for unexpected pages yt-dlp may raise anything
            raise self._guard.refuse(self._reason(error)) from error
        self._guard.check()
        return result

    def _reason(self, error: BaseException) -> str:
        """What went wrong and what to do, in one line."""
        text = _clean(str(error))
        if "Giving up after" in text and self._yt_dlp.failures:  # yt-dlp keeps only the text of the last error
            error = self._yt_dlp.failures[-1]
        for cause in _causes(error):
            if isinstance(cause, HTTPError):
                return _status_reason(cause.status, cause.reason) + (self._javascript() if cause.status == 403 else "")
            if isinstance(cause, socket.gaierror):
                return "the server's name is unknown; check the URL and the network"
            if isinstance(cause, TimeoutError):
                return f"the server stalled; try again later (nothing came for {STALL_S:g} s, or the time was up)"
            if isinstance(cause, ssl.SSLError):
                return f"the server's identity or encryption is not valid ({_clean(str(cause.reason or cause))})"
            if isinstance(cause, IncompleteRead | ContentTooShortError | http.client.IncompleteRead):
                return "the connection ended before the audio did; try again"
            if isinstance(cause, http.client.InvalidURL | UnicodeError):
                return "is not a valid URL, or leads to one that is not; check it"
            if isinstance(cause, http.client.HTTPException):
                return "the server's answer is not valid HTTP; check the URL"
            if isinstance(cause, OSError) and cause.errno in _DISK_ERRORS:
                return (
                    f"cannot be stored in {self._folder.parent} ({cause.strerror}); make room or choose another cache"
                )
            if isinstance(cause, OSError) and cause.strerror:
                return f"the connection failed ({cause.strerror}); check the URL and the network"
            if isinstance(cause, zlib.error):
                return "the compressed data that the server sends is damaged; try again"
            if isinstance(cause, UnsupportedError):
                return "no audio was found there; give the page of one song, or the URL of an audio file"
        if "Requested format is not available" in text or "No video formats" in text:
            advice = self._javascript() or "; if it plays in a browser, update yt-dlp, or give a file"
            return f"offers nothing that can be downloaded here{advice}"
        if "DRM protected" in text:
            return "is protected (DRM) and cannot be downloaded; choose another"
        if "Did not get any data blocks" in text:
            return "sends an empty file; check the URL"
        return f"{text}; if it plays in a browser, update yt-dlp, or give a file"

    def _javascript(self) -> str:
        """The advice to install a JavaScript runtime, if its absence is the likely cause."""
        lacking = any("JavaScript runtime" in warning for warning in self._log.warnings)
        return "; YouTube needs a JavaScript runtime: install deno (https://deno.com) and try again" if lacking else ""

    def _options(self) -> dict[str, Any]:
        def report(status: dict[str, Any]) -> None:
            total = _number(status.get("total_bytes") or status.get("total_bytes_estimate"))
            self._on_progress(int(status.get("downloaded_bytes") or 0), None if total is None else int(total))

        return {
            "logger": self._log,
            "allowed_extractors": _TRUSTED_SITES if self._guard.public_only else ["default"],
            "quiet": True,
            "noprogress": True,
            "color": "never",
            "progress_hooks": [report],
            # The best stream of audio alone, or else that with the smallest picture.
            "format": f"ba{_PROTOCOLS}/b{_PROTOCOLS}",
            "format_sort": ["+res"],
            "paths": {"home": str(self._folder)},
            "outtmpl": {"default": "audio"},
            "noplaylist": True,
            "extract_flat": "in_playlist",
            "playlist_items": "1",
            "retries": 2,
            "fragment_retries": 2,
            "extractor_retries": 1,
            "file_access_retries": 0,
            "skip_unavailable_fragments": False,
            "socket_timeout": STALL_S,
            "continuedl": False,
            "updatetime": False,
            "cachedir": False,
            "geo_bypass": False,
            "fixup": "never",
            "hls_prefer_native": True,
            "external_downloader": {"default": "native"},
            "ffmpeg_location": str(self._folder / "no-ffmpeg"),
        }


class _Log:
    """Keeps yt-dlp's warnings, and prints nothing."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def debug(self, message: str) -> None: ...

    def error(self, message: str) -> None: ...

    def warning(self, message: str) -> None:
        self.warnings.append(message)


class _YtDlp(yt_dlp.YoutubeDL):  # type: ignore[misc]
    """yt-dlp whose only way to the network is the guard."""

    def __init__(self, guard: Guard, options: dict[str, Any]) -> None:
        self.failures: list[Exception] = []
        self._guard = guard
        super().__init__(options)

    def build_request_director(self, handlers: Any, preferences: Any = None) -> Any:
        director = super().build_request_director([_GuardedRH], None)
        for handler in director.handlers.values():
            handler.guard, handler.failures = self._guard, self.failures
        return director


class _GuardedRH(RequestHandler):  # type: ignore[misc]
    """yt-dlp's requests, sent by the guard."""

    # None means "any" to yt-dlp: the guard checks them.
    _SUPPORTED_URL_SCHEMES = _SUPPORTED_PROXY_SCHEMES = _SUPPORTED_FEATURES = None

    guard: Guard
    failures: list[Exception]
    context: ssl.SSLContext | None = None

    def _check_extensions(self, extensions: dict[str, Any]) -> None:
        super()._check_extensions(extensions)
        for known in ("cookiejar", "timeout", "legacy_ssl", "keep_header_casing"):
            extensions.pop(known, None)

    def _send(self, request: Request) -> Response:
        self.context = self.context or self._make_sslcontext()
        headers = {"Accept-Encoding": "identity", **self._get_headers(request)}
        cookies = self._get_cookiejar(request)
        with _errors_as_yt_dlps(self.failures):
            body = self.guard.open(request.url, request.method, headers, request.data, cookies, self.context)
        response = _Response(body, body.url, body.headers, body.status, body.reason)
        response.failures = self.failures
        if not 200 <= body.status < 300:
            self.failures.append(HTTPError(response))
            raise self.failures[-1]
        return response


class _Response(Response):  # type: ignore[misc]
    """A guard's body as yt-dlp reads it."""

    fp: Body
    failures: list[Exception]

    def read(self, amt: int | None = None) -> bytes:
        with _errors_as_yt_dlps(self.failures):
            return self.fp.read(amt)


@contextmanager
def _errors_as_yt_dlps(failures: list[Exception]) -> Iterator[None]:
    """Raise what yt-dlp expects, and keep the original: it retries after a TransportError, not after a RequestError."""
    try:
        yield
    except AudioError as error:
        raise RequestError(str(error), cause=error) from error
    except http.client.IncompleteRead as error:
        failures.append(error)
        raise IncompleteRead(len(error.partial), error.expected, cause=error) from error
    except http.client.InvalidURL as error:
        raise RequestError(cause=error) from error
    except (OSError, http.client.HTTPException, zlib.error) as error:
        failures.append(error)
        raise TransportError(cause=error) from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and its causes, wherever Python, yt-dlp and urllib keep them."""
    seen: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, BaseException) and current not in seen:
            seen.append(current)
            yield current
            waiting += [getattr(current, name, None) for name in ("cause", "reason", "__cause__", "__context__")]
            waiting += list(getattr(current, "exc_info", None) or ())


def _title_of_url(url: str) -> str:
    """The title of a file by its URL; yt-dlp would take what follows any dot for a suffix."""
    return title_of(unquote(urlsplit(url).path)) or url


def _is_trusted(url: str, site: str) -> bool:
    """Whether the URL is of a trusted site, and on its hosts too: yt-dlp's patterns for URLs are looser."""
    host = f".{urlsplit(url).hostname}"
    is_there = any(host.endswith(f".{trusted}") for trusted in _TRUSTED_HOSTS)
    return is_there and any(re.fullmatch(pattern, site) for pattern in _TRUSTED_SITES)


def _status_reason(status: int, reason: str | None) -> str:
    advice = _ADVICE.get(status, "try again later" if status >= 500 else "check the URL")
    return f"the server answers {status} ({_clean(reason or '')}); {advice}"


def _clean(text: str) -> str:
    """A message of yt-dlp without colours, prefixes, requests to report it, and line ends."""
    text = re.sub(r"^(ERROR: )?(\[[^\]]*\] )?([\w-]+: )?", "", _ANSI.sub("", text))
    text = re.split(r"; please report this issue|\s*\(caused by|\n|\. (?:Use|See|Confirm|Visit|You might) ", text)[0]
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text).strip()[:200].rstrip(".") or "failed"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value >= 0 else None
