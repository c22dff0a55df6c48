"""Music to learn from: blues, classical, pop and rock, composed by rule from a seed and played by `synth.py`.

Every genre has a composer. It draws a key, a tempo, a form, a band and a mix, then writes the parts bar by bar. The
genres share instruments (piano, guitar, organ, strings, voice), keys, tempi and sparse passages, so that a classifier
has to listen to more than one cue, and cannot be right in every second, as with recorded music.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import soundfile
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

from genreline.audio.seconds import RATE_HZ
from genreline.demo import synth
from genreline.demo.synth import Effect, Note, Samples, Voice
from genreline.errors import DataError
from genreline.files import replacing

GENRES: tuple[str, ...] = ("blues", "classical", "pop", "rock")
"""The genres of the source document, each of which has a composer here."""

T = TypeVar("T")


class Score(NamedTuple):
    """A composed piece before anybody plays it.

    `key` is a pitch class (0 is C) and `scale` its scale in semitones above it; `bpm` is in beats per minute;
    `clock_s` holds the second of every half beat, shape (half beats,); `drive` is how hard the mix is squashed.
    """

    key: int
    scale: tuple[int, ...]
    bpm: float
    clock_s: Samples
    parts: list[Voice]
    drive: float


def compose(genre: str, seed: int, duration_s: float = 12.0) -> NDArray[np.float32]:
    """Compose and play a piece of `genre`.

    Args:
        genre: one of GENRES.
        seed: which piece; 0 or more. The same arguments give the same samples, to the bit on one machine and to the
            rounding of its mathematical library on another.
        duration_s: seconds of it. The piece starts somewhere in its form and is cut there.

    Returns:
        float32, shape (round(duration_s * RATE_HZ),): mono at 8 kHz, peak at -1 dBFS.

    Raises:
        DataError: no such genre, a negative seed, or a duration that is not positive.
    """
    piece = write_score(genre, seed, duration_s)
    chance = default_rng(SeedSequence((GENRES.index(genre), seed, 1)))
    return synth.render(piece.parts, piece.clock_s, round(duration_s * RATE_HZ), piece.drive, chance)


def write_score(genre: str, seed: int, duration_s: float = 12.0) -> Score:
    """The piece that `compose` plays for the same arguments, as notes. Raises as `compose` does."""
    if genre not in GENRES:
        raise DataError(f"genre {genre!r} has no composer; choose one of {', '.join(GENRES)}")
    if seed < 0:
        raise DataError(f"seed {seed} is negative; choose 0 or more")
    if not (math.isfinite(duration_s) and round(duration_s * RATE_HZ) > 0):
        raise DataError(f"duration_s {duration_s} is not a positive number of seconds")
    composers: dict[str, Composer] = {"blues": _blues, "classical": _classical, "pop": _pop, "rock": _rock}
    return composers[genre](default_rng(SeedSequence((GENRES.index(genre), seed, 0))), duration_s)


def medley(seed: int, part_s: int = 15, parts: int = 6) -> tuple[NDArray[np.float32], list[tuple[float, float, str]]]:
    """Pieces of all genres in a row: a song whose timeline is known.

    Args:
        seed: which medley; 0 or more.
        part_s: whole seconds of each piece, so that every second has one genre.
        parts: how many pieces; at least one for each genre. No genre follows itself.

    Returns:
        The sound, float32 (part_s * parts * RATE_HZ,), and the parts in order as (start_s, end_s, genre). At a join
        each side fades for 3 ms: sharp, without a click.

    Raises:
        DataError: too few parts, a part shorter than a second, or a negative seed.
    """
    if seed < 0 or part_s != int(part_s) or part_s < 1 or parts < len(GENRES):
        raise DataError(
            f"a medley of seed {seed} with {parts} parts of {part_s} s cannot be made; choose a seed of 0 or more, "
            f"whole seconds, and at least {len(GENRES)} parts"
        )
    rng = default_rng(SeedSequence((len(GENRES), seed)))
    order = [GENRES[i] for i in rng.permutation(len(GENRES))]
    while len(order) < parts:
        order.append(_pick(rng, [genre for genre in GENRES if genre != order[-1]]))
    sound = np.concatenate([compose(genre, int(rng.integers(2**31)), part_s) for genre in order])
    return sound, [(float(i * part_s), float((i + 1) * part_s), genre) for i, genre in enumerate(order)]


class Track(NamedTuple):
    """A piece to write to a file; see `compose`."""

    genre: str
    seed: int
    duration_s: float
    path: Path


def write_track(track: Track) -> None:
    """Compose a piece into a file. It is one function of one argument so that processes can share the work."""
    write_wav(track.path, compose(track.genre, track.seed, track.duration_s))


def write_wav(path: Path, waveform: NDArray[np.float32]) -> None:
    """Write a waveform (samples,) at 8 kHz as 16-bit wav, atomically."""
    with replacing(path) as temporary:
        soundfile.write(temporary, waveform, RATE_HZ, subtype="PCM_16")


# Theory ---------------------------------------------------------------------------------------------------------------

Composer = Callable[[Generator, float], Score]
Chord = tuple[int, ...]
"""Pitch classes, root first, in semitones above C; not folded into one octave."""

Play = dict[str, list[Note]]
"""What each player of a band plays."""

MAJOR = (0, 2, 4, 5, 7, 9, 11)
MINOR = (0, 2, 3, 5, 7, 8, 10)
HARMONIC_MINOR = (0, 2, 3, 5, 7, 8, 11)
BLUES = (0, 3, 5, 6, 7, 10)
MAJOR_PENTATONIC = (0, 2, 4, 7, 9)
MINOR_PENTATONIC = (0, 3, 5, 7, 10)
DEGREES = ("I", "II", "III", "IV", "V", "VI", "VII")
STRENGTH = {"o": 0.4, "x": 0.7, "X": 0.95}


def _pick(rng: Generator, options: Sequence[T]) -> T:
    """One of `options`, as it is (Generator.choice would make an array of them)."""
    return options[int(rng.integers(len(options)))]


def _chords(numerals: str, key: int) -> list[Chord]:
    """ "I vi bVII V7" as chords: lower case is minor, o diminished, b flat, 7 adds the minor seventh."""
    chords: list[Chord] = []
    for numeral in numerals.split():
        name = numeral.strip("bo7")
        root = key + MAJOR[DEGREES.index(name.upper())] - numeral.startswith("b")
        chord = (root, root + (4 if name.isupper() else 3), root + (6 if "o" in numeral else 7))
        chords.append((*chord, root + 10) if "7" in numeral else chord)
    return chords


def _usual(rng: Generator, tabs: Sequence[str], habit: int) -> str:
    """What a player of this habit plays in most bars; now and then something else."""
    return tabs[habit % len(tabs)] if rng.random() < 0.75 else _pick(rng, tabs)


def _near(tone: int, centre: float) -> int:
    """The pitch of class `tone` nearest to `centre`. Chords placed so, tone by tone, lead their voices smoothly."""
    return tone + 12 * round((centre - tone) / 12)


def _nearest(pitches: Sequence[int], goal: float) -> int:
    """The one of `pitches` nearest to `goal`."""
    return min(pitches, key=lambda pitch: abs(pitch - goal))


def _tab(tab: str, at: float, pitches: Sequence[float] = (60,), bar: float = 4) -> list[Note]:
    """A bar of tablature, from beat `at` on.

    x plays all `pitches` (X loud, o softly), - holds them and . is a rest; a digit plucks the one of that number, which
    rings to the end of the bar.
    """
    step = bar / len(tab)
    notes = []
    for i, mark in enumerate(tab):
        if mark in STRENGTH:
            held = 1 + len(tab[i + 1 :]) - len(tab[i + 1 :].lstrip("-"))
            notes += [Note(at + i * step, held * step, pitch, STRENGTH[mark]) for pitch in pitches]
        elif mark.isdigit():
            notes.append(Note(at + i * step, bar - i * step, pitches[int(mark)], 0.7 if mark == "0" else 0.5))
    return notes


def _melody(
    rng: Generator,
    plan: str,
    chords: Sequence[Chord],
    key: int,
    scale: tuple[int, ...],
    centre: int,
    rhythms: Sequence[str],
    bar: float = 4,
) -> list[Note]:
    """A melody of motifs around `centre`: each letter of `plan`, which repeats, is a bar; . is a cadence, - a rest.

    A motif is a rhythm and a contour. It comes back on other chords, starting at the nearest chord tone, its long notes
    drawn to the chord, now and then with a step changed: so the ear knows it again, but never hears a loop.
    """
    motifs = {}
    for letter in sorted(set(plan) - set(".-")):
        rhythm = _pick(rng, rhythms)
        motifs[letter] = rhythm, np.clip(np.cumsum(rng.choice((-2, -1, -1, 0, 1, 1, 2), len(rhythm))), -4, 4)
    ladder = [pitch for pitch in range(centre - 12, centre + 13) if (pitch - key) % 12 in scale]
    notes: list[Note] = []
    pitch = centre
    for i, chord in enumerate(chords):
        letter = plan[i % len(plan)]
        goal = _near(_pick(rng, chord[:3]), (pitch + centre) / 2)
        if letter == ".":
            pitch = _near(_pick(rng, chord[:2]), (pitch + centre) / 2)
            notes.append(Note(i * bar, bar * _pick(rng, (0.6, 0.8)), pitch))
        elif letter != "-":
            rhythm, contour = motifs[letter]
            contour = contour + (np.arange(len(contour)) == rng.integers(len(contour))) * rng.integers(-1, 2)
            start = ladder.index(_nearest(ladder, goal))
            for offset, note in zip(contour - contour[0], _tab(rhythm, i * bar, bar=bar), strict=False):
                pitch = ladder[int(np.clip(start + offset, 0, len(ladder) - 1))]
                if note.beats >= 1:
                    pitch = _nearest([_near(tone, pitch) for tone in chord], pitch)
                notes.append(note._replace(pitch=pitch))
    return notes


def _clock(bpm: float, beats: float, swing: float = 0.5, pace: Samples | None = None) -> Samples:
    """The second of every half beat: off-beats late by `swing` (0.5 straight, 0.67 triplets), beats sped by `pace`."""
    halves = np.tile((swing, 1 - swing), math.ceil(beats)) * (60 / bpm)
    if pace is not None:
        halves /= np.interp(np.arange(len(halves)) / len(halves), np.linspace(0, 1, len(pace)), pace)
    return np.append(0.0, np.cumsum(halves))


def _form(rng: Generator, bars: int, sections: Sequence[str], first: Sequence[str]) -> list[str]:
    """The section of each bar: one of `first`, then `sections` in turn from a random one, two or four bars each."""
    form = [_pick(rng, first)] * _pick(rng, (1, 1, 2))
    turn = int(rng.integers(len(sections)))
    while len(form) < bars:
        form += [sections[turn % len(sections)]] * _pick(rng, (2, 2, 4))
        turn += 1
    return form[:bars]


def _during(notes: list[Note], sections: list[str], wanted: Sequence[str], bar: float = 4) -> list[Note]:
    """Those of `notes` that fall in the `wanted` sections; elsewhere the player rests."""
    return [note for note in notes if sections[int(note.beat / bar)] in wanted]


def _drum(rng: Generator, play: Play, at: float, kit: dict[str, Sequence[str]], habit: int, fill: bool = False) -> None:
    """A bar of drums: each drum plays the drummer's usual tab for it, now and then another; `fill` leads on."""
    for drum, tabs in kit.items():
        play[drum] += _tab(_usual(rng, tabs, habit), at)
    if fill:
        for i, mark in enumerate(_pick(rng, ("xxxxxxXX", "x.xxx.XX", "....xxXX"))):
            play[_pick(rng, ("snare", "tom"))] += _tab(mark, at + 2 + i / 4, [_pick(rng, (50, 45, 41))], bar=0.25)


