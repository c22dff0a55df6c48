"""A URL becomes an audio file, fetched once: within bounds, checked, and kept in a cache.

What plays there is found and downloaded by yt-dlp (ytdlp.py), whose requests a Guard (bounded_http.py) keeps within
bounds. Nothing is converted. A file in the cache begins like audio and declares no duration above the bound. Only its
user decodes it, and enforces the bound then (`decode.bounded`).
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from genreline.audio.decode import blocks, bounded, stated_duration_s
from genreline.audio.names import is_url
from genreline.errors import AudioError, ConfigError, GenrelineError
from genreline.fetch.bounded_http import Guard
from genreline.files import json_text, replacing

MAX_DURATION_S = 3 * 3600.0
MAX_BYTES = 500_000_000
TIMEOUT_S = 900.0

_RECORD = "song.json"  # what is known of a song, stored next to its file

# What file names cannot hold, as its fullwidth twin (U+FF01 on), so that a title can still be read.
_FULLWIDTH = {ord(c): ord(c) + 0xFEE0 for c in '<>:"/\\|?*'}

OnProgress = Callable[[int, int | None], object]


class Fetched(NamedTuple):
    """A fetched song. The file's stem is `Title (Channel)`, as far as file names can hold it.

    `duration_s` is what the file states, or else the site; None if neither does.
    """

    path: Path
    title: str
    channel: str
    url: str
    duration_s: float | None

    @property
    def full_title(self) -> str:
        """The title, and the channel in brackets if there is one; the file is named after it."""
        return f"{self.title} ({self.channel})" if self.channel else self.title


def fetch(
    url: str,
    cache: Path | None = None,
    *,
    max_duration_s: float = MAX_DURATION_S,
    max_bytes: int = MAX_BYTES,
    timeout_s: float = TIMEOUT_S,
    public_only: bool = False,
    on_progress: OnProgress = lambda done, total: None,
) -> Fetched:
    """The audio of a URL: a page of YouTube or another site that yt-dlp knows, or an audio file.

    A song that has been fetched comes from the cache, where it is filed by site and id; where the URL names both (as
    YouTube's do) no request is made. Anything else is filed by URL and modification date.

    Args:
        url: http or https. A playlist is refused; of a video within a playlist, the video is fetched.
        cache: the folder (default: $GENRELINE_CACHE, else the user's cache folder).
        max_duration_s: of the song; checked against what the site says, then against what the file declares. A file
            can last longer than it declares: give the bound to the Recognizer, too.
        max_bytes: of the download; checked against what the server says, then as bytes arrive.
        timeout_s: for all requests together. (A name lookup takes as long as the system allows; for the time that
            yt-dlp takes to parse pages see ytdlp.py.)
        public_only: for services, where the URL comes from somebody else: refuse addresses that are not on the public
            internet, at every redirect (see `Guard`), and pages other than those of a few known sites (see ytdlp.py).
        on_progress: called with the bytes so far, and with their total if it is known.

    Raises:
        AudioError: the URL cannot be fetched, holds no single song, or is out of bounds. Nothing is left in the cache.
        ConfigError: yt-dlp is not installed.
        GenrelineError: the cache cannot be written to.
    """
    shown = _one_line(url)
    if not is_url(url) or not _is_valid(url):
        raise AudioError(f"{shown}: is not an http or https URL; check it")
    ytdlp = _ytdlp()
    folder = cache or _default_cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as temporary,
            Guard(shown, max_bytes, timeout_s, public_only) as guard,
            ytdlp.Site(url, guard, Path(temporary), on_progress) as site,
        ):
            named = site.known_id()
            if named and (kept := _from_cache(folder / entry_name(*named))):
                return _within(kept, shown, max_duration_s, max_bytes)
            song = site.find()
            entry = folder / entry_name(song.site, song.id, song.version)
            if kept := _from_cache(entry):
                return _within(kept, shown, max_duration_s, max_bytes)
            _check_bounds(shown, song.duration_s, song.n_bytes, max_duration_s, max_bytes)
            audio = site.download(song, max_bytes)
            duration_s = _stated_duration_s(audio, shown) or song.duration_s
            _check_bounds(shown, duration_s, None, max_duration_s, 0)
            return _keep(entry, audio, song.title, song.channel, song.suffix, url, duration_s)
    except OSError as error:
        raise GenrelineError(f"{folder}: cannot be written to ({error.strerror or error}); choose another") from error


def fetch_all(
    urls: Iterable[str], on_progress: Callable[[str, int, int | None], object]
) -> tuple[dict[str, Fetched], list[tuple[str, GenrelineError]]]:
    """The song of each URL, and the URLs that failed, each with its error.

    `on_progress` is called with the URL and what `fetch` calls it with.
    """
    songs: dict[str, Fetched] = {}
    failed: list[tuple[str, GenrelineError]] = []
    for url in dict.fromkeys(urls):
        try:
            songs[url] = fetch(url, on_progress=lambda *sizes, url=url: on_progress(url, *sizes))
        except AudioError as error:
            failed.append((url, error))
    return songs, failed


def discard(song: Path) -> None:
    """Remove a fetched file that turned out to be damaged from the cache, so that it is fetched again next time."""
    if (song.parent / _RECORD).is_file():
        shutil.rmtree(song.parent, ignore_errors=True)


def youtube_to_melgram(url: str, path: str | Path = "melgrams.npy") -> NDArray[np.float32]:
    """Fetch the audio of a YouTube video, or of any other URL, and store a melgram a second (assignment, step 4.2).

    Shape:
        -> (N, 21, 128) float32, in dB; the same array is written to `path` as .npy.

    Raises:
        AudioError, ConfigError: see `fetch`.
        GenrelineError: `path` cannot be written to.
    """
    from genreline.audio.features import melgrams, segments  # torch, which nothing else here needs

    audio = fetch(url).path
    waveforms = bounded(blocks(audio), MAX_DURATION_S, url)
    try:
        X: NDArray[np.float32] = np.concatenate([melgrams(segments(waveform)).numpy() for waveform in waveforms])
    except AudioError:
        discard(audio)
        raise
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, X, allow_pickle=False)
    return X


def entry_name(site: str, id: str, version: str = "") -> str:
    """The name of a song's folder in the cache: one plain file name, another for every other song.

    The readable part is for people; the digest distinguishes names that were cut off or that differ in case only.
    """
    digest = hashlib.sha256(json.dumps([site, id, version]).encode()).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9-]+', '_', f'{site}-{id}')[:60]}-{digest[:16]}"


def file_stem(title: str) -> str:
    """A title as the stem of a file on any system: neither a path nor hidden, no option, at most 150 bytes."""
    text = unicodedata.normalize("NFC", _one_line(title))
    text = text.translate(_FULLWIDTH).encode()[:150].decode("utf-8", "ignore")
    text = text.strip(" .-~") or "song"
    reserved = re.fullmatch(r"(?i:con|prn|aux|nul|com\d|lpt\d)", text.split(".")[0].strip())
    return f"_{text}" if reserved else text


def _is_valid(url: str) -> bool:
    """Whether the URL has a host, a port that may exist, and no spaces or control characters."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and _one_line(url, len(url)) == url
    except ValueError:
        return False


def _ytdlp() -> ModuleType:
    """ytdlp.py, if yt-dlp is there."""
    try:
        from genreline.fetch import ytdlp
    except ImportError as error:
        if not (error.name or "").startswith("yt_dlp"):
            raise
        raise ConfigError("fetching a URL needs yt-dlp; pip install 'genreline[youtube]'") from error
    return ytdlp


def _default_cache() -> Path:
    try:
        from platformdirs import user_cache_path
    except ImportError as error:
        raise ConfigError("fetching a URL needs platformdirs; pip install 'genreline[youtube]'") from error
    return Path(os.environ.get("GENRELINE_CACHE") or user_cache_path("genreline", appauthor=False) / "songs")


def _from_cache(entry: Path) -> Fetched | None:
    """The song of a folder in the cache; None if it is not there, or not whole."""
    try:
        record: Any = json.loads((entry / _RECORD).read_text(encoding="utf-8"))
        path = entry / Path(record["file"]).name
        if path.stat().st_size == record["bytes"]:
            return Fetched(path, record["title"], record["channel"], record["url"], record["duration_s"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _keep(
    entry: Path, audio: Path, title: str, channel: str, suffix: str, url: str, duration_s: float | None
) -> Fetched:
    """Move a downloaded file into the cache, with what is known of it, in one step."""
    title, channel = _one_line(title), _one_line(channel)
    whole = audio.parent / "whole"
    whole.mkdir()
    suffix = suffix if re.fullmatch(r"[A-Za-z0-9]{1,8}", suffix) else "audio"
    name = file_stem(f"{title} ({channel})" if channel else title) + f".{suffix}"
    record = {"file": name, "bytes": audio.stat().st_size, "title": title, "channel": channel, "url": url}
    audio.rename(whole / name)
    (whole / _RECORD).write_text(json_text(record | {"duration_s": duration_s}), encoding="utf-8")
    if not _from_cache(entry):  # another process may have been faster
        shutil.rmtree(entry, ignore_errors=True)
        whole.rename(entry)
    return Fetched(entry / name, title, channel, url, duration_s)


def _within(kept: Fetched, url: str, max_duration_s: float, max_bytes: int) -> Fetched:
    _check_bounds(url, kept.duration_s, kept.path.stat().st_size, max_duration_s, max_bytes)
    return kept


def _check_bounds(
    url: str, duration_s: float | None, n_bytes: int | None, max_duration_s: float, max_bytes: int
) -> None:
    if duration_s is not None and duration_s > max_duration_s:
        raise AudioError(f"{url}: lasts {duration_s:.0f} s, more than the {max_duration_s:.0f} s allowed")
    if n_bytes is not None and n_bytes > max_bytes:
        raise AudioError(f"{url}: is {n_bytes / 1e6:.3g} MB, more than the {max_bytes / 1e6:.3g} MB allowed")


def _stated_duration_s(audio: Path, url: str) -> float | None:
    """The duration that the file declares, if any. Raises AudioError if its first second cannot be decoded."""
    try:
        next(blocks(audio, block_s=1))
        return stated_duration_s(audio)
    except AudioError as error:
        raise AudioError(f"{url}: {str(error).removeprefix(f'{audio}: ')}") from error


def _one_line(text: str, most: int = 200) -> str:
    """The text without control characters, line ends and lone surrogates, at most `most` characters."""
    text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return " ".join(text.split())[:most]
