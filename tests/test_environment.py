"""The command line in environments that are not ours: a notebook, a style, a terminal that knows few letters."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.slow  # each is a program of its own

DARK = """
text.usetex: True
figure.facecolor: black
savefig.facecolor: black
axes.facecolor: black
text.color: white
font.size: 30
font.family: A font that nobody has
no.such.setting: 3
"""


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("songs") / "日本 🎵 é.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 20_000), 8000)
    return path


@pytest.fixture(scope="module")
def plain_picture(song: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("plain")
    assert genreline(song, out).returncode == 0
    return (out / f"{song.stem}.png").read_bytes()


def genreline(song: Path, out: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = ["predict", str(song), "--model", "course-fnn", "--out", str(out), *options]
    return subprocess.run(
        [sys.executable, "-m", "genreline", *command],
        env={**os.environ, **environment},
        cwd=out,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "no_such_backend"])
def test_a_notebooks_backend_is_of_no_concern(song: Path, plain_picture: bytes, tmp_path: Path, backend: str) -> None:
    done = genreline(song, tmp_path, "--formats", "csv,png", MPLBACKEND=backend)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert (tmp_path / f"{song.stem}.png").read_bytes() == plain_picture


def test_a_users_style_is_of_no_concern(song: Path, plain_picture: bytes, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(DARK)  # where matplotlib looks first
    done = genreline(song, tmp_path)
    assert done.returncode == 0
    assert b"setting" not in done.stderr
    assert b"font" not in done.stderr
    assert (tmp_path / f"{song.stem}.png").read_bytes() == plain_picture


def test_letters_that_the_terminal_lacks_are_escaped(song: Path, tmp_path: Path) -> None:
    done = genreline(song, tmp_path, "--formats", "csv", PYTHONIOENCODING="cp1252")
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert rb"\u65e5\u672c" in done.stdout
    assert (tmp_path / f"{song.stem}.csv").read_text().startswith("start_s,")
    done = genreline(song, tmp_path, "--formats", "csv", "--json", PYTHONIOENCODING="iso8859-7:strict")
    (record,) = json.loads(done.stdout.decode("iso8859-7"))
    assert record["file"] == str(song)


def test_an_error_about_such_a_name_is_one_line(song: Path, tmp_path: Path) -> None:
    done = genreline(song.with_name("無い.wav"), tmp_path, PYTHONIOENCODING="cp1252")
    assert done.returncode == 1
    assert rb"\u7121\u3044.wav: there is no such file" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_name_that_is_no_text_is_printed(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xe9.wav"
    try:
        with open(path, "wb") as file:
            soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 20_000), 8000, format="WAV")
    except OSError:
        pytest.skip("this file system takes names that are text only")
    done = genreline(Path(os.fsdecode(path)), tmp_path, "--json", LC_ALL="C.UTF-8")
    assert done.returncode == 0
    (record,) = json.loads(done.stdout)
    assert record["n_runs"]


def test_predicting_leaves_no_file_and_no_number_of_the_device(tmp_path: Path) -> None:
    """ONNX Runtime would, and send it to its makers."""
    (tmp_path / "tmp").mkdir()
    program = "import genreline; genreline.Recognizer.load('course-fnn')"
    places = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", program], env=os.environ | places, check=True, timeout=120)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
