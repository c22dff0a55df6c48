"""The real yt-dlp against an HTTP server on loopback, with songs and with what else the world sends."""

import functools
import gc
import gzip
import io
import json
import ntpath
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath, PureWindowsPath

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import genreline.audio.decode
from genreline import youtube_to_melgram
from genreline.audio.decode import decode
from genreline.audio.features import melgrams, segments
from genreline.cli import app
from genreline.errors import AudioError, ConfigError
from genreline.fetch import bounded_http, ytdlp
from genreline.fetch import cache as cache_module
from genreline.fetch.bounded_http import is_public
from genreline.fetch.cache import discard, entry_name, fetch, file_stem, is_url

RATE_HZ = 48000
SECONDS = 3
TONE = 0.4 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ * SECONDS) / RATE_HZ).astype(np.float32)

SOUNDS = {"wav": "audio/wav", "mp3": "audio/mpeg", "ogg": "audio/ogg", "flac": "audio/flac"}
CONTAINERS = {
    "m4a": ("audio/mp4", "mp4", "aac"),
    "webm": ("audio/webm", "webm", "libopus"),
    "ts": ("video/mp2t", "mpegts", "aac"),
}


@functools.cache  # ogg has a random number in it
def sound(kind):
    """The tone as a file of this kind, and its content type."""
    buffer = io.BytesIO()
    if kind in SOUNDS:
        soundfile.write(buffer, TONE, RATE_HZ, format=kind.upper())
        return buffer.getvalue(), SOUNDS[kind]
    content_type, container, codec = CONTAINERS[kind]
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(TONE[None], format="fltp", layout="mono")
        frame.rate = RATE_HZ
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return buffer.getvalue(), content_type


