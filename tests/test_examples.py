"""The examples run as a user runs them, on composed music."""

import csv
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import genreline
from genreline import Recognizer, decode
from genreline.demo.music import GENRES, Track, write_track

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"
README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Four short tracks of each genre, in a folder for each."""
    folder = tmp_path_factory.mktemp("music")
    for genre in GENRES:
        (folder / genre).mkdir()
        for number in range(4):
            write_track(Track(genre, number, 4.0, folder / genre / f"{genre}-{number}.wav"))
    return folder


@pytest.fixture
def run(monkeypatch, capsys):
    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr()

    return run


def test_predict_song(run, music):
    lines = run("predict_song.py", music / "blues" / "blues-0.wav").out.splitlines()
    assert lines[0].startswith("genre: ")
    assert lines[1].startswith("   0.0 s to ")
    assert " 4.0 s " in lines[-1]


def test_folder_to_csv(run, music, tmp_path):
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "a.wav").write_bytes((music / "rock" / "rock-0.wav").read_bytes())
    (tmp_path / "songs" / "notes.txt").write_text("no song")
    said = run("folder_to_csv.py", tmp_path / "songs", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        assert [row["song"] for row in csv.DictReader(file)] == ["a.wav"]
    assert said.err.startswith("skipped: ")
    assert "notes.txt" in said.err


def test_features(run, music, tmp_path):
    assert run("features.py", music / "pop" / "pop-0.wav", tmp_path / "out.npz").out == "4 seconds\n"
    with np.load(tmp_path / "out.npz") as features:
        assert features["melgrams"].shape == (4, 21, 128)
        assert features["mfccs"].shape == (4, 26)


def test_onnx_alone_predicts_what_genreline_predicts(run, music, tmp_path, monkeypatch):
    (graph,) = (Path(genreline.__file__).parent / "models" / "genres8-resnet").glob("*.onnx")
    waveform = np.concatenate([decode(music / "rock" / "rock-0.wav"), np.zeros(8000, np.float32)])
    soundfile.write(tmp_path / "song.wav", waveform, 8000, subtype="PCM_16")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "genreline", None)
        lines = run("onnx_alone.py", graph, tmp_path / "song.wav").out.splitlines()
    timeline = Recognizer.load("genres8-resnet", raw=True)(tmp_path / "song.wav")
    assert [line.split()[1] for line in lines[:-1]] == list(timeline.labels)
    assert lines[-1] == f"genre: {timeline.dominant}"


def test_train_your_own(run, music, tmp_path):
    assert run("train_your_own.py", music, tmp_path).out.endswith("classes: blues, classical, pop, rock\n")
    assert (tmp_path / "model" / "model.json").exists()


def test_train_your_own_as_the_readme_shows_it(music, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (snippet,) = [code for code in README.split("```python\n") if code.startswith("from genreline import Config")]
    exec(snippet.split("```")[0].replace("genreline-demo/music", str(music)), {})
    assert (tmp_path / "mine" / "model.json").exists()
