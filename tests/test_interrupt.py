"""Commands end soon after a signal, with their workers, and leave nothing half-written; so do decoders that hang."""

import contextlib
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from genreline.errors import GenrelineError
from genreline.parallel import map_unordered

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGXCPU"), reason="needs the signals of Unix"),
]
SOON_S = 10.0  # two seconds, on a machine that is busy with other tests
BUSY = "while True: pass"
ALONE = ("compare", "course-fnn", "--label", "blues")  # decodes in the command's own process
ASLEEP = "import time; time.sleep(600)"


def test_a_worker_that_takes_too_long_is_lost_alone() -> None:
    """`exec` runs its items, as text."""
    items = ["1", BUSY, "2", "import os; os._exit(3)", "3", "4"]
    seconds = {BUSY: 1.0}
    done = dict(
        map_unordered(
            exec,
            items,
            jobs=2,
            processor_s=lambda item: seconds.get(item, 60.0),
            lost=lambda _, what: what,  # type: ignore[arg-type, return-value]
        )
    )
    assert done.pop(BUSY) == "took more than 1 s of processor time"  # type: ignore[comparison-overlap]
    assert done.pop("import os; os._exit(3)") == "died (killed, or short of memory)"  # type: ignore[comparison-overlap]
    assert done == dict.fromkeys("1234")


def test_a_worker_that_dies_is_an_error_where_nothing_stands_for_it() -> None:
    with pytest.raises(GenrelineError, match=r"a worker process died \(killed, or short of memory\); try fewer --jobs"):
        list(map_unordered(exec, ["1", "import os; os._exit(3)"], jobs=2))


def test_whoever_stops_taking_results_stops_the_work() -> None:
    results = map_unordered(exec, ["1", BUSY, ASLEEP], jobs=3)
    next(results)
    living = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    children = [child for child in living if "spawn_main" in " ".join(child.cmdline())]
    assert children
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < SOON_S
    wait_for_the_end(children, start + SOON_S)


def test_many_items_in_few_processes() -> None:
    items = [*range(200)]
    assert dict(map_unordered(math.factorial, iter(items), jobs=3)) == {n: math.factorial(n) for n in items}


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of two classes with songs of ten minutes."""
    folder = tmp_path_factory.mktemp("songs")
    noise = np.random.default_rng(0).normal(0, 0.1, 8000 * 600)
    for name in ("rock", "jazz"):
        (folder / name).mkdir()
        for i in range(6):
            soundfile.write(folder / name / f"{i}.wav", np.roll(noise, i), 8000, subtype="PCM_16")
    return folder


@contextlib.contextmanager
def running(*command: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "genreline", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_for_the_end(processes: list[psutil.Process], deadline: float) -> None:
    """Zombies have ended too: who has lost its parent may wait for an init that takes no note."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                assert time.monotonic() < deadline, process
                time.sleep(0.01)


COMMANDS = {
    "predict": (
        "predict",
        "{songs}",
        "--model",
        "course-fnn",
        "--jobs",
        "2",
        "--out",
        "{out}",
        "--formats",
        "csv,json",
    ),
    "prepare": ("prepare", "{songs}", "{out}", "--jobs", "2"),
}


@pytest.mark.parametrize(
    ("name", "end"),  # test_prepare has the other two of `prepare`
    [
        ("predict", signal.SIGINT),
        ("predict", signal.SIGTERM),
        ("predict", signal.SIGKILL),
        ("prepare", signal.SIGTERM),
    ],
)
def test_a_signal_ends_a_command_and_its_workers(songs: Path, tmp_path: Path, name: str, end: signal.Signals) -> None:
    out = tmp_path / "out"
    with running(*(word.format(songs=songs, out=out) for word in COMMANDS[name])) as process:
        wait_until(lambda: [*out.rglob("[!.]*.csv"), *out.rglob("[!.]*.rows")], process)
        workers = psutil.Process(process.pid).children(recursive=True)
        start = time.monotonic()
        if end == signal.SIGINT:
            os.killpg(process.pid, end)  # as a terminal does
        else:
            process.send_signal(end)
        assert process.wait(SOON_S) == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(end, -end)
        wait_for_the_end(workers, start + SOON_S)
        _, err = process.communicate()
    if end != signal.SIGKILL:
        progress = ("predicting", "features")  # whose display may end with an empty line
        lines = [line for line in err.decode().splitlines() if line and not line.startswith(progress)]
        assert lines == [f"genreline: {'interrupted' if end == signal.SIGINT else 'terminated'}"]
        assert not [path for path in out.rglob(".*.*") if path.suffix in (".csv", ".rows")]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_decoder_that_hangs_does_not_keep_a_signal_out(tmp_path: Path, end: signal.Signals) -> None:
    """A function of C that begins anew whenever a signal interrupts it, so that Python's handler never runs."""
    program = """
import ctypes, sys
import genreline.audio.decode as decode
from genreline.cli import app

def never(*_):
    lock = ctypes.create_string_buffer(128)
    libc = ctypes.CDLL(None)  # which lets other threads run, as soundfile and PyAV do
    libc.pthread_mutex_init(lock, None)
    libc.pthread_mutex_lock(lock)
    print("hangs", flush=True)
    libc.pthread_mutex_lock(lock)

decode._chunks = never
app(sys.argv[1:])
"""
    soundfile.write(tmp_path / "song.wav", np.zeros(8000), 8000)
    with subprocess.Popen(
        [sys.executable, "-c", program, *ALONE, str(tmp_path / "song.wav")],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"hangs\n"
        process.send_signal(end)
        try:
            assert process.wait(SOON_S) == 128 + end
        finally:
            process.kill()
        _, err = process.communicate()
    assert re.search(rb"genreline: (interrupted|terminated)\n$", err)  # the signal may come just before the hang
    assert b"Traceback" not in err


@pytest.mark.parametrize("command", [(*ALONE, "songs/blues/0.aiff"), ("prepare", "--jobs", "1", "songs", "dataset")])
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_within_libsndfiles_reading_is_not_lost(tmp_path: Path, command: tuple[str, ...], times: int) -> None:
    """A file's bytes come through Python, and an exception there would be printed and forgotten."""
    program = """
import os, signal, sys
import genreline.audio.riff as riff
from genreline.cli import app
read = riff.Window.readinto if hasattr(riff.Window, "readinto") else riff.Window.read
left = int(sys.argv.pop())

def interrupted(self, *args):
    global left
    if left:
        left -= 1
        os.kill(os.getpid(), signal.SIGINT)
    return read(self, *args)

setattr(riff.Window, read.__name__, interrupted)
app(sys.argv[1:])
"""
    for name in ("blues", "rock"):
        (tmp_path / "songs" / name).mkdir(parents=True)
        for i in range(3):  # for each set
            soundfile.write(tmp_path / "songs" / name / f"{i}.aiff", np.zeros(80_000), 8000)
    done = subprocess.run(
        [sys.executable, "-c", program, *command, str(times)],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130
    assert b"Traceback" not in done.stderr
    assert done.stderr.endswith(b"genreline: interrupted\n")
