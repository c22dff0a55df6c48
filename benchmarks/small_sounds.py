"""Small sets of sounds to classify, which share no recording with any model: played, spoken or synthesised on the spot.

Used by `small_sets.py`. `instruments` and `speech` need programs that Debian and Ubuntu have:

    apt-get install fluidsynth timgm6mb-soundfont fluid-soundfont-gm espeak-ng
"""

import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

from genreline import GENRES, compose
from genreline.audio.seconds import RATE_HZ
from genreline.demo import synth
from genreline.demo.synth import Note, Voice
from genreline.files import replacing

Sound = NDArray[np.float64]
SoundMaker = Callable[[str, Generator], Sound]

CLIP_S = 5
SOUNDFONTS = ("/usr/share/sounds/sf2/TimGM6mb.sf2", "/usr/share/sounds/sf2/FluidR3_GM.sf2")
MINOR_PENTATONIC = (0, 3, 5, 7, 10)


def write_clips(make: SoundMaker, classes: tuple[str, ...], n: int, folder: Path) -> None:
    """Write n clips of each class as folder/CLASS/NUMBER.flac, at 8 kHz; a clip that is there already stays."""
    for number, name in enumerate(classes):
        for i in range(n):
            path = folder / name / f"{i:03}.flac"
            if not path.exists():
                sound = make(name, default_rng(SeedSequence((number, i))))[: CLIP_S * RATE_HZ]
                with replacing(path) as temporary:
                    soundfile.write(temporary, 0.7 * sound / max(np.abs(sound).max(), 1e-9), RATE_HZ)


# Instruments of two soundfonts ----------------------------------------------------------------------------------------

PROGRAMS = {
    "accordion": (21, 48), "brass": (61, 50), "choir": (52, 50), "clarinet": (71, 50), "guitar": (25, 45),
    "organ": (16, 48), "piano": (0, 48), "strings": (48, 48), "vibraphone": (11, 55), "violin": (40, 57),
}  # fmt: skip
"""Each instrument's number in General MIDI (from 0), and the lowest note that it plays here."""


def instrument(name: str, rng: Generator) -> Sound:
    """A phrase of one or two voices on an instrument, of one of two soundfonts."""
    program, lowest = PROGRAMS[name]
    notes, beat_s, time_s = [], rng.uniform(0.2, 0.6), 0.0
    tonic = lowest + int(rng.integers(12))
    while time_s < CLIP_S:
        pitch = tonic + 12 * int(rng.integers(2)) + int(rng.choice(MINOR_PENTATONIC))
        length_s = beat_s * rng.choice((1, 1, 2, 3))
        velocity = int(rng.integers(60, 120))
        notes += [(time_s, length_s, each, velocity) for each in (pitch, pitch + 7)[: rng.integers(1, 3)]]
        time_s += length_s
    return _fluidsynth(program, notes, str(rng.choice(SOUNDFONTS)))


def _fluidsynth(program: int, notes: list[tuple[float, float, int, int]], soundfont: str) -> Sound:
    """Notes (start_s, length_s, MIDI pitch, velocity) as fluidsynth plays them."""
    events = [(start_s, 0x90, pitch, velocity) for start_s, _, pitch, velocity in notes]
    events += [(start_s + length_s, 0x80, pitch, 0) for start_s, length_s, pitch, _ in notes]
    track, now = bytes((0, 0xC0, program)), 0
    for time_s, kind, pitch, velocity in sorted(events):
        ticks = round(time_s * 960)  # 480 a beat, at MIDI's default of 120 beats a minute
        track += _variable_length(ticks - now) + bytes((kind, pitch, velocity))
        now = ticks
    track += bytes((0, 0xFF, 0x2F, 0))
    midi = b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480) + b"MTrk" + struct.pack(">I", len(track)) + track
    with tempfile.TemporaryDirectory() as folder:
        song, wav = Path(folder) / "song.mid", Path(folder) / "song.wav"
        song.write_bytes(midi)
        quick = ("-o", "synth.dynamic-sample-loading=1")  # of FluidR3's 148 MB only what is played
        command = ["fluidsynth", "-niq", "-g", "0.5", *quick, "-r", "44100", "-F", str(wav), soundfont, str(song)]
        subprocess.run(command, check=True, capture_output=True)
        return _read(wav)