def _mixed(rng: Generator, parts: Sequence[Voice], tone: float) -> list[Voice]:
    """The parts that have notes, each a little louder or softer than written, and about as bright as `tone`."""
    return [
        part._replace(level_db=part.level_db + rng.normal(0, 2), tone=float(np.clip(rng.normal(tone, 0.2), 0, 1)))
        for part in parts
        if part.notes
    ]


def _amplifier(rng: Generator, least: float, most: float) -> tuple[Effect, ...]:
    """An overdrive with a gain between the two, as likely to double as to halve."""
    return (synth.overdrive(float(np.exp(rng.uniform(np.log(least), np.log(most))))),)


# The four composers ---------------------------------------------------------------------------------------------------

BLUES_FORMS = (
    "I7 I7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7",
    "I7 IV7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 I7",  # the quick change
    "I7 IV7 I7 I7 IV7 IV7 I7 VI7 ii7 V7 I7 V7",  # with a turnaround
    "i7 i7 i7 i7 iv7 iv7 i7 i7 bVI7 V7 i7 i7",  # minor
)
BLUES_LICKS = ("xxx-x---", ".xxxx-..", "x-xxx-..", "..xxx-x-", "X---xxx-", ".xx-.xx-", "xxxxx---")
BLUES_WALKS = ((0, 4, 7, 9), (0, 7, 9, 7), (0, 4, 7, 4), (0, 0, 7, 10), (12, 10, 7, 4))
BLUES_COMPING = ("x--x----", "..x-..x-", "x-......", "xxx-.xx-", "x---..x-")
BLUES_KIT: dict[str, Sequence[str]] = {
    "kick": ("x...x...", "x..xx...", "x...x..x"),
    "snare": ("..X...X.", "..X..oX.", "..X...Xo"),
    "ride": ("x.xxx.xx", "x.xxx.xx", "xoxoxoxo"),
}


