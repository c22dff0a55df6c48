"""Which recordings a source holds, and of what class each is: folders, folders already split, or a CSV file."""

import csv
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from genreline.audio.names import describe_passed_over, find_audio, is_audio
from genreline.data.labels import SEPARATOR, labels_in
from genreline.data.layout import NO_TEXT, SETS, check_distinct
from genreline.errors import DataError

SET_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "development"),
    "test": ("test", "testing"),
}
"""The names that each set may have, in upper or lower case."""


class Recording(NamedTuple):
    """A file of a source. `name` is its path below the source's root, with slashes; `artist` and `split` may be "".

    Its `label` may be several, `piano|voice`.
    """

    name: str
    label: str
    artist: str = ""
    split: str = ""

    @property
    def labels(self) -> list[str]:
        """Its labels, each by itself."""
        return labels_in(self.label)


class RecordingList(NamedTuple):
    """The recordings of a source by class and name, and the folder that their names start from.

    `passed_over` counts the files in folders that have no suffix of an audio file, by suffix; `without_audio` are the
    folders that stand where class folders do and have no audio files, which are therefore no classes.
    """

    root: Path
    recordings: Sequence[Recording]
    passed_over: Mapping[str, int]
    without_audio: Sequence[str]

    @property
    def is_split(self) -> bool:
        """Whether the source itself says which set each recording belongs to."""
        return bool(self.recordings[0].split)


def read_source(source: str | Path) -> RecordingList:
    """The recordings of a CSV file (path,label[,artist][,split]) or of a folder with a folder for each class.

    A recording may have several labels: `piano|voice`.

    Paths in a CSV are relative to it; an accented letter is found whether the disk has it in one piece or two (Unicode
    NFC, NFD). A folder that holds train, val and test (or a synonym, see SET_NAMES, in any case) and no other folder
    with audio is split already, with the class folders in those. Audio files, known by their suffix, may be at any
    depth of their class's folder; hidden ones are left out.

    Raises:
        DataError: no such source, fewer than two classes, an invalid class name, an invalid CSV file, or folders that
            are a mixture of sets and classes.
    """
    source = Path(source).absolute()
    passed_over: Counter[str] = Counter()
    without_audio: list[str] = []
    if source.is_dir():
        recordings, root = list(_in_folders(source, passed_over, without_audio)), source
    elif source.is_file():
        recordings, root = list(_in_csv(source)), source.parent
    else:
        raise DataError(f"{source}: there is no such folder or CSV file; check the path")
    classes = sorted({label for recording in recordings for label in recording.labels or [recording.label]})
    for label in classes:
        if not label.strip().strip(SEPARATOR) or any(unicodedata.category(letter) in NO_TEXT for letter in label):
            raise DataError(f"{source}: {label!r} is not a class name; a name has letters on one line")
    check_distinct(classes, str(source))
    if len(classes) < 2:
        has = f"has one class, {classes[0]}" if classes else "holds no folders with audio files in them"
        also = f" ({describe_passed_over(passed_over)})" if passed_over and not classes else ""
        raise DataError(
            f"{source}: {has}{also}; make a folder for each of two or more classes, with its audio files in it"
        )
    if sum(not recording.split for recording in recordings) not in (0, len(recordings)):
        lacks = next(recording.name for recording in recordings if not recording.split)
        raise DataError(f"{source}: some recordings have a split and {lacks} has none; give it to all or to none")
    in_order = sorted(recordings, key=lambda each: (each.label, each.name))
    return RecordingList(root, in_order, passed_over, without_audio)


def _in_folders(root: Path, passed_over: Counter[str], without_audio: list[str]) -> Iterator[Recording]:
    """The recordings in class folders, or in class folders in sets.

    Only folders that contain audio count, so documents among the recordings do no harm. Other files are added to
    `passed_over`, and folders without audio to `without_audio`.
    """
    files: list[Path] = []
    for top in _folders(root, passed_over):
        for folder in _folders(top, passed_over) if set_of(top.name) else [top]:
            found = find_audio(folder)
            files += [path.relative_to(root) for path in found.files]
            passed_over.update(found.passed_over)
            if not found.files:
                without_audio.append(folder.relative_to(root).as_posix())
    sets = {name: set_of(name) for name in sorted({path.parts[0] for path in files})}
    classes = [name for name, set_name in sets.items() if not set_name]
    inner: dict[str, set[str]] = defaultdict(set)  # the folders in class folders that are called like sets
    for path in files:
        if len(path.parts) > 2 and set_of(path.parts[1]):
            inner[path.parts[0]].add(path.parts[1])
    if not any(sets.values()):
        for name, inside in inner.items():
            if len({set_of(each) for each in inside}) > 1:  # one alone may be an album
                raise _mixture(root, f"has {_listed(inside)} inside of {name}")
        yield from (Recording(path.as_posix(), _nfc(path.parts[0])) for path in files)
        return
    if classes:
        raise _mixture(root, f"has {_listed(set(sets) - set(classes))} next to {_listed(classes)}")
    if len(sets) > len(set(sets.values())):
        raise _mixture(root, f"has {_listed(sets)}, some of which are names of one set")
    if missing := [name for name in SETS if name not in sets.values()]:
        raise _mixture(root, f"has {_listed(sets)} and no {' and no '.join(missing)} with audio in it")
    if inner:
        raise _mixture(root, f"has {_listed(set().union(*inner.values()))} inside of {_listed(inner)}")
    for path in files:
        yield Recording(path.as_posix(), _nfc(path.parts[1]), split=sets[path.parts[0]])


