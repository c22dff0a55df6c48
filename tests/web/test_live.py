"""A sound that is recognized while it is still being recorded, over a WebSocket."""

import contextlib
import json
import socket
import struct

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from genreline.predict.recognizer import Recognizer
from genreline.predict.timeline import Timeline

pytestmark = pytest.mark.slow

PATIENCE_S = 120
RATE_HZ = 44_100


def opened(service, query=f"rate_hz={RATE_HZ}", path="/v1/live", **settings):
    """A connection to the service."""
    address = f"ws://127.0.0.1:{service.port}{path}?{query}"
    return connect(address, open_timeout=PATIENCE_S, max_size=None, **settings)


def events(connection):
    """All that comes until the service closes the connection, as (event, data)."""
    told = []
    while True:
        try:
            message = json.loads(connection.recv(PATIENCE_S))
        except ConnectionClosed:
            return told
        told.append((message["event"], message["data"]))


def tone(seconds):
    """16-bit samples of a tone, its pitch changing each second, and then a second and a half of silence."""
    times_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    wave = 0.3 * np.sin(2 * np.pi * (200 + 50 * np.floor(times_s)) * times_s)
    return np.append(32767 * wave, np.zeros(RATE_HZ * 3 // 2)).astype("<i2")


@pytest.mark.parametrize("model", ["genres8-resnet", "course-fnn"])
def test_a_recording_is_recognized_as_the_library_does_it(service, model):
    samples = tone(3)
    timeline = Recognizer.load(model)(samples / np.float32(32768), rate_hz=RATE_HZ)
    with opened(service, f"rate_hz={RATE_HZ}&model={model}") as connection:
        pcm = samples.tobytes()
        for i in range(0, len(pcm), 9_999):  # which end within a sample, too
            connection.send(pcm[i : i + 9_999])
        connection.send("end")
        (start, opening), *told, (done, song) = events(connection)
    seconds = [data for event, data in told if event == "second"]
    assert (start, done, len(seconds)) == ("start", "done", len(told))
    assert opening == {"title": "Recording", "model": model, "classes": list(timeline.classes)}
    live, known = seconds[:5], seconds[5:] or seconds  # a model without context has nothing to send again
    assert [(second["start_s"], second["end_s"]) for second in live] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 4.5)]
    assert [second.get("label_raw", second["label"]) for second in live] == list(timeline.raw_labels or timeline.labels)
    assert all(len(second["peaks"]) == 10 for second in live)
    got = Timeline.from_dict({**song, "seconds": known})
    np.testing.assert_allclose(got.probabilities, timeline.probabilities, atol=1e-4)
    assert (got.labels, got.duration_s) == (timeline.labels, timeline.duration_s)
    assert got.labels[-1] == "silence"
    assert "incomplete" not in song


def test_a_second_comes_before_the_next_one_is_sent(service):
    with opened(service) as connection:
        assert json.loads(connection.recv(PATIENCE_S))["event"] == "start"
        for i in range(2):
            connection.send(tone(1).tobytes()[: 2 * RATE_HZ + 2 * 4410 * (i == 0)])  # the resampler holds some back
            assert json.loads(connection.recv(PATIENCE_S))["data"]["start_s"] == i


def test_a_recording_that_is_too_long_keeps_what_is_allowed(strict):
    with opened(strict, "rate_hz=8000", "/genres/v1/live") as connection:
        connection.recv(PATIENCE_S)
        minute = bytes(2 * 8000 * 60)
        for _ in range(20):
            connection.send(minute)
            for _ in range(60):
                connection.recv(PATIENCE_S)
        connection.send(minute)
        *_, (done, song) = events(connection)
    assert (done, song["duration_s"], song["dominant"]) == ("done", 1200, "silence")
    assert song["incomplete"] == "Recording: was stopped after the 20 minutes that are allowed"