class World(ThreadingHTTPServer):
    """A server of what a test gives it: `pages` maps paths to (status, headers, body), or to what writes the answer."""

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        self.pages = {}
        self.asked = []
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), Answer)

    def put(self, path, body, content_type="text/html", status=200, **headers):
        names = {name.replace("_", "-"): text for name, text in headers.items()}
        self.pages[path] = (status, {"Content-Type": content_type, "Content-Length": str(len(body)), **names}, body)
        return self.url(path)

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request, client_address):
        """Clients that hang up are what many tests are about."""


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        page = self.server.pages.get(self.path.partition("?")[0], (404, {"Content-Length": "0"}, b""))
        if callable(page):
            page(self)
            return
        status, headers, body = page
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def world(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = World()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def yt_dlp_leaks():
    """yt-dlp (2026.10.26) leaves the file open whose segment failed; have it collected here, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


def assert_refused(cache, url, reason, **bounds):
    """One clear line that names the URL, and nothing left behind."""
    with pytest.raises(AudioError, match=reason) as error:
        fetch(url, cache, **bounds)
    message = str(error.value)
    assert message.startswith(url.strip()[:100])
    assert len(message.splitlines()) == 1
    assert len(message) < 300 + len(url)
    for noise in ("\x1b", "ERROR", "report", "github", "Traceback", "<urlopen"):
        assert noise not in message
    assert not list(cache.rglob("*"))
    return message


@pytest.mark.parametrize("kind", [*SOUNDS, *CONTAINERS])
def test_every_container_is_fetched_as_it_is_and_decodes(kind, world, cache):
    data, content_type = sound(kind)
    fetched = fetch(world.put(f"/My%20song.{kind}", data, content_type), cache)
    assert fetched.path.read_bytes() == data  # no conversion
    assert fetched.path.suffix == f".{kind}"
    assert fetched.path.stem == fetched.title == "My song"
    assert fetched.duration_s is None or fetched.duration_s == pytest.approx(SECONDS, abs=0.05)
    assert (fetched.duration_s is None) == (kind in ("mp3", "ogg", "ts"))  # which do not say
    spectrum = np.abs(np.fft.rfft(decode(fetched.path)[4000:12000]))
    assert spectrum.argmax() == 440


@pytest.mark.parametrize("public_only", [False, True])
@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/Mr.%20Brightside", "Mr. Brightside"),
        ("/Mr.%20Brightside.mp3", "Mr. Brightside"),
        ("/say%20%22hi%22.mp3", 'say "hi"'),
        ("/%E6%9B%B2%20No.%205.mp3", "曲 No. 5"),
    ],
)
def test_a_title_from_a_url_is_whole(path, title, public_only, internet, world, cache):
    world.put("/there", b"", status=302, Location=path)
    url = world.put(path, *sound("mp3"))
    assert fetch(url, cache, public_only=public_only).title == title
    fetched = fetch(world.url("/there"), cache / "redirected", public_only=public_only)
    assert fetched.title == title
    assert fetched.path.stem == title.replace('"', "\uff02")


def test_the_second_time_nothing_is_downloaded(world, cache):
    url = world.put("/song.flac", *sound("flac"))
    first = fetch(url, cache)
    world.asked.clear()
    sizes = []
    assert fetch(url, cache, on_progress=lambda *size: sizes.append(size)) == first
    assert len(world.asked) == 1  # what plays there, of which a few bytes are read
    assert not sizes


@pytest.mark.slow
def test_files_of_one_name_are_not_mistaken_for_each_other(world, cache):
    first = fetch(world.put("/a/song.flac", *sound("flac")), cache)
    second = fetch(world.put("/b/song.ogg", *sound("ogg")), cache)
    assert first.path.suffix == ".flac"
    assert second.path.suffix == ".ogg"
    page = b"<!DOCTYPE html><html><head><title>%b</title></head><body><audio src='%b'></audio></body></html>"
    third = fetch(world.put("/a/play.html", page % (b"One", b"/a/song.flac")), cache)
    fourth = fetch(world.put("/b/play.html", page % (b"Two", b"/b/song.ogg")), cache)
    assert (third.path.suffix, third.title[:3]) == (".flac", "One")
    assert (fourth.path.suffix, fourth.title[:3]) == (".ogg", "Two")


def test_a_file_that_has_changed_is_fetched_anew(world, cache):
    dates = ["Sat, 21 Nov 2026 07:28:00 GMT", "Sun, 22 Nov 2026 07:28:00 GMT"]
    url = world.put("/song", *sound("flac"), Last_Modified=dates[0])
    assert fetch(url, cache).path.read_bytes() == sound("flac")[0]
    world.put("/song", *sound("ogg"), Last_Modified=dates[1])
    assert fetch(url, cache).path.read_bytes() == sound("ogg")[0]


def test_what_is_damaged_in_the_cache_is_fetched_anew(world, cache):
    url = world.put("/song.flac", *sound("flac"))
    path = fetch(url, cache).path
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert fetch(url, cache).path.read_bytes() == whole
    (path.parent / "song.json").write_text("{")
    assert fetch(url, cache).path.read_bytes() == whole
    assert len(list(cache.iterdir())) == 1


def test_two_at_once_leave_one_song(world, cache):
    url = world.put("/song.flac", *sound("flac"))
    with ThreadPoolExecutor(4) as pool:
        songs = list(pool.map(lambda _: fetch(url, cache), range(4)))
    assert len(set(songs)) == 1
    assert songs[0].path.read_bytes() == sound("flac")[0]
    assert len(list(cache.iterdir())) == 1


def test_progress_is_told_in_bytes(world, cache):
    data, content_type = sound("wav")
    sizes = []
    fetch(world.put("/song.wav", data, content_type), cache, on_progress=lambda *size: sizes.append(size))
    done, totals = zip(*sizes, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == len(data)
    assert set(totals) == {len(data)}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, r"401 \(Unauthorized\); it requires a login"),
        (403, r"403 \(Forbidden\); it refuses programs"),
        (404, r"404 \(Not Found\); check the URL"),
        (429, r"429 .*; try again later|too many"),
        (500, r"500 .*; try again later"),
    ],
)
def test_a_status_is_told(status, reason, world, cache):
    assert_refused(cache, world.put("/song.mp3", b"<html>sorry</html>", status=status), reason)


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n%b\n"
HTML = b"<!DOCTYPE html><html><head><title>A page</title></head><body>%b</body></html>"


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (HTML % b"Hello", "text/html", "no audio was found there"),
        (HTML % b"<audio src='/a.mp3'></audio><audio src='/b.mp3'></audio>", "text/html", "is a list of songs"),
        (HTML % b"<audio src='file:///etc/passwd'></audio>", "text/html", "offers nothing that can be downloaded"),
        (HTML % b"Hello", "audio/mpeg", "not an audio file"),
        (b"", "audio/mpeg", "sends an empty file"),
        (b"", "text/html", "empty|no audio"),
        (PLAYLIST % b"file:///etc/passwd" + b"#EXT-X-ENDLIST\n", "audio/mpegurl", "leads to 'file:"),
        (PLAYLIST % b"/live.ts", "audio/mpegurl", "is a live stream"),
    ],
)  # fmt: skip
def test_what_is_no_song_is_told(body, content_type, reason, world, cache, yt_dlp_leaks):
    assert_refused(cache, world.put("/song", body, content_type), reason)


def test_a_lying_content_type_does_not_matter_if_it_is_audio(world, cache):
    data, _ = sound("mp3")
    assert fetch(world.put("/song.mp3", data, "text/html"), cache).path.read_bytes() == data
    assert fetch(world.put("/song.wav", data, "audio/wav"), cache).path.read_bytes() == data


def test_a_stream_in_segments_is_put_together(world, cache):
    world.put("/0.ts", *sound("ts"))
    playlist = PLAYLIST % b"/0.ts" + b"#EXT-X-ENDLIST\n"
    url = world.put("/song.m3u8", playlist, "application/vnd.apple.mpegurl")
    assert len(decode(fetch(url, cache).path)) / 8000 == pytest.approx(SECONDS, abs=0.1)


def test_one_that_is_cut_short_is_told(world, cache):
    data, content_type = sound("mp3")
    url = world.put("/song.mp3", data, content_type, Content_Length=str(len(data) + 1000))
    assert_refused(cache, url, "the connection ended before the audio did; try again")
    url = world.put("/song.wav", sound("wav")[0][:-100_000], "audio/wav")  # whole to HTTP, and cut all the same
    path = fetch(url, cache).path
    with pytest.raises(AudioError, match="truncated"):
        decode(path)
    discard(path)
    assert list(cache.iterdir()) == []
    discard(cache / "elsewhere" / "song.ogg")


def test_a_redirect_is_followed_but_not_in_a_circle_nor_out_of_http(world, cache):
    data, content_type = sound("mp3")
    world.put("/song.mp3", data, content_type)
    assert fetch(world.put("/there", b"", status=302, Location="/song.mp3"), cache).path.read_bytes() == data
    elsewhere = cache / "elsewhere"
    assert_refused(elsewhere, world.put("/round", b"", status=302, Location="/round"), "in a circle")
    for target in ("file:///etc/passwd", "ftp://127.0.0.1/song.mp3", "data:audio/wav;base64,AAAA", "gopher://a/"):
        url = world.put("/out", b"", status=307, Location=target)
        assert_refused(elsewhere, url, r"leads to '[a-z]+:.*'; only http and https are followed")
    url = world.put("/out", b"", status=302, Location="http://[::1")
    assert_refused(elsewhere, url, "not a valid URL")


def test_a_login_is_not_handed_on_to_another_host(world, cache):
    heard = {}

    def listen(answer):
        heard[answer.headers["Host"]] = answer.headers["Authorization"]
        target = f"http://localhost:{world.server_port}/end.mp3"
        answer.send_response(302 if answer.path == "/start.mp3" else 404)
        answer.send_header("Location", target)
        answer.end_headers()

    world.pages["/start.mp3"] = world.pages["/end.mp3"] = listen
    with pytest.raises(AudioError, match="404"):
        fetch(world.url("/start.mp3").replace("//", "//me:secret@"), cache)
    assert heard[f"127.0.0.1:{world.server_port}"].startswith("Basic ")
    assert heard[f"localhost:{world.server_port}"] is None


def without_end(head):
    """Answer with this head, and a body until the client hangs up."""

    def answer(request):
        request.wfile.write(head)
        while not request.server.closing.is_set():
            request.wfile.write(bytes(65536))

    return answer


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!DOCTYPE html><html>",
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n",
    ],
)
def test_a_body_that_never_ends_is_stopped(head, world, cache):
    world.pages["/song"] = without_end(head)
    assert_refused(cache, world.url("/song"), "more than the .* MB allowed|404", max_bytes=1_000_000)


def test_a_redirect_with_a_body_that_never_ends_is_followed(world, cache):
    world.put("/song.mp3", *sound("mp3"))
    world.pages["/there"] = without_end(b"HTTP/1.1 302 Found\r\nLocation: /song.mp3\r\n\r\n")
    assert fetch(world.url("/there"), cache).path.read_bytes() == sound("mp3")[0]


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n"]
)
@pytest.mark.parametrize("drips", [False, True])
def test_a_server_that_stalls_or_drips_is_left(head, drips, world, cache):
    def answer(request):
        request.wfile.write(head)
        while not request.server.closing.wait(0.02 if drips else None):
            request.wfile.write(b"x")

    world.pages["/song.mp3"] = answer
    assert_refused(cache, world.url("/song.mp3"), "took longer than the 0.5 s allowed", timeout_s=0.5)


@pytest.mark.slow
def test_compressed_bodies_are_bounded_too(world, cache):
    data, content_type = sound("mp3")
    url = world.put("/song.mp3", gzip.compress(data), content_type, Content_Encoding="gzip")
    assert fetch(url, cache).path.read_bytes() == data
    elsewhere = cache / "elsewhere"
    bomb = gzip.compress(bytes(100_000_000))
    assert len(bomb) < 100_000
    tracemalloc.start()
    url = world.put("/song.mp3", bomb, content_type, Content_Encoding="gzip")
    assert_refused(elsewhere, url, "more than the 1 MB allowed", max_bytes=1_000_000)
    url = world.put("/page", bomb, "text/html", Content_Encoding="gzip")
    assert_refused(elsewhere, url, "more than the|empty|no audio|not an audio file", max_bytes=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6
    cut = gzip.compress(data)[:-1000]
    url = world.put("/song.mp3", cut, content_type, Content_Encoding="gzip")
    assert_refused(elsewhere, url, "the connection ended before the audio did")
    url = world.put("/song.mp3", b"no gzip" * 100, content_type, Content_Encoding="gzip")
    assert_refused(elsewhere, url, "damaged")
    url = world.put("/song.mp3", data, content_type, Content_Encoding="br")
    assert_refused(elsewhere, url, "encoded as 'br'")


def test_bounds_given_up_front_hold(world, cache):
    url = world.put("/song.wav", *sound("wav"))
    assert_refused(cache, url, r"is 0.288 MB, more than the 0.1 MB allowed", max_bytes=100_000)
    assert_refused(cache, url, "lasts 3 s, more than the 2 s allowed", max_duration_s=2)
    fetch(url, cache)
    for bound in ({"max_bytes": 100_000}, {"max_duration_s": 2}):  # the cache does not get around them
        with pytest.raises(AudioError, match="allowed"):
            fetch(url, cache, **bound)


@pytest.mark.slow
def test_a_duration_that_is_stated_is_believed_without_decoding(world, cache, monkeypatch):
    """FFmpeg's demuxers say what these files state; the sound itself is read for a second alone."""
    read_s = count_decoding(monkeypatch)
    for kind in ("wav", "flac", "m4a", "webm"):
        data, content_type = sound(kind)
        with av.open(io.BytesIO(data)) as container:
            stated_s = container.duration / 1e6
        assert fetch(world.put(f"/song.{kind}", data, content_type), cache).duration_s == pytest.approx(stated_s)
        assert_refused(cache / kind, world.url(f"/song.{kind}"), "lasts 3 s, more than the 2 s", max_duration_s=2)
    assert sum(read_s) < 8 * 1.6


def count_decoding(monkeypatch):
    """The seconds that decoders hand over from here on, piece by piece."""
    chunks, read_s = genreline.audio.decode._chunks, []

    def counted(file, name):
        for rate_hz, piece in chunks(file, name):
            read_s.append(piece.shape[-1] / rate_hz)
            yield rate_hz, piece

    monkeypatch.setattr("genreline.audio.decode._chunks", counted)
    return read_s


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flac", "mp3"])
def test_a_url_s_sound_is_decoded_once(kind, world, tmp_path, monkeypatch):
    """But for its first second, which shows that it is sound before it is kept."""
    monkeypatch.setenv("GENRELINE_CACHE", str(tmp_path / "cache"))
    read_s = count_decoding(monkeypatch)
    # In this process, whose decoding is counted.
    monkeypatch.setattr(
        "genreline.predict.files.map_unordered",
        lambda function, tasks, *_, **options: ((task, function(task)) for task in tasks),
    )
    buffer = io.BytesIO()
    soundfile.write(buffer, np.tile(TONE, 20), RATE_HZ, format=kind)
    url = world.put(f"/song.{kind}", buffer.getvalue(), "audio/x")
    for n_times in (1, 2):
        with pytest.raises(SystemExit) as end:
            app(["predict", url, "--model", "course-fnn", "--out", str(tmp_path), "--formats", "csv"])
        assert not end.value.code
        assert len((tmp_path / "song.csv").read_text().splitlines()) == pytest.approx(61, abs=1)
        assert n_times * 60 <= sum(read_s) < n_times * 60.2 + 1.6


@pytest.mark.slow
def test_a_sound_that_lasts_longer_than_it_says_is_bounded(world, tmp_path, monkeypatch, capsys):
    """A flac from a pipe states no duration: what it holds is known from decoding alone."""
    monkeypatch.setenv("GENRELINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache_module, "MAX_DURATION_S", 40.0)
    read_s = count_decoding(monkeypatch)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.tile(TONE, 100), RATE_HZ, format="FLAC")
    data = bytearray(buffer.getvalue())
    data[21] &= 0xF0  # STREAMINFO's 36 bits of the number of samples: 0 is unknown (RFC 9639, 8.2)
    data[22:26] = bytes(4)
    url = world.put("/song.flac", bytes(data), "audio/flac")
    for command in (["predict", url, "--out", str(tmp_path)], ["compare", "course-fnn", url, "--label", "blues"]):
        with pytest.raises(SystemExit) as end:
            app([*command, "--model", "course-fnn"] if command[0] == "predict" else command)
        assert end.value.code == 1
        assert "lasts more than the 40 s allowed" in capsys.readouterr().err
        assert list((tmp_path / "cache").iterdir()) == []  # what is refused is not kept either
    assert sum(read_s) < 2 * 70


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://nowhere.invalid/song.mp3", "name is unknown"),
        ("http://127.0.0.1:1/song.mp3", "Connection refused"),
        ("file:///etc/passwd", "is not an http or https URL"),
        ("http:///song.mp3", "is not an http or https URL"),
        ("http://[::1/song.mp3", "is not an http or https URL"),
        ("http://127.0.0.1:99999/", "is not an http or https URL"),
        ("http://a/ b\nc", "is not an http or https URL"),
        (f"http://{'a' * 80}.example/", "not a valid URL|is unknown"),
        ("ytsearch:anything", "is not an http or https URL"),
    ],
)
def test_urls_that_lead_nowhere_are_told(url, reason, cache):
    with pytest.raises(AudioError, match=reason) as error:
        fetch(url, cache)
    assert "\n" not in str(error.value)
    assert not list(cache.rglob("*"))


