from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import stft

from genreline.audio.seconds import RATE_HZ
from genreline.demo import synth
from genreline.demo.music import (
    GENRES,
    MAJOR,
    MINOR,
    _chords,
    _clock,
    _melody,
    _near,
    _tab,
    compose,
    medley,
    write_score,
)
from genreline.demo.synth import Note
from genreline.errors import DataError

pytestmark = pytest.mark.slow

DRUMS = {synth.kick, synth.snare, synth.brush, synth.hat, synth.cymbal, synth.clap, synth.tom}


@pytest.fixture(scope="module")
def tracks():
    """Six pieces of each genre, six seconds each: genre -> list of (score, sound)."""
    return {g: [(write_score(g, seed, 6), compose(g, seed, 6)) for seed in range(6)] for g in GENRES}


def chroma(sound):
    """The share of each pitch class in the energy between 60 and 1000 Hz, by one FFT; shape (12,)."""
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    used = (hz > 60) & (hz < 1000)
    tones = np.round(69 + 12 * np.log2(hz[used] / 440)).astype(int) % 12
    return np.bincount(tones, weights=power[used], minlength=12) / power[used].sum()


def test_the_same_arguments_give_the_same_samples(tracks):
    for genre in GENRES:
        assert np.array_equal(compose(genre, 2, 6), tracks[genre][2][1])


@pytest.mark.parametrize(
    ("genre", "loudness"),
    [
        ("blues", [0.1688, 0.2981, 0.2608, 0.2655]),
        ("classical", [0.2462, 0.2660, 0.2950, 0.1206]),
        ("pop", [0.2763, 0.2841, 0.2795, 0.3242]),
        ("rock", [0.1700, 0.1790, 0.1870, 0.3399]),
    ],
)
def test_the_pieces_stay_what_they_were(genre, loudness):
    """RMS per second of seed 7. If a change of the music is meant, so is a change of these numbers."""
    rms = np.sqrt(np.mean(compose(genre, 7, 4).astype(np.float64).reshape(4, RATE_HZ) ** 2, axis=1))
    assert rms == pytest.approx(loudness, abs=2e-3)


def test_seeds_differ_in_key_tempo_band_and_sound(tracks):
    for genre in GENRES:
        scores, sounds = zip(*tracks[genre], strict=True)
        assert len({each.key for each in scores}) > 2
        assert len({round(each.bpm) for each in scores}) > 3
        assert len({tuple(part.instrument for part in each.parts) for each in scores}) > 3
        alike = np.abs(np.corrcoef(np.stack(sounds)))
        assert alike[~np.eye(6, dtype=bool)].max() < 0.3


def test_genres_do_not_share_their_chance():
    assert len({write_score(genre, 5).bpm for genre in GENRES}) == len(GENRES)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(GENRES), st.integers(0, 2**64), st.floats(1 / RATE_HZ, 2.5))
def test_any_duration_is_met_to_the_sample(genre, seed, duration_s):
    sound = compose(genre, seed, duration_s)
    assert sound.shape == (round(duration_s * RATE_HZ),)
    assert sound.dtype == np.float32
    assert np.all(np.isfinite(sound))
    assert np.abs(sound).max() <= 10 ** (-1 / 20) + 1e-6


