"""From audio to a dataset: what is written, what is reported, and that whatever ends it loses nothing."""

import csv
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import filelock
import numpy as np
import pytest
import soundfile

from genreline.audio.decode import decode
from genreline.audio.features import features, segments
from genreline.data.check import check_dataset
from genreline.data.layout import SETS, load_dataset, load_split
from genreline.data.prepare import prepare
from genreline.errors import AudioError, ConfigError, DataError, GenrelineError

FORMATS = ("wav", "flac", "mp3", "ogg", "aiff")


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    rng = np.random.default_rng(0)
    for genre in ("blues", "rock"):
        (folder / genre / "album").mkdir(parents=True)
        for i, kind in enumerate(FORMATS):
            path = folder / genre / ("album" if i % 2 else "") / f"{genre}{i}.{kind}"
            soundfile.write(path, rng.normal(0, 0.1, (50_000 + 22_050 * i, 1 + i % 2)), 22_050)
    return folder


@pytest.fixture
def folders(music, tmp_path):
    """Ten recordings of two classes, the test's own."""
    return shutil.copytree(music, tmp_path / "music")


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".prepare.lock"
    }


def command(*args):
    return [sys.executable, "-m", "genreline", "prepare", *map(str, args)]


def test_rows_are_the_features_of_the_seconds(folders, tmp_path):
    steps = []
    manifest = prepare(folders, tmp_path / "out", seed=1, on_step=steps.append)
    assert [(step.what, step.done) for step in steps] == [
        (what, n) for what in ("features", "writing") for n in range(1, 11)
    ]
    n_seconds = 2 * (3 + 4 + 5 + 6 + 7)
    assert steps[9].audio_s == n_seconds == sum(each["rows"] for each in manifest["sets"].values())
    datasets = {kind: load_dataset(tmp_path / "out", kind) for kind in ("mfccs", "melgrams")}
    seen = Counter()
    for name in SETS:
        for kind, dataset in datasets.items():
            split = dataset.splits[name]
            assert split.X.dtype == {"mfccs": np.float64, "melgrams": np.float32}[kind]
            assert list(split.labels) == [track.split("/")[0] for track in split.tracks["track"]]
            for track in np.unique(split.tracks["track"]):
                rows = split.tracks["track"] == track
                expected = features(segments(decode(folders / track)), kind).numpy()
                np.testing.assert_array_equal(split.X[rows], expected)
                assert list(split.tracks["start_s"][rows]) == [str(i) for i in range(len(expected))]
                seen[track] += 1
    assert len(seen) == 10
    assert set(seen.values()) == {2}  # in one set, in both representations
    report = check_dataset(tmp_path / "out")
    assert report.problems == report.warnings == []


@pytest.mark.parametrize("text", ["{", "[]", "7", "{}", "[" * 100_000, "\ufffd", ""])
def test_a_damaged_manifest_is_said(folders, tmp_path, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json: is no manifest of a preparation"):
        prepare(folders, tmp_path / "out")


def test_the_manifest_tells_what_is_there(folders, tmp_path):
    manifest = prepare(folders, tmp_path / "out", kinds=["melgrams"])
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    assert not (tmp_path / "out" / "train" / "mfccs").exists()
    assert not (tmp_path / "out" / ".preparing").exists()
    for each in manifest["sets"].values():
        for name, digest in each["sha256"].items():
            file = subprocess.run(["sha256sum", tmp_path / "out" / name], capture_output=True, text=True, check=True)
            assert file.stdout.split()[0] == digest
    assert manifest["settings"]["versions"]["numpy"] == np.__version__
    assert manifest["skipped"] == manifest["duplicates"] == []
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert prepare(folders, tmp_path / "out", kinds=["melgrams"]) == manifest  # there is nothing to do
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path in before} == before
    with pytest.raises(DataError, match="holds a finished dataset of other"):
        prepare(folders, tmp_path / "out", kinds=["melgrams"], seed=1)