def _mixture(root: Path, what: str) -> DataError:
    """The error for folders some of which have the names of sets, in a layout that leaves their meaning open."""
    return DataError(
        f"{root}: {what}; for recordings that are split already, make train/CLASS/..., val/CLASS/... and "
        f"test/CLASS/..., and no other folders; if these are classes, list the files in a CSV (path,label)"
    )


def set_of(name: str) -> str:
    """The set that a name means, whatever its case; "" if it means none."""
    return next((each for each, synonyms in SET_NAMES.items() if name.casefold() in synonyms), "")


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    return f"{', '.join(shown[:8])}{', ...' if len(shown) > 8 else ''}"


def _folders(folder: Path, passed_over: Counter[str]) -> list[Path]:
    """The visible folders in a folder that has no recordings of its own.

    Raises:
        DataError: there are audio files beside them, whose class nothing says, or the folder cannot be read.
    """
    folders = []
    try:
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                continue
            if path.is_dir():
                folders.append(path)
            elif is_audio(path.name):
                raise DataError(f"{path}: is outside the class folders; move it into one, or elsewhere")
            else:
                passed_over[path.suffix.lower()] += 1
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); make it readable, or move it away") from error
    return folders


def _in_csv(path: Path) -> Iterator[Recording]:
    names: set[str] = set()
    disk = _Disk(path.parent)
    for line, row in read_rows(path, ("path", "label")):
        label, artist, split = (_nfc(row.get(name, "").strip()) for name in ("label", "artist", "split"))
        if split and not set_of(split):
            raise DataError(f"{path}: line {line} has the split {split!r}; it is one of {', '.join(SETS)}, or empty")
        if not row["path"] or not label:
            raise DataError(f"{path}: line {line} lacks its path or its label; fill it in or delete the line")
        if "\0" in row["path"]:
            raise DataError(f"{path}: line {line} has a NUL character in its path; write the file's name")
        name = disk.spelling(row["path"])
        if name in names:
            raise DataError(f"{path}: line {line} names {row['path']} again; a recording has one line")
        names.add(name)
        yield Recording(name, SEPARATOR.join(labels_in(label)) or label, artist, set_of(split))


class _Disk:
    """Files below a folder as the disk spells them: some systems store é as one character (NFC), some as two (NFD)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._entries: dict[Path, dict[str, str]] = {}

    def spelling(self, name: str) -> str:
        """The name under which a file is there; the name as it is where it is not."""
        if os.path.lexists(self._root / name):
            return name
        found = Path()
        for part in PurePath(name).parts:
            place = self._root / found
            found /= part if os.path.lexists(place / part) else self._in(place).get(_nfc(part), part)
        return found.as_posix() if os.path.lexists(self._root / found) else name

    def _in(self, folder: Path) -> dict[str, str]:
        """The names in a folder by their composed form."""
        if folder not in self._entries:
            try:
                self._entries[folder] = {_nfc(entry): entry for entry in sorted(os.listdir(folder))}
            except OSError:
                self._entries[folder] = {}
        return self._entries[folder]


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def read_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, column -> text) of a CSV file's rows; DataError if the file is not CSV."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # with the byte order mark that spreadsheets write
            reader = csv.DictReader(file, strict=True, restval="")
            header = reader.fieldnames or []
            if missing := [name for name in needed if name not in header]:
                raise DataError(f"{path}: its header is {','.join(header)!r}; it needs {' and '.join(missing)}")
            for row in reader:
                if None in row:
                    raise DataError(f"{path}: line {reader.line_num} has more fields than the header")
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: is not a CSV file with a header ({error})") from error


def printable(name: str) -> str:
    """A file's name as text that can be written; the system allows bytes in names that are not text."""
    return name.encode("utf-8", "backslashreplace").decode()
