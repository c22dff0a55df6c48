"""Many files from Python, embeddings, and a model of folders in one call."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from genreline import AudioError, ConfigError, Recognizer, load_model, train_folder
from genreline.demo.music import Track, write_track
from genreline.predict.embeddings import Embedded, check_suffix, save_embeddings
from genreline.train.models import Embedder

PAGE = (Path(__file__).parents[2] / "docs" / "own-classifier.md").read_text()


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Four tracks of three seconds of two genres, in a folder for each; the last second of the first one is silent."""
    folder = tmp_path_factory.mktemp("music") / "music"
    for genre in ("blues", "rock"):
        (folder / genre).mkdir(parents=True)
        for number in range(4):
            write_track(Track(genre, number, 3.0, folder / genre / f"{genre}-{number}.wav"))
    first = folder / "blues" / "blues-0.wav"
    sound, rate_hz = soundfile.read(first)
    sound[2 * rate_hz :] = 0
    soundfile.write(first, sound, rate_hz)
    return folder


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer("genres8-resnet")


def test_a_last_layer_turns_embeddings_into_the_timeline(recognizer, music):
    path = music / "blues" / "blues-0.wav"
    embeddings = recognizer.embed(path)
    assert embeddings.shape == (3, 896)
    assert embeddings.dtype == np.float32
    assert np.isnan(embeddings[2]).all()
    network = load_model("genres8-resnet").network[1]
    with torch.no_grad():
        logits = network.classifier(torch.from_numpy(embeddings[:2, -2 * 176 :]))
        probabilities = (logits / recognizer.model.calibration.temperature).softmax(dim=1).numpy()
    np.testing.assert_allclose(Recognizer(raw=True)(path).probabilities[:2], probabilities, atol=1e-5)
    sound, rate_hz = soundfile.read(path)
    np.testing.assert_array_equal(recognizer.embed(sound, rate_hz=rate_hz), embeddings)
    assert np.isnan(recognizer.embed(np.zeros(4000))).all()


def test_a_frozen_models_embeddings_are_those_it_started_from(music, recognizer, tmp_path):
    model = train_folder(music, tmp_path / "mine", dataset=tmp_path / "dataset")
    assert model.classes == ("blues", "rock")
    assert load_model(tmp_path / "mine").metrics == model.metrics
    assert model.config.start.freeze
    path = music / "rock" / "rock-1.wav"
    np.testing.assert_allclose(Recognizer(tmp_path / "mine").embed(path), recognizer.embed(path), rtol=1e-4, atol=1e-4)
    by_torch = Recognizer.load("genres8-resnet", engine="torch").embed(path)
    np.testing.assert_allclose(by_torch, recognizer.embed(path), rtol=1e-3, atol=1e-3)
    assert Embedder(model.network)(torch.zeros(1, 21, 128)).shape == (1, 896)


def test_many_files_in_this_process(recognizer, music, capsys):
    paths = sorted(music.rglob("*-1.wav"))
    timelines = dict(recognizer.many(paths))
    assert list(timelines) == paths
    np.testing.assert_array_equal(timelines[paths[0]].probabilities, recognizer(paths[0]).probabilities)
    assert "100%" in capsys.readouterr().err
    with pytest.raises(AudioError, match="there is no such file"):
        list(recognizer.many([music / "none.wav", *paths], progress=False))
    failed = []
    found = recognizer.many([music / "none.wav", paths[0]], progress=False, on_error=lambda *each: failed.append(each))
    assert [path for path, _ in found] == [paths[0]]
    assert [path for path, _ in failed] == [music / "none.wav"]
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_many_files_in_processes(recognizer, music):
    paths = sorted(music.rglob("*-1.wav"))
    failed = []
    found = dict(recognizer.many([*paths, music / "none.wav"], 2, lambda *each: failed.append(each), progress=False))
    assert set(found) == set(paths)
    for path, timeline in found.items():
        assert timeline.model == "genres8-resnet"
        np.testing.assert_allclose(timeline.probabilities, recognizer(path).probabilities, atol=1e-5)
    assert [str(error) for _, error in failed] == [f"{music / 'none.wav'}: there is no such file; check the path"]


def test_tables_of_embeddings(tmp_path):
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    songs = [Embedded("a.wav", rows[:2]), Embedded("b.wav", rows[2:])]
    save_embeddings(songs, tmp_path / "x.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), rows)
    assert (tmp_path / "x.npy.csv").read_text() == "file,start_s\na.wav,0\na.wav,1\nb.wav,0\n"
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    save_embeddings(songs, tmp_path / "x.parquet")
    table = parquet.read_table(tmp_path / "x.parquet").to_pydict()
    assert (table["file"], table["start_s"]) == (["a.wav", "a.wav", "b.wav"], [0, 1, 0])
    np.testing.assert_array_equal(table["embedding"], rows)
    for name, message in (("x.csv", "ends in .csv; name a file that ends in .npy or .parquet"), ("x", "no suffix")):
        with pytest.raises(ConfigError, match=re.escape(message)):
            check_suffix(tmp_path / name)


def test_the_pages_search_and_map(music, tmp_path, monkeypatch, capsys):
    """UMAP compiles for half a minute: a stand-in has its place here."""

    class UMAP:
        def __init__(self, n_neighbors):
            assert n_neighbors == 7

        def fit_transform(self, X):
            return X[:, :2]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=UMAP))
    monkeypatch.chdir(music.parent)
    search, draw = (code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "songs" in code)
    names = {}
    exec(search, names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "1.00 music/blues/blues-0.wav"
    assert len(lines) == 5
    exec(draw.replace("map.png", str(tmp_path / "map.png")), names)
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