def test_what_speaks_no_http_is_told(world, cache):
    world.pages["/song"] = lambda answer: answer.wfile.write(b"220 ready\r\n\r\n")
    assert_refused(cache, world.url("/song"), "is not valid HTTP")
    assert_refused(cache, world.url("/song").replace("http:", "https:"), "identity or encryption")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("::ffff:8.8.8.8", True), ("64:ff9b::808:808", True),
        ("127.0.0.1", False), ("10.1.2.3", False), ("172.16.0.1", False), ("192.168.1.1", False), ("0.0.0.0", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("224.0.0.1", False), ("255.255.255.255", False),
        ("::1", False), ("::", False), ("fe80::1%eth0", False), ("fc00::1", False), ("fec0::1", False),
        ("ff02::1", False), ("::ffff:127.0.0.1", False), ("2002:7f00:1::", False), ("64:ff9b::7f00:1", False),
        ("64:ff9b:1::7f00:1", False), ("64:ff9b:1::808:808", False), ("168.63.129.16", False), ("192.0.0.10", False),
        ("192.88.99.1", False), ("::127.0.0.1", False), ("::ffff:0:7f00:1", False), ("3fff::1", False),
        ("5f00::1", False),
    ],
)  # fmt: skip
def test_public_addresses_are_told_from_internal_ones(address, public):
    assert is_public(address) == public


