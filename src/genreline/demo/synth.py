"""A band in a room: instruments, effects and the mixing desk, in plain numpy and scipy.

`music.py` decides what is played (notes, in beats); this file decides how it sounds. Three sources make every sound:

* `ring`: decaying partials, for what is struck or plucked (piano, guitar, bass, drum shells);
* `wave`: a cycle read at a moving pitch, for what is sung, bowed or blown (vibrato, bends, vowels);
* `noise`: noise of a given colour, for cymbals, snares, breath and rooms.

Partials stop below the Nyquist frequency and distortion is computed at four or eight times the rate, so what aliases
stays about 40 dB below the sound.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len
from scipy.signal import butter, oaconvolve, resample_poly, sosfilt

from genreline.audio.seconds import RATE_HZ

Samples = NDArray[np.float64]
"""A sound while it is being made: float64, shape (samples,), any scale."""

Instrument = Callable[[float, float, float, float, Generator], Samples]
"""(pitch as a MIDI number, seconds, velocity 0..1, tone 0 dark .. 1 bright, chance) -> a note.

Drums, but for toms, have no pitch to speak of and ignore it.
"""

Effect = Callable[[Samples], Samples]
"""A box that a whole part goes through; keeps the shape."""


class Note(NamedTuple):
    """One note of a part. `beat` and `beats` are its start and length, `pitch` a MIDI number (60 is middle C)."""

    beat: float
    beats: float
    pitch: float
    velocity: float = 0.8


class Voice(NamedTuple):
    """What one player plays, on what, how loud (dB beside the others, while it plays) and through which effects."""

    instrument: Instrument
    notes: list[Note]
    level_db: float
    tone: float = 0.5
    effects: tuple[Effect, ...] = ()


# The mixing desk ------------------------------------------------------------------------------------------------------


def render(parts: Sequence[Voice], clock_s: Samples, n: int, drive: float, rng: Generator) -> NDArray[np.float32]:
    """Play `parts` together and record them in a room.

    Args:
        parts: the players.
        clock_s: shape (half beats,): the second at which each half beat falls. Swing and rubato live here.
        n: samples to record; the piece is cut there.
        drive: 0 for an untouched recording, about 1 for a loud, squashed one.
        rng: chance in the performance (timing, breath) and in the recording (room, hiss).

    Returns:
        float32 (n,), peak at -1 dBFS, with edges faded over 3 ms so that recordings can be joined without a click.
    """
    mix = np.zeros(n)
    for part in parts:
        mix += _play(part, clock_s, n, rng)
    room = noise(rng.uniform(0.15, 0.6), 150, rng.uniform(1500, 3000), rng)
    room *= np.exp(-6.9 * np.arange(len(room)) / len(room))  # 60 dB down at its end
    mix += rng.uniform(0.1, 0.5) * oaconvolve(mix, room / np.sqrt(np.sum(room**2)))[:n]
    mix += _loudness(mix) * 10 ** (rng.uniform(-65, -50) / 20) * noise(n / RATE_HZ, 20, 4000, rng)[:n]
    if drive:
        mix = overdrive(drive)(mix)
    mix = sosfilt(butter(2, 30, "highpass", fs=RATE_HZ, output="sos"), mix)
    mix = _faded(mix, 0.003, 0.003)
    return np.asarray(mix * (10 ** (-1 / 20) / max(np.abs(mix).max(), 1e-9)), dtype=np.float32)


def _play(part: Voice, clock_s: Samples, n: int, rng: Generator) -> Samples:
    """One part alone, with its effects, at its level."""
    track = np.zeros(n)
    half_beats = np.arange(len(clock_s)) / 2
    for note in part.notes:
        start_s, end_s = np.interp((note.beat, note.beat + note.beats), half_beats, clock_s)
        late_s = abs(rng.normal(0, 0.006)) if note.beat else 0.0  # nobody plays exactly on the beat
        velocity = float(np.clip(note.velocity * rng.normal(1, 0.08), 0.05, 1))
        first = round((start_s + late_s) * RATE_HZ)
        if first < n:
            sound = velocity * part.instrument(note.pitch, max(end_s - start_s, 0.03), velocity, part.tone, rng)
            track[first : first + len(sound)] += sound[: n - first]
    for effect in part.effects:
        track = effect(track)
    return track * (10 ** (part.level_db / 20) / max(_loudness(track), 1e-9))


def _loudness(sound: Samples) -> float:
    """The RMS of the louder tenths of a second: how loud a part is while it plays, whatever its rests."""
    size = RATE_HZ // 10
    frames = np.append(sound, np.zeros(-len(sound) % size)).reshape(-1, size)
    rms = np.sqrt(np.mean(frames**2, axis=1))
    return float(np.quantile(rms[rms > 1e-3 * rms.max()], 0.8)) if rms.any() else 0.0


def _faded(sound: Samples, attack_s: float, release_s: float) -> Samples:
    """Give `sound` a smooth rise and fall, in place, and hand it back."""
    for ramp, seconds in ((sound, attack_s), (sound[::-1], release_s)):
        size = min(max(round(seconds * RATE_HZ), 2), len(sound))
        ramp[:size] *= 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, size))
    return sound


# Effects --------------------------------------------------------------------------------------------------------------


def overdrive(gain: float) -> Effect:
    """An amplifier turned up: 1 warms, 4 crunches, 20 and more is metal. Slightly lopsided, as valves are."""
    times = 8 if gain > 3 else 4  # the harder the edges, the higher the rate that keeps them from aliasing

    def effect(sound: Samples) -> Samples:
        fast = resample_poly(sound, times, 1) * (gain / max(_loudness(sound), 1e-9))
        return np.asarray(resample_poly(np.tanh(fast + 0.15) - np.tanh(0.15), 1, times), dtype=np.float64)

    return effect


def pump(kicks_s: Samples, depth: float) -> Effect:
    """Duck under every kick (at `kicks_s`, ascending) and swell back in a quarter of a second, as dance music does."""

    def effect(sound: Samples) -> Samples:
        t = np.arange(len(sound)) / RATE_HZ
        last = np.searchsorted(kicks_s, t, side="right") - 1
        since = np.where(last >= 0, t - kicks_s[last], np.inf)
        return sound * (1 - depth * np.clip(since / 0.01, 0, 1) * np.exp(-since / 0.12))

    return effect


# Sources --------------------------------------------------------------------------------------------------------------


def ring(hz: Samples, amplitude: Samples, decay_s: Samples, seconds: float, release_s: float = 0.05) -> Samples:
    """Partials that all start at once and die away, each in its own time: what is struck or plucked.

    Args:
        hz, amplitude, decay_s: shape (partials,); `decay_s` is the time to 1/e. Partials near Nyquist are left out.
        seconds: how long it is held; then it is damped over `release_s`.
    """
    keep = hz < 0.48 * RATE_HZ
    rates = (2j * np.pi * hz[keep] - 1 / decay_s[keep]) / RATE_HZ
    size = round((seconds + release_s) * RATE_HZ)
    # exp(rate * (64 i + j)) = exp(rate * 64 i) * exp(rate * j): two small tables and a product, not one exp a sample.
    coarse = np.exp(np.outer(np.arange(0, size, 64), rates))
    fine = np.exp(np.outer(rates, np.arange(64))) * amplitude[keep, None]
    return _faded((coarse @ fine).imag.ravel()[:size].copy(), 0.002, release_s)


def wave(hz: Samples, first: Samples, last: Samples, morph: Samples) -> Samples:
    """A cycle read at a pitch that may move, while its colour goes from `first` to `last`.

    Args:
        hz, morph: shape (samples,): the pitch, and where the colour is between `first` (0) and `last` (1).
        first, last: shape (harmonics,): amplitudes; see `harmonics` for how many fit.
    """
    size = 2048
    phase = np.cumsum(hz) * (size / RATE_HZ) % size
    left = phase.astype(np.intp)
    spectra = np.zeros((2, size // 2 + 1), dtype=np.complex128)
    spectra[:, 1 : len(first) + 1] = -0.5j * size * np.stack((first, last))
    tables = irfft(spectra, axis=1)
    tables = np.append(tables, tables[:, :1], axis=1)  # the cycle closes
    a, b = tables[:, left] + (phase - left) * (tables[:, left + 1] - tables[:, left])
    return np.asarray(a + morph * (b - a), dtype=np.float64)


def noise(seconds: float, low_hz: float, high_hz: float, rng: Generator) -> Samples:
    """Noise of RMS about 1 between two frequencies, with soft edges an octave wide; drawn as a spectrum."""
    n = max(round(seconds * RATE_HZ), 1)
    size = next_fast_len(n, real=True)
    hz = np.maximum(np.arange(size // 2 + 1) * (RATE_HZ / size), 1e-3)
    shape = 1 / np.sqrt((1 + (low_hz / hz) ** 4) * (1 + (hz / high_hz) ** 4))
    spectrum = shape * np.exp(2j * np.pi * rng.random(len(hz)))
    spectrum[0] = 0
    return np.asarray(irfft(spectrum, size)[:n] * (size / np.sqrt(2 * np.sum(shape**2))), dtype=np.float64)


def harmonics(pitch: float) -> Samples:
    """1, 2, 3, ... as far as a tone may have harmonics at this rate, with room for vibrato."""
    return np.arange(1.0, max(0.47 * RATE_HZ // hertz(pitch), 1) + 1)


def hertz(pitch: float) -> float:
    """A MIDI number as a frequency: 69 is 440 Hz."""
    return float(440 * 2 ** ((pitch - 69) / 12))


def _line(pitch: float, seconds: float, rng: Generator, vibrato: float = 0.0, scoop: float = 0.0) -> Samples:
    """The frequency of a held note, sample by sample: vibrato that sets in, and a bend of `scoop` semitones into it."""
    t = np.arange(max(round(seconds * RATE_HZ), 2)) / RATE_HZ
    sway = vibrato * np.clip((t - 0.12) / 0.3, 0, 1) * np.sin(2 * np.pi * (rng.uniform(4.8, 6) * t + rng.random()))
    return np.asarray(hertz(pitch + rng.normal(0, 0.03)) * 2 ** ((sway - scoop * np.exp(-t / 0.05)) / 12))


# Struck and plucked ---------------------------------------------------------------------------------------------------


def _string(pitch: float, seconds: float, slope: float, decay_s: float, damping: float, pluck: float) -> Samples:
    """A string: harmonics that fall as k**-slope, with gaps where it is plucked, the upper ones dying sooner."""
    hz = hertz(pitch)
    k = harmonics(pitch)
    amplitude = (0.1 + np.abs(np.sin(np.pi * k * pluck))) * k**-slope
    return ring(hz * k * np.sqrt(1 + 1e-4 * k**2), amplitude, decay_s / (1 + damping * (k - 1)), seconds)


def guitar(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Steel or electric guitar, left to ring."""
    return _string(pitch, seconds, 1.7 - 0.5 * tone - 0.4 * velocity, 0.9, 0.12, rng.uniform(0.12, 0.3))


