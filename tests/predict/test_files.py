"""Many songs: what is found, where it goes, and that processes give what one process does."""

import base64
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

import genreline.audio.decode
from genreline.errors import ConfigError, DataError
from genreline.predict.files import FORMATS, SongTask, find_songs, parse_formats, predict_files
from genreline.predict.recognizer import Recognizer
from genreline.predict.timeline import Timeline

MODEL = "course-fnn"


def write(path, seconds=1.5, rate_hz=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    soundfile.write(path, rng.normal(0, 0.1, int(seconds * rate_hz)), rate_hz)


@pytest.fixture
def music(tmp_path):
    for name in ("b.wav", "a.FLAC", "rock/a.ogg", "rock/live/a.wav", "a.wav", ".hidden.wav", ".trash/c.wav"):
        write(tmp_path / "music" / name)
    (tmp_path / "music" / "cover.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "music" / "rock" / "notes.txt").write_text("no sound")
    return tmp_path / "music"


def stems(songs, out):
    return {song.path.name: song.stem.relative_to(out).as_posix() for song in songs}


def test_folders_are_searched_and_mirrored(music, tmp_path):
    os.symlink(music, music / "rock" / "again")  # a circle
    songs = find_songs([music], tmp_path / "out")
    assert [(s.path.relative_to(music).as_posix(), s.stem.relative_to(tmp_path / "out").as_posix()) for s in songs] == [
        ("a.FLAC", "a"),
        ("a.wav", "a-2"),
        ("b.wav", "b"),
        ("rock/a.ogg", "rock/a"),
        ("rock/live/a.wav", "rock/live/a"),
    ]


def test_what_a_folder_has_beside_audio_is_noted(music, tmp_path):
    (music / "voice.weba").touch()
    notes = []
    songs = find_songs([music, music / "rock"], tmp_path, notes.append)
    assert "voice.weba" in {song.path.name for song in songs}
    assert notes == [
        f"{music}: passed over 2 files without the suffix of an audio file (1 .jpg, 1 .txt)",
        f"{music / 'rock'}: passed over 1 file without the suffix of an audio file (1 .txt)",
    ]


def test_a_title_with_a_dot_is_no_suffix(tmp_path):
    songs = find_songs(["Mr. Brightside", "song.raw", "St. Anger.mp3", 'say "hi".ogg'], tmp_path)
    assert [song.stem.name for song in songs] == ["Mr. Brightside", "song", "St. Anger", 'say "hi"']


def test_names_never_collide(tmp_path):
    names = ["x/a.mp3", "y/A.mp3", "a-2.mp3", "a.ogg", "z/.mp3", "v1.2.mp3", "v1.3.mp3"]
    songs = find_songs(names, tmp_path)
    found = [song.stem.name for song in songs]
    assert found == ["a", "A-2", "a-2-2", "a-3", ".mp3", "v1.2", "v1.3"]
    assert len({name.lower() for name in found}) == len(names)


def test_a_folder_without_sound_is_told(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="holds no audio files"):
        find_songs([tmp_path], tmp_path)


def test_formats_are_parsed():
    assert parse_formats("csv, .JSON,csv,html") == ("csv", "json", "html")
    for text in ("csv,mp5", "", ","):
        with pytest.raises(ConfigError, match="csv,png,json,txt,rttm,jams,html"):
            parse_formats(text)


@pytest.mark.slow
def test_processes_give_what_one_process_gives(music, tmp_path):
    (music / "bad.mp3").write_text("no sound")
    results = {}
    for jobs in (1, 2):
        songs = find_songs([music], tmp_path / str(jobs))
        results[jobs] = dict(predict_files(songs, MODEL, FORMATS, jobs))
        assert sorted(results[jobs]) == list(range(6))
    for place, alone in results[1].items():
        beside = results[2][place]
        assert alone.keys() == beside.keys()
        assert alone["file"] == beside["file"]
        if "error" in alone:
            assert alone["file"].endswith("bad.mp3")
            continue
        assert alone["overall"] == pytest.approx(beside["overall"], abs=1e-5)
    written = {
        jobs: {p.relative_to(tmp_path / str(jobs)) for p in (tmp_path / str(jobs)).rglob("*.*")} for jobs in (1, 2)
    }
    assert written[1] == written[2]
    assert len(written[1]) == 5 * len(FORMATS)
    song = json.loads((tmp_path / "2" / "rock" / "live" / "a.json").read_text())
    assert song["duration_s"] == 1.5


def test_a_song_is_never_overwritten(tmp_path):
    write(tmp_path / "song.wav")
    (tmp_path / "song.wav").rename(tmp_path / "song.txt")
    before = (tmp_path / "song.txt").read_bytes()
    ((_, result),) = predict_files([SongTask(tmp_path / "song.txt", tmp_path / "song")], MODEL, ("txt",))
    assert "is a song itself" in result["error"]
    assert (tmp_path / "song.txt").read_bytes() == before


def test_another_song_is_not_overwritten_either(tmp_path):
    for name in ("x.wav", "y.wav"):
        write(tmp_path / name)
    (tmp_path / "y.wav").rename(tmp_path / "x.txt")  # a sound, whatever it is called
    before = (tmp_path / "x.txt").read_bytes()
    songs = find_songs([tmp_path / "x.wav", tmp_path / "x.txt"], tmp_path)
    records = dict(predict_files(songs, MODEL, ("txt",)))
    assert "is a song itself" in records[0]["error"]
    assert "error" not in records[1]
    assert (tmp_path / "x.txt").read_bytes() == before


def test_an_unexpected_error_is_that_songs_alone(tmp_path, monkeypatch):
    for name in ("a.wav", "b.wav"):
        write(tmp_path / name)
    call = Recognizer.__call__

    def fail(self, source, **options):
        if source.name == "a.wav":
            raise IndexError("list index out of range")
        return call(self, source, **options)

    monkeypatch.setattr(Recognizer, "__call__", fail)
    records = dict(predict_files(find_songs([tmp_path], tmp_path / "out"), MODEL, ("csv",)))
    assert "a.wav: failed unexpectedly (IndexError: list index out of range); please report it" in records[0]["error"]
    assert "unusable" not in records[0]
    assert (tmp_path / "out" / "b.csv").exists()


def test_a_name_that_is_too_long_for_its_timeline_fails_alone(tmp_path):
    names = [f"{'a' * 251}.wav", "b.wav"]
    for name in names:
        write(tmp_path / name)
    songs = find_songs([tmp_path / name for name in names], tmp_path / "out")
    (_, failed), (_, done) = predict_files(songs, MODEL, ("json",))
    assert "File name too long" in failed["error"]
    assert done["json"] == str(tmp_path / "out" / "b.json")


@pytest.mark.slow
def test_a_csv_takes_neither_torch_nor_matplotlib_nor_scikit_learn(tmp_path):
    """A program of its own, because the test process has imported everything already."""
    soundfile.write(tmp_path / "song.wav", np.zeros(16000), 8000)
    program = """
import sys
from genreline.predict.files import find_songs, predict_files
((_, record),) = predict_files(find_songs(["song.wav"], "."), "genres8-resnet", ("csv",))
print([name for name in ("torch", "matplotlib", "sklearn", "pandas", "ray") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert list(tmp_path.rglob("song.csv"))


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_could_be_read_of_a_cut_file_is_kept(tmp_path, jobs):
    whole, cut = tmp_path / "whole.wav", tmp_path / "cut.wav"
    soundfile.write(whole, np.random.default_rng(0).normal(0, 0.1, 20 * 8000), 8000, subtype="PCM_16")
    cut.write_bytes(whole.read_bytes()[: 44 + 2 * 100_000])  # 12.5 s
    songs = find_songs([whole, cut], tmp_path / "out")
    records = dict(predict_files(songs, "course-fnn", ("csv",), jobs))
    assert "error" not in records[0]
    assert "truncated" in records[1]["error"]
    assert "first 12.5 s" in records[1]["error"]
    kept = Timeline.from_csv((tmp_path / "out" / "cut.csv").read_text())
    assert kept.duration_s == records[1]["duration_s"] == 12.5
    assert kept.labels[:12] == Timeline.from_csv((tmp_path / "out" / "whole.csv").read_text()).labels[:12]
    (tmp_path / "out" / "cut.csv").unlink()
    strict = dict(predict_files(songs, "course-fnn", ("csv",), 1, strict=True))
    assert "truncated" in strict[1]["error"]
    assert not (tmp_path / "out" / "cut.csv").exists()


def test_a_pipe_is_read_once_for_all_formats(tmp_path):
    """A player holds the sound that its timeline is of; what a pipe gave once is not there a second time."""
    write(tmp_path / "song.wav", seconds=3)
    data = (tmp_path / "song.wav").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    songs = find_songs([tmp_path / "song.wav", tmp_path / "pipe"], tmp_path / "out")
    (_, song), (_, piped) = predict_files(songs, MODEL, FORMATS)
    writer.join()
    assert piped["overall"] == song["overall"]
    assert piped["file"] == str(tmp_path / "pipe")
    for name in ("csv", "rttm", "html"):
        texts = [Path(record[name]).read_text() for record in (song, piped)]
        assert texts[0] == texts[1].replace("pipe", "song")
    assert base64.b64encode(data).decode() in Path(piped["html"]).read_text()


@pytest.mark.slow
def test_a_song_whose_decoder_never_returns_fails_alone(tmp_path, monkeypatch):
    """Its process takes more processor time than it may: here a second, in which an hour cannot be predicted."""
    songs = [tmp_path / "hangs.wav", tmp_path / "song.wav"]
    write(songs[0], seconds=3600)
    write(songs[1])
    monkeypatch.setattr("genreline.predict.files.decoding_s", lambda path: 1.0 if path == songs[0] else 600.0)
    records = dict(predict_files(find_songs(songs, tmp_path / "out"), MODEL, ("csv",), jobs=1, engine="torch"))
    assert records[0]["error"] == f"{songs[0]}: its process took more than 1 s of processor time; leave it out"
    assert records[1]["csv"] == str(tmp_path / "out" / "song.csv")


@pytest.mark.slow
def test_a_stream_on_dev_stdin_is_read_once(tmp_path):
    write(tmp_path / "song.wav", seconds=3)
    data = (tmp_path / "song.wav").read_bytes()
    command = [sys.executable, "-m", "genreline", "predict", "/dev/stdin", "--model", MODEL, "--formats", "csv,html"]
    subprocess.run(command, input=data, check=True, cwd=tmp_path, capture_output=True)
    assert len((tmp_path / "stdin.csv").read_text().splitlines()) == 4
    assert base64.b64encode(data).decode() in (tmp_path / "stdin.html").read_text()


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg"])
def test_a_song_is_decoded_once_for_all_formats(kind, tmp_path, monkeypatch):
    """Browsers play these as they are, so the player holds the file and nothing is decoded for it."""
    write(tmp_path / f"song.{kind}", seconds=30)
    chunks, read_s = genreline.audio.decode._chunks, []

    def counted(file, name):
        for rate_hz, piece in chunks(file, name):
            read_s.append(piece.shape[-1] / rate_hz)
            yield rate_hz, piece

    monkeypatch.setattr("genreline.audio.decode._chunks", counted)
    ((_, record),) = predict_files(find_songs([tmp_path / f"song.{kind}"], tmp_path / "out"), MODEL, FORMATS)
    assert "error" not in record
    assert sum(read_s) == pytest.approx(30, abs=0.1)