def _variable_length(ticks: int) -> bytes:
    """A number as MIDI files write it: seven bits a byte, the first ones marked by their eighth bit."""
    digits = [ticks & 0x7F]
    while ticks := ticks >> 7:
        digits.insert(0, ticks & 0x7F | 0x80)
    return bytes(digits)


def _read(path: Path) -> Sound:
    sound, rate_hz = soundfile.read(path, always_2d=True)
    return np.asarray(soxr.resample(sound.mean(axis=1), rate_hz, RATE_HZ))


# Speech against music -------------------------------------------------------------------------------------------------

VOICES = ("en-gb", "en-us", "de", "fr", "es", "it", "pl", "sv", "ru", "pt", "nl", "tr")
SYLLABLES = ("ba", "ke", "lo", "mi", "nu", "sha", "ter", "von", "dri", "pas", "gu", "fel")
SPEECH = ("music", "speech", "speech over music")


def speech(name: str, rng: Generator) -> Sound:
    """Composed music, espeak-ng reading nonsense in any of twelve languages, or that over music."""
    if name == "music":
        return _music(rng)
    words = ["".join(rng.choice(SYLLABLES, rng.integers(1, 4))) for _ in range(40)]
    voice = f"{rng.choice(VOICES)}+{rng.choice(('m', 'f'))}{rng.integers(1, 5)}"
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "speech.wav"
        pitch, speed = str(rng.integers(20, 80)), str(rng.integers(120, 200))
        command = ["espeak-ng", "-v", voice, "-p", pitch, "-s", speed, "-w", str(wav), " ".join(words)]
        subprocess.run(command, check=True, capture_output=True)
        spoken = _read(wav)[: CLIP_S * RATE_HZ]
    spoken = _unit(np.pad(spoken, (0, CLIP_S * RATE_HZ - len(spoken))))
    if name == "speech":
        return spoken + 10 ** rng.uniform(-3, -1.5) * rng.normal(size=len(spoken))
    return spoken + 10 ** (rng.uniform(-15, -3) / 20) * _music(rng)


def _music(rng: Generator) -> Sound:
    return _unit(compose(str(rng.choice(GENRES)), int(rng.integers(2**31)), CLIP_S).astype(np.float64))


def _unit(sound: Sound) -> Sound:
    return sound / max(sound.std(), 1e-9)


# Composed music with classes of its own -------------------------------------------------------------------------------

LEADS = ("electric_piano", "flute", "guitar", "harmonica", "harpsichord", "organ", "reed", "synth_lead", "voice")


def lead(name: str, rng: Generator) -> Sound:
    """Drums, bass and chords, whatever plays them, and over them the instrument that the class is named after."""
    tonic, bpm = int(rng.integers(40, 52)), rng.uniform(70, 150)
    n_beats = int(CLIP_S * bpm / 60) + 2
    scale = [tonic + 12 * octave + step for octave in (1, 2) for step in MINOR_PENTATONIC]
    melody, beat = [], 0.0
    while beat < n_beats:
        beats = float(rng.choice((0.5, 1, 1, 2)))
        melody.append(Note(beat, beats, float(rng.choice(scale[2:])) + 12, rng.uniform(0.6, 1)))
        beat += beats
    roots = [tonic + int(rng.choice((0, 3, 5, 7))) for _ in range(n_beats)]
    chords = [Note(i, 2, roots[i] + 12 + step, 0.6) for i in range(0, n_beats, 2) for step in (0, 7, 12)]
    accompanist = getattr(synth, str(rng.choice(("piano", "strings", "pad", "muted_guitar"))))
    bassist = synth.bass if rng.random() < 0.5 else synth.synth_bass
    band = [
        Voice(getattr(synth, name), melody, rng.uniform(3, 9), rng.random()),
        Voice(accompanist, chords, rng.uniform(-9, -3), rng.random()),
        Voice(bassist, [Note(i, 1, roots[i] - 12, 0.8) for i in range(n_beats)], rng.uniform(-6, 0), rng.random()),
        Voice(synth.snare, [Note(i, 1, 60, 0.8) for i in range(1, n_beats, 2)], rng.uniform(-12, -6), rng.random()),
    ]
    clock_s = np.arange(2 * n_beats + 4) * 30 / bpm
    return synth.render(band, clock_s, CLIP_S * RATE_HZ, rng.uniform(0, 0.8), rng).astype(np.float64)


