"""The style of all pictures: matplotlib's defaults, and the letters of any script that an installed font has."""

import logging
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import matplotlib
from matplotlib.font_manager import fontManager, get_font

BOX = "\u25a1"
_USUAL = "DejaVu Sans"  # matplotlib's own
_LAST_RESORT = "Last Resort"  # matplotlib ships it: it has every character, as a box
_lock = threading.RLock()  # matplotlib's settings are the whole process's


@contextmanager
def plain_style() -> Iterator[None]:
    """Draw and save with matplotlib's default settings, whatever a matplotlibrc or the program has set."""
    fonts = logging.getLogger("matplotlib.font_manager")
    with _lock, matplotlib.rc_context():
        level = fonts.level
        fonts.setLevel(logging.ERROR)  # it warns about fonts without a bold face
        matplotlib.rcdefaults()
        try:
            yield
        finally:
            fonts.setLevel(level)


def fonts_for(*texts: str) -> list[str]:
    """Families of fonts, as matplotlib's `fontfamily` takes them: the usual one, and others for what it lacks."""
    return [*matplotlib.rcParams["font.family"], _USUAL, *_helpers(_lacking(_line("".join(texts))))]


def ellipsize(text: str, length: int) -> str:
    """The text on one line of at most `length` characters; a box for each that no installed font has."""
    line = _line(text)
    lost = _lost(line)
    line = "".join(BOX if letter in lost else letter for letter in line)
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def can_be_drawn(text: str) -> bool:
    """Whether installed fonts have all letters and digits of the text."""
    return not any(letter.isalnum() for letter in _lost(_line(text)))


def without_lost_signs(text: str) -> str:
    """The text without what no installed font has: emoji, for example."""
    line = _line(text)
    lost = _lost(line)
    return " ".join("".join(letter for letter in line if letter not in lost).split())


def _line(text: str) -> str:
    """The text on one line, in one form, and without what shows nothing by itself: control characters, selectors."""
    whole = " ".join(unicodedata.normalize("NFC", text).split())
    return "".join(c for c in whole if unicodedata.category(c)[0] != "C" and not 0xFE00 <= ord(c) <= 0xFE0F)


def _lost(line: str) -> frozenset[str]:
    """The characters of a line that no installed font has."""
    lacking = _lacking(line)
    return lacking.difference(*(_found(family, lacking) for family in _helpers(lacking)))


def _lacking(line: str) -> frozenset[str]:
    """The characters of a line that the usual font lacks, in some weight."""
    return frozenset(c for c in line if ord(c) not in _usual())


@cache
def _usual() -> frozenset[int]:
    """The characters that matplotlib's own font has, as code points."""
    return frozenset.intersection(*(frozenset(get_font(path).get_charmap()) for path in _upright(_USUAL)))


@cache
def _helpers(lacking: frozenset[str]) -> tuple[str, ...]:
    """Families of installed fonts that together have as many of the characters as possible; at most three."""
    families: list[str] = []
    names = sorted({entry.name for entry in fontManager.ttflist if _LAST_RESORT not in entry.name})
    while lacking and len(families) < 3:
        found = {name: _found(name, lacking) for name in names}
        best = max(names, key=lambda name: len(found[name]))
        if not found[best]:
            break
        families.append(best)
        lacking -= found[best]
    return tuple(families)


def _upright(family: str) -> list[str]:
    """The files of an installed family, but for italics."""
    entries = [entry for entry in fontManager.ttflist if entry.name == family]
    return [entry.fname for entry in entries if entry.style == "normal"] or [entry.fname for entry in entries]


@cache
def _found(family: str, characters: frozenset[str]) -> frozenset[str]:
    """Those of the characters that a family has in every weight."""
    return frozenset.intersection(*(_has(path, characters) for path in _upright(family)))


def _has(path: str, characters: frozenset[str]) -> frozenset[str]:
    try:
        codes = get_font(path).get_charmap()
    except (OSError, RuntimeError, ValueError):  # a damaged font
        return frozenset()
    return frozenset(c for c in characters if ord(c) in codes)
