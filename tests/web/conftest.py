"""A service as it is used: a process of its own on loopback, and songs to send to it."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile

DEADLINE_S = 120  # busy machines are slow
SERVE = """
import json, sys
from genreline.web.limits import Limits
from genreline.web.serve import serve
options = json.loads(sys.argv[1])
named = {key: options.pop(key) for key in ("port", "root_path", "allow_urls", "models")}
serve("127.0.0.1", **named, limits=Limits(**options))
"""


def wait_until(condition, what="it"):
    """Poll until the condition gives something true, and return that."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come within {DEADLINE_S} s")


@dataclass
class Running:
    """A service that runs."""

    process: subprocess.Popen
    port: int
    folder: Path

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self):
        return (self.folder / "log").read_text()

    @property
    def temporary(self):
        """What lies in its folder for temporary files."""
        return list((self.folder / "tmp").iterdir())

    def workers(self):
        """The worker processes' numbers."""
        return {
            int(pid)
            for task in Path(f"/proc/{self.process.pid}/task").iterdir()
            for pid in (task / "children").read_text().split()
        }

    def metric(self, name):
        """The value of a metric, with its labels as Prometheus writes them; 0 if it is not there yet."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)

    def connect(self, source="127.0.0.1"):
        """A connection for what no client library would do."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S, source_address=(source, 0))

    def post_song(self, audio, name="song.wav", **settings):
        """Post a song."""
        return httpx.post(f"{self.url}/v1/timeline", files={"file": (name, audio)}, timeout=DEADLINE_S, **settings)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(DEADLINE_S)


@pytest.fixture(scope="session")
def eventually():
    """Poll until a condition gives something true: eventually(condition, what)."""
    return wait_until


@pytest.fixture
def start_service(tmp_path):
    """Start a service of one's own, once a test: start_service(**limits)."""
    services = []

    def start_service(**options):
        services.append(start(tmp_path, **options))
        return services[-1]

    yield start_service
    for service in services:
        service.stop()


def start(folder, root_path="", allow_urls=False, models=(), **limits):
    """Start a service; it is ready when this returns."""
    (folder / "tmp").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {
        "port": port,
        "root_path": root_path,
        "allow_urls": allow_urls,
        "models": list(map(str, models)),
        **limits,
    }
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, json.dumps(options)],
            stdout=log,
            stderr=log,
            env=os.environ | {"TMPDIR": str(folder / "tmp"), "PYTHONWARNINGS": "error"},
        )
    service = Running(process, port, folder)

    def ready():
        assert process.poll() is None, service.log
        try:
            n_workers = httpx.get(f"{service.url}/healthz", timeout=DEADLINE_S).json().get("workers")
        except httpx.TransportError:
            return False
        return n_workers == limits.get("workers", 2)

    wait_until(ready, "the service")
    return service


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    """A service with the usual limits."""
    service = start(tmp_path_factory.mktemp("service"))
    yield service
    service.stop()


@pytest.fixture(scope="session")
def strict(tmp_path_factory):
    """A service with narrow limits, for those who go beyond them."""
    service = start(
        tmp_path_factory.mktemp("strict"),
        allow_urls=True,
        root_path="/genres",
        workers=1,
        queue=1,
        admitted=4,
        per_client=2,
        connections=20,
        max_bytes=3_000_000,
        max_timeline_bytes=100_000,
        max_duration_s=1200,
        header_timeout_s=1,
        idle_timeout_s=1,
        upload_timeout_s=3,
    )
    yield service
    service.stop()


@pytest.fixture(scope="session")
def lax(tmp_path_factory):
    """A service that fetches from this machine, which no option of the command allows, and with little memory."""
    service = start(
        tmp_path_factory.mktemp("lax"), allow_urls=True, public_urls_only=False, workers=1, job_memory_bytes=80_000_000
    )
    yield service
    service.stop()


@pytest.fixture(scope="session")
def sound():
    """Make a file of a tone: sound(seconds, rate_hz, format, **settings of soundfile.write)."""
    return make_sound


def make_sound(seconds, rate_hz=8000, format="WAV", **settings):
    """A file of a tone, its pitch changing each second, as bytes."""
    times_s = np.arange(int(seconds * rate_hz)) / rate_hz
    wave = 0.3 * np.sin(2 * np.pi * (200 + 50 * np.floor(times_s)) * times_s)
    file = io.BytesIO()
    soundfile.write(file, wave, rate_hz, format=format, **settings)
    return file.getvalue()


def ticking(hours):
    """Hours of a clock in a small file (flac stores a block of silence in a few bytes)."""
    return silence(hours, tick=8000)


def silence(hours, tick=0):
    """Hours of silence in a small file; see `ticking`."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8000, 1, "PCM_16", format="FLAC") as flac:
        minute = np.zeros(60 * 8000, np.int16)
        minute[4000::8000] = tick
        for _ in range(round(60 * hours)):
            flac.write(minute)
    return file.getvalue()


@pytest.fixture(scope="session")
def song():
    """Twelve and a half seconds of a sound, as a wav file."""
    return make_sound(12.5)


@pytest.fixture(scope="session")
def hours_of_silence():
    """Make a small file of so many hours."""
    return silence


@pytest.fixture(scope="session")
def long_song():
    """Nineteen minutes, which take some seconds to hear, in a small file."""
    return ticking(19 / 60)
