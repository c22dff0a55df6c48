import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genreline.data.layout import Split, digest, indices, load_dataset, load_split, write_split
from genreline.data.loaders import split_tensor
from genreline.errors import DataError

from ..conftest import make_split


def test_what_is_written_is_read(tmp_path):
    rng = np.random.default_rng(0)
    for kind, dtype in (("mfccs", np.float64), ("melgrams", np.float16)):
        for name in ("train", "val", "test"):
            split = make_split(kind, rng, 12, ["pop", "blues"])
            write_split(tmp_path, name, kind, Split(split.X.astype(dtype), split.labels, split.tracks))
        dataset = load_dataset(tmp_path, kind)
        assert dataset.test.X.dtype == dtype
        assert np.array_equal(dataset.test.X, split.X.astype(dtype))
        assert dataset.classes == ("blues", "pop")
        assert {k: list(v) for k, v in dataset.test.tracks.items()} == {k: list(v) for k, v in split.tracks.items()}
    with (tmp_path / "test" / "tracks.csv").open(newline="") as file:
        assert [row["track"] for row in csv.DictReader(file)] == list(split.tracks["track"])


def test_the_digest_names_the_contents(course):
    before = digest(course, "mfccs")
    assert before == digest(course, "mfccs")
    assert before != digest(course, "melgrams")
    X = np.load(course / "val" / "mfccs" / "X.npy")
    X[0, 0] += 1
    np.save(course / "val" / "mfccs" / "X.npy", X)
    assert digest(course, "mfccs") != before


names = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=20)


@given(st.lists(names, min_size=1, unique=True), st.data())
def test_indices_name_the_classes(classes, draw):
    labels = np.array(draw.draw(st.lists(st.sampled_from(classes), min_size=1)))
    assert [classes[i] for i in indices(labels, classes, "here")] == list(labels)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("X.npy", lambda X: X[:-1], "has 35 rows and labels.npy 36"),
        ("X.npy", lambda X: X[:, :25], r"mfccs are float16, float32 or float64 \(N, 26\)"),
        ("X.npy", lambda X: X[..., None], r"mfccs are float16, float32 or float64 \(N, 26\)"),
        ("X.npy", lambda X: X.astype(int), "is int64"),
        ("X.npy", lambda X: np.where(np.arange(36)[:, None] == 5, np.nan, X), "NaN or infinity, first in row 5"),
        ("X.npy", lambda X: np.where(np.arange(36)[:, None] == 6, np.inf, X), "NaN or infinity, first in row 6"),
        ("X.npy", lambda X: X.astype(object), "holds Python objects, which are never loaded"),
        ("labels.npy", lambda y: y.astype(object), "holds Python objects, which are never loaded"),
        ("labels.npy", lambda y: np.arange(36), "labels are strings"),
        ("labels.npy", lambda y: y[:, None], "labels are strings"),
        ("labels.npy", lambda y: np.where(y == "rock", "polka", y), "labels that train does not know: polka"),
        ("labels.npy", lambda y: np.where(y == "rock", "", y), "'' is not a class name"),
        ("labels.npy", lambda y: np.where(y == "rock", "ro\nck", y), "is not a class name"),
        ("labels.npy", lambda y: np.where(y == "rock", "\x1b[31m", y), "is not a class name"),
        ("labels.npy", lambda y: np.where(y == "rock", "\udc80", y), "is not a class name"),
        ("X.npy", lambda X: np.where(np.arange(36)[:, None] == 7, 1e300, X.astype(float)), "infinity, first in row 7"),
    ],
)
def test_what_is_wrong_is_said(course, file, change, message):
    path = course / "val" / "mfccs" / file
    np.save(path, change(np.load(path)), allow_pickle=True)
    with pytest.raises(DataError, match=message) as error:
        load_dataset(course, "mfccs")
    assert str(course / "val") in str(error.value)
    assert "\n" not in str(error.value)


def test_an_empty_set_is_said(course):
    folder = course / "test" / "mfccs"
    np.save(folder / "X.npy", np.zeros((0, 26)))
    np.save(folder / "labels.npy", np.zeros(0, "<U5"))
    with pytest.raises(DataError, match="the set is empty"):
        load_dataset(course, "mfccs")


