"""What hostile clients try, and what they get. The README lists them."""

import asyncio
import contextlib
import errno
import gzip
import io
import json
import os
import signal
import socket
import struct
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import psutil
import pytest
import soundfile
from uvicorn import Config
from uvicorn.server import ServerState

from genreline.web.app import create_app
from genreline.web.limits import Limits
from genreline.web.security import HEADERS, careful_protocol, household, is_trusted

pytestmark = pytest.mark.slow

STREAM = {"Accept": "text/event-stream"}
BOUNDARY = "end-of-part"


def detail(response, status):
    """The sentence of a problem."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()["detail"]


def form(data, name="song.wav"):
    """A form with a file, as bytes."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def head(*lines):
    """The head of a post to /v1/timeline, as bytes."""
    kind = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
    return "\r\n".join(["POST /v1/timeline HTTP/1.1", "Host: localhost", kind, *lines, "", ""]).encode()


def until_closed(connection):
    """All that comes until the other side closes the connection."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    return received


# Size ----------------------------------------------------------------------------------------------------------------


def test_a_body_that_says_it_is_too_large_is_refused_unread(strict):
    with strict.connect() as connection:
        connection.sendall(head("Content-Length: 3000001", "Expect: 100-continue"))
        answer = until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"larger than the 3 MB" in answer


def test_a_body_without_end_is_cut_off(strict):
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    sent = 0
    with strict.connect() as connection:
        connection.sendall(
            head("Transfer-Encoding: chunked") + b"%x\r\n" % len(form(b"")[:90]) + form(b"")[:90] + b"\r\n"
        )
        with contextlib.suppress(OSError):  # reset, or a broken pipe
            while sent < 50_000_000:
                connection.sendall(chunk)
                sent += 65536
    assert sent < 20_000_000
    assert strict.temporary == []


def test_a_body_after_the_answer_is_not_read_for_ever(strict):
    with strict.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        end = time.monotonic() + 60
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
    assert time.monotonic() < end


def test_large_heads_are_refused(strict):
    with strict.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000)
        assert until_closed(connection).startswith(b"HTTP/1.1 400 ")


def test_a_large_timeline_is_not_rendered(strict):
    kind = {"Content-Type": "application/json"}
    response = httpx.post(f"{strict.url}/v1/render?format=csv", content=b"1" * 100_001, headers=kind)
    assert "exceeds the limit of 100000 bytes" in detail(response, 413)


def test_more_parts_than_a_song_needs_are_refused(strict):
    files = [("file", ("a.wav", b"1")), ("file", ("b.wav", b"2"))]
    assert "Too many files" in detail(httpx.post(f"{strict.url}/v1/timeline", files=files), 400)
    fields = {f"field{i}": "1" for i in range(50)}
    response = httpx.post(f"{strict.url}/v1/timeline", files={"file": ("a", b"1")}, data=fields)
    assert "Too many fields" in detail(response, 400)
    response = httpx.post(f"{strict.url}/v1/timeline", files={"file": ("a", b"1")}, data={"model": "x" * 100_000})
    assert "maximum size" in detail(response, 400)


# Slowness ------------------------------------------------------------------------------------------------------------


def test_a_head_that_does_not_end_is_dropped(strict):
    with strict.connect() as connection:
        begin = time.monotonic()
        try:
            for _ in range(600):  # a byte now and then, as slowloris does
                connection.sendall(b"G")
                connection.settimeout(0.1)
                try:
                    if not connection.recv(1):
                        break
                except TimeoutError:
                    pass
        except OSError:
            pass
        else:
            assert time.monotonic() - begin < 50
    assert httpx.get(f"{strict.url}/healthz").status_code == 200


@pytest.mark.parametrize("trickles", [False, True], ids=["stops", "trickles"])
def test_a_body_that_does_not_come_is_given_up(strict, trickles):
    with strict.connect() as connection:
        connection.sendall(head("Content-Length: 100000") + form(b"")[:90])
        if trickles:
            connection.settimeout(0.2)
        while True:
            try:
                answer = connection.recv(65536)
                break
            except TimeoutError:
                connection.sendall(b"x")
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_who_does_not_read_the_answers_is_dropped(strict, eventually):
    with strict.connect() as connection:
        own = connection.getsockname()
        connection.sendall(10 * b"GET /assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server = psutil.Process(strict.process.pid)
        eventually(lambda: own not in [each.raddr for each in server.net_connections()], "the end of the connection")


class SlowReader:
    """A connection whose client has read all but `n_waiting` bytes: no socket here is slow enough."""

    def __init__(self, n_waiting):
        self.n_waiting = n_waiting
        self.is_aborted = False

    def get_extra_info(self, name, default=None):
        return default

    def get_write_buffer_size(self):
        return self.n_waiting

    def abort(self):
        self.is_aborted = True

    def close(self):
        """The protocol closes what it has lost."""


def test_a_client_that_reads_slowly_is_served_and_one_that_stops_is_dropped():
    idle_timeout_s = 1.0

    async def read_slowly_then_stop():
        transport = SlowReader(n_waiting=1_000_000)
        loop = asyncio.get_running_loop()
        protocol = careful_protocol(Limits(idle_timeout_s=idle_timeout_s))(Config(None), ServerState(), {}, loop)
        protocol.connection_made(transport)
        protocol.pause_writing()
        for _ in range(10):  # twice the timeout, faster than the least rate by far
            await asyncio.sleep(idle_timeout_s / 5)
            transport.n_waiting -= 10_000
        assert not transport.is_aborted
        async with asyncio.timeout(10):
            while not transport.is_aborted:  # ten bytes a second are as good as none
                await asyncio.sleep(idle_timeout_s / 5)
                transport.n_waiting -= 2
        protocol.connection_lost(None)

    with ThreadPoolExecutor(1) as thread:  # Playwright, in another test, leaves an event loop in this one
        thread.submit(asyncio.run, read_slowly_then_stop()).result()


def test_who_does_not_read_the_answer_holds_no_worker(strict, long_song, song, eventually):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", strict.port))
        body = form(long_song)
        connection.sendall(head("Accept: text/event-stream", f"Content-Length: {len(body)}") + body)
        eventually(lambda: strict.metric("genreline_jobs_running") == 1, "the job")
        assert strict.post_song(song).status_code == 200  # by the only worker


# Vanishing -----------------------------------------------------------------------------------------------------------


def test_who_vanishes_frees_the_worker(strict, long_song, eventually):
    vanished = 'genreline_jobs_total{kind="listen",outcome="vanished"}'
    before, workers = strict.metric(vanished), strict.workers()
    for headers in (STREAM, {}):
        with strict.connect() as connection:
            body = form(long_song)
            lines = [f"{name}: {value}" for name, value in headers.items()]
            connection.sendall(head(*lines, f"Content-Length: {len(body)}") + body)
            eventually(lambda: strict.metric("genreline_jobs_running") == 1, "the job")
    eventually(lambda: strict.metric(vanished) == before + 2, "the end of the jobs")
    eventually(lambda: strict.metric("genreline_jobs_running") == 0)
    assert strict.workers() == workers  # freed, not killed
    assert strict.temporary == []


def test_who_vanishes_while_sending_leaves_nothing(strict, eventually):
    with strict.connect() as connection:
        connection.sendall(head("Content-Length: 2900000") + form(bytes(2_500_000))[:2_500_000])
    eventually(lambda: strict.post_song(b"").status_code == 422, "an answer")
    assert strict.temporary == []


# Decoders ------------------------------------------------------------------------------------------------------------


def test_a_decoder_that_dies_ends_its_job_and_nothing_else(service, long_song, song, eventually):
    """The worker is killed, as a crash in a decoder would."""
    workers = service.workers()
    replaced = service.metric("genreline_workers_replaced")
    with httpx.stream(
        "POST", f"{service.url}/v1/timeline", files={"file": ("long.flac", long_song)}, headers=STREAM, timeout=120
    ) as response:
        lines = response.iter_lines()
        next(line for line in lines if line == "event: second")
        times = {pid: cpu(pid) for pid in workers}
        eventually(lambda: any(cpu(pid) > times[pid] + 5 for pid in workers), "work")
        busy = max(workers, key=lambda pid: cpu(pid) - times[pid])
        os.kill(busy, signal.SIGKILL)
        assert service.post_song(song).status_code == 200  # by the other worker
        rest = list(lines)
    assert rest[rest.index("event: error") + 1] == "data: " + json.dumps(
        {
            "type": "about:blank",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "long.flac: broke the decoder; convert it to another format",
        }
    )
    eventually(lambda: service.metric("genreline_workers") == 2, "another worker")
    assert service.metric("genreline_workers_replaced") == replaced + 1
    assert busy not in service.workers()


def cpu(pid):
    """Clock ticks that a process has worked."""
    with open(f"/proc/{pid}/stat") as stat:
        return sum(map(int, stat.read().split()[13:15]))


def test_a_bomb_of_hours_is_stopped(strict, hours_of_silence):
    bomb = hours_of_silence(3)
    assert len(bomb) < 300_000  # a tenth of what a body may have
    answer = strict.post_song(bomb, "bomb.flac").json()
    assert answer["duration_s"] == 1200
    assert answer["incomplete"].startswith("bomb.flac: lasts more than the 20 minutes allowed; cut it")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (gzip.compress(bytes(1_000_000)), "not an audio file"),
        (
            b"RIFF" + struct.pack("<I", 2**31) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 65535, 8000, 1, 1, 16),
            "song.wav",
        ),
        (b"\x89PNG\r\n\x1a\n" + bytes(1000), "not an audio file"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "not an audio file"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not an audio file"),
    ],
    ids=["gzip", "channels", "picture", "playlist", "concat"],
)
def test_what_is_no_sound_is_told(strict, data, says):
    assert says in detail(strict.post_song(data), 422)


def test_a_zip_is_not_opened(strict):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("song.wav", bytes(10_000_000))  # more than a body may have
    assert "not an audio file" in detail(strict.post_song(file.getvalue(), "song.zip"), 422)


def test_a_body_is_not_unpacked(strict, song):
    """A deflated form is taken as it is: no form."""
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Content-Encoding": "deflate"}
    response = httpx.post(f"{strict.url}/v1/timeline", content=zlib.compress(form(song)), headers=kind)
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"


def test_a_picture_of_everything_is_not_drawn(strict):
    classes = [f"c{i}" for i in range(2000)]
    song = {"title": "", "model": "", "duration_s": 1, "classes": classes}
    song["seconds"] = [{"probabilities": dict.fromkeys(classes, 1 / 2000)}]
    response = httpx.post(f"{strict.url}/v1/render?format=png", json=song, timeout=120)
    assert "more than the 100" in detail(response, 422)


def test_a_job_that_takes_all_memory_ends_and_nothing_else(lax, song, eventually):
    (worker,) = lax.workers()
    assert (
        detail(lax.post_song(bytes(95_000_000), "huge.wav"), 422) == "huge.wav: exceeds the memory of a job; send less"
    )
    assert lax.post_song(song).status_code == 200
    assert lax.workers() != {worker}


# Numbers -------------------------------------------------------------------------------------------------------------


def test_more_jobs_than_there_is_room_for_are_turned_away(strict, long_song, song, eventually):
    body = form(long_song)
    request = head("Accept: text/event-stream", f"Content-Length: {len(body)}") + body
    with strict.connect() as first, contextlib.ExitStack() as stack:
        first.sendall(request)
        eventually(lambda: strict.metric("genreline_jobs_running") == 1, "the first job")
        stack.enter_context(second := strict.connect())  # not before, or it would have been silent for too long
        second.sendall(request)
        eventually(lambda: strict.metric("genreline_jobs_waiting") == 1, "the second job")
        of_the_same_address = strict.post_song(song)
        with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2")) as client:
            of_another = client.post(f"{strict.url}/v1/timeline", files={"file": ("song.wav", song)})
    assert "wait for them" in detail(of_the_same_address, 429)
    assert of_the_same_address.headers["retry-after"] == "5"
    assert "is overloaded" in detail(of_another, 503)
    assert of_another.headers["retry-after"] == "10"
    eventually(lambda: strict.metric("genreline_jobs_running") == 0)
    assert strict.post_song(song).status_code == 200


def test_an_address_with_many_songs_holds_another_up_for_one_turn(service, long_song, song, eventually):
    done = 'genreline_jobs_total{kind="listen",outcome="done"}'
    body = form(long_song)
    many = [service.connect("127.0.0.3") for _ in range(10)]
    try:
        for connection in many:
            connection.sendall(head("Accept: text/event-stream", f"Content-Length: {len(body)}") + body)
        eventually(lambda: service.metric("genreline_jobs_waiting") >= 5, "a queue")
        before = service.metric(done)
        assert service.post_song(song).status_code == 200
        assert service.metric(done) <= before + 1 + 2  # this one, and what both workers had at hand
    finally:
        for connection in many:
            connection.close()
    eventually(lambda: service.metric("genreline_jobs_waiting") + service.metric("genreline_jobs_running") == 0)


def test_uploads_that_dawdle_are_few(strict, song, eventually):
    """Each may fill a temporary file, so their number bounds what they take on disk."""
    dawdlers = [strict.connect(f"127.0.0.{2 + i // 2}") for i in range(4)]
    try:
        for connection in dawdlers:
            connection.sendall(head("Content-Length: 100000") + form(b"")[:90])
        response = eventually(lambda: (answer := strict.post_song(song)).status_code == 503 and answer, "no room")
        assert "is overloaded" in detail(response, 503)
    finally:
        for connection in dawdlers:
            connection.close()
    eventually(lambda: strict.post_song(song).status_code == 200)


def test_more_connections_than_there_may_be_are_turned_away(strict, eventually):
    idle = [strict.connect() for _ in range(40)]
    try:
        responses = [httpx.get(f"{strict.url}/healthz") for _ in range(3)]
    finally:
        for connection in idle:
            connection.close()
    for response in responses:
        assert detail(response, 503) == "the service is overloaded; try again later"
        assert response.headers["connection"] == "close"
        assert {name: response.headers[name] for name in HEADERS} == HEADERS
    eventually(lambda: httpx.get(f"{strict.url}/healthz").status_code == 200)


def test_one_address_cannot_take_all_connections(start_service, eventually):
    service = start_service(workers=1, connections=20, connections_per_client=4)
    ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    idle = [service.connect("127.0.0.5") for _ in range(30)]
    try:
        for connection in idle[6:]:
            assert until_closed(connection) == b""
        idle[5].sendall(ask)
        assert until_closed(idle[5]).startswith(b"HTTP/1.1 503 ")
        with service.connect("127.0.0.9") as connection:
            connection.sendall(ask)
            assert until_closed(connection).startswith(b"HTTP/1.1 200 ")
        behind_a_proxy = [service.connect() for _ in range(10)]  # which 127.0.0.1 is trusted to be
        assert httpx.get(f"{service.url}/healthz").status_code == 200
        for connection in behind_a_proxy:
            connection.close()
    finally:
        for connection in idle:
            connection.close()
    assert service.log.count("more connections than there may be") < 10  # not one for each


def test_an_address_is_that_of_one_customer():
    assert household("1.2.3.4") == household("::ffff:1.2.3.4") == "1.2.3.4"
    assert household("2001:db8::1") == household("2001:db8::ffff") == "2001:db8::/64"
    assert household("unix:/run/proxy") == "unix:/run/proxy"
    assert is_trusted("10.1.2.3", "127.0.0.1, 10.0.0.0/8")
    assert is_trusted("1.2.3.4", "*")
    assert not is_trusted("1.2.3.4", ["127.0.0.1", "/run/proxy"])


def test_a_flood_of_empty_messages_is_ended(strict):
    with strict.connect() as connection:
        connection.sendall(
            b"GET /v1/live?rate_hz=8000 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert connection.recv(16).startswith(b"HTTP/1.1 101 ")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                connection.sendall(b"\x82\x80\0\0\0\0" * 100)
        answer = until_closed(connection)
    assert b"the sound comes in more than 200 messages a second" in answer or answer == b""
    assert httpx.get(f"{strict.url}/healthz").status_code == 200


# Names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("../../etc/cron.d/evil.wav", "evil"),
        ("..\\..\\windows\\evil.wav", "evil"),
        ("/dev/zero", "zero"),
        ("a%2F..%2Fb.wav", "a%2F..%2Fb"),
        ("<img src=x onerror=alert(1)>.wav", "<img src=x onerror=alert(1)>"),
        ("tab\there.wav", "tabhere"),
        ("long" * 100 + ".wav", ("long" * 100 + ".wav")[-120:-4]),
    ],
)
def test_a_files_name_is_a_title_and_no_path(strict, song, name, title):
    response = httpx.post(
        f"{strict.url}/v1/timeline",
        content=form(song, name),
        headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        timeout=120,
    )
    assert response.json()["title"] == title
    assert strict.temporary == []


@pytest.mark.parametrize("name", ["/etc/passwd", "../genres7-cnn", "genres7-cnn\r\nX-Evil: 1", "<script>", ""])
def test_a_models_name_is_no_path(strict, song, name):
    response = strict.post_song(song, data={"model": name})
    assert "no such model" in detail(response, 422)
    assert "x-evil" not in response.headers


@pytest.mark.parametrize(
    "path", ["/assets/../app.py", "/assets/%2e%2e/app.py", "/assets/..%2Fapp.py", "/v1/models/..%2F..%2Ferrors/card"]
)
def test_a_path_opens_no_file(strict, path):
    with strict.connect() as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert until_closed(connection).startswith(b"HTTP/1.1 404 ")


def test_headers_cannot_be_made_by_names(strict, song):
    evil = 'x"\r\nX-Evil: 1\r\nY: ".wav'
    response = httpx.post(
        f"{strict.url}/v1/timeline",
        content=form(song, evil),
        headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
        timeout=120,
    )
    assert "x-evil" not in response.headers
    assert response.status_code in (200, 400, 422)


@pytest.mark.parametrize(
    "title",
    [
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        'x"\r\nX-Evil: 1\r\n\r\n<b>',
        "../../etc/passwd",
        "\ud800\u202e\0",
        "=HYPERLINK(1)\t,\n",
        "x" * 100_000,
    ],
)
@pytest.mark.parametrize("accept", ["text/html", "text/csv", "text/x-rttm", "application/vnd.jams+json", "image/png"])
def test_a_hostile_title_stays_a_title(service, title, accept):
    song = {"title": title, "model": title[:50], "duration_s": 1, "classes": [title[:50], "b"]}
    song["seconds"] = [{"probabilities": {title[:50]: 0.75, "b": 0.25}}]
    headers = {"Accept": accept, "Content-Type": "application/json"}
    response = httpx.post(f"{service.url}/v1/render", content=json.dumps(song), headers=headers, timeout=120)
    if response.status_code == 422:  # a character that no text can hold
        return
    assert response.status_code == 200
    assert "x-evil" not in response.headers
    saved_as = response.headers["content-disposition"]
    assert saved_as.startswith('attachment; filename="')
    assert not {"/", "\\", "\n"} & set(saved_as)
    assert len(saved_as) < 1500
    if accept == "text/html":
        assert "<script>alert" not in response.text
        assert "<img src=x" not in response.text


# Other sites ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
    ],
)
def test_another_sites_page_cannot_post(strict, song, headers):
    assert "another site" in detail(strict.post_song(song, headers=headers), 403)


def test_the_own_page_can_post_and_no_other_can_read(strict, song):
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": strict.url}):
        response = strict.post_song(song, headers=headers)
        assert response.status_code == 200
        assert not [name for name in response.headers if name.startswith("access-control")]
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = httpx.options(f"{strict.url}/v1/timeline", headers=preflight)
    assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/assets/page.js", "/v1/models", "/openapi.json", "/nothing", "/metrics"]
)
def test_every_answer_has_the_headers_that_keep_it_safe(service, path):
    headers = httpx.get(service.url + path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers


# URLs ----------------------------------------------------------------------------------------------------------------


def test_urls_are_not_fetched_unless_asked_for(service):
    response = httpx.post(f"{service.url}/v1/timeline/url", json={"url": "https://example.org/song.mp3"})
    assert "fetches no URLs" in detail(response, 403)


@pytest.mark.parametrize(
    "host",
    [
        "localhost:{port}",
        "[::1]:{port}",
        "2130706433:{port}",
        "[::ffff:127.0.0.1]:{port}",
        "10.0.0.1",
        "169.254.169.254",
        "nothing.invalid",  # the same words, or strangers could ask which private names there are
    ],
)
def test_urls_do_not_lead_inside(strict, host):
    url = f"http://{host.format(port=strict.port)}/v1/examples/blues"
    response = httpx.post(f"{strict.url}/v1/timeline/url", json={"url": url}, timeout=120)
    assert "public" in detail(response, 422)
    assert strict.temporary == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "/etc/passwd"])
def test_urls_are_of_the_web(strict, url):
    response = httpx.post(f"{strict.url}/v1/timeline/url", json={"url": url}, timeout=120)
    assert "not an http or https URL" in detail(response, 422)


@pytest.mark.parametrize("body", [{}, {"url": 1}, {"url": "http://x", "more": 1}, [], "http://x", {"url": "x" * 5000}])
def test_what_is_no_link_is_told(strict, body):
    assert "send an object with `url`" in detail(httpx.post(f"{strict.url}/v1/timeline/url", json=body), 422)


def test_a_link_is_heard_and_leaves_nothing(lax, eventually):
    url = f"{lax.url}/v1/examples/blues"
    response = httpx.post(f"{lax.url}/v1/timeline/url", json={"url": url, "model": "course-fnn"}, timeout=120)
    assert response.status_code == 200, response.text
    assert (response.json()["duration_s"], response.json()["model"]) == (30, "course-fnn")
    eventually(lambda: lax.temporary == [], "the end of its files")


# Listeners -----------------------------------------------------------------------------------------------------------


def test_nothing_of_a_listener_is_logged(service, song):
    n_lines = len(service.log.splitlines())
    service.post_song(song, "my secret song.wav", headers={"User-Agent": "my browser", "X-Forwarded-For": "192.0.2.7"})
    service.post_song(b"no song", "another secret.wav")
    httpx.post(f"{service.url}/v1/timeline/url", json={"url": "https://example.org/secret"})
    httpx.get(f"{service.url}/secret?secret=1")
    lines = service.log.splitlines()[n_lines:]
    assert [line.split(" INFO ")[1].split(" after ")[0] for line in lines] == [
        "listen: 200044 bytes, 12.5 s of sound, done",
        "listen: 7 bytes, 0.0 s of sound, refused",
    ]


def test_it_drains(start_service, long_song, eventually):
    service = start_service(workers=1)
    workers = service.workers()
    with httpx.stream(
        "POST", f"{service.url}/v1/timeline", files={"file": ("long.flac", long_song)}, headers=STREAM, timeout=120
    ) as response:
        lines = response.iter_lines()
        next(line for line in lines if line == "event: second")
        service.process.send_signal(signal.SIGTERM)

        def refuses():
            try:
                service.connect().close()
            except ConnectionRefusedError:
                return True
            return False

        eventually(refuses, "the end of new connections")
        assert "event: done" in list(lines)
    assert service.process.wait(120) in (0, -signal.SIGTERM)
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_name_that_is_not_the_services_is_refused(service):
    for host, status in {
        "evil.example": 421,
        f"evil.example:{service.port}": 421,
        "localhost.evil.example": 421,
        "127.0.0.1.evil.example": 421,
        "": 421,
        "[": 421,
        f"localhost:{service.port}": 200,
        "LOCALHOST": 200,
        "[::1]:80": 200,
    }.items():
        response = httpx.get(f"{service.url}/healthz", headers={"Host": host})
        assert response.status_code == status, host
    assert "--host-name" in detail(httpx.get(f"{service.url}/metrics", headers={"Host": "evil.example"}), 421)


def test_a_decoder_that_talks_leaves_no_line(service):
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 80_000), 8000, format="MP3")
    damaged = bytearray(file.getvalue())
    for place in range(2000, len(damaged), 700):
        damaged[place : place + 90] = bytes(range(90))
    assert service.post_song(bytes(damaged), "song.mp3").status_code in (200, 422)
    assert "mpg123" not in service.log


def test_a_killed_service_leaves_no_worker(start_service, long_song, eventually):
    service = start_service(workers=1)
    (worker,) = service.workers()
    body = form(long_song)
    with service.connect() as connection:
        connection.sendall(head(f"Content-Length: {len(body)}") + body)
        eventually(lambda: service.metric("genreline_jobs_running") == 1, "the job")
        service.process.kill()
        eventually(lambda: not psutil.pid_exists(worker), "the worker's end")


def test_silent_connections_are_closed_and_leave_no_traceback(start_service, eventually):
    """More than files may be open, and nobody says a word."""
    service = start_service(workers=1, header_timeout_s=1, connections=16)
    psutil.Process(service.process.pid).rlimit(psutil.RLIMIT_NOFILE, (48, 48))
    silent = [service.connect() for _ in range(100)]
    assert all(until_closed(connection) == b"" for connection in silent)
    for connection in silent:
        connection.close()
    assert eventually(lambda: _healthy(service), "health")
    assert "Traceback" not in service.log
    assert len(service.log.splitlines()) < 20


def _healthy(service):
    try:
        return httpx.get(f"{service.url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_reader_of_few_bytes_is_dropped(strict, eventually):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(120)
        connection.connect(("127.0.0.1", strict.port))
        connection.sendall(b"GET /assets/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
        begin = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(20):  # 400 bytes a second
                time.sleep(0.05)
                assert time.monotonic() < begin + 60


def test_a_full_disk_is_told_with_the_safe_headers(monkeypatch, song):
    def no_room(request):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("genreline.web.routes.timelines.form_of", no_room)

    async def post():
        transport = httpx.ASGITransport(create_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post("/v1/timeline", files={"file": song})

    with ThreadPoolExecutor(1) as thread:
        response = thread.submit(asyncio.run, post()).result()
    assert "disk is full" in detail(response, 507)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