@pytest.mark.parametrize(
    ("query", "messages", "status", "says"),
    [
        ("rate_hz=8000", ["end"], 422, "no sound came"),
        ("rate_hz=8000", ["start"], 422, 'the text "end"'),
        ("rate_hz=8000", [], 408, "no sound came for a while"),
        ("", [], 422, "rate_hz: must be"),
        ("rate_hz=1e4", [], 422, "rate_hz: must be"),
        ("rate_hz=99999999999", [], 422, "rate_hz: must be"),
        ("rate_hz=8000&model=../x", [], 422, "../x: no such model"),
    ],
)
def test_what_is_wrong_is_told(strict, query, messages, status, says):
    with opened(strict, query) as connection:
        for message in messages:
            connection.send(message)
        *_, (event, data) = events(connection)
    assert (event, data["status"]) == ("error", status)
    assert says in data["detail"]


def test_a_sound_that_drips_is_given_up(strict):
    told = []
    with opened(strict, "rate_hz=8000") as connection, contextlib.suppress(ConnectionClosed):
        while True:
            with contextlib.suppress(TimeoutError):
                told.append(json.loads(connection.recv(0.1)))
            connection.send(b"\0\0")
    assert [message["event"] for message in told] == ["start", "error"]
    assert told[-1]["data"]["status"] == 408


def test_more_than_an_address_may_have_are_turned_away(strict):
    with opened(strict, "rate_hz=8000") as first, opened(strict, "rate_hz=8000") as second:
        for connection in (first, second):
            connection.recv(PATIENCE_S)
        with opened(strict, "rate_hz=8000") as third:
            ((event, data),) = events(third)
    assert (event, data["status"]) == ("error", 429)


def test_who_vanishes_leaves_one_line(service, eventually):
    before, workers = service.log.count("live: "), service.workers()
    with opened(service) as connection:
        connection.recv(PATIENCE_S)
        connection.send(tone(2).tobytes())
        connection.recv(PATIENCE_S)
    eventually(lambda: service.log.count("live: ") == before + 1, "the line")
    assert "vanished after" in service.log.splitlines()[-1]
    assert service.workers() == workers
    assert "Traceback" not in service.log


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Origin": "https://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Sec-Fetch-Site": "cross-site"}, 403)],
)
def test_another_sites_page_cannot_connect(service, headers, status):
    with pytest.raises(InvalidStatus) as refused, opened(service, additional_headers=headers):
        pass
    assert refused.value.response.status_code == status
    assert refused.value.response.headers["X-Content-Type-Options"] == "nosniff"
    assert "without completing handshake" not in service.log


def test_another_host_name_or_path_is_refused(service):
    for host, path, status in [("evil.example", "/v1/live", 421), ("localhost", "/v1/timeline", 403)]:
        with raw(service, host, path) as connection:
            assert connection.recv(100).startswith(b"HTTP/1.1 %d " % status)


def raw(service, host="localhost", path="/v1/live?rate_hz=8000", **settings):
    """A connection that asks to become a WebSocket."""
    connection = service.connect(**settings)
    head = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    head += ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""]
    connection.sendall("\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *head]).encode())
    return connection


def frame(opcode, data=b"", is_last=True):
    """A frame of a client, masked with zeros (RFC 6455, 5.2)."""
    length = bytes([0x80 | len(data)]) if len(data) < 126 else struct.pack(">BQ", 0xFF, len(data))
    return bytes([0x80 * is_last | opcode]) + length + bytes(4) + data


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(lambda: frame(9, bytes(125)) * 500, id="pings whose answers are not read"),
        pytest.param(lambda: frame(2, is_last=False) + frame(0, is_last=False) * 2000, id="a message without end"),
        pytest.param(lambda: frame(2, bytes(2**21)), id="a large message"),
    ],
)
def test_what_would_fill_the_memory_is_dropped(service, flood):
    with raw(service) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(OSError):  # reset, or a broken pipe
            for _ in range(2000):
                connection.sendall(flood())
            pytest.fail("all of it was taken")
    with opened(service) as connection:
        assert json.loads(connection.recv(PATIENCE_S))["event"] == "start"


def test_compression_is_not_offered(service):
    with opened(service, compression="deflate") as connection:
        assert "Sec-WebSocket-Extensions" not in connection.response.headers