def test_public_only_refuses_internal_addresses_however_they_are_written(world, cache):
    port = world.server_port
    world.put("/song.mp3", *sound("mp3"))
    for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "0", "[::1]", "[::ffff:127.0.0.1]"):
        assert_refused(cache, f"http://{host}:{port}/song.mp3", "not on the public internet", public_only=True)
    assert not world.asked


@pytest.fixture
def internet(monkeypatch):
    """Has 127.0.0.1 stand for the public internet, which a test cannot reach; 127.0.0.2 stays internal."""
    monkeypatch.setattr(bounded_http, "is_public", lambda address: address == "127.0.0.1")


def test_public_only_looks_at_every_redirect(internet, youtube, world, cache):
    world.put("/song.mp3", *sound("mp3"))
    url = world.put("/there", b"", status=302, Location="/song.mp3")
    assert fetch(url, cache, public_only=True).path.read_bytes() == sound("mp3")[0]
    internal = world.url("/song.mp3").replace("127.0.0.1", "127.0.0.2")
    elsewhere = cache / "elsewhere"
    reason = r"leads to 127.0.0.2, which is not on the public internet"
    url = world.put("/out", b"", status=302, Location=internal)
    assert_refused(elsewhere, url, reason, public_only=True)
    youtube.play(url=internal)
    assert_refused(elsewhere, f"https://www.youtube.com/watch?v={VIDEO}", reason, public_only=True)
    youtube.play()
    assert fetch(f"https://www.youtube.com/watch?v={VIDEO}", cache, public_only=True).channel == "Some Channel"