@pytest.mark.slow
def test_processes_write_the_same_bytes(folders, tmp_path):
    prepare(folders, tmp_path / "one")
    prepare(folders, tmp_path / "two", jobs=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_bad_files_are_passed_over_and_told(folders, tmp_path):
    (folders / "rock" / "notes.mp3").write_text("no sound")
    (folders / "rock" / "empty.mp3").touch()
    (folders / "rock" / os.fsdecode(b"\xff.wav")).write_bytes((folders / "rock" / "rock0.wav").read_bytes())
    whole = (folders / "blues" / "blues0.wav").read_bytes()
    (folders / "blues" / "cut.wav").write_bytes(whole[: len(whole) // 2])
    steps = []
    manifest = prepare(folders, tmp_path / "out", on_step=steps.append)
    assert [each["file"] for each in manifest["skipped"]] == [
        "blues/cut.wav",
        "rock/empty.mp3",
        "rock/notes.mp3",
        "rock/\\udcff.wav",
    ]
    reasons = [each["reason"] for each in manifest["skipped"]]
    for reason, word in zip(reasons, ("truncated", "empty", "not an audio file", "not UTF-8 text"), strict=True):
        assert word in reason
    assert sum(bool(step.error) for step in steps) == 4
    assert check_dataset(tmp_path / "out").problems == []
    with pytest.raises(AudioError, match=r"cut\.wav: the file is truncated"):
        prepare(folders, tmp_path / "strict", strict=True)


def test_what_is_no_audio_by_its_suffix_is_no_failure(folders, tmp_path):
    prepare(folders, tmp_path / "before")
    (folders / "rock" / "notes.txt").write_text("no sound")
    (folders / "cover.jpg").write_bytes(b"no picture")
    manifest = prepare(folders, tmp_path / "out", strict=True)
    assert manifest["skipped"] == []
    assert manifest["passed_over"] == {".txt": 1, ".jpg": 1}
    assert manifest["without_audio"] == []
    before, after = contents(tmp_path / "before"), contents(tmp_path / "out")
    assert {name for name in before if before[name] != after[name]} == {"manifest.json"}
    assert prepare(folders, tmp_path / "before")["passed_over"] == {}  # the inputs are the same: nothing is to be done


def test_copies_stay_together_and_are_told(folders, tmp_path):
    sound = (folders / "rock" / "rock0.wav").read_bytes()
    for i in range(6):
        (folders / "rock" / f"copy{i}.wav").write_bytes(sound)
    for seed in range(5):
        out = tmp_path / f"out{seed}"
        manifest = prepare(folders, out, kinds=["mfccs"], seed=seed)
        assert manifest["duplicates"] == [[*(f"rock/copy{i}.wav" for i in range(6)), "rock/rock0.wav"]]
        with (out / "split.csv").open(newline="") as file:
            sets = {row["split"] for row in csv.DictReader(file) if "copy" in row["track"] or "rock0" in row["track"]}
        assert len(sets) == 1
        assert not [line for line in check_dataset(out).warnings if "share" in line]


def write_csv(path, rows, *columns):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([columns, *rows])
    return path


def test_artists_stay_together(folders, tmp_path):
    files = sorted(path.relative_to(tmp_path).as_posix() for path in folders.rglob("*.*"))
    rows = [[name, name.split("/")[1], f"artist {i % 5 // 2}"] for i, name in enumerate(files)]
    source = write_csv(tmp_path / "list.csv", rows, "path", "label", "artist")
    prepare(source, tmp_path / "out", kinds=["mfccs"])
    splits = [load_split(tmp_path / "out", name, "mfccs") for name in SETS]
    assert sum(len(np.unique(split.tracks["track"])) for split in splits) == 10
    artists = [set(split.tracks["artist"]) for split in splits]
    assert sorted(artist for each in artists for artist in each) == ["artist 0", "artist 1", "artist 2"]
    few = write_csv(tmp_path / "few.csv", [[*row[:2], "one" if "rock" in row[1] else ""] for row in rows], *"pla")
    few.write_text(few.read_text().replace("p,l,a", "path,label,artist"))
    steps = []
    with pytest.raises(DataError, match="rock has 1"):
        prepare(few, tmp_path / "few", on_step=steps.append)
    assert not steps  # told before any work is done


def test_a_split_is_read_back(folders, tmp_path):
    prepare(folders, tmp_path / "first", seed=3)
    split = tmp_path / "first" / "split.csv"
    prepare(folders, tmp_path / "second", seed=4, split=split)
    first, second = contents(tmp_path / "first"), contents(tmp_path / "second")
    assert {name for name in first if first[name] != second[name]} == {"manifest.json"}
    edited = tmp_path / "edited.csv"
    edited.write_text(split.read_text().replace("rock/rock0.wav,rock,,", "rock/rock0.wav,rock,,\nx,y,z,"))
    with pytest.raises(DataError, match=r"edited\.csv: has no line for|line"):
        prepare(folders, tmp_path / "third", split=write_csv(edited, [["x", "train"]], "track", "split"))


def test_a_given_split_never_has_a_recording_in_two_sets(folders, tmp_path):
    (folders / "rock" / "copy.wav").write_bytes((folders / "rock" / "rock0.wav").read_bytes())
    files = sorted(path.relative_to(tmp_path).as_posix() for path in folders.rglob("*.*"))
    given = ["train", "train", "train", "val", "test"]
    sets = {"music/rock/copy.wav": "train", "music/rock/rock0.wav": "test"}
    rows = [[name, name.split("/")[1], sets.get(name, given[i % 5])] for i, name in enumerate(files)]
    source = write_csv(tmp_path / "list.csv", rows, "path", "label", "split")
    manifest = prepare(source, tmp_path / "out", kinds=["mfccs"])
    assert manifest["skipped"] == [
        {
            "file": "music/rock/copy.wav",
            "reason": "left out of train: music/rock/rock0.wav in test is the same recording",
        }
    ]
    assert "music/rock/rock0.wav" in load_split(tmp_path / "out", "test", "mfccs").tracks["track"]
    with pytest.raises(DataError, match="is the same recording"):
        prepare(source, tmp_path / "strict", kinds=["mfccs"], strict=True)
    artists = [[*row, "somebody"] for row in rows]
    with pytest.raises(DataError, match="'somebody' is in train and "):
        prepare(write_csv(source, artists, "path", "label", "split", "artist"), tmp_path / "artists")


def test_what_will_not_do_is_said(folders, tmp_path):
    with pytest.raises(ConfigError, match="there is no chroma; choose from mfccs, melgrams"):
        prepare(folders, tmp_path / "out", kinds=["chroma"])
    with pytest.raises(ConfigError, match="inside the source"):
        prepare(folders, folders / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(DataError, match="not from an interrupted preparation"):
        prepare(folders, tmp_path / "full")
    for path in folders.rglob("*.*"):
        path.write_text("no sound")
    with pytest.raises(DataError, match="none of its 10 files"):
        prepare(folders, tmp_path / "out")


@pytest.mark.slow
def test_a_second_run_at_once_says_so(folders, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with filelock.FileLock(out / ".prepare.lock"):
        second = subprocess.run(command(folders, out), capture_output=True, text=True)
    assert second.returncode == 2
    line = f"error: {out}: another preparation is at work there; wait for it or choose another"
    assert second.stderr.strip() == line
    prepare(folders, out, kinds=["mfccs"])


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_interruption_loses_nothing_that_was_done(folders, tmp_path, end):
    rng = np.random.default_rng(1)
    for i in range(12):  # long enough to be met at work
        soundfile.write(folders / "rock" / f"long{i}.wav", rng.normal(0, 0.1, 8000 * 60), 8000)
    out = tmp_path / "out"
    process = subprocess.Popen(command(folders, out, "--jobs", 2), stderr=subprocess.PIPE, start_new_session=True)
    parts = out / ".preparing" / "parts"
    while len(list(parts.glob("*/[!.]*.rows"))) < 4:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    if end == signal.SIGINT:  # as from a terminal: to all of its processes
        os.killpg(process.pid, end)
    else:
        process.kill()
    process.communicate()  # until the workers have gone too: they share its standard error
    assert process.returncode == (130 if end == signal.SIGINT else -signal.SIGKILL)
    assert not (out / "manifest.json").exists()
    done = {path: path.stat().st_mtime_ns for path in parts.glob("*/[!.]*.rows")}
    assert len(done) >= 4
    steps = []
    prepare(folders, out, on_step=steps.append)
    prepare(folders, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")
    n_seconds = sum(len(load_split(out, name, "mfccs")) for name in SETS)
    assert steps[21].audio_s <= n_seconds - 4 * 3  # what was done was not done again


@pytest.mark.slow
def test_a_full_disk_is_told_and_loses_nothing(folders, tmp_path):
    """A limit on the size of a file fails a write as a full disk does, with another code."""
    rng = np.random.default_rng(1)
    soundfile.write(folders / "rock" / "long.wav", rng.normal(0, 0.1, 8000 * 60), 8000)

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    out = tmp_path / "out"
    ended = subprocess.run(command(folders, out, "--jobs", 1), capture_output=True, text=True, preexec_fn=limited)
    assert ended.returncode == 2
    assert "cannot be written (File too large)" in ended.stderr
    assert len(list((out / ".preparing" / "parts").glob("*/*.rows"))) == 7  # rock/album comes before rock/long.wav
    assert not list((out / ".preparing" / "parts").glob("*/.*"))  # nothing half done is left
    prepare(folders, out)
    prepare(folders, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


def test_a_damaged_part_is_told(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("genreline.data.prepare._assemble", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prepare(folders, tmp_path / "out")
    monkeypatch.undo()
    part = next((tmp_path / "out" / ".preparing" / "parts").glob("*/*.rows"))
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(GenrelineError, match="is damaged; delete it"):
        prepare(folders, tmp_path / "out")


@pytest.mark.parametrize(("code", "way_out"), [(errno.ENOSPC, "make room"), (errno.EROFS, "check the folder")])
def test_only_a_full_disk_wants_room(folders, tmp_path, monkeypatch, code, way_out):
    def refuse(*args):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("genreline.data.prepare._assemble", refuse)
    with pytest.raises(GenrelineError, match=rf"{os.strerror(code)}\); {way_out}"):
        prepare(folders, tmp_path / "out")


def test_a_pipe_in_a_csv_is_not_waited_for(folders, tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    files = sorted(path.relative_to(tmp_path).as_posix() for path in folders.rglob("*.*"))
    rows = [*([name, name.split("/")[1]] for name in files), ["pipe.wav", "rock"], ["/dev/zero", "rock"], [".", "rock"]]
    manifest = prepare(write_csv(tmp_path / "list.csv", rows, "path", "label"), tmp_path / "out", kinds=["mfccs"])
    assert [(each["file"], each["reason"]) for each in manifest["skipped"]] == [
        (name, "is not a file") for name in (".", "/dev/zero", "pipe.wav")
    ]


def test_classes_that_will_not_do_are_named(folders, tmp_path):
    def refused(message):
        with pytest.raises(DataError, match=message) as error:
            prepare(folders, tmp_path / "out", kinds=["mfccs"])
        assert "\n" not in str(error.value)
        assert not set(SETS) & {path.name for path in (tmp_path / "out").glob("*")}

    (folders / "hush").mkdir()
    for i in range(3):
        soundfile.write(folders / "hush" / f"{i}.wav", np.zeros(8000 + i), 8000)
    refused(r"no recording of hush can be used \(hush/0.wav holds nothing but silence\); mend them")
    (folders / "hush").rename(tmp_path / "hush")
    (folders / "jazz").mkdir()
    (folders / "jazz" / "a.wav").write_bytes((folders / "rock" / "rock0.wav").read_bytes())
    refused("too few groups to split: jazz has 1;")
    for name in ("b.wav", "c.wav"):
        soundfile.write(folders / "jazz" / name, np.random.default_rng(len(name)).normal(0, 0.1, 8000), 8000)
    soundfile.write(folders / "jazz" / "c.wav", np.random.default_rng(9).normal(0, 0.1, 8000), 8000)
    refused(r"one recording is in several classes: jazz/a.wav \(jazz\) and rock/rock0.wav \(rock\); leave it in one")
    (folders / "jazz").rename(folders / "Rock")
    refused("the classes 'Rock' and 'rock' differ in capitals or spaces alone; make them one")
    (folders / "Rock").rename(folders / "rock ")
    refused("the classes 'rock' and 'rock ' differ")
    (folders / "rock ").rename(tmp_path / "jazz")
    prepare(folders, tmp_path / "out", kinds=["mfccs"])
