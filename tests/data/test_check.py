import json
import sys
from collections import Counter

import numpy as np
import pytest

from genreline.data.check import check_dataset
from genreline.data.layout import SETS, digest, load_dataset
from genreline.files import json_text


def test_a_sound_dataset_has_no_problems(course):
    report = check_dataset(course)
    assert report.problems == report.warnings == []
    train = report.sets["mfccs"][0]
    assert train.shape == (96, 26)
    assert train.counts == {"blues": 32, "jazz": 32, "rock": 32}
    X = np.load(course / "train" / "mfccs" / "X.npy")
    assert (train.minimum, train.maximum) == (X.min(), X.max())
    assert json.loads(json_text(report.to_dict()))["sets"]["melgrams"][2]["shape"] == [45, 21, 128]


def test_silence_and_duplicates_are_counted(course):
    for name in ("train", "val"):
        X = np.load(course / name / "mfccs" / "X.npy")
        X[3] = X[4] = X[5] = [-99] + [0] * 25
        np.save(course / name / "mfccs" / "X.npy", X)
    report = check_dataset(course)
    assert [each.silent_rows for each in report.sets["mfccs"]] == [3, 3, 0]
    assert [each.duplicate_rows for each in report.sets["mfccs"]] == [2, 2, 0]
    assert any("train and val share 1 distinct equal rows" in line for line in report.warnings)


def test_copies_in_another_type_are_found(course):
    X = np.load(course / "train" / "mfccs" / "X.npy")
    np.save(course / "val" / "mfccs" / "X.npy", X[:36].astype(np.float64))
    assert any("train and val share 36 distinct equal rows" in line for line in check_dataset(course).warnings)


def test_rows_are_compared_however_they_are_laid_out(course):
    for kind in ("mfccs", "melgrams"):
        X = np.load(course / "train" / kind / "X.npy")
        np.save(course / "val" / kind / "X.npy", np.asfortranarray(X[:36]))
    lines = check_dataset(course).warnings
    assert len([line for line in lines if "train and val share 36 distinct equal rows" in line]) == 2


def test_silent_melgrams_are_counted(course):
    X = np.load(course / "test" / "melgrams" / "X.npy")
    X[7] = 0
    np.save(course / "test" / "melgrams" / "X.npy", X)
    assert [each.silent_rows for each in check_dataset(course).sets["melgrams"]] == [0, 0, 1]


def test_shared_tracks_are_told(course):
    for name, n in (("train", 96), ("val", 36)):
        rows = "\n".join(f"song{i % 40},artist{name}" for i in range(n))
        (course / name / "tracks.csv").write_text(f"track,artist\n{rows}\n")
    warnings = check_dataset(course).warnings
    assert any("train and val share 36 values of `track`" in line for line in warnings)
    assert not any("artist" in line for line in warnings)


def test_every_problem_is_told_at_once(course):
    (course / "test" / "mfccs" / "X.npy").unlink()
    labels = np.load(course / "val" / "melgrams" / "labels.npy")
    np.save(course / "val" / "melgrams" / "labels.npy", np.where(labels == "rock", "polka", labels))
    problems = check_dataset(course).problems
    assert any("the file is missing" in line for line in problems)
    assert any("labels that train does not know: polka" in line for line in problems)
    assert any("the two representations disagree on labels" in line for line in problems)


def test_nothing_in_the_data_raises(course):
    (course / "val" / "mfccs" / "X.npy").unlink()
    (course / "val" / "mfccs" / "X.npy").mkdir()
    (course / "test" / "mfccs" / "X.npy").write_bytes(b"PK\x03\x04garbage")
    assert len(check_dataset(course).problems) == 2


OPENED: list[str] | None = None
sys.addaudithook(lambda event, args: OPENED.append(str(args[0])) if event == "open" and OPENED is not None else None)


@pytest.fixture
def opened(monkeypatch):
    """The files that are opened from here on, as Python itself reports it."""
    monkeypatch.setattr(sys.modules[__name__], "OPENED", [])
    return OPENED


@pytest.mark.parametrize("read", [check_dataset, lambda root: load_dataset(root, "mfccs")])
def test_every_file_is_read_once(course, opened, read):
    rows = "\n".join(f"song{i}" for i in range(96))
    (course / "train" / "tracks.csv").write_text(f"track\n{rows}\n")
    opened.clear()
    read(course)
    files = Counter(name for name in opened if name.startswith(str(course)))
    kinds = ("mfccs", "melgrams") if read is check_dataset else ("mfccs",)
    arrays = {str(course / name / kind / file) for name in SETS for kind in kinds for file in ("X.npy", "labels.npy")}
    assert files == dict.fromkeys(arrays | {str(course / "train" / "tracks.csv")}, 1)


def test_the_rows_of_what_stays_on_disk_are_read_once(course, monkeypatch):
    """Counted where they are taken from the map, as no system call reads them."""
    expected = check_dataset(course).to_dict()
    n_rows: Counter[str] = Counter()

    def counted(array, place):
        rows = np.ndarray.__getitem__(array, place)
        if isinstance(place, slice) and array.ndim > 1 and array.filename:
            n_rows[str(array.filename)] += len(rows)
        return rows

    monkeypatch.setattr("genreline.data.npy.MAPPED_FROM_BYTES", 0)
    monkeypatch.setattr(np.memmap, "__getitem__", counted)
    assert check_dataset(course).to_dict() == expected
    lengths = {"train": 96, "val": 36, "test": 45}
    kinds = ("mfccs", "melgrams")
    assert n_rows == {str(course / name / kind / "X.npy"): n for name, n in lengths.items() for kind in kinds}


def test_the_digests_are_those_of_the_files(course):
    report = check_dataset(course)
    assert report.digests == {kind: digest(course, kind) for kind in ("mfccs", "melgrams")}
    assert load_dataset(course, "mfccs").digest == digest(course, "mfccs")
    (course / "val" / "mfccs" / "labels.npy").write_bytes(b"damaged")
    assert check_dataset(course).digests["mfccs"] == digest(course, "mfccs")


def test_what_training_refuses_is_a_problem(course):
    path = course / "train" / "mfccs" / "labels.npy"
    labels = np.load(path)
    labels[:3] = "Rock"
    np.save(path, labels)
    assert any(
        "'Rock' and 'rock' differ in capitals or spaces alone" in line for line in check_dataset(course).problems
    )
    for name in SETS:
        np.save(course / name / "mfccs" / "classes.npy", np.array(["blues", "jazz", "rock"]))
        rows = len(np.load(course / name / "mfccs" / "labels.npy"))
        np.save(course / name / "mfccs" / "labels.npy", np.zeros((rows, 3), bool))
    assert any("train: has no class; training needs two or more" in line for line in check_dataset(course).problems)


def test_a_folder_without_a_dataset_is_a_problem(tmp_path):
    assert "holds no train/val/test folders" in check_dataset(tmp_path).problems[0]


def test_the_real_data_is_sound(shared):
    for name in ("course", "genres7"):
        assert check_dataset(shared / "data" / name).problems == []
