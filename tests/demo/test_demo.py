"""The demo on very little music: every stage, and what an interrupted one leaves."""

import csv

import pytest
from rich.progress import Progress

from genreline.audio.decode import decode
from genreline.data.layout import load_dataset
from genreline.demo import demo
from genreline.demo.demo import run_demo

pytestmark = pytest.mark.slow


@pytest.fixture
def little(monkeypatch):
    monkeypatch.setattr(demo, "TRACKS_PER_GENRE", 3)
    monkeypatch.setattr(demo, "TRACK_S", 2)
    monkeypatch.setattr(demo, "CONFIG", demo.CONFIG.model_copy(update={"epochs": 1}))


def test_every_stage_leaves_its_files(little, tmp_path):
    result = run_demo(tmp_path, Progress(disable=True))
    assert len(list((tmp_path / "music").glob("*/*.wav"))) == 12
    dataset = load_dataset(tmp_path / "dataset", "melgrams")
    assert dataset.classes == ("blues", "classical", "pop", "rock")
    assert [len(split) for split in dataset.splits.values()] == [8, 8, 8]
    assert result["test"]["n"] == 8
    assert result["test"]["by_track"]["n"] == 4
    medley = result["medley"]
    assert medley["n"] * 8000 == len(decode(medley["audio"]))
    with open(medley["csv"], newline="") as file:
        assert len(list(csv.DictReader(file))) == medley["n"]
    assert (tmp_path / "medley.png").exists()


def test_what_is_there_is_kept(little, tmp_path, monkeypatch):
    first = run_demo(tmp_path, Progress(disable=True))
    kept = {
        path: path.stat().st_mtime_ns
        for folder in ("music", "model", "dataset")
        for path in (tmp_path / folder).rglob("*")
        if path.is_file()
    }
    lost = tmp_path / "music" / "pop" / "pop-01.wav"
    lost.unlink()
    second = run_demo(tmp_path, Progress(disable=True))
    assert lost.exists()
    assert second["medley"] == first["medley"]
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items() if path != lost)


def test_another_dataset_or_configuration_is_another_model(little, tmp_path, monkeypatch):
    run_demo(tmp_path, Progress(disable=True))
    before = (tmp_path / "model" / "model.json").read_text()
    monkeypatch.setattr(demo, "CONFIG", demo.CONFIG.model_copy(update={"seed": 1}))
    run_demo(tmp_path, Progress(disable=True))
    assert (tmp_path / "model" / "model.json").read_text() != before
