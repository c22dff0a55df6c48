"""Accuracy on labelled songs, counted anew from their timelines, beside the test set's."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import typer

from genreline.cli import app
from genreline.data.layout import load_split
from genreline.errors import DataError
from genreline.predict.compare import compare_songs, draw_comparison, figures_on_test, pair_labels, recorded_figures
from genreline.predict.files import SongTask
from genreline.predict.recognizer import Recognizer
from genreline.train.checkpoint import Model, load_model, save_model
from genreline.train.config import load_config
from genreline.train.evaluate import evaluate_model
from genreline.train.models import build_network

CLASSES = ("blues", "jazz", "rock")


@pytest.fixture
def model_folder(tmp_path):
    torch.manual_seed(1)
    config = load_config(overrides=["features=mfccs"])
    metrics = {"test": {"loss": 1.0, "accuracy": 0.5, "f1_macro": 0.4, "n": 10}}
    save_model(Model(build_network(config, (26,), 3).eval(), config, CLASSES, metrics=metrics), tmp_path / "tiny")
    return tmp_path / "tiny"


@pytest.fixture
def songs(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / "first.wav", tmp_path / "日本.wav"]
    for path, seconds in zip(paths, (6.5, 3), strict=True):
        wave = rng.normal(0, 0.1, int(8000 * seconds)) * np.repeat(rng.integers(1, 5, 14), 4000)[: int(8000 * seconds)]
        soundfile.write(path, wave, 8000)
    return paths


def test_accuracy_is_the_share_of_seconds(model_folder, songs):
    model = load_model(model_folder)
    for label in CLASSES:
        compared = list(compare_songs(model, [(SongTask(path, Path()), label) for path in songs]))
        for song, path in zip(compared, songs, strict=True):
            timeline = Recognizer(model)(path)
            right = [second == label for second in timeline.labels]
            assert (song["n"], song["n_right"]) == (len(right), sum(right))
            assert song["accuracy"] == pytest.approx(np.mean(right))
            assert song["mean_probability"] == pytest.approx(timeline.overall[label])
            assert song["dominant"] == timeline.dominant


def test_labels_go_to_their_songs():
    assert [label for _, label in pair_labels(["a", "b"], ["rock"], CLASSES)] == ["rock", "rock"]
    assert [label for _, label in pair_labels(["a", "b"], ["rock", "jazz"], CLASSES)] == ["rock", "jazz"]
    with pytest.raises(DataError, match="2 labels for 3 songs"):
        pair_labels(["a", "b", "c"], ["rock", "jazz"], CLASSES)
    with pytest.raises(DataError, match=r"polka: .* knows blues, jazz, rock"):
        pair_labels(["a"], ["polka"], CLASSES)


def test_the_test_sets_figures(model_folder, course):
    model = load_model(model_folder)
    assert recorded_figures(model) == {"n": 10, "accuracy": 0.5, "f1_macro": 0.4}
    figures = figures_on_test(model, course)
    expected = evaluate_model(model, load_split(course, "test", "mfccs"))
    assert (figures["n"], figures["accuracy"]) == (45, expected["accuracy"])
    matrix = expected["confusion_matrix"]
    assert list(figures["recall"].values()) == pytest.approx((matrix.diagonal() / matrix.sum(axis=1)).tolist())


def run(capsys, *args):
    with pytest.raises(SystemExit) as end:
        typer.main.get_command(app)([str(arg) for arg in args])
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def test_the_command(capsys, model_folder, songs, course, tmp_path):
    labels = ["--label", "rock", "--label", "jazz"]
    code, out, _ = run(
        capsys, "compare", model_folder, *songs, *labels, "--data", course, "--out", tmp_path / "c.png", "--json"
    )
    assert code == 0
    result = json.loads(out)
    assert [song["label"] for song in result["songs"]] == ["rock", "jazz"]
    assert result["all"]["n"] == 10
    assert result["all"]["accuracy"] == sum(song["n_right"] for song in result["songs"]) / 10
    assert set(result["test"]["recall"]) == set(CLASSES)
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    code, out, err = run(
        capsys, "compare", model_folder, songs[0], "missing.wav", "--label", "rock", "--out", tmp_path / "d.png"
    )
    assert code == 1
    assert "missing.wav: there is no such file" in err
    assert "on the test set 0.500 of 10 seconds" in out
    code, _, err = run(capsys, "compare", model_folder, "missing.wav", "--label", "rock", "--out", tmp_path / "e.png")
    assert code == 1
    assert not (tmp_path / "e.png").exists()


def test_the_picture_shows_the_figures():
    songs = [
        {"file": "a/first.wav", "label": "rock", "accuracy": 0.25},
        {"file": "$x$.ogg", "label": "jazz", "accuracy": 1},
    ]
    ax = draw_comparison(songs, {"accuracy": 0.6, "recall": {"rock": 0.7, "jazz": 0.1}}).axes[0]
    assert [bar.get_width() for bar in ax.patches] == [0.25, 1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["first (rock)", "$x$ (jazz)"]
    marks, line = ax.lines
    assert list(marks.get_xdata()) == [0.7, 0.1]
    assert list(line.get_xdata()) == [0.6, 0.6]
    assert not draw_comparison(songs, None).axes[0].lines
