"""What the names of files say: which are audio, and what a song is called. The bytes of a file say what it is."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import NamedTuple

from genreline.errors import DataError

SUFFIXES = (
    *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".mp3", ".mp2", ".mp1", ".mpga", ".mpa", ".m2a"),
    *(".ogg", ".oga", ".ogx", ".ogv", ".ogm", ".opus", ".spx", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
    *(".m4a", ".m4b", ".m4r", ".m4v", ".mp4", ".mov", ".qt", ".3gp", ".3gpp", ".3g2", ".3ga", ".f4a", ".f4v"),
    *(".aac", ".adts", ".webm", ".weba", ".mka", ".mkv", ".wma", ".wmv", ".asf", ".avi", ".divx", ".flv"),
    *(".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".mpe", ".vob", ".amr", ".awb", ".ac3", ".eac3", ".ec3", ".ape"),
    *(".wv", ".tta", ".voc", ".sph", ".nist", ".8svx", ".svx", ".iff", ".sf", ".ircam", ".paf", ".pvf", ".avr", ".sds"),
)
"""Suffixes of audio files, lower case: for searching folders."""

_OTHER_SUFFIX = re.compile(r"\.[a-z][a-z0-9]{1,4}")  # .raw is one, and ". Brightside" and ".14" are not


class Found(NamedTuple):
    """The audio files below a folder, sorted, and how many other files there are, by suffix ("" for none)."""

    files: list[Path]
    passed_over: Counter[str]


def is_url(text: str) -> bool:
    """Whether the text is an http or https URL, rather than the name of a file."""
    return re.match(r"https?://", text, re.IGNORECASE) is not None


def is_audio(name: str) -> bool:
    """Whether a file's name has the suffix of an audio file."""
    return PurePath(name).suffix.lower() in SUFFIXES


def title_of(name: str) -> str:
    """A file's name without its folder and suffix; what follows the dot of a title is no suffix: "Mr. Brightside"."""
    path = PurePath(name)
    has_suffix = is_audio(path.name) or _OTHER_SUFFIX.fullmatch(path.suffix)
    return path.stem if has_suffix else path.name


def find_audio(folder: Path) -> Found:
    """The audio files below a folder, by their suffix.

    Hidden files and folders are left out. Pipes and devices are passed over, and links to folders are not followed,
    since they may lead in a circle.

    Raises:
        DataError: a folder cannot be read.
    """

    def unreadable(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); make it readable, or move it away")

    found = Found([], Counter())
    for parent, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.startswith("."):
                continue
            path = Path(parent, name)
            is_special = path.exists() and not path.is_file()  # a pipe, which waits for a writer, or a device
            if is_audio(name) and not is_special:
                found.files.append(path)
            else:
                found.passed_over[PurePath(name).suffix.lower()] += 1
    found.files.sort()
    return found


def describe_passed_over(passed_over: Mapping[str, int]) -> str:
    """How many files were passed over, and which suffixes they have, most frequent first."""
    n = sum(passed_over.values())
    kinds = sorted(passed_over.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in kinds[:8])
    more = f" and {len(kinds) - 8} more suffixes" if len(kinds) > 8 else ""
    return f"passed over {n} file{'s' * (n != 1)} without the suffix of an audio file ({shown}{more})"
