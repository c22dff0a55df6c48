"""A stream on a real pipe: written by the test piece by piece, read back row by row."""

import io
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from genreline.audio.decode import arriving, decode
from genreline.cli import app
from genreline.errors import AudioError
from genreline.predict.recognizer import Recognizer
from genreline.predict.stream import predict_stream
from genreline.predict.timeline import Timeline

MODEL = "course-fnn"


@pytest.fixture(scope="module")
def samples():
    """12.3 seconds at 8 kHz, 16 bits; no two seconds alike."""
    times_s = np.arange(int(12.3 * 8000)) / 8000
    rng = np.random.default_rng(0)
    wave = np.sin(2 * np.pi * (200 + 90 * times_s) * times_s) + rng.normal(0, 0.2, len(times_s)) * (times_s % 3)
    return np.round(wave * 6000).astype("<i2")


@pytest.fixture
def stream():
    """Start `genreline predict -`."""
    started = []

    def stream(*args):
        process = subprocess.Popen(
            [sys.executable, "-m", "genreline", "predict", "-", "--model", MODEL, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        started.append(process)
        return process

    yield stream
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def piped():
    """The reading end of a pipe into which a few kilobytes were written; standard input is put back afterwards."""
    stdin = os.dup(0)

    def piped(data):
        read, write = os.pipe()
        os.write(write, data)
        os.close(write)
        return open(read, "rb", buffering=0)

    yield piped
    os.dup2(stdin, 0)
    os.close(stdin)


def assert_same(text, data):
    """The rows are those of the file heard at once, but for what a sum's order rounds away."""
    rows, expected = Timeline.from_csv(text.decode()), Recognizer.load(MODEL)(data)
    assert rows.classes == expected.classes
    assert rows.duration_s == pytest.approx(expected.duration_s, abs=1e-3)
    np.testing.assert_allclose(rows.probabilities, expected.probabilities, atol=2e-4)


def as_file(samples, form, rate_hz=8000):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=form)
    return buffer.getvalue()


@pytest.mark.slow
def test_each_row_of_a_raw_stream_comes_before_the_next_second_is_written(stream, samples):
    process = stream("--raw-rate-hz", "8000")
    lines = [process.stdout.readline()]
    for second in range(12):
        process.stdin.write(samples[8000 * second : 8000 * (second + 1)].tobytes())
        lines.append(process.stdout.readline())  # would wait for ever if the row needed more
        assert lines[-1].startswith(f"{second},{second + 1},".encode())
    process.stdin.write(samples[96000:].tobytes() + b"\x00")  # and half a sample
    process.stdin.close()
    lines += process.stdout.readlines()
    assert process.wait() == 0
    assert_same(b"".join(lines), as_file(samples, "WAV"))


@pytest.mark.slow
def test_a_container_is_heard_before_it_ends(stream, samples):
    data = as_file(samples, "OGG")
    process = stream()
    process.stdin.write(data[: len(data) // 2])
    lines = [process.stdout.readline() for _ in range(3)]
    assert lines[2].startswith(b"1,2,")
    process.stdin.write(data[len(data) // 2 :])
    process.stdin.close()
    lines += process.stdout.readlines()
    assert process.wait() == 0
    rows, truth = Timeline.from_csv(b"".join(lines).decode()), Recognizer.load(MODEL)(data)
    assert rows.duration_s == pytest.approx(12.3, abs=0.05)
    # Two decoders, of which one leaves out the encoder's padding.
    assert np.mean(np.array(rows.labels) == np.array(truth.labels)) >= 0.75


@pytest.mark.slow
def test_ctrl_c_ends_with_what_there_is(stream, samples):
    process = stream("--raw-rate-hz", "8000")
    process.stdin.write(samples[:20000].tobytes())
    lines = [process.stdout.readline() for _ in range(3)]
    os.kill(process.pid, signal.SIGINT)
    lines += process.stdout.readlines()  # to its end, while the stream is still open
    assert process.wait() == 130
    assert process.stderr.read() == b"genreline: interrupted\n"
    assert_same(b"".join(lines), as_file(samples[:20000], "WAV"))


@pytest.mark.parametrize(
    ("data", "args", "message"),
    [
        (b"", (), "<stdin>: not an audio file"),
        (b"no sound at all" * 1000, (), "<stdin>: not an audio file"),
        (b"", ("--raw-rate-hz", "8000"), "<stdin>: is shorter than a sample"),
        (b"", ("--raw-rate-hz", "12"), "a rate of 12 Hz is absurd"),
        (b"", ("song.wav",), "a stream must be the only input"),
        (b"", ("--json",), "a stream must be the only input"),
    ],
)
def test_what_is_wrong_is_one_line(piped, capsys, data, args, message):
    with piped(data) as stream:
        os.dup2(stream.fileno(), 0)
        with pytest.raises(SystemExit) as end:
            app(["predict", "-", "--model", MODEL, *args])
    assert end.value.code == 2
    _, err = capsys.readouterr()
    assert message in err
    assert len(err.splitlines()) == 1


class Trickle:
    """A stream that gives a few bytes at a time, as a slow network does."""

    def __init__(self, data, size):
        self.file, self.size, self.name = io.BytesIO(data), size, "trickle"

    def read(self, n_bytes):
        return self.file.read(min(n_bytes, self.size))


@pytest.mark.parametrize("form", ["WAV", "FLAC", "AIFF", "AU"])
def test_arriving_gives_the_samples_of_the_file(samples, form):
    data = as_file(samples, form, 11025)
    blocks = list(arriving(Trickle(data, 777)))
    assert {len(block) for block in blocks[:-1]} == {8000}
    np.testing.assert_allclose(np.concatenate(blocks), decode(data), atol=1e-6)


def test_arriving_raw_gives_the_samples(samples):
    blocks = list(arriving(Trickle(samples.tobytes(), 777), raw_rate_hz=8000))
    np.testing.assert_array_equal(np.concatenate(blocks), samples.astype(np.float32) / 32768)


def test_a_stream_that_is_cut_is_told_after_what_could_be_heard(samples):
    data = as_file(samples, "FLAC")
    blocks = arriving(Trickle(data[: len(data) // 2], 4000))
    assert len(next(blocks)) == 8000
    with pytest.raises(AudioError, match="trickle"):
        list(blocks)


@pytest.mark.parametrize("seconds", [0.1, 2.1, 2.3])
def test_rows_are_those_of_the_file_silence_and_a_short_end_too(piped, samples, seconds):
    sound = samples[: int(8000 * seconds)].copy()
    sound[8000:16000] = 0
    out = io.StringIO()
    with piped(sound.tobytes()) as stream:
        predict_stream(Recognizer.load(MODEL), stream, out, 8000)
    assert_same(out.getvalue().encode(), as_file(sound, "WAV"))
    assert ("1,2" in out.getvalue() and ",silence," in out.getvalue()) == (seconds > 1)