def _blues(rng: Generator, seconds: float) -> Score:
    """Twelve bars, swung eighths, a call and its answer."""
    bpm = rng.uniform(60, 112)
    bars = math.ceil(seconds * bpm / 240) + 1
    key = int(rng.integers(12))
    form, start = _chords(_pick(rng, BLUES_FORMS), key), _pick(rng, (0, 0, 4, 8))
    chords = [form[(start + bar) % 12] for bar in range(bars)]
    sections = _form(rng, bars, ("chorus", "solo", "chorus"), ("chorus", "solo", "stop", "duo", "alone"))
    boogie, drummer = rng.random() < 0.35, rng.random() < 0.9
    habit = int(rng.integers(100))

    play: Play = defaultdict(list)
    play["call"] = _melody(rng, "ab.-", chords, key, BLUES, _pick(rng, (62, 67, 70)), BLUES_LICKS)
    play["answer"] = _melody(rng, "--.c", chords, key, BLUES, _pick(rng, (67, 74)), BLUES_LICKS)
    for bar, (chord, section) in enumerate(zip(chords, sections, strict=True)):
        at, root = bar * 4, _near(chord[0], 43)
        voicing = sorted(_near(tone, 59) for tone in chord[1:])
        if section == "stop":  # everybody hits the one and leaves the bar to the soloist
            for name, pitches in (("comp", voicing), ("bass", [root - 12]), ("snare", [60])):
                play[name] += _tab("X.......", at, pitches)
            continue
        if boogie:  # the fifth and the sixth in turn, on two strings
            for beat in range(4):
                play["comp"] += _tab("xo", at + beat, [root, root + (9 if beat % 2 else 7)], bar=1)
        elif section != "solo":
            play["comp"] += _tab(_usual(rng, BLUES_COMPING, habit) if bar else "x---....", at, voicing)
        if section == "alone":
            continue
        walk = [root - 12 + step - (step in (4, 9) and chord[1] - chord[0] == 3) for step in _pick(rng, BLUES_WALKS)]
        if habit % 3 == 0:  # boogie: every note twice
            play["bass"] += [note for beat, p in enumerate(walk) for note in _tab("xo", at + beat, [p], bar=1)]
        elif habit % 3 == 1:  # walking, with a step into the next chord
            walk[3] = _near(chords[min(bar + 1, bars - 1)][0], 31) + _pick(rng, (-1, 1, 2))
            play["bass"] += [Note(at + beat, 0.9, p) for beat, p in enumerate(walk)]
        else:
            play["bass"] += _tab("x---x-..", at, [root - 12]) + _tab("......x-", at, [root - 5])
        if drummer and section != "duo":
            _drum(rng, play, at, BLUES_KIT, habit, fill=bar % 4 == 3 and rng.random() < 0.3)

    comp = synth.guitar if boogie else _pick(rng, (synth.electric_piano, synth.piano, synth.organ, synth.guitar))
    call = _pick(rng, (synth.lead_guitar, synth.lead_guitar, synth.harmonica))
    answer = _pick(rng, (synth.lead_guitar, synth.harmonica, synth.piano))
    brushes = habit % 4 == 0
    band = [
        Voice(comp, play["comp"], -8, effects=_amplifier(rng, 0.3, 1.5)),
        Voice(call, play["call"], -4, effects=_amplifier(rng, 0.3, 3)),
        Voice(answer, play["answer"], -7, effects=_amplifier(rng, 0.3, 3)),
        Voice(synth.bass, play["bass"], -5),
        Voice(synth.kick, play["kick"], -13),
        Voice(synth.brush if brushes else synth.snare, play["snare"], -14),
        Voice(synth.hat if brushes else synth.cymbal, play["ride"], -16),
        Voice(synth.tom, play["tom"], -12),
    ]
    clock_s = _clock(bpm, bars * 4, swing=rng.uniform(0.6, 0.68))
    return Score(key, BLUES, bpm, clock_s, _mixed(rng, band, 0.2), rng.uniform(0, 0.3))