@pytest.mark.parametrize("kind", [*SOUNDS, *CONTAINERS])
def test_public_only_downloads_files(kind, internet, world, cache):
    data, content_type = sound(kind)
    sizes = []
    url = world.put(f"/My%20song.{kind}", data, content_type)
    fetched = fetch(url, cache, public_only=True, on_progress=lambda *size: sizes.append(size))
    assert fetched.path.read_bytes() == data
    assert fetched.path.name == f"My song.{kind}"
    assert sizes[-1] == (len(data), len(data))
    assert fetch(url, cache, public_only=True) == fetched


def test_public_only_looks_into_no_page(internet, world, cache):
    """yt-dlp takes minutes over this one, and would stop a whole service."""
    hostile = b"<!DOCTYPE html><html>" + b"<audio " * 100_000
    assert_refused(cache, world.put("/page", hostile), "not an audio file", public_only=True)
    assert_refused(cache, world.put("/page", b"", status=404), "404", public_only=True)
    assert_refused(cache, world.put("/song.mp3", b"", "audio/mpeg"), "empty", public_only=True)
    data, content_type = sound("mp3")
    url = world.put("/song.mp3", data, content_type, Content_Length=str(len(data) + 1000))
    assert_refused(cache, url, "the connection ended before", public_only=True)
    playlist = PLAYLIST % b"/song.mp3" + b"#EXT-X-ENDLIST\n"
    assert_refused(cache, world.put("/list", playlist, "audio/mpegurl"), "not an audio file", public_only=True)