def muted_guitar(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Guitar strings damped by the palm."""
    return _string(pitch, min(seconds, 0.22), 1.7 - 0.6 * tone, 0.09, 0.1, rng.uniform(0.1, 0.25))


def bass(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Bass: upright and round when dark, electric and picked when bright."""
    return _string(pitch, seconds, 2.2 - 1.1 * tone, 0.35 + 0.6 * tone, 0.25 - 0.15 * tone, rng.uniform(0.1, 0.2))


def harpsichord(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Quills on thin strings; a harp when dark."""
    return _string(pitch, seconds, 1.9 - 1.2 * tone, 0.6, 0.08, 0.3 - 0.2 * tone)


def piano(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Piano: a hammer on strings, softer and duller when played softly."""
    decay_s = 1.4 * 2 ** ((60 - pitch) / 24)
    sound = _string(pitch, seconds, 2.9 - 0.8 * tone - 1.0 * velocity, decay_s, 0.2, 0.13)
    knock = _hit(0.03, 100, 900, 0.015, rng)
    sound[: len(knock)] += 0.12 * knock  # with its release, the shortest note is longer than that
    return sound


def electric_piano(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """A tine and a tone bar: few harmonics, a bell at the start, a bark when played hard."""
    hz = hertz(pitch) * np.array([1.0, 2.0, 3.0, 4.0, 7.0])
    amplitude = np.array([1.0, 0.5 * velocity, 0.3 * velocity * tone, 0.15 * tone, 0.25 * tone])
    return ring(hz, amplitude, np.array([1.2, 0.7, 0.4, 0.3, 0.12]), seconds, 0.08)


def synth_pluck(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """A sawtooth whose filter snaps shut."""
    k = harmonics(pitch)
    return ring(hertz(pitch) * k, 1 / k, (0.15 + 0.3 * tone) / (1 + 0.35 * (k - 1)), seconds, 0.1)


# Bowed, blown, sung and held ------------------------------------------------------------------------------------------


def strings(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """A few bowed strings together, brighter when louder."""
    k = harmonics(pitch)
    colour = k ** -(1.9 - 0.5 * tone - 0.4 * velocity) * (1 + 0.5 * np.cos(k * 1.7))
    lines = (_line(pitch + cents / 100, seconds + 0.12, rng, vibrato=0.18) for cents in (-6, 5))
    left, right = (wave(hz, 0.4 * colour, colour, _swell(hz, 0.15)) for hz in lines)
    return _faded(left + right, min(0.09, seconds / 3), 0.15)


def flute(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Nearly a sine, with breath."""
    k = harmonics(pitch)
    hz = _line(pitch, seconds + 0.06, rng, vibrato=0.15)
    sound = wave(hz, k**-3.5, k ** -(3.2 - tone), _swell(hz, 0.1))
    return _faded(sound + 0.05 * noise(len(hz) / RATE_HZ, 800, 3500, rng), 0.04, 0.07)


def reed(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Clarinet when dark (odd harmonics), oboe when bright."""
    k = harmonics(pitch)
    colour = np.where(k % 2 == 1, 1.0, tone) * k ** -(1.9 - 0.8 * tone)
    hz = _line(pitch, seconds + 0.06, rng, vibrato=0.1)
    return _faded(wave(hz, colour * k**-0.7, colour, _swell(hz, 0.08)), 0.03, 0.07)


def harmonica(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Free reeds through cupped hands, bent into from below."""
    k = harmonics(pitch)
    colour = k**-0.9 * np.exp(-(((hertz(pitch) * k - 1300 - 700 * tone) / 1100) ** 2))
    hz = _line(pitch, seconds + 0.05, rng, vibrato=0.3, scoop=rng.choice((0, 0.5, 1.2)))
    hands = 0.5 + 0.5 * np.sin(34 * _time(hz))
    return _faded(wave(hz, colour, colour * k**-0.6, hands), 0.025, 0.06)


def organ(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Drawbars and a turning loudspeaker."""
    k = harmonics(pitch)
    drawbars = np.array([1, 0.8, 0.6, 0.4 * tone, 0.1, 0.4 * tone, 0, 0.5 * tone])
    colour = np.pad(drawbars, (0, max(len(k) - 8, 0)))[: len(k)]
    hz = _line(pitch, seconds + 0.03, rng)
    turns = 0.5 + 0.5 * np.sin(2 * np.pi * (1 + 5 * tone) * _time(hz))
    return _faded(wave(hz, colour, colour * 0.6, turns), 0.01, 0.04)


def voice(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Somebody singing syllables: each note glides from one vowel to another, some begin with a consonant."""
    k = harmonics(pitch)
    first, last = (_vowel(hertz(pitch) * k, tone, formants) for formants in VOWELS[rng.integers(len(VOWELS), size=2)])
    hz = _line(pitch, seconds + 0.05, rng, vibrato=0.25, scoop=rng.choice((0, 0.7, 1.5)))
    hiss = rng.uniform(0, 0.15) * noise(len(hz) / RATE_HZ, 1500, 3800, rng) * np.exp(-_time(hz) / 0.03)
    return _faded(wave(hz, first, last, _swell(hz, 0.12)) + hiss, 0.03, 0.07)


VOWELS = np.array([(730, 1100, 2450), (530, 1850, 2500), (300, 2300, 3000), (570, 850, 2400), (640, 1200, 2400)])
"""Formants of a, e, i, o, u in Hz (rounded from the usual tables of spoken English)."""


def _vowel(hz: Samples, tone: float, formants: Samples) -> Samples:
    """How loud harmonics at `hz` are in a vowel; a bright `tone` is a smaller head, with higher formants."""
    centres = formants[:, None] * (1 + 0.15 * tone)
    peaks = np.exp(-(((hz - centres) / (80 + 0.09 * centres)) ** 2)) / np.array([[1.0], [2.0], [3.0]])
    return np.asarray((peaks.sum(axis=0) + 0.05) * (hz / hz[0]) ** -0.8)


def synth_lead(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Two saws or squares, out of tune, through a closing filter."""
    k = harmonics(pitch)
    colour = 1 / k * np.where(k % 2 == 1, 1, rng.choice((0.1, 1)))
    hz = _line(pitch, seconds + 0.04, rng, vibrato=0.12, scoop=0.3)
    left, right = (wave(line, colour, colour * k ** -(1 - tone), _swell(hz, 0.15)) for line in (hz, hz * 1.006))
    return _faded(left + right, 0.008, 0.06)


def pad(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Two saws out of tune behind a filter: a carpet."""
    k = harmonics(pitch)
    colour = k ** -(1.9 - 0.9 * tone)
    lines = (_line(pitch + cents / 100, seconds + 0.1, rng) for cents in (-8, 8))
    left, right = (wave(hz, colour / k, colour, _swell(hz, 0.5)) for hz in lines)
    return _faded(left + right, 0.06, 0.15)


def synth_bass(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """A saw with a filter that snaps on every note."""
    k = harmonics(pitch)
    hz = _line(pitch, seconds + 0.02, rng)
    return _faded(wave(hz, k ** -(1.7 - 0.6 * tone), k ** -(2.6 - tone), _swell(hz, 0.1)), 0.004, 0.03)


def lead_guitar(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """A guitar string that is bent into and shaken; long notes want an overdrive to sustain them."""
    k = harmonics(pitch)
    colour = (0.2 + np.abs(np.sin(np.pi * k * rng.uniform(0.12, 0.25)))) * k ** -(1.5 - 0.5 * tone)
    bend = rng.choice((0, 0, 1, 2)) if seconds > 0.2 else 0
    hz = _line(pitch, seconds + 0.05, rng, vibrato=0.3, scoop=bend)
    return _faded(wave(hz, colour, colour / k, _swell(hz, 0.3)) * np.exp(-_time(hz) / 0.9), 0.003, 0.05)


def _time(hz: Samples) -> Samples:
    """Seconds since the start of the note, for each of its samples."""
    return np.asarray(np.arange(len(hz)) / RATE_HZ)


def _swell(hz: Samples, seconds: float) -> Samples:
    """From 0 towards 1: two thirds of the way after `seconds`."""
    return np.asarray(1 - np.exp(-_time(hz) / seconds))


# Drums ----------------------------------------------------------------------------------------------------------------


def _hit(seconds: float, low_hz: float, high_hz: float, decay_s: float, rng: Generator) -> Samples:
    """A burst of noise that dies away."""
    sound = noise(seconds, low_hz, high_hz, rng)
    return _faded(sound * np.exp(-_time(sound) / decay_s), 0.001, seconds / 4)


def _drop(hz: float, fall_hz: float, fall_s: float, decay_s: float) -> Samples:
    """A drum's skin: a tone that falls by `fall_hz` to `hz` as it dies away."""
    t = np.arange(round(0.3 * RATE_HZ)) / RATE_HZ
    phase = np.cumsum(hz + fall_hz * np.exp(-t / fall_s)) / RATE_HZ
    return _faded(np.sin(2 * np.pi * phase) * np.exp(-t / decay_s), 0.001, 0.05)


def kick(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Bass drum: a falling tone and a click."""
    skin = _drop(48 + 12 * tone, 90 + 60 * tone, 0.025, 0.06 + 0.06 * tone)
    return skin + 0.5 * tone * _hit(0.3, 800, 3500, 0.004, rng)


def snare(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Snare drum: the shell and the wires."""
    shell = _drop(185 * (0.85 + 0.3 * tone), 40, 0.02, 0.06) + 0.5 * _drop(330 * (0.85 + 0.3 * tone), 40, 0.02, 0.05)
    return shell + 0.9 * velocity * _hit(0.3, 700, 3600, 0.06 + 0.07 * tone, rng)


def brush(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Wire brushes: a short sweep on the snare."""
    return _faded(_hit(0.2, 500, 2200 + 800 * tone, 0.07, rng), 0.02, 0.05)


def hat(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Hi-hat: closed when short, open when long."""
    return _hit(0.05 + min(seconds, 0.4), 2400 + 800 * tone, 4000, 0.02 + 0.25 * min(seconds, 0.4), rng)


def cymbal(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Crash when long, ride when short: noise over a cluster of clangs."""
    clangs = np.array([817.0, 1153.0, 1474.0, 2117.0, 2689.0, 3304.0]) * (0.9 + 0.2 * tone)
    size_s = min(max(seconds, 0.25), 1.6)
    clang = ring(clangs, np.full(6, 0.12), np.full(6, 0.5 * size_s), size_s)
    return clang + _hit(len(clang) / RATE_HZ, 1200, 4000, 0.4 * size_s, rng)


def clap(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Several hands, not quite together."""
    sound = _hit(0.25, 700, 1600 + 1000 * tone, 0.06, rng)
    for gap in rng.integers(60, 120, 2):
        sound[gap:] += 0.6 * _hit(0.25, 700, 1600 + 1000 * tone, 0.01, rng)[:-gap]
    return sound


def tom(pitch: float, seconds: float, velocity: float, tone: float, rng: Generator) -> Samples:
    """Tom-tom, tuned to `pitch`."""
    return _drop(hertz(pitch), hertz(pitch) / 2, 0.04, 0.1) + 0.1 * _hit(0.3, 300, 2500, 0.03, rng)
