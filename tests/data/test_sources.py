"""What a source is read as, and what is said of one that is none."""

import os

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
    with pytest.raises(DataError, match="has no val folder"):
        read_source(tmp_path)


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
        ("path,label,split\na,rock,train\nb,blues,dev\n", "line 3 has the split 'dev'"),
        ("path,label,split\na,rock,train\nb,blues,\n", "b has none; give it to all or to none"),
        ("path,label\na,rock\nb,rock\n", "has one class, rock"),
        ('path,label\na,rock\nb,"ro\nck"\n', "'ro\\\\nck' is no class name"),
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