def test_public_only_connects_to_the_address_that_it_checked(internet, world, cache, monkeypatch):
    """A name that changes its address between two look-ups (DNS rebinding) is looked up once for each connection."""
    world.put("/song.mp3", *sound("mp3"))
    world.put("/there", b"", status=302, Location="/song.mp3")
    answers = iter(["127.0.0.1", "127.0.0.2", "127.0.0.1"])
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda _, port, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))],
    )
    url = f"http://rebinding.example:{world.server_port}/there"
    assert_refused(cache, url, "not on the public internet", public_only=True)
    assert next(answers) == "127.0.0.1"  # two connections, the second refused: two look-ups
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{i}", world.server_port)) for i in (1, 2)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    assert_refused(cache, url, "not on the public internet", public_only=True)


def test_public_only_uses_no_proxy(internet, world, cache, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    url = world.put("/song.mp3", *sound("mp3"))
    with pytest.raises(AudioError, match="refused"):
        fetch(url, cache)
    assert fetch(url, cache, public_only=True).path.read_bytes() == sound("mp3")[0]


VIDEO = "dQw4w9WgXcQ"


class YouTube:
    """What YouTube answers about a video, as far as yt-dlp's extractor needs it, served on loopback."""

    def __init__(self, world):
        self.world = world
        self.audio, _ = sound("m4a")
        world.put("/videoplayback", self.audio, "audio/mp4")
        world.put("/watch", HTML % b"")
        owner = {"videoOwnerRenderer": {"title": {"runs": [{"text": "Some Channel"}]}}}
        contents = [{"videoSecondaryInfoRenderer": {"owner": owner}}]
        results = {"contents": {"twoColumnWatchNextResults": {"results": {"results": {"contents": contents}}}}}
        world.put("/youtubei/v1/next", json.dumps(results).encode(), "application/json")
        self.play()

    def play(self, status=None, url="https://rr1.googlevideo.com/videoplayback?x=1", **details):
        video = {"videoId": VIDEO, "title": "Either/Or: a song?", "lengthSeconds": "3", **details}
        audio = {"itag": 140, "mimeType": 'audio/mp4; codecs="mp4a.40.2"', "bitrate": 130000}
        audio |= {"contentLength": str(len(self.audio))} | ({"url": url} if url else {})
        player = {
            "playabilityStatus": status or {"status": "OK"},
            "videoDetails": video,
            "streamingData": {"adaptiveFormats": [audio]} if not status else {},
        }
        self.world.put("/youtubei/v1/player", json.dumps(player).encode(), "application/json")


@pytest.fixture
def youtube(world, monkeypatch):
    """The real extractor for YouTube; what it asks of any host is asked of the server on loopback."""
    send = bounded_http.Guard.open

    def open_on_loopback(self, url, *rest, **more):
        body = send(self, re.sub(r"https://[^/]+", world.url(""), url), *rest, **more)
        body.url = url
        return body

    monkeypatch.setattr(bounded_http.Guard, "open", open_on_loopback)
    monkeypatch.setenv("PATH", "")  # no JavaScript runtime
    return YouTube(world)


def test_youtube_s_song_has_title_and_channel_and_is_cached_by_its_id(youtube, world, cache):
    fetched = fetch(f"https://www.youtube.com/watch?v={VIDEO}&list=PL0123456789", cache)
    assert fetched.path.read_bytes() == youtube.audio
    assert (fetched.title, fetched.channel) == ("Either/Or: a song?", "Some Channel")
    assert fetched.path.stem == "Either\uff0fOr\uff1a a song\uff1f (Some Channel)"
    assert VIDEO in fetched.path.parent.name
    world.asked.clear()
    for url in (f"https://youtu.be/{VIDEO}?t=3", f"https://www.youtube.com/embed/{VIDEO}"):
        assert fetch(url, cache) == fetched
    assert not world.asked  # not even for what plays there


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"lengthSeconds": "99999"}, "lasts 99999 s, more than the 10800 s allowed"),
        ({"isLive": True}, "is a live stream"),
        ({"status": {"status": "ERROR", "reason": "Video unavailable"}}, "Video unavailable; if it plays"),
        (
            {"status": {"status": "LOGIN_REQUIRED", "reason": "Sign in to confirm you're not a bot"}},
            "Sign in to confirm",
        ),
        ({"url": None}, r"YouTube needs a JavaScript runtime: install deno \(https://deno.com\) and try again"),
        ({"url": "https://rr1.googlevideo.com/forbidden"}, "403 .* YouTube needs a JavaScript runtime: install deno"),
    ],
)
def test_youtube_s_refusals_are_told(answer, reason, youtube, world, cache):
    youtube.play(**answer)
    world.put("/forbidden", b"", status=403)
    assert_refused(cache, f"https://www.youtube.com/watch?v={VIDEO}", reason)
    assert "/videoplayback?x=1" not in world.asked


