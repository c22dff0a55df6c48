"""The errors that genreline raises for bad input.

Each message is one line that names the file (or setting), says what is wrong with it and what to do about it. The
command line prints that line and nothing else. Anything that is not a GenrelineError is a bug of ours.
"""


class GenrelineError(Exception):
    """Bad input, told in one line. The base of every error that genreline raises on purpose."""


class AudioError(GenrelineError):
    """A sound that cannot be decoded: missing, empty, truncated, not audio, or absurd."""


class TruncatedError(AudioError):
    """A sound whose end is missing or damaged; what could be read of it has been handed over by then."""


class DataError(GenrelineError):
    """A dataset on disk that breaks the course layout, or arrays that do not belong together."""


class ConfigError(GenrelineError):
    """A setting that does not exist, or whose value makes no sense."""


class CheckpointError(GenrelineError):
    """A model folder that is missing, incomplete, damaged or made by another version."""
