"""What a source is read as, and what is said of one that is none."""

import os
import unicodedata

import pytest

from genreline.data.sources import Recording, printable, read_source
from genreline.errors import DataError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_folders_are_classes_at_any_depth(tmp_path):
    touch(
        tmp_path, "rock/b.mp3", "rock/album/disc 1/a.flac", "blues/a.wav", "rock/.DS_Store", ".git/x", "rock/.x/y.wav"
    )
    source = read_source(tmp_path)
    assert source.root == tmp_path
    assert not source.is_split
    assert source.recordings == [
        Recording("blues/a.wav", "blues"),
        Recording("rock/album/disc 1/a.flac", "rock"),
        Recording("rock/b.mp3", "rock"),
    ]


def test_folders_that_are_split_already(tmp_path):
    touch(tmp_path, "train/rock/a.mp3", "train/blues/x/b.mp3", "val/rock/c.mp3", "test/blues/d.mp3")
    source = read_source(tmp_path)
    assert source.is_split
    assert [(each.name, each.label, each.split) for each in source.recordings] == [
        ("test/blues/d.mp3", "blues", "test"),
        ("train/blues/x/b.mp3", "blues", "train"),
        ("train/rock/a.mp3", "rock", "train"),
        ("val/rock/c.mp3", "rock", "val"),
    ]
    os.rename(tmp_path / "val", tmp_path / "..gone")
    with pytest.raises(DataError, match="has test, train and no val with audio in it"):
        read_source(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("train", "validation", "test"),
        ("Train", "Val", "Test"),
        ("TRAINING", "dev", "testing"),
        ("training", "valid", "Testing"),
    ],
)
def test_synonyms_of_sets_are_read_as_sets(tmp_path, names):
    touch(tmp_path, *(f"{name}/{label}/album/a.mp3" for name in names for label in ("rock", "blues")))
    touch(tmp_path, "LICENSE.txt", "docs/paper.pdf", "__MACOSX/._train", "train.csv", f"{names[0]}/list.txt")
    source = read_source(tmp_path)
    found = {(each.split, each.label): each.name for each in source.recordings}
    assert found == {
        (set_name, label): f"{name}/{label}/album/a.mp3"
        for set_name, name in zip(("train", "val", "test"), names, strict=True)
        for label in ("rock", "blues")
    }
    assert source.passed_over == {".txt": 2, ".pdf": 1, ".csv": 1}


@pytest.mark.parametrize(
    ("files", "seen"),
    [
        (["train/a.mp3/x.mp3", "rock/b.mp3"], "has train next to rock"),
        (["train/rock/a.mp3", "test/rock/b.mp3"], "has test, train and no val with audio in it"),
        (["train/rock/a.mp3", "val/notes.txt", "test/rock/b.mp3"], "has test, train and no val with audio in it"),
        (["train/rock/a.mp3"], "has train and no val and no test"),
        (
            [f"{name}/{label}/a.mp3" for name in ("train", "val", "dev", "test") for label in ("rock", "jazz")],
            "has dev, test, train, val, some of which are names of one set",
        ),
        (["train/r/a.mp3", "Train/r/a.mp3", "val/r/a.mp3", "test/r/a.mp3"], "has Train, test, train, val, some of"),
        (["rock/train/a.mp3", "jazz/test/b.mp3", "jazz/train/c.mp3"], "has test, train inside of jazz"),
        (["train/train/rock/a.mp3", "val/rock/a.mp3", "test/rock/a.mp3"], "has train inside of train"),
        (["dog/a.mp3", "rain/a.mp3", "train/a.mp3/b.mp3"], "has train next to dog, rain"),
    ],
)
def test_what_looks_like_sets_and_is_none_is_refused(tmp_path, files, seen):
    touch(tmp_path, *files)
    with pytest.raises(DataError) as error:
        read_source(tmp_path)
    assert seen in str(error.value)
    assert "make train/CLASS/..., val/CLASS/... and test/CLASS/..." in str(error.value)
    assert "list the files in a CSV (path,label)" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("loose", ["song.mp3", "train/song.mp3"])
def test_a_recording_without_a_class_is_refused(tmp_path, loose):
    folders = ("train", "val", "test") if "/" in loose else (".",)
    touch(tmp_path, *(f"{folder}/{label}/a.mp3" for folder in folders for label in ("rock", "blues")), loose)
    with pytest.raises(DataError, match=r"song\.mp3: is outside the class folders"):
        read_source(tmp_path)


def test_an_album_may_be_called_like_a_set(tmp_path):
    touch(tmp_path, "rock/Train/a.mp3", "pop/Test/b.mp3", "pop/c/train/d.mp3")
    assert {each.label for each in read_source(tmp_path).recordings} == {"rock", "pop"}


def test_classes_called_like_sets_are_listed_in_a_csv(tmp_path):
    (tmp_path / "list.csv").write_text("path,label,split\ntrain/a.mp3,train,dev\nrain/a.mp3,rain,Training\n")
    assert [(each.label, each.split) for each in read_source(tmp_path / "list.csv").recordings] == [
        ("rain", "train"),
        ("train", "val"),
    ]