def test_a_melgram_a_second(world, tmp_path, monkeypatch):
    monkeypatch.setenv("GENRELINE_CACHE", str(tmp_path / "cache"))
    data, content_type = sound("flac")
    X = youtube_to_melgram(world.put("/song.flac", data, content_type), tmp_path / "out" / "melgrams.npy")
    assert (X.shape, X.dtype) == ((SECONDS, 21, 128), np.float32)
    assert np.array_equal(X, melgrams(segments(decode(data))).numpy())
    assert np.array_equal(X, np.load(tmp_path / "out" / "melgrams.npy"))


def test_melgrams_go_to_the_file_that_the_assignment_names(world, tmp_path, monkeypatch):
    monkeypatch.setenv("GENRELINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    youtube_to_melgram(world.put("/song.flac", *sound("flac")))
    assert np.load("melgrams.npy").shape == (SECONDS, 21, 128)


@pytest.mark.parametrize("missing", ["yt_dlp", "platformdirs"])
def test_without_yt_dlp_the_extra_is_named(missing, monkeypatch, tmp_path):
    monkeypatch.delenv("GENRELINE_CACHE", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "genreline.fetch.ytdlp", raising=False)
    monkeypatch.delattr(sys.modules["genreline.fetch"], "ytdlp", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'genreline\[youtube\]'"):
        fetch("http://127.0.0.1/song.mp3")


@given(st.text(), st.text(), st.text(), st.text())
def test_names_in_the_cache_are_plain_and_different(site, id, other_site, other_id):
    name = entry_name(site, id)
    assert re.fullmatch(r"[A-Za-z0-9_-]{17,80}", name)
    assert PurePosixPath(name).name == PureWindowsPath(name).name == name
    if (site, id) != (other_site, other_id):
        assert name.lower() != entry_name(other_site, other_id).lower()


@given(st.text(st.characters(exclude_categories=[])) | st.from_regex(r"\A(\.\./|C:\\|/|\x00|~|-|con|nul)+.{0,300}\Z"))
def test_any_title_is_a_plain_file_name(title):
    name = f"{file_stem(title)}.m4a"
    assert PurePosixPath(name).name == PureWindowsPath(name).name == name
    assert PurePosixPath(name).stem == file_stem(title)
    # From Python 3.13 on, pathlib's own check is deprecated for that of ntpath.
    assert not (ntpath.isreserved(name) if hasattr(ntpath, "isreserved") else PureWindowsPath(name).is_reserved())
    assert name[0] not in ".-~ "
    assert len(name.encode()) <= 160
    assert name.isprintable()


def test_urls_are_told_from_files():
    assert is_url("http://a.b/c")
    assert is_url("HTTPS://a.b/c")
    for text in ("song.mp3", "/http://x", "httpx://a", "file:///a", "http:/a", "C:\\song.mp3", "ftp://a/b"):
        assert not is_url(text)


def predict(world, tmp_path, *arguments):
    """Run `genreline predict`; its exit code, standard output and standard error."""
    live = {**os.environ, "GENRELINE_CACHE": str(tmp_path / "cache"), "no_proxy": "*"}
    command = [sys.executable, "-m", "genreline", "predict", *arguments, "--out", str(tmp_path / "out")]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**live, "TTY_INTERACTIVE": "1", "FORCE_COLOR": "1"},
        start_new_session=True,
    )