HEADER = b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000, 26)}"
HUGE = b"\x93NUMPY\x01\x00v\x00" + HEADER.ljust(117) + b"\n"


@pytest.mark.parametrize("garbage", [b"", b"not numpy", b"PK\x03\x04 zip", b"\x93NUMPY\x01\x00v\x00{", HUGE])
def test_what_is_no_array_is_said(course, garbage):
    (course / "val" / "mfccs" / "X.npy").write_bytes(garbage)
    with pytest.raises(DataError, match="is not an array that can be read"):
        load_dataset(course, "mfccs")


def test_classes_that_differ_in_capitals_or_spaces_are_refused(course):
    path = course / "train" / "mfccs" / "labels.npy"
    labels = np.load(path).astype("<U9")
    labels[0] = "Rock "
    np.save(path, labels)
    with pytest.raises(
        DataError, match=r"labels.npy: the classes 'Rock ' and 'rock' differ in capitals or spaces alone"
    ):
        load_dataset(course, "mfccs")


def test_one_class_is_nothing_to_tell_apart(course):
    for name in ("train", "val", "test"):
        path = course / name / "mfccs" / "labels.npy"
        np.save(path, np.full_like(np.load(path), "rock"))
    with pytest.raises(DataError, match="has one class, rock"):
        load_dataset(course, "mfccs")


@pytest.mark.parametrize("change", [lambda X: X.astype(">f8"), np.asfortranarray, lambda X: X.astype(np.float16)])
def test_other_ways_to_hold_the_same_numbers_are_read(course, change):
    path = course / "val" / "mfccs" / "X.npy"
    X = np.load(path)
    np.save(path, change(X))
    np.testing.assert_allclose(split_tensor(load_dataset(course, "mfccs").val), X, rtol=1e-3, atol=1e-3)


def test_a_tracks_file_as_spreadsheets_write_it_is_read(course):
    rows = "".join(f"song{i},{i}\r\n" for i in range(36))
    (course / "val" / "tracks.csv").write_bytes(("\ufefftrack,start_s\r\n" + rows + "\r\n").encode())
    assert list(load_dataset(course, "mfccs").val.tracks["track"]) == [f"song{i}" for i in range(36)]


def test_the_digest_is_of_the_datasets_files_alone(course):
    before = digest(course, "mfccs")
    np.save(course / "val" / "mfccs" / "notes.npy", np.zeros(3))
    (course / "backup" / "mfccs").mkdir(parents=True)
    np.save(course / "backup" / "mfccs" / "X.npy", np.zeros(3))
    assert digest(course, "mfccs") == before


def test_what_is_missing_is_said(course):
    (course / "val" / "mfccs" / "labels.npy").unlink()
    with pytest.raises(DataError, match=r"labels\.npy: the file is missing"):
        load_dataset(course, "mfccs")
    with pytest.raises(DataError, match="there is no such folder"):
        load_split(course, "validation", "mfccs")
    with pytest.raises(DataError, match="there is no such folder"):
        load_dataset(course / "nowhere", "mfccs")
    with pytest.raises(DataError, match="'chroma' is not one of mfccs, melgrams"):
        load_dataset(course, "chroma")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a CSV file with a header"),
        ("song,start_s\n" + "a,0\n" * 36, "needs a column `track`"),
        ("track,track\n" + "a,0\n" * 36, "no name twice"),
        ("track,start_s\n" + "a,0\n" * 35, "has 35 rows and the set 36 samples"),
        ("track,start_s\n" + "a,0\n" * 35 + "a\n", "line 37 has 1 fields and the header 2"),
    ],
)
def test_a_tracks_file_that_does_not_fit_is_said(course, text, message):
    (course / "val" / "tracks.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load_dataset(course, "mfccs")


def test_the_real_data_loads(shared):
    course = load_dataset(shared / "data" / "course", "mfccs")
    assert course.classes == ("blues", "classical", "hiphop", "rock_metal_hardrock")
    assert [len(split) for split in course.splits.values()] == [3200, 800, 1376]
    genres7 = load_dataset(shared / "data" / "genres7", "melgrams")
    tracks = [set(split.tracks["track"]) for split in genres7.splits.values()]
    assert [len(names) for names in tracks] == [551, 92, 186]
    assert not tracks[0] & tracks[1]
    assert not (tracks[0] | tracks[1]) & tracks[2]
