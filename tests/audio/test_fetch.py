"""The real yt-dlp against an HTTP server on loopback, with songs and with what else the world sends."""

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pytest
import soundfile

from genreline.audio.decode import decode
from genreline.audio.fetch import fetch
from genreline.errors import AudioError

RATE_HZ = 48000
SECONDS = 3
TONE = 0.4 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ * SECONDS) / RATE_HZ).astype(np.float32)

SOUNDS = {"wav": "audio/wav", "mp3": "audio/mpeg", "ogg": "audio/ogg", "flac": "audio/flac"}
CONTAINERS = {
    "m4a": ("audio/mp4", "mp4", "aac"),
    "webm": ("audio/webm", "webm", "libopus"),
    "ts": ("video/mp2t", "mpegts", "aac"),
}


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
    assert fetched.duration_s == len(decode(data)) / 8000
    spectrum = np.abs(np.fft.rfft(decode(fetched.path)[4000:12000]))
    assert spectrum.argmax() == 440
