"""The two engines: held to each other, chosen by what is there, and one of them without PyTorch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from genreline import Model, Recognizer, load_model, save_model, shipped_models
from genreline.errors import CheckpointError, ConfigError
from genreline.predict.engines import Graph, load_engine
from genreline.train.folder import read_description

BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "sklearn", "scipy", "onnx", "onnxscript", "safetensors"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture(scope="module")
def song():
    """Eight seconds and a bit: a chord, noise, a second of silence."""
    times = np.arange(8 * 8000 + 3000) / 8000
    chord = sum(np.sin(2 * np.pi * hz * times) for hz in (220, 277, 330)) * 0.1
    noise = np.random.default_rng(0).normal(0, 0.1, len(times))
    waveform = (np.where(times % 4 < 2, chord, noise)).astype(np.float32)
    waveform[3 * 8000 : 4 * 8000] = 0
    return waveform


@pytest.mark.parametrize("name", shipped_models())
def test_both_engines_make_the_same_timeline(name, song):
    by_onnx, by_torch = (Recognizer.load(name, engine=engine) for engine in ("onnx", "torch"))
    assert (type(by_onnx.model), type(by_torch.model)) == (Graph, Model)
    for attribute in ("name", "classes", "features", "metrics", "calibration"):
        assert getattr(by_onnx.model, attribute) == getattr(by_torch.model, attribute)
    ours, theirs = by_onnx(song), by_torch(song)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=0, atol=1e-4)
    np.testing.assert_allclose(ours.raw_confidence, theirs.raw_confidence, rtol=0, atol=1e-4)
    assert (ours.labels, ours.raw_labels, ours.verdict) == (theirs.labels, theirs.raw_labels, theirs.verdict)
    assert "silence" in ours.labels
    blocks = [song[i : i + 8000] for i in range(0, len(song), 8000)]
    for (_, ours_alone), (_, theirs_alone) in zip(
        by_onnx.predict_blocks(blocks), by_torch.predict_blocks(blocks), strict=True
    ):
        np.testing.assert_allclose(ours_alone, theirs_alone, rtol=0, atol=1e-4)


def test_a_graph_is_the_default_and_a_folder_without_one_is_run_by_torch(tmp_path):
    assert isinstance(load_engine("course-fnn"), Graph)
    save_model(load_model("course-fnn"), tmp_path)
    assert isinstance(load_engine(tmp_path), Model)
    with pytest.raises(CheckpointError, match="has no ONNX graph"):
        load_engine(tmp_path, "onnx")
    with pytest.raises(ConfigError, match="choose from onnx, torch"):
        load_engine("course-fnn", "tensorflow")


def test_a_file_that_is_no_graph_is_refused(tmp_path, monkeypatch):
    description = read_description("course-fnn")
    (tmp_path / "x.onnx").write_bytes(b"no graph")
    monkeypatch.setattr(type(description), "graph", lambda _: tmp_path / "x.onnx")
    with pytest.raises(CheckpointError, match=r"x\.onnx: is not a graph that can be run"):
        Graph(description)


def test_a_tensor_is_a_sound_for_either_engine(song):
    recognizer = Recognizer.load("course-fnn")
    np.testing.assert_array_equal(recognizer(torch.from_numpy(song)).probabilities, recognizer(song).probabilities)


@pytest.mark.slow  # programs of their own
def test_predicting_needs_no_torch_and_training_says_that_it_does(tmp_path, song):
    soundfile.write(tmp_path / "song.wav", song, 8000)
    done = without_torch("predict", "song.wav", "--formats", "csv,png,json,html,txt,rttm,jams", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)
    assert all(Path(tmp_path / record[name]).stat().st_size for name in ("csv", "png", "html"))
    with (tmp_path / "song.wav").open("rb") as stdin:
        streamed = without_torch("predict", "-", cwd=tmp_path, stdin=stdin)
    assert len(streamed.stdout.splitlines()) == 1 + 9
    done = without_torch("embed", "song.wav", "--out", "song.npy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "song.npy").shape == (9, 896)
    for command in (
        ["train", ".", "--out", "x"],
        ["export", "course-fnn"],
        ["predict", "song.wav", "--engine", "torch"],
    ):
        done = without_torch(*command, cwd=tmp_path)
        assert done.returncode == 2
        assert b"Traceback" not in done.stderr
        (line,) = (line for line in done.stderr.decode().splitlines() if line.startswith("error: "))
        assert "pip install 'genreline[train]'" in line


@pytest.mark.slow
def test_a_name_that_needs_torch_says_so(tmp_path):
    done = without_torch(cwd=tmp_path, command=["-c", "from genreline import Recognizer, fit"])
    last = done.stderr.decode().splitlines()[-1]
    assert last == (
        "genreline.errors.MissingError: genreline.fit: torch is missing; pip install 'genreline[train]' brings it"
    )


def without_torch(*arguments, cwd, command=("-m", "genreline"), **options):
    """The command line, and its workers, where PyTorch and what only training needs are not installed."""
    (cwd / "blocker").mkdir(exist_ok=True)
    (cwd / "blocker" / "sitecustomize.py").write_text(BLOCKER)  # which every Python imports when it starts
    path = os.pathsep.join([str(cwd / "blocker"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, *command, *arguments], capture_output=True, check=False, cwd=cwd, env=environment, **options
    )
