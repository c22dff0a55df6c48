import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genreline.audio.seconds import RATE_HZ
from genreline.demo import synth
from genreline.demo.synth import Note, Voice

STRUCK = [
    synth.guitar,
    synth.muted_guitar,
    synth.bass,
    synth.harpsichord,
    synth.piano,
    synth.electric_piano,
    synth.synth_pluck,
]
HELD = [
    synth.strings,
    synth.flute,
    synth.reed,
    synth.harmonica,
    synth.organ,
    synth.voice,
    synth.synth_lead,
    synth.pad,
    synth.synth_bass,
    synth.lead_guitar,
]
DRUMS = [synth.kick, synth.snare, synth.brush, synth.hat, synth.cymbal, synth.clap, synth.tom]


def names(functions):
    return [function.__name__ for function in functions]


def spectrum(sound):
    """(Hz, power) of a whole sound, windowed so that a partial stays within a few bins."""
    power = np.abs(np.fft.rfft(sound * np.blackman(len(sound)))) ** 2
    return np.fft.rfftfreq(len(sound), 1 / RATE_HZ), power


def stray_db(sound, hz, width_hz=8.0):
    """Power that is not within `width_hz` of a harmonic of `hz`, in dB beside all of it."""
    bins, power = spectrum(sound)
    off = np.abs(bins - hz * np.round(bins / hz)) > width_hz
    return 10 * np.log10(power[off].sum() / power.sum())


def test_pitches_are_midi_numbers():
    assert synth.hertz(69) == 440
    assert synth.hertz(60) == pytest.approx(261.6256, abs=1e-4)


def test_rung_partials_have_their_pitch_and_decay():
    sound = synth.ring(np.array([500.0, 5000.0]), np.array([1.0, 1.0]), np.array([0.3, 0.3]), 2.0)
    hz, power = spectrum(sound[:8000])
    assert hz[np.argmax(power)] == pytest.approx(500, abs=1)
    assert stray_db(sound[:8000], 500) < -40  # 5000 Hz, which would alias to 3000, is left out
    rms = [np.sqrt(np.mean(sound[i : i + 800] ** 2)) for i in (800, 3200)]
    assert rms[1] / rms[0] == pytest.approx(np.exp(-0.3 / 0.3), rel=0.02)
    t = np.arange(100, 9000) / RATE_HZ  # against the formula, past the attack
    assert sound[100:9000] == pytest.approx(np.exp(-t / 0.3) * np.sin(2 * np.pi * 500 * t), abs=1e-9)


def test_a_wave_goes_from_one_colour_to_the_other_at_its_pitch():
    hz = np.full(8000, 1000.0)
    morph = np.linspace(0, 1, 8000)
    sound = synth.wave(hz, np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0]), morph)
    t = np.arange(1, 8001) / RATE_HZ
    expected = (1 - morph) * np.sin(2 * np.pi * 1000 * t) + morph * np.sin(2 * np.pi * 3000 * t)
    assert sound == pytest.approx(expected, abs=1e-3)


def test_a_wave_follows_a_glide():
    hz = np.linspace(400, 800, 16000)
    sound = synth.wave(hz, np.ones(1), np.ones(1), np.zeros(16000))
    crossings = np.flatnonzero((sound[:-1] < 0) & (sound[1:] >= 0))
    assert len(crossings) == pytest.approx(np.sum(hz) / RATE_HZ, abs=1)
    assert RATE_HZ / np.diff(crossings)[:20].mean() == pytest.approx(400, rel=0.03)
    assert RATE_HZ / np.diff(crossings)[-20:].mean() == pytest.approx(800, rel=0.03)


@given(st.floats(1 / RATE_HZ, 1.0), st.integers(0, 99))
def test_noise_has_any_length(seconds, seed):
    sound = synth.noise(seconds, 500, 2000, np.random.default_rng(seed))
    assert len(sound) == max(round(seconds * RATE_HZ), 1)
    assert np.all(np.isfinite(sound))


def test_noise_has_its_colour_and_an_rms_of_one():
    hz, power = spectrum(synth.noise(4, 1000, 2000, np.random.default_rng(0)))
    inside = power[(hz > 800) & (hz < 2500)].sum() / power.sum()
    assert inside > 0.75
    assert power[hz < 250].sum() / power.sum() < 0.01
    assert np.std(synth.noise(4, 1000, 2000, np.random.default_rng(1))) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("instrument", STRUCK + HELD + DRUMS, ids=names(STRUCK + HELD + DRUMS))
def test_every_note_is_finite_and_begins_and_ends_without_a_click(instrument):
    rng = np.random.default_rng(0)
    for pitch in (24, 60, 100):
        for seconds, velocity, tone in ((0.03, 1.0, 1.0), (0.03, 0.05, 0.0), (0.6, 0.7, 0.5), (3.0, 0.9, 1.0)):
            sound = instrument(pitch, seconds, velocity, tone, rng)
            assert np.all(np.isfinite(sound))
            peak = np.abs(sound).max()
            assert peak > 0
            assert np.abs(sound[[0, -1]]).max() < 1e-6 + 0.02 * peak


@pytest.mark.parametrize("instrument", STRUCK + HELD, ids=names(STRUCK + HELD))
@pytest.mark.parametrize("pitch", [40, 57, 76])
def test_instruments_are_in_tune(instrument, pitch):
    """The sound repeats itself after a period of the note, as far as vibrato and decay let it."""
    rng = np.random.default_rng(3)
    hz = 440 * 2 ** ((pitch - 69) / 12)
    sound = instrument(pitch, 1.0, 0.7, 0.3, rng)[800:4800]  # past attacks and bends
    fast = np.fft.irfft(np.fft.rfft(sound), 16 * len(sound))  # lags of 1/16 sample
    alike = np.fft.irfft(np.abs(np.fft.rfft(fast)) ** 2)
    near = np.arange(int(0.9 * 16 * RATE_HZ / hz), int(1.1 * 16 * RATE_HZ / hz))
    best = near[np.argmax(alike[near])]
    assert 16 * RATE_HZ / best == pytest.approx(hz, rel=0.012)  # a fifth of a semitone
    assert alike[best] > 0.5 * alike[0]


