"""A microphone in a terminal, with a device that plays a known sound."""

import csv
import io
import signal
import sys
import threading

import numpy as np
import pytest

from genreline.cli import app
from genreline.predict.recognizer import Recognizer

RATE_HZ = 16_000


class Device:
    """Stands in for sounddevice: plays three seconds of a tone, then presses Ctrl-C."""

    PortAudioError = type("PortAudioError", (Exception,), {})
    status = None
    samples = (8000 * np.sin(np.arange(3 * RATE_HZ) / 10)).astype("<i2")

    def query_devices(self, device, kind):
        if device == "none":
            raise ValueError("No input device matching 'none'")
        assert (device, kind) == (None, "input")
        return {"default_samplerate": float(RATE_HZ)}

    def RawInputStream(self, rate_hz, channels, dtype, device, callback):  # noqa: N802 - the name in sounddevice
        assert (rate_hz, channels, dtype, device) == (RATE_HZ, 1, "int16", None)
        self.callback = callback
        return self

    def __enter__(self):
        self.thread = threading.Thread(target=self._play)
        self.thread.start()

    def __exit__(self, *_):
        self.thread.join()

    def _play(self):
        for block in np.split(self.samples, 30):
            self.callback(block.tobytes(), len(block), None, self.status)
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def device(monkeypatch):
    device = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", device)
    return device


def test_seconds_are_printed_as_they_come(device, capsys):
    app(["listen", "--model", "course-fnn"], standalone_mode=False)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["start_s"] for row in rows[:2]] == ["0", "1"]
    expected = Recognizer.load("course-fnn")(device.samples / 32768, rate_hz=RATE_HZ)
    assert [row["label"] for row in rows[:2]] == list(expected.labels[:2])


def test_lost_samples_are_told_once(device, capsys):
    device.status = "input overflow"
    app(["listen", "--model", "course-fnn"], standalone_mode=False)
    assert capsys.readouterr().err.count("warning: the microphone's samples come faster than they are used") == 1


def test_what_is_missing_is_said(device, monkeypatch, capsys):
    app(["listen", "--device", "none"], standalone_mode=False)
    assert capsys.readouterr().err.startswith("error: listen: no microphone 'none' (No input device matching 'none')")
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    app(["listen"], standalone_mode=False)
    assert capsys.readouterr().err == "error: listen: sounddevice is missing; pip install 'genreline[listen]'\n"
