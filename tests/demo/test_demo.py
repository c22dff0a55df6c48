"""The demo on very little music: every stage, and what an interrupted one leaves."""

import csv
import shutil
from functools import partial

import pytest
from rich.progress import Progress

from genreline.audio.decode import decode
from genreline.data.layout import load_dataset
from genreline.demo import demo
from genreline.demo.demo import run_demo

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def little():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "TRACKS_PER_GENRE", 3)
        patch.setattr(demo, "TRACK_S", 2)
        patch.setattr(demo, "CONFIG", demo.CONFIG.model_copy(update={"epochs": 1}))
        patch.setattr(demo, "medley", partial(demo.medley, part_s=2))
        yield


@pytest.fixture(scope="module")
def finished_demo(little, tmp_path_factory):
    """The folder and the result of a demo."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, run_demo(folder, Progress(disable=True))


@pytest.fixture
def copied_demo(finished_demo, tmp_path):
    """The folder of a finished demo, the test's own."""
    return shutil.copytree(finished_demo[0], tmp_path / "demo")


def test_every_stage_leaves_its_files(finished_demo):
    folder, result = finished_demo
    assert len(list((folder / "music").glob("*/*.wav"))) == 12
    dataset = load_dataset(folder / "dataset", "melgrams")
    assert dataset.classes == ("blues", "classical", "pop", "rock")
    assert [len(split) for split in dataset.splits.values()] == [8, 8, 8]
    assert result["test"]["n"] == 8
    assert result["test"]["by_track"]["n"] == 4
    medley = result["medley"]
    assert medley["n"] * 8000 == len(decode(medley["audio"]))
    with open(medley["csv"], newline="") as file:
        assert len(list(csv.DictReader(file))) == medley["n"]
    assert (folder / "medley.png").exists()


def test_what_is_there_is_kept_and_another_configuration_is_another_model(copied_demo, finished_demo, monkeypatch):
    kept = {
        path: path.stat().st_mtime_ns
        for folder in ("music", "model", "dataset")
        for path in (copied_demo / folder).rglob("*")
        if path.is_file()
    }
    lost = copied_demo / "music" / "pop" / "pop-01.wav"
    lost.unlink()
    again = run_demo(copied_demo, Progress(disable=True))
    assert lost.exists()
    figures = ("f1_macro", "accuracy", "n")
    assert [again["medley"][key] for key in figures] == [finished_demo[1]["medley"][key] for key in figures]
    assert all(path.stat().st_mtime_ns == before for path, before in kept.items() if path != lost)

    before = (copied_demo / "model" / "model.json").read_text()
    monkeypatch.setattr(demo, "CONFIG", demo.CONFIG.model_copy(update={"seed": 1}))
    run_demo(copied_demo, Progress(disable=True))
    assert (copied_demo / "model" / "model.json").read_text() != before