# Sounds of the kinds that ESC-50 has ----------------------------------------------------------------------------------

N = CLIP_S * RATE_HZ


def environment(name: str, rng: Generator) -> Sound:
    """A synthesised sound of an everyday kind, in a room or outdoors, with some noise behind it."""
    sound = _unit(ENVIRONMENT[name](rng))
    if rng.random() < 0.5:  # a room
        n_room = int(rng.uniform(0.1, 0.5) * RATE_HZ)
        room = rng.normal(size=n_room) * np.exp(-6.9 * np.arange(n_room) / n_room)
        sound = sound + rng.uniform(0.1, 0.6) * _unit(fftconvolve(sound, room)[:N])
    return sound + 10 ** (rng.uniform(-30, -6) / 20) * _coloured(rng, rng.uniform(0, 2))


def _coloured(rng: Generator, slope: float, n: int = N) -> Sound:
    """Noise whose power falls with frequency ** slope."""
    spectrum = np.fft.rfft(rng.normal(size=n))
    return _unit(np.fft.irfft(spectrum * np.maximum(np.arange(len(spectrum)), 20.0) ** (-slope / 2), n))


def _band(sound: Sound, low_hz: float, high_hz: float) -> Sound:
    return np.asarray(sosfilt(butter(2, (low_hz, high_hz), "bandpass", fs=RATE_HZ, output="sos"), sound))


def _placed(events: list[tuple[float, Sound]]) -> Sound:
    """Sounds, each at its second, added."""
    total = np.zeros(N)
    for start_s, sound in events:
        first = int(start_s * RATE_HZ)
        total[first : first + len(sound)] += sound[: max(0, N - first)]
    return total


