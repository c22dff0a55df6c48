"""Samples with several labels: how they are written, read, split and counted."""

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from genreline.data.check import check_dataset
from genreline.data.labels import labels_in
from genreline.data.layout import SETS, Split, classes_of, load_dataset, load_split, multi_hot, write_split
from genreline.data.prepare import prepare
from genreline.data.sources import read_source
from genreline.errors import DataError

NAMES = ("bass", "drums", "voice")


def write_labels(root, texts, kind="mfccs"):
    for name in SETS:
        X = np.random.default_rng(len(name)).normal(0, 1, (len(texts), 26)).astype(np.float32)
        write_split(root, name, kind, Split(X, np.array(texts), None))


@given(st.lists(st.sets(st.sampled_from(NAMES)), min_size=1))
def test_labels_survive_being_written_in_any_order(rows):
    texts = ["|".join(sorted(row, reverse=True)) for row in rows]
    assert [set(labels_in(text)) for text in texts] == rows
    hot = multi_hot(np.array(texts), NAMES, "here")
    assert hot.dtype == np.float32
    assert [{name for name, has in zip(NAMES, row, strict=True) if has} for row in hot] == rows


def test_a_class_name_without_a_separator_is_one_label_as_it_is():
    assert labels_in(" rock ") == [" rock "]
    assert labels_in("voice | bass|voice|") == ["bass", "voice"]
    assert labels_in("") == []


def test_texts_and_booleans_are_the_same_dataset(tmp_path):
    write_labels(tmp_path / "texts", ["voice|bass", "drums", "bass|drums|voice", "voice"])
    write_labels(tmp_path / "booleans", ["", "", "", ""])
    booleans = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 1], [1, 0, 0]], bool)
    for name in SETS:
        folder = tmp_path / "booleans" / name / "mfccs"
        np.save(folder / "labels.npy", booleans)
        np.save(folder / "classes.npy", np.array(["voice", "drums", "bass"]))
    texts, others = (load_dataset(tmp_path / each, "mfccs") for each in ("texts", "booleans"))
    assert texts.classes == others.classes == NAMES
    assert texts.is_multi_label
    assert others.is_multi_label
    assert list(texts.train.labels) == list(others.train.labels) == ["bass|voice", "drums", "bass|drums|voice", "voice"]
    np.save(tmp_path / "booleans" / "val" / "mfccs" / "classes.npy", np.array(["bass", "drums", "voice"]))
    assert load_dataset(tmp_path / "booleans", "mfccs").digest != others.digest  # the names are data, too
    report = check_dataset(tmp_path / "texts")
    assert report.problems == []
    assert report.sets["mfccs"][0].counts == {"bass": 2, "drums": 2, "voice": 3}


def test_a_row_of_booleans_may_have_no_label(tmp_path):
    write_labels(tmp_path, ["", "", ""])
    for name in SETS:
        np.save(tmp_path / name / "mfccs" / "labels.npy", np.array([[1, 0], [0, 0], [0, 1]], bool))
        np.save(tmp_path / name / "mfccs" / "classes.npy", np.array(["bass", "drums"]))
    split = load_split(tmp_path, "val", "mfccs")
    assert list(split.labels) == ["bass", "", "drums"]
    assert classes_of(split) == ("bass", "drums")


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (np.ones((3, 2), bool), None, "classes.npy: the file is missing"),
        (np.ones((3, 2), bool), np.array(["a"]), "a name for each of 2 columns"),
        (np.ones((3, 2), bool), np.array([1, 2]), "a name for each of 2 columns"),
        (np.ones((3, 2), bool), np.array(["a", "a"]), "must be different"),
        (np.ones((3, 2), bool), np.array(["a", "b|c"]), "must be different"),
        (np.ones((3, 2), bool), np.array(["a", ""]), "must be different"),
        (np.ones((3, 2), bool), np.array(["a", " b"]), "must be different"),
        (np.ones((3, 2), bool), np.array(["a", "\x1b"]), "is not a class name"),
        (np.array(["a|\x1b", "a", "b"]), None, "is not a class name"),
        (np.array(["a|polka", "a", "b"]), None, "labels that train does not know: polka"),
    ],
)
def test_labels_that_will_not_do_are_named(tmp_path, labels, classes, message):
    write_labels(tmp_path, ["a|b", "b", "a"])
    folder = tmp_path / "val" / "mfccs"
    np.save(folder / "labels.npy", labels)
    if classes is not None:
        np.save(folder / "classes.npy", classes)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path, "mfccs")


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """Thirty recordings with one to three labels each, listed in a CSV file."""
    folder = tmp_path_factory.mktemp("pieces")
    rng = np.random.default_rng(0)
    lines = ["path,label"]
    for i in range(30):
        soundfile.write(folder / f"{i}.wav", rng.normal(0, 0.1, 8000 * (1 + i % 3)), 8000)
        chosen = [name for k, name in enumerate(NAMES) if (i + 1) % 7 >> k & 1] or ["voice"]
        lines.append(f"{i}.wav,{'| '.join(reversed(chosen))}")
    (folder / "pieces.csv").write_text("\n".join(lines))
    return folder / "pieces.csv"


def test_recordings_of_several_labels_become_a_dataset(pieces, tmp_path):
    manifest = prepare(pieces, tmp_path / "data", ["mfccs"])
    recordings = {each.name: each.labels for each in read_source(pieces).recordings}
    dataset = load_dataset(tmp_path / "data", "mfccs")
    assert dataset.classes == NAMES
    for name in SETS:
        split = dataset.splits[name]
        for label, track in zip(split.labels, split.tracks["track"], strict=True):
            assert labels_in(label) == sorted(recordings[track])
        counts = {each: int((multi_hot(split.labels, NAMES, name)[:, k]).sum()) for k, each in enumerate(NAMES)}
        assert manifest["sets"][name]["rows_by_class"] == counts
    shares = {name: manifest["sets"][name]["recordings"] / 30 for name in SETS}
    assert abs(shares["train"] - 0.6) <= 0.15  # the dealing of several labels is approximate


def test_a_label_with_too_few_recordings_is_named(pieces, tmp_path):
    text = pieces.read_text().replace("1.wav,drums", "1.wav,drums|flute", 1)
    assert "flute" in text
    (pieces.parent / "flute.csv").write_text(text)
    with pytest.raises(DataError, match="too few groups to split: flute has 1"):
        prepare(pieces.parent / "flute.csv", tmp_path / "data", ["mfccs"])
    assert not (tmp_path / "data").exists()


def test_a_separator_alone_is_no_label(pieces):
    (pieces.parent / "bar.csv").write_text("path,label\n1.wav,|\n2.wav,rock")
    with pytest.raises(DataError, match="is not a class name"):
        read_source(pieces.parent / "bar.csv")