@pytest.mark.parametrize("pitch", [28.3, 60.2, 83.7, 96.4])
def test_all_harmonics_fit_below_nyquist(pitch):
    k = synth.harmonics(pitch)
    hz = synth.hertz(pitch)
    assert k[-1] * hz < 0.5 * RATE_HZ < (k[-1] + 1.3) * hz + 0.03 * RATE_HZ
    sound = synth.wave(np.full(16000, hz), np.ones(len(k)), np.ones(len(k)), np.zeros(16000))
    assert stray_db(sound, hz) < -50
    assert stray_db(synth.ring(hz * np.arange(1.0, 200), np.ones(199), np.full(199, 0.5), 2.0), hz) < -40


def test_bright_is_brighter_than_dark():
    def centre(sound):
        hz, power = spectrum(sound)
        return np.sum(hz * power) / np.sum(power)

    for instrument in (synth.guitar, synth.bass, synth.piano, synth.strings, synth.reed, synth.pad, synth.snare):
        dark, bright = (instrument(48, 0.5, 0.7, tone, np.random.default_rng(0)) for tone in (0.0, 1.0))
        assert centre(bright) > centre(dark), instrument.__name__


@pytest.mark.parametrize(("gain", "hz"), [(1.0, 660.3), (2.9, 440.9), (25.0, 440.9), (25.0, 660.3)])
def test_an_overdrive_adds_harmonics_and_hardly_any_aliases(gain, hz):
    clean = np.sin(2 * np.pi * hz * np.arange(16000) / RATE_HZ)
    driven = synth.overdrive(gain)(clean)
    assert driven.shape == clean.shape
    bins, power = spectrum(driven[4000:12000])
    third = power[np.abs(bins - 3 * hz) < 5].sum() / power.sum()
    assert third > 1e-3
    assert stray_db(driven[4000:12000], hz) < -37


def test_an_overdrive_is_the_same_whatever_the_level():
    sound = np.random.default_rng(0).normal(size=4000)
    assert synth.overdrive(5)(sound) == pytest.approx(synth.overdrive(5)(0.01 * sound))
    assert np.all(synth.overdrive(5)(np.zeros(4000)) == 0)


def test_a_pump_ducks_under_the_kick_and_comes_back():
    pumped = synth.pump(np.array([0.5, 1.5]), 0.8)(np.ones(16000))
    assert np.all(pumped[:4000] == 1)
    assert pumped[4080] == pytest.approx(1 - 0.8 * np.exp(-0.01 / 0.12), abs=0.01)
    assert pumped[7900] > 0.95
    assert pumped[12080] < 0.4


def blip(pitch, seconds, velocity, tone, rng):
    """An instrument to see when a note falls."""
    return np.sin(np.pi / 2 * np.arange(160))


def test_notes_fall_where_the_clock_says():
    clock_s = np.array([0, 0.4, 0.5, 0.9, 1.0])  # swung eighths
    part = Voice(blip, [Note(0, 1, 60), Note(0.5, 0.5, 60), Note(1.5, 0.5, 60), Note(9, 1, 60)], 0)
    sound = np.abs(synth.render([part], clock_s, RATE_HZ, 0, np.random.default_rng(0)))
    loud = np.flatnonzero(sound > 0.6 * sound.max()) / RATE_HZ
    starts_s = loud[np.diff(loud, prepend=-1) > 0.1]
    assert starts_s == pytest.approx([0, 0.4, 0.9], abs=0.03)


def sine(pitch, seconds, velocity, tone, rng):
    """An instrument of one frequency."""
    return np.sin(2 * np.pi * synth.hertz(pitch) * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


def test_parts_are_mixed_at_their_levels():
    """Two parts, and the same with their levels exchanged: what the room adds to either cancels in the quotient."""
    ratios = []
    for levels_db in ((0, -20), (-20, 0)):
        parts = [Voice(sine, [Note(0, 8, pitch)], db) for pitch, db in zip((60, 79), levels_db, strict=True)]
        sound = synth.render(parts, np.arange(17) / 4, 4 * RATE_HZ, 0, np.random.default_rng(0))
        bins, power = spectrum(sound[2 * RATE_HZ : 3 * RATE_HZ])
        low, high = (power[np.abs(bins - synth.hertz(pitch)) < 5].sum() for pitch in (60, 79))
        ratios.append(np.sqrt(low / high))
    assert np.sqrt(ratios[0] / ratios[1]) == pytest.approx(10, rel=0.05)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3000), st.sampled_from([0.0, 0.7]))
def test_any_number_of_samples_is_rendered(n, drive):
    parts = [
        Voice(synth.piano, [Note(0, 2, 60)], -3),
        Voice(synth.kick, [Note(0, 1, 36)], -3),
        Voice(synth.hat, [], -3),
    ]
    sound = synth.render(parts, np.arange(9) / 4, n, drive, np.random.default_rng(n))
    assert sound.shape == (n,)
    assert sound.dtype == np.float32
    assert np.all(np.isfinite(sound))
    assert np.abs(sound).max() <= 10 ** (-1 / 20) + 1e-6
    assert sound[0] == sound[-1] == 0


def test_nobody_playing_is_silence():
    sound = synth.render([], np.arange(9) / 4, 800, 0.5, np.random.default_rng(0))
    assert np.all(sound == 0)