def _decaying(seconds: float, decay_s: float) -> tuple[Sound, Sound]:
    """Seconds, and an envelope that falls to 1/e in decay_s."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return t, np.exp(-t / decay_s)


def _times(rng: Generator, shortest_s: float, longest_s: float) -> list[float]:
    gaps = rng.uniform(shortest_s, longest_s, int(CLIP_S / shortest_s) + 1)
    return [float(time_s) for time_s in np.cumsum(gaps) - gaps[0] if time_s < CLIP_S]


def _swell(rng: Generator, low_hz: float, high_hz: float) -> Sound:
    """A slow random envelope between 0 and 1."""
    t = np.arange(N) / RATE_HZ
    return 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(low_hz, high_hz) * t + rng.uniform(0, 2 * np.pi))


def _rain(rng: Generator) -> Sound:
    drops = np.where(rng.random(N) < rng.uniform(0.002, 0.02), rng.exponential(1, N), 0)
    return _unit(_band(rng.normal(size=N), 800, 3800)) + rng.uniform(0.5, 2) * _unit(_band(drops, 1000, 3800))


def _wind(rng: Generator) -> Sound:
    return _coloured(rng, rng.uniform(1.5, 3)) * (0.2 + _swell(rng, 0.1, 0.6))


def _sea(rng: Generator) -> Sound:
    return _coloured(rng, rng.uniform(0.5, 1.5)) * (0.1 + _swell(rng, 0.1, 0.3) ** 2)


def _fire(rng: Generator) -> Sound:
    cracks = np.where(rng.random(N) < rng.uniform(0.0005, 0.004), rng.exponential(1, N), 0)
    return _unit(_band(cracks, 500, 3500)) + rng.uniform(0.2, 0.8) * _coloured(rng, 2)


def _engine(rng: Generator) -> Sound:
    hz = rng.uniform(25, 90) * (1 + 0.1 * _swell(rng, 0.1, 0.5))
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    rumble = sum(np.sin(k * phase + rng.uniform(0, 6)) * rng.uniform(0.3, 1) / k**0.7 for k in range(1, 12))
    return _unit(np.asarray(rumble)) + rng.uniform(0.1, 0.6) * _coloured(rng, 1)


def _siren(rng: Generator) -> Sound:
    hz = rng.uniform(500, 900) * (1 + rng.uniform(0.2, 0.6) * _swell(rng, 0.2, 2))
    phase = 2 * np.pi * np.cumsum(hz) / RATE_HZ
    return np.sin(phase) + rng.uniform(0, 0.6) * np.sin(2 * phase) + rng.uniform(0, 0.4) * np.sin(3 * phase)


def _clock(rng: Generator) -> Sound:
    gap_s, hz = rng.uniform(0.3, 1.0), rng.uniform(1200, 3500)
    ticks = []
    for i in range(int(CLIP_S / gap_s) + 1):
        t, envelope = _decaying(0.05, rng.uniform(0.003, 0.01))
        ticks.append((i * gap_s, envelope * np.sin(2 * np.pi * hz * (1 + 0.1 * (i % 2)) * t)))
    return _placed(ticks)


def _bell(rng: Generator) -> Sound:
    hz, ratios, strokes = rng.uniform(250, 900), np.array((0.5, 1, 1.2, 1.5, 2, 2.7, 3.4)), []
    for time_s in _times(rng, 0.6, 2.5):
        t, _ = _decaying(3, 1)
        parts = (
            rng.uniform(0.3, 1) * np.exp(-t * each) * np.sin(2 * np.pi * hz * each * t)
            for each in ratios[ratios * hz < 3900]
        )
        strokes.append((time_s, np.asarray(sum(parts))))
    return _placed(strokes)


def _dog(rng: Generator) -> Sound:
    barks, hz = [], rng.uniform(250, 700)
    for time_s in _times(rng, 0.3, 1.2):
        t, _ = _decaying(rng.uniform(0.12, 0.25), 1)
        envelope = np.sin(np.pi * np.linspace(0, 1, len(t))).clip(0) ** 0.5
        phase = 2 * np.pi * np.cumsum(hz * (1 + 0.5 * envelope)) / RATE_HZ
        tone = sum(np.sin(k * phase) / k for k in range(1, 6))
        barks.append((time_s, envelope * (tone + rng.uniform(0.3, 1) * rng.normal(size=len(t)))))
    return _placed(barks)


def _birds(rng: Generator) -> Sound:
    songs = []
    for time_s in _times(rng, 0.15, 0.9):
        t, _ = _decaying(rng.uniform(0.06, 0.25), 1)
        hz = rng.uniform(2000, 3400) * (1 + rng.uniform(-0.3, 0.2) * t / t[-1] + 0.05 * np.sin(2 * np.pi * 30 * t))
        songs.append((time_s, np.sin(np.pi * t / t[-1]) * np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ)))
    return _placed(songs)


def _steps(rng: Generator) -> Sound:
    gap_s, low_hz, steps = rng.uniform(0.35, 0.8), rng.uniform(80, 400), []
    for i in range(int(CLIP_S / gap_s) + 1):
        t, envelope = _decaying(0.2, rng.uniform(0.015, 0.05))
        steps.append((i * gap_s, envelope * _band(rng.normal(size=len(t)), low_hz, low_hz * rng.uniform(2, 8))))
    return _placed(steps)


def _helicopter(rng: Generator) -> Sound:
    t, hz = np.arange(N) / RATE_HZ, rng.uniform(8, 20)
    chop = (0.5 + 0.5 * np.sin(2 * np.pi * hz * t)) ** rng.uniform(2, 6)
    return _coloured(rng, rng.uniform(1, 2)) * chop


ENVIRONMENT: dict[str, Callable[[Generator], Sound]] = {
    "bell": _bell, "birds": _birds, "clock": _clock, "dog": _dog, "engine": _engine, "fire": _fire,
    "helicopter": _helicopter, "rain": _rain, "sea": _sea, "siren": _siren, "steps": _steps, "wind": _wind,
}  # fmt: skip