def test_levels_are_those_of_a_recording(tracks):
    for genre in GENRES:
        for _, sound in tracks[genre]:
            rms = np.sqrt(np.mean(sound.astype(np.float64).reshape(-1, RATE_HZ // 2) ** 2, axis=1))
            assert np.abs(sound).max() == pytest.approx(10 ** (-1 / 20), abs=1e-5)
            assert 0.05 < rms.max() < 0.5
            assert rms.min() > 1e-3  # never silent for half a second
            assert abs(np.mean(sound, dtype=np.float64)) < 1e-3
            assert np.argmax(np.abs(sound) > 0.01) < 0.05 * RATE_HZ  # begins at once
            assert sound[0] == sound[-1] == 0


@pytest.mark.parametrize("genre", GENRES)
def test_the_notes_that_sound_are_those_of_the_score(tracks, genre):
    """An independent chroma fits the score's pitch classes best as they are written, not moved to another key."""
    fits = np.zeros((len(tracks[genre]), 12))
    for row, (piece, sound) in zip(fits, tracks[genre], strict=True):
        written = np.zeros(12)
        for part in piece.parts:
            for beat, beats, pitch, velocity in part.notes if part.instrument not in DRUMS else ():
                if beat * 60 / piece.bpm < 6:
                    written[round(pitch) % 12] += beats * velocity**2 * 10 ** (part.level_db / 10)
        row[:] = [np.corrcoef(np.roll(written, shift), chroma(sound))[0, 1] for shift in range(12)]
    assert np.argmax(fits.mean(axis=0)) == 0
    assert np.mean(np.argmax(fits, axis=1) == 0) >= 0.5
    assert fits[:, 0].mean() > 0.6


@pytest.mark.parametrize("genre", ["classical", "pop"])
def test_the_harmony_is_in_the_key(tracks, genre):
    for piece, sound in tracks[genre]:
        share = chroma(sound)
        inside = [sum(share[(key + step) % 12] for step in piece.scale) for key in range(12)]
        assert inside[piece.key] > 0.6
        assert inside[piece.key] > np.median(inside) + 0.1


def test_drums_are_where_they_belong(tracks):
    """In the scores, and in the sound: drums fill the gaps between the partials above 1500 Hz."""

    def flatness(sound):
        hz, _, z = stft(sound, RATE_HZ, nperseg=512)
        power = np.abs(z[hz > 1500]) ** 2 + 1e-12
        return np.mean(np.log10(np.exp(np.log(power).mean(axis=0)) / power.mean(axis=0)))

    for genre in ("rock", "pop"):
        for piece, _ in tracks[genre]:
            assert {synth.kick, synth.snare} <= {part.instrument for part in piece.parts}
    for piece, _ in tracks["classical"]:
        assert not DRUMS & {part.instrument for part in piece.parts}
    flat = {genre: np.median([flatness(sound) for _, sound in tracks[genre]]) for genre in GENRES}
    assert flat["classical"] < flat["blues"] < flat["rock"]
    assert flat["classical"] + 0.5 < flat["pop"]


@pytest.mark.parametrize("genre", ["blues", "pop", "rock"])
def test_the_beat_is_where_the_tempo_says(tracks, genre):
    """Onsets two beats apart are alike; onsets at odd distances are not."""
    for piece, sound in tracks[genre]:
        _, _, z = stft(sound, RATE_HZ, nperseg=256, noverlap=216)  # 200 frames a second
        onsets = np.maximum(np.diff(np.log1p(100 * np.abs(z)), axis=1), 0).sum(axis=0)
        onsets -= onsets.mean()
        alike = np.correlate(onsets, onsets, "full")[len(onsets) - 1 :]
        lag = [round(beats * 60 / piece.bpm * 200) for beats in (2, 1.7, 1.85, 2.15, 2.3)]
        on, *off = (alike[each - 3 : each + 4].max() for each in lag)
        assert on > np.mean(off)


def test_a_medley_is_its_parts_in_a_row():
    sound, parts = medley(3, part_s=2, parts=7)
    assert sound.dtype == np.float32
    assert sound.shape == (14 * RATE_HZ,)
    assert [(start, end) for start, end, _ in parts] == [(2.0 * i, 2.0 * i + 2) for i in range(7)]
    genres = [genre for _, _, genre in parts]
    assert set(genres) == set(GENRES)
    assert all(a != b for a, b in pairwise(genres))
    assert np.array_equal(medley(3, part_s=2, parts=7)[0], sound)
    assert [genre for *_, genre in medley(4, 1)[1]] != [genre for *_, genre in medley(5, 1)[1]]
    for start, _, _ in parts[1:]:
        join = int(start) * RATE_HZ
        assert np.abs(sound[join - 4 : join + 4]).max() < 0.05  # no click
        assert np.abs(sound[join - 400 : join + 400]).max() > 0.01  # and no gap


@pytest.mark.parametrize(
    ("genre", "seed", "duration_s", "words"),
    [
        ("jazz", 0, 1, "'jazz' has no composer; choose one of blues, classical, pop, rock"),
        ("pop", -1, 1, "seed -1 is negative"),
        ("pop", 0, 0, "duration_s 0 is not a positive number of seconds"),
        ("pop", 0, -2.5, "duration_s -2.5"),
        ("pop", 0, 1e-6, "duration_s 1e-06"),
        ("pop", 0, float("nan"), "duration_s nan"),
        ("pop", 0, float("inf"), "duration_s inf"),
    ],
)
def test_nonsense_is_refused(genre, seed, duration_s, words):
    with pytest.raises(DataError, match=words):
        compose(genre, seed, duration_s)


@pytest.mark.parametrize("arguments", [(-1,), (0, 0), (0, 1.5), (0, 15, 3)])
def test_a_medley_that_cannot_be_is_refused(arguments):
    with pytest.raises(DataError, match="cannot be made"):
        medley(*arguments)


def test_numerals_are_chords():
    assert _chords("I vi bVII V7 viio", 2) == [(2, 6, 9), (11, 14, 18), (12, 16, 19), (9, 13, 16, 19), (13, 16, 19)]


def test_tablature():
    assert _tab("x-.X", 8, [40, 47]) == [
        Note(8, 2, 40, 0.7),
        Note(8, 2, 47, 0.7),
        Note(11, 1, 40, 0.95),
        Note(11, 1, 47, 0.95),
    ]
    assert _tab("01", 0, [60, 64], bar=2) == [Note(0, 2, 60, 0.7), Note(1, 1, 64, 0.5)]
    assert _tab("....", 0) == []


@given(st.integers(-12, 40), st.floats(30, 90))
def test_near_keeps_the_tone_and_goes_to_the_nearest_octave(tone, centre):
    pitch = _near(tone, centre)
    assert (pitch - tone) % 12 == 0
    assert abs(pitch - centre) <= 6 + 1e-9


def test_the_clock_swings_and_breathes():
    assert _clock(120, 2) == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert _clock(60, 2, swing=2 / 3) == pytest.approx([0, 2 / 3, 1, 5 / 3, 2])
    slowing = np.diff(_clock(60, 8, pace=np.array([1.0, 0.5])))
    assert np.all(np.diff(slowing) > 0)


@pytest.mark.parametrize("mode", [MAJOR, MINOR])
def test_a_melody_keeps_to_scale_range_and_plan(mode):
    rng = np.random.default_rng(0)
    chords = _chords("I IV V I" if mode is MAJOR else "i iv v i", 5) * 4
    notes = _melody(rng, "ab-.", chords, 5, mode, 67, ("x-xxx---", "x---x-x-"))
    assert all((note.pitch - 5) % 12 in mode and 55 <= note.pitch <= 79 for note in notes)
    bars = [[note for note in notes if note.beat // 4 == bar] for bar in range(16)]
    assert all(not bar for bar in bars[2::4])  # the rests
    assert all(len(bar) == 1 and bar[0].beats > 2 for bar in bars[3::4])  # the cadences
    rhythms = [[(note.beat % 4, note.beats) for note in bar] for bar in bars[::4]]
    assert all(rhythm == rhythms[0] for rhythm in rhythms)  # the motif comes back
    assert len({tuple(note.pitch for note in bar) for bar in bars[::4]}) > 1  # but is no loop
    on_chord = [any((n.pitch - t) % 12 == 0 for t in chords[int(n.beat // 4)]) for n in notes if n.beats >= 1]
    assert all(on_chord)