def test_what_has_no_suffix_of_audio_is_counted(tmp_path):
    touch(tmp_path, "rock/a.WEBA", "rock/a.txt", "rock/b/c.jpg", "blues/a.bwf", "blues/README", "notes.md", ".x.txt")
    source = read_source(tmp_path)
    assert [each.name for each in source.recordings] == ["blues/a.bwf", "rock/a.WEBA"]
    assert source.passed_over == {".txt": 1, ".jpg": 1, "": 1, ".md": 1}
    touch(tmp_path, "chiptune/a.sid", "chiptune/b/c.sid")
    (tmp_path / "empty").mkdir()
    assert read_source(tmp_path).without_audio == ["chiptune", "empty"]
    touch(tmp_path / "other", "rock/a.txt", "blues/b.txt")
    with pytest.raises(DataError, match=r"holds no folders with audio files in them \(passed over 2 files .*2 \.txt"):
        read_source(tmp_path / "other")


@pytest.mark.parametrize(("listed", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_accents_in_one_piece_or_two_are_the_same_name(tmp_path, listed, on_disk):
    name = "Beyoncé/Déjà Vu.mp3"
    disk, text = (unicodedata.normalize(form, name) for form in (on_disk, listed))
    touch(tmp_path, disk, "b.mp3")
    (tmp_path / "list.csv").write_text(f"path,label\n{text},pop\nb.mp3,rock\ngone/é.mp3,rock\n")
    names = [each.name for each in read_source(tmp_path / "list.csv").recordings]
    assert names == [disk, "b.mp3", "gone/é.mp3"]
    (tmp_path / "list.csv").write_text(f"path,label\n{tmp_path}/{text},pop\nb.mp3,rock\n")
    assert read_source(tmp_path / "list.csv").recordings[0].name == f"{tmp_path}/{disk}"
    (tmp_path / "list.csv").write_text(f"path,label\n{text},pop\n{disk},rock\n")
    with pytest.raises(DataError, match=r"line 3 names .* again"):
        read_source(tmp_path / "list.csv")


def test_a_name_whose_accents_are_there_in_both_ways_is_each_its_own(tmp_path):
    both = [unicodedata.normalize(form, "é.mp3") for form in ("NFC", "NFD")]
    touch(tmp_path, *both)
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this disk takes both for one name")
    (tmp_path / "list.csv").write_text(f"path,label\n{both[0]},pop\n{both[1]},rock\n")
    assert [each.name for each in read_source(tmp_path / "list.csv").recordings] == both


def test_a_class_folder_is_one_class_however_its_accents_are_stored(tmp_path):
    forms = [unicodedata.normalize(form, "música") for form in ("NFC", "NFD", "NFC")]
    touch(tmp_path, *(f"{name}/{label}/a.mp3" for name, label in zip(("train", "val", "test"), forms, strict=True)))
    touch(tmp_path, *(f"{name}/rock/a.mp3" for name in ("train", "val", "test")))
    assert {each.label for each in read_source(tmp_path).recordings} == {unicodedata.normalize("NFC", "música"), "rock"}


def test_a_csv_names_recordings_relative_to_it(tmp_path):
    text = '\ufeffpath,artist,label,note\r\n"a, b.mp3", X ,rock,1\r\nsub/c.mp3,,blues,\r\n'
    (tmp_path / "list.csv").write_bytes(text.encode())
    source = read_source(tmp_path / "list.csv")
    assert source.root == tmp_path
    assert source.recordings == [Recording("sub/c.mp3", "blues"), Recording("a, b.mp3", "rock", "X")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it needs path and label"),
        ("path,genre\na,b\n", "it needs label"),
        ("path,label\na,rock\na,blues\n", "line 3 names a again"),
        ("path,label\na,rock\n,blues\n", "line 3 lacks its path or its label"),
        ("path,label\na,rock\nb,blues,x\n", "line 3 has more fields"),
        ("path,label,split\na,rock,train\nb,blues,eval\n", "line 3 has the split 'eval'"),
        ("path,label\na,rock\nb\0,blues\n", "line 3 has a NUL character in its path"),
        ("path,label,split\na,rock,train\nb,blues,\n", "b has none; give it to all or to none"),
        ("path,label\na,rock\nb,rock\n", "has one class, rock"),
        ('path,label\na,rock\nb,"ro\nck"\n', "'ro\\\\nck' is not a class name"),
        ('path,label\na,"rock\n', "is not a CSV file"),
    ],
)
def test_a_csv_that_will_not_do_is_said(tmp_path, text, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=message) as error:
        read_source(tmp_path / "list.csv")
    assert "list.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_no_source_is_said(tmp_path):
    with pytest.raises(DataError, match="holds no folders"):
        read_source(tmp_path)
    with pytest.raises(DataError, match="there is no such folder"):
        read_source(tmp_path / "nowhere")


def test_names_that_are_no_text_are_shown():
    assert printable("é.mp3") == "é.mp3"
    assert printable(os.fsdecode(b"\xff.mp3")) == "\\udcff.mp3"
