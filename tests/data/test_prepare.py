import csv
from collections import Counter

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from genreline.audio.features import mfccs
from genreline.data.layout import SETS, load_dataset
from genreline.data.prepare import prepare, split_tracks
from genreline.errors import DataError


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    for genre in ("blues", "rock"):
        (tmp_path / "music" / genre).mkdir(parents=True)
        for i in range(5):
            soundfile.write(tmp_path / "music" / genre / f"{genre}{i}.wav", rng.normal(0, 0.1, 20_000 + 8000 * i), 8000)
    return tmp_path / "music"


def test_folders_become_a_dataset(folders, tmp_path):
    ticks = []
    prepare(folders, tmp_path / "out", seed=1, on_track=lambda: ticks.append(1))
    assert len(ticks) == 10
    datasets = [load_dataset(tmp_path / "out", kind) for kind in ("mfccs", "melgrams")]
    assert datasets[0].classes == ("blues", "rock")
    assert sum(len(split) for split in datasets[0].splits.values()) == 2 * (3 + 4 + 5 + 6 + 7)
    for name in SETS:
        assert np.array_equal(datasets[0].splits[name].labels, datasets[1].splits[name].labels)
    split = datasets[0].test
    for row, (track, start_s) in enumerate(zip(split.tracks["track"], split.tracks["start_s"], strict=True)):
        waveform, _ = soundfile.read(folders / track, dtype="float32")
        second = np.zeros((1, 8000), np.float32)
        cut = waveform[int(start_s) * 8000 :][:8000]
        second[0, : len(cut)] = cut
        np.testing.assert_array_equal(split.X[row], mfccs(second)[0])


def test_no_track_is_in_two_sets(folders, tmp_path):
    prepare(folders, tmp_path / "out")
    tracks = []
    for name in SETS:
        with (tmp_path / "out" / name / "tracks.csv").open(newline="") as file:
            tracks += sorted({row["track"] for row in csv.DictReader(file)})
    assert len(tracks) == len(set(tracks)) == 10


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(3, 40), min_size=1), st.integers(0, 1000))
def test_every_set_has_every_class(sizes, seed):
    tracks = {label: [f"{label}{i}" for i in range(n)] for label, n in sizes.items()}
    sets = split_tracks(tracks, seed)
    dealt = [path for name in SETS for _, path in sets[name]]
    assert Counter(dealt) == Counter(path for paths in tracks.values() for path in paths)
    for name in SETS:
        assert {label for label, _ in sets[name]} == set(sizes)
    assert split_tracks(tracks, seed) == sets


def test_hidden_files_are_passed_over_and_depth_does_not_matter(folders, tmp_path):
    (folders / ".git").mkdir()
    (folders / "rock" / ".DS_Store").write_text("not audio")
    (folders / "rock" / "album").mkdir()
    (folders / "rock" / "rock0.wav").rename(folders / "rock" / "album" / "rock1.wav")
    prepare(folders, tmp_path / "out")
    tracks = {track for name in SETS for track in load_dataset(tmp_path / "out", "mfccs").splits[name].tracks["track"]}
    assert {"rock/album/rock1.wav", "rock/rock1.wav"} < tracks
    assert len(tracks) == 10


def test_too_few_tracks_and_no_folders_are_errors(folders, tmp_path):
    for i in range(3):
        (folders / "rock" / f"rock{i}.wav").unlink()
    with pytest.raises(DataError, match="rock: has 2 tracks"):
        prepare(folders, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    for source in ("empty", "nowhere"):
        with pytest.raises(DataError, match="holds no folders"):
            prepare(tmp_path / source, tmp_path / "out")
