"""The errors that genreline raises for bad input.

Each message is one line that names the file (or setting), says what is wrong with it and what to do about it. The
command line prints that line and nothing else. Any other exception is a bug in genreline.
"""

import difflib
from collections.abc import Iterable
from typing import Any, Self


class GenrelineError(Exception):
    """Bad input, described in one line. The base of every error that genreline raises on purpose."""


class AudioError(GenrelineError):
    """A sound that cannot be decoded: missing, empty, truncated, not audio, or absurd."""


class TruncatedError(AudioError):
    """A sound whose end is missing or damaged.

    A caller that reads block by block has received everything readable by then. `timeline` is the Timeline that a
    Recognizer made of it, or None if nothing could be read.
    """

    timeline: Any = None


class TooLongError(AudioError):
    """A sound that lasts longer than it may. Whoever reads it block by block has all that is allowed by then."""


class DataError(GenrelineError):
    """A dataset on disk that breaks the course layout, or arrays that do not belong together."""


class ConfigError(GenrelineError):
    """A setting that does not exist, or whose value makes no sense."""


class CheckpointError(GenrelineError):
    """A model folder that is missing, incomplete, damaged or made by another version."""


class MissingError(GenrelineError, ImportError):
    """A package that this part of genreline needs, and that `pip install genreline` alone does not bring."""

    @classmethod
    def of(cls, what: str, error: ModuleNotFoundError) -> Self:
        """Of what needs a package that was not found. The text is the only argument, so processes can pass it on."""
        package = (error.name or "").partition(".")[0]
        extra = _EXTRAS.get(package)
        how = f"genreline[{extra}]" if extra else package
        return cls(f"{what}: {package} is missing; pip install '{how}' brings it")


_EXTRAS = {
    **dict.fromkeys(("torch", "sklearn", "scipy", "safetensors", "onnx", "onnxscript", "pydantic"), "train"),
    **dict.fromkeys(("fastapi", "fastapi_offline", "prometheus_client", "multipart", "python_multipart"), "web"),
    **dict.fromkeys(("starlette", "uvicorn"), "web"),
}
"""The extra of genreline that brings each package."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the most similar known name or, if none is similar, some known names.

    Case is ignored, and so is everything before a name's last dot: `lr` matches `optimizer.lr`.
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
