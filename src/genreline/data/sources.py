"""Which recordings a source holds, and of what class each is: folders, folders already split, or a CSV file."""

import csv
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from genreline.data.layout import NO_TEXT, SETS
from genreline.errors import DataError


class Recording(NamedTuple):
    """A file of a source. `name` is its path below the source's root, with slashes; `artist` and `split` may be ""."""

    name: str
    label: str
    artist: str = ""
    split: str = ""


class RecordingList(NamedTuple):
    """The recordings of a source by class and name, and the folder that their names start from."""

    root: Path
    recordings: Sequence[Recording]

    @property
    def is_split(self) -> bool:
        """Whether the source itself says which set each recording belongs to."""
        return bool(self.recordings[0].split)


def read_source(source: str | Path) -> RecordingList:
    """The recordings of a CSV file (path,label[,artist][,split]) or of a folder with a folder for each class.

    Paths in a CSV are relative to it. A folder that holds train, val and test, and nothing else, is split already, with
    the class folders in those. Files may be at any depth of their class's folder; hidden ones are passed over.

    Raises:
        DataError: nothing there, no classes, fewer than two, a name that cannot be one, a CSV that is none.
    """
    source = Path(source).absolute()
    if source.is_dir():
        recordings, root = list(_in_folders(source)), source
    elif source.is_file():
        recordings, root = list(_in_csv(source)), source.parent
    else:
        raise DataError(f"{source}: there is no such folder or CSV file; check the path")
    classes = sorted({recording.label for recording in recordings})
    for label in classes:
        if not label.strip() or any(unicodedata.category(letter) in NO_TEXT for letter in label):
            raise DataError(f"{source}: {label!r} is no class name; a name has letters on one line")
    if len(classes) < 2:
        has = f"has one class, {classes[0]}" if classes else "holds no folders with files in them"
        raise DataError(f"{source}: {has}; make a folder for each of two or more classes, with its audio files in it")
    if sum(not recording.split for recording in recordings) not in (0, len(recordings)):
        lacks = next(recording.name for recording in recordings if not recording.split)
        raise DataError(f"{source}: some recordings have a split and {lacks} has none; give it to all or to none")
    return RecordingList(root, sorted(recordings, key=lambda each: (each.label, each.name)))


def _in_folders(root: Path) -> Iterator[Recording]:
    folders = _visible_folders(root)
    if folders and {folder.name for folder in folders} <= set(SETS):
        if missing := sorted(set(SETS) - {folder.name for folder in folders}, key=SETS.index):
            raise DataError(f"{root}: is split already, but has no {' and no '.join(missing)} folder; add it")
        for part in folders:
            for folder in _visible_folders(part):
                yield from (Recording(name, folder.name, split=part.name) for name in _files(folder, root))
    else:
        for folder in folders:
            yield from (Recording(name, folder.name) for name in _files(folder, root))


def _visible_folders(root: Path) -> list[Path]:
    return [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _files(folder: Path, root: Path) -> Iterator[str]:
    """The names of all files below a folder but hidden ones, which are the file manager's; links to folders are not
    followed, since they may lead round in a circle."""

    def unreadable(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); make it readable, or move it away")

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        start = Path(parent).relative_to(root).as_posix()
        yield from (f"{start}/{name}" for name in files if not name.startswith("."))


def _in_csv(path: Path) -> Iterator[Recording]:
    names: Counter[str] = Counter()
    for line, row in read_rows(path, ("path", "label")):
        label, artist, split = (row.get(name, "").strip() for name in ("label", "artist", "split"))
        if split and split not in SETS:
            raise DataError(f"{path}: line {line} has the split {split!r}; it is one of {', '.join(SETS)}, or empty")
        if not row["path"] or not label:
            raise DataError(f"{path}: line {line} lacks its path or its label; fill it in or take the line out")
        names[row["path"]] += 1
        if names[row["path"]] > 1:
            raise DataError(f"{path}: line {line} names {row['path']} again; a recording has one line")
        yield Recording(row["path"], label, artist, split)


def read_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, column -> text) of a CSV file's rows; DataError if it is none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # with the mark that spreadsheets put before it
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
    """A file's name as text that can be written; the system allows bytes in names that are none."""
    return name.encode("utf-8", "backslashreplace").decode()