@pytest.mark.slow
def test_predict_takes_urls_and_goes_on_past_bad_ones(world, tmp_path):
    missing, url = world.url("/nothing[/].mp3"), world.put("/My%20song.mp3", *sound("mp3"))
    path = tmp_path / "own.flac"
    path.write_bytes(sound("flac")[0])
    with predict(world, tmp_path, missing, url, str(path), "--json") as process:
        out, err = process.communicate()
    assert process.returncode == 1
    failed, fetched, own = json.loads(out)
    assert failed["file"] == missing
    assert "404" in failed["error"]
    assert f"error: {failed['error']}" in err
    assert (tmp_path / "out" / "My song.csv").read_text().count("\n") == 1 + SECONDS
    assert fetched["csv"] == str(tmp_path / "out" / "My song.csv")
    assert own["csv"] == str(tmp_path / "out" / "own.csv")


@pytest.mark.slow
def test_what_cannot_be_read_is_not_kept_and_what_cannot_be_written_is(world, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GENRELINE_CACHE", str(tmp_path / "cache"))
    data, content_type = sound("flac")
    cut, whole = world.put("/cut.flac", data[: len(data) // 2], content_type), world.put("/ok.flac", data, content_type)
    for command in (["predict", cut, "--out", str(tmp_path)], ["embed", cut, "--out", str(tmp_path / "x.npy")]):
        with pytest.raises(SystemExit) as end:
            app([*command, "--model", "course-fnn"])
        assert end.value.code in (1, 2)
        assert f"error: {cut}: " in capsys.readouterr().err
        assert list((tmp_path / "cache").iterdir()) == []
    (tmp_path / "ok.csv").mkdir()
    with pytest.raises(SystemExit) as end:
        app(["predict", whole, "--out", str(tmp_path), "--formats", "csv", "--model", "course-fnn"])
    assert end.value.code == 1
    assert "cannot be written" in capsys.readouterr().err
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.slow
def test_ctrl_c_while_downloading_leaves_nothing(world, tmp_path):
    def half(answer):
        answer.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 4000000\r\n\r\n")
        answer.wfile.write(bytes(2_000_000))
        answer.server.closing.wait()

    world.pages["/song.mp3"] = half
    with predict(world, tmp_path, world.url("/song.mp3")) as process:
        seen = ""
        while not re.search(r"[12]\.\d/4\.0.* MB", seen):
            seen += process.stderr.read(1) or pytest.fail(f"the program ended before a megabyte: {seen}")
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "genreline: interrupted" in err
    assert list(tmp_path.iterdir()) == [tmp_path / "cache"]
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.slow
def test_a_full_disk_is_told(world, cache):
    """The limit on the size of files stands for the disk's."""
    program = (
        "import resource, sys; from pathlib import Path; from genreline.fetch.cache import fetch\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try: fetch(sys.argv[1], Path(sys.argv[2]))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    url = world.put("/song.wav", *sound("wav"))
    command = [sys.executable, "-c", program, url, str(cache)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(rf"AudioError {url}: cannot be stored in {cache} \(File too large\); make room or .*\n", out)
    assert not list(cache.iterdir())


@pytest.fixture
def tls(world, tmp_path):
    """Has the server speak TLS; gives a context that trusts its certificate."""
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl program, to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", *names]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    world.socket = context.wrap_socket(world.socket, server_side=True)
    return ssl.create_default_context(cafile=str(certificate))


def test_https_is_spoken_to_servers_that_can_prove_who_they_are(tls, internet, world, cache, monkeypatch):
    data, content_type = sound("mp3")
    url = world.put("/song.mp3", data, content_type).replace("http:", "https:")
    for public_only in (False, True):
        assert_refused(cache, url, "identity or encryption is not valid", public_only=public_only)
    monkeypatch.setattr(ytdlp._GuardedRH, "context", tls)
    assert fetch(url, cache).path.read_bytes() == data
    with bounded_http.Guard(url, 1_000_000, 60, public_only=True) as bounds:
        assert bounds.open(url, context=tls).read() == data


def test_a_server_that_stalls_before_tls_is_left(cache):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/song.mp3"
        assert_refused(cache, url, "took longer than the 0.5 s allowed", timeout_s=0.5)
