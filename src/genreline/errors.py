"""The errors that genreline raises for bad input.

Each message is one line that names the file (or setting), says what is wrong with it and what to do about it. The
command line prints that line and nothing else. Anything that is not a GenrelineError is a bug of ours.
"""

import difflib
from collections.abc import Iterable
from typing import Any


class GenrelineError(Exception):
    """Bad input, described in one line. The base of every error that genreline raises on purpose."""


class AudioError(GenrelineError):
    """A sound that cannot be decoded: missing, empty, truncated, not audio, or absurd."""


class TruncatedError(AudioError):
    """A sound whose end is missing or damaged.

    Whoever reads it block by block has all that could be read by then. `timeline` is the Timeline that a Recognizer
    made of it, or None where nothing could be read.
    """

    timeline: Any = None


class DataError(GenrelineError):
    """A dataset on disk that breaks the course layout, or arrays that do not belong together."""


class ConfigError(GenrelineError):
    """A setting that does not exist, or whose value makes no sense."""


class CheckpointError(GenrelineError):
    """A model folder that is missing, incomplete, damaged or made by another version."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known one that it resembles most, or some that there are.

    Capitals do not count, and neither does what stands before a name's last dot: `lr` resembles `optimizer.lr`.
    """
    names = list(known)
    spellings = {each.rpartition(".")[2].lower(): each for each in names}
    spellings |= {each.lower(): each for each in names}
    if close := difflib.get_close_matches(name.lower(), spellings, 1, 0.7):
        return f"; did you mean {spellings[close[0]]}?"
    return f"; known are {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"


def first_line(error: BaseException) -> str:
    """The first line of an error's text, to be part of a one-line message."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