CLASSICAL_PHRASES = {  # a question and its answer; the last of each is a circle of fifths
    MAJOR: (
        ("I IV I V", "I vi ii V", "I V vi V", "I ii V I", "I IV viio iii"),
        ("IV ii V7 I", "vi ii V7 I", "I IV V7 I"),
    ),
    HARMONIC_MINOR: (
        ("i iv i V", "i bVI iv V", "i V i V", "i iv bVII bIII"),
        ("iv iio V7 i", "bVI iv V7 i", "bVI iio V7 i"),
    ),
}
CLASSICAL_RHYTHMS = {
    2: ("x-x-", "x---", "x--x", "xxx-", "x-xx", "x-x-xxxx"),
    3: ("x---x-", "x-x-x-", "x--xx-", "x-xxx-", "xxxxxx", "x-----"),
    4: ("x---x-x-", "x-x-x---", "x--xx-x-", "x-xxx---", "xxxxx-x-", "x---x---"),
}
FIGURES = ("x-------", "xoxoxoxo", "0.o.o.o.", "02120212", "01232321", "0123012301230123", "0213021302130213")
"""How pianists, harpists and guitarists break a chord of four notes: a bar of four beats, cut for shorter ones."""


def _classical(rng: Generator, seconds: float) -> Score:
    """Phrases of eight bars, question and answer, over an accompaniment; no drums; tempo and volume breathe."""
    bpm = rng.uniform(60, 132)
    meter = _pick(rng, (2, 3) if bpm < 84 else (3, 4))
    bars = math.ceil(seconds * bpm / 60 / meter) + 2
    key, mode = int(rng.integers(12)), _pick(rng, (MAJOR, HARMONIC_MINOR))
    chords = _chords(" ".join(_pick(rng, half) for half in CLASSICAL_PHRASES[mode]), key) * bars
    sections = _form(rng, bars, ("theme", "theme", "duet", "tutti", "still"), ("theme", "theme", "duet", "still"))
    rhythms = CLASSICAL_RHYTHMS[meter]
    usual, festive = (figure[: len(figure) * meter // 4] for figure in (_pick(rng, FIGURES), _pick(rng, FIGURES)))

    play: Play = defaultdict(list)
    theme = _melody(rng, "abacabd.", chords[:bars], key, mode, _pick(rng, (69, 74, 79)), rhythms, meter)
    second = _melody(rng, "-a-ba-b.", chords[:bars], key, mode, _pick(rng, (60, 65)), rhythms, meter)
    play["theme"] = _during(theme, sections, ("theme", "duet", "tutti"), meter)
    play["second"] = _during(second, sections, ("duet", "tutti"), meter)
    for bar, (chord, section) in enumerate(zip(chords, sections, strict=False)):
        at, voicing = bar * meter, sorted(_near(tone, 58) for tone in chord[:3])
        play["under"] += _tab(festive if section == "tutti" else usual, at, [*voicing, voicing[0] + 12], meter)
        if section in ("duet", "tutti"):
            play["bass"] += [Note(at, meter, _near(chord[0], 40), 0.7)]
        if section == "tutti":
            play["carpet"] += _tab("o", at, voicing, meter)
    for i, note in enumerate(play["theme"]):  # a mordent on some of the longer notes
        if note.beats >= 1 and rng.random() < 0.2:
            upper = note.pitch + (2 if (note.pitch + 2 - key) % 12 in mode else 1)
            play["theme"][i] = note._replace(beat=note.beat + 0.25, beats=note.beats - 0.25)
            play["theme"] += [Note(note.beat, 0.12, note.pitch), Note(note.beat + 0.125, 0.12, upper)]
    swell = rng.uniform(0.2, 0.5)
    for name, notes in play.items():  # every four bars grow and fade
        arch = [1 - swell * math.cos(math.pi * note.beat / meter / 4) ** 2 for note in notes]
        play[name] = [note._replace(velocity=note.velocity * a) for note, a in zip(notes, arch, strict=True)]

    soloists = (synth.piano, synth.piano, synth.strings, synth.strings, synth.flute, synth.reed, synth.harpsichord)
    theme_on, second_on = _pick(rng, soloists), _pick(rng, soloists)
    others = (synth.piano, synth.strings, synth.harpsichord, synth.guitar)
    under = synth.piano if theme_on is synth.piano else _pick(rng, others)
    band = [
        Voice(theme_on, play["theme"], -3),
        Voice(second_on, play["second"], -7),
        Voice(under, play["under"], -8),
        Voice(synth.strings, play["carpet"], -9),
        Voice(under, play["bass"], -9),
    ]
    pace = 1 + rng.normal(0, 0.02, bars) + 0.05 * np.sin(np.arange(bars) * np.pi / 4)
    pace[7::8] -= rng.uniform(0.05, 0.15)  # each phrase ends broadly
    return Score(key, mode, bpm, _clock(bpm, bars * meter, pace=pace), _mixed(rng, band, 0.45), 0)


POP_PROGRESSIONS = "I V vi IV, vi IV I V, I vi IV V, IV V iii vi, I IV vi V, i bVI bIII bVII, i bVII bVI bVII"
POP_RHYTHMS = ("x-xxx-x-", "..x-xxx-", "x--x--x-", "xxx-x-..", "x-x--xx-", "..xxx-x-", "x---..xx", "X-xx.xx-")
POP_COMPING = ("x-------", "x--x--x-", "x---x---", "x-.x-.x-", "..x-..x-", "x.xx.xxx")
POP_BASS = ("x-x-x-x-", "xxxxxxxx", "x--x--x-", "x-----xx", ".x.x.x.x")
POP_KIT: dict[str, Sequence[str]] = {
    "kick": ("x.x.x.x.", "x..x..x.", "x.x.x.x.", "x...xx..", "x..xx..."),
    "snare": ("..X...X.", "..X...X.", "..X...Xo"),
    "clap": ("..x...x.", "........", "..x...x."),
    "hat": (".x-.x-.x", ".x.x.x.x", "xoxoxoxo", "xoxoxoxoxoxoxoxo"),
}


def _pop(rng: Generator, seconds: float) -> Score:
    """Four chords, a hook, a beat to dance to; the carpet ducks under the kick."""
    bpm = rng.uniform(92, 130)
    bars = math.ceil(seconds * bpm / 240) + 1
    key = int(rng.integers(12))
    progression = _pick(rng, POP_PROGRESSIONS.split(", "))
    mode = MINOR if progression.startswith("i ") else MAJOR
    chords = (_chords(progression, key) * bars)[:bars]
    sections = _form(rng, bars, ("verse", "chorus", "verse", "chorus", "break"), ("verse", "chorus", "keys", "keys"))
    habit = int(rng.integers(100))
    comping, line, figure = _pick(rng, POP_COMPING), _pick(rng, POP_BASS), _pick(rng, FIGURES[3:])

    play: Play = defaultdict(list)
    verse = _melody(rng, "aba-", chords, key, mode, _pick(rng, (60, 65, 69)), POP_RHYTHMS)
    hook = _melody(rng, "cdc.", chords, key, mode, _pick(rng, (69, 72)), POP_RHYTHMS)
    play["voice"] = _during(verse, sections, ("verse", "break"))
    play["hook"] = _during(hook, sections, ("chorus",))
    for bar, (chord, section) in enumerate(zip(chords, sections, strict=True)):
        at, root = bar * 4, _near(chord[0], 36)
        voicing = sorted(_near(tone, 62) for tone in chord)
        if section != "break":
            play["keys"] += _tab(comping if bar else "x-------", at, voicing)
        if section == "chorus" or (section == "keys" and habit % 2):
            play["pluck"] += _tab(figure, at, [pitch + 12 for pitch in (*voicing, voicing[0] + 12)])
        if section == "chorus":
            play["pad"] += _tab("x-------", at, voicing)
        if section != "keys":
            play["bass"] += _tab(line, at, [root])
            if habit % 3 == 0:
                play["bass"] += _tab(".x.x.x.x", at, [root + 12])
        if section in ("verse", "chorus"):
            last = bar + 1 < bars and sections[bar + 1] != section
            _drum(rng, play, at, POP_KIT, habit, fill=last and rng.random() < 0.6)
        elif section == "break":
            _drum(rng, play, at, {"clap": ("..x...x.",), "kick": ("x.x.x.x.", "........")}, habit)

    clock_s = _clock(bpm, bars * 4, swing=_pick(rng, (0.5, 0.5, 0.5, 0.56)))
    kicks_s = np.interp([note.beat for note in play["kick"]], np.arange(len(clock_s)) / 2, clock_s)
    pumped: tuple[Effect, ...] = (synth.pump(np.sort(kicks_s), rng.uniform(0.3, 0.9)),) if len(kicks_s) else ()
    chords_on = _pick(rng, (synth.piano, synth.guitar, synth.electric_piano, synth.pad, synth.organ))
    hook_on = _pick(rng, (synth.voice, synth.voice, synth.synth_lead, synth.synth_pluck))
    band = [
        Voice(synth.voice, play["voice"], -4),
        Voice(hook_on, play["hook"], -4),
        Voice(chords_on, play["keys"], -9, effects=pumped),
        Voice(_pick(rng, (synth.synth_pluck, synth.guitar, synth.electric_piano)), play["pluck"], -11),
        Voice(_pick(rng, (synth.pad, synth.pad, synth.strings)), play["pad"], -11, effects=pumped),
        Voice(_pick(rng, (synth.synth_bass, synth.synth_bass, synth.bass)), play["bass"], -6, effects=pumped),
        Voice(synth.kick, play["kick"], -4),
        Voice(synth.snare, play["snare"], -10),
        Voice(synth.clap, play["clap"], -11),
        Voice(synth.hat, play["hat"], -16),
        Voice(synth.tom, play["tom"], -11),
    ]
    return Score(key, mode, bpm, clock_s, _mixed(rng, band, 0.75), rng.uniform(0.3, 0.8))


ROCK_PROGRESSIONS = "i bVII bVI bVII, i bVI bIII bVII, i i bIII IV, i iv i V, I bVII IV I, I IV V IV, I I IV V"
ROCK_RIFFS = ("x.xx.xx.", "x-.x-.xx", "xx.xx.x-", "x--x--x-")
ROCK_STRUMS = ("x---x---", "x-------", "x-x-x-x-", "x--x--x-", "x-xx-xx-")
ROCK_SOLOS = ("xxxxxxxx", "x-xxx-xx", "X---x-xx", "xxx-xxx-", "x--xx---", "xxxxxxxxxxxxxxxx", ".xxxx---")
ROCK_KIT: dict[str, Sequence[str]] = {
    "kick": ("x...x...", "x..xx...", "x...xx..", "x.xx.xx.", "x..x.xx."),
    "snare": ("..X...X.", "..X...X.", "..X...X.", ".X.X.X.X"),
    "hat": ("xoxoxoxo", "x.x.x.x.", "x-x-x-x-"),
}
ROCK_RIFF_KIT: dict[str, Sequence[str]] = {"hat": ("x.x.x.x.",)}
ROCK_HEAVY_KIT: dict[str, Sequence[str]] = {"kick": ("x..x....",), "snare": ("....X...",), "crash": ("x---x---",)}


def _rock(rng: Generator, seconds: float) -> Score:
    """Power chords, palm-muted verses and open choruses, a hard backbeat, a pentatonic solo."""
    bpm = rng.uniform(106, 172)
    bars = math.ceil(seconds * bpm / 240) + 1
    key = int(rng.integers(12))
    progression = _pick(rng, ROCK_PROGRESSIONS.split(", "))
    mode = MINOR_PENTATONIC if progression.startswith("i ") else MAJOR_PENTATONIC
    slow = _pick(rng, (1, 1, 2))  # bars to a chord
    chords = [chord for chord in _chords(progression, key) * bars for _ in range(slow)][:bars]
    sections = _form(
        rng, bars, ("verse", "verse", "chorus", "solo", "heavy"), ("verse", "chorus", "riff", "clean", "clean", "drums")
    )
    habit = int(rng.integers(100))
    riff, strum = _pick(rng, ROCK_RIFFS), _pick(rng, ROCK_STRUMS)

    play: Play = defaultdict(list)
    sung = _melody(rng, "aba.", chords, key, mode, _pick(rng, (62, 67)), POP_RHYTHMS)
    solo = _melody(rng, "cdef", chords, key, mode, _pick(rng, (67, 74)), ROCK_SOLOS)
    play["voice"] = _during(sung, sections, ("verse", "chorus") if habit % 4 else ())
    play["solo"] = _during(solo, sections, ("solo",))
    for bar, (chord, section) in enumerate(zip(chords, sections, strict=True)):
        at, root, voicing = bar * 4, _near(chord[0], 42), sorted(_near(tone, 58) for tone in chord)
        power = [root, root + 7, root + 12]
        if section == "clean":
            play["clean"] += _tab(FIGURES[3 + habit % 4], at, [*voicing, voicing[0] + 12])
            continue
        if section in ("verse", "solo"):  # a chord, then the palm on the strings
            play["open"] += _tab("x-......", at, power)
            play["muted"] += _tab("..xxxxxx", at, power[:2])
        elif section != "drums":
            play["open"] += _tab({"riff": riff, "chorus": strum, "heavy": "x-------"}[section], at, power)
        if section in ("chorus", "heavy") and habit % 5 == 0:
            play["organ"] += _tab("x-------", at, voicing)
        if section not in ("riff", "drums"):
            play["bass"] += _tab("x-------" if section == "heavy" else "xxxxxxxx", at, [_near(chord[0], 34)])
        kit = {"riff": ROCK_RIFF_KIT, "heavy": ROCK_HEAVY_KIT}.get(section, ROCK_KIT)
        _drum(rng, play, at, kit, habit, fill=bar + 1 < bars and sections[bar + 1] != section)
        if bar and sections[bar - 1] != section:
            play["crash"] += _tab("X-------", at)

    amplifier = _amplifier(rng, 4, 25)
    band = [
        Voice(synth.guitar, play["open"], -5, effects=amplifier),
        Voice(synth.muted_guitar, play["muted"], -6, effects=amplifier),
        Voice(synth.guitar, play["clean"], -7),
        Voice(synth.lead_guitar, play["solo"], -5, effects=_amplifier(rng, 4, 25)),
        Voice(synth.voice, play["voice"], -5, effects=_amplifier(rng, 0.3, 1.5)),
        Voice(synth.organ, play["organ"], -10, effects=_amplifier(rng, 0.5, 3)),
        Voice(synth.bass, play["bass"], -6, effects=_amplifier(rng, 0.5, 4)),
        Voice(synth.kick, play["kick"], -6),
        Voice(synth.snare, play["snare"], -6),
        Voice(synth.hat, play["hat"], -17),
        Voice(synth.cymbal, play["crash"], -14),
        Voice(synth.tom, play["tom"], -8),
    ]
    return Score(key, mode, bpm, _clock(bpm, bars * 4), _mixed(rng, band, 0.7), rng.uniform(0.3, 0.9))
