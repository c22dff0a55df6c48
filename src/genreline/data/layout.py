"""The course layout on disk <-> arrays, classes and tracks.

    <root>/{train,val,test}/{mfccs,melgrams}/{X.npy,labels.npy}     (assignment, Data)
    <root>/{train,val,test}/tracks.csv                              (optional: one row a sample)

Class names and their number come from the training set's labels. Nothing is ever unpickled.

A sample may have several labels: `piano|voice` in labels.npy, or a row of booleans there and the names of its columns
in classes.npy beside it. Such a dataset is called multi-label; in memory its labels are texts, too. A sample without
any label is a row of False, or "" in a set where another sample has several.
"""

import csv
import hashlib
import io
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genreline.audio.features import FEATURE_SHAPES
from genreline.data.labels import SEPARATOR, labels_in
from genreline.data.npy import ArrayFile
from genreline.errors import DataError
from genreline.files import digest_file, replacing, write_text

SETS = ("train", "val", "test")

_ARRAYS = ("X.npy", "labels.npy", "classes.npy")  # the last with labels of booleans alone

NO_TEXT = {"Cc", "Cs"}  # control characters and lone surrogates, which are unsafe for terminals and files

Labels = NDArray[np.str_]
Tracks = Mapping[str, Labels]
"""The columns of tracks.csv, by name."""


@dataclass(frozen=True, eq=False)
class Split:
    """One set of a dataset, checked: the rows of everything here belong together.

    Attributes:
        X: (N, 26) MFCC vectors or (N, 21, 128) melgrams; float16, float32 or float64; finite; N > 0. A np.memmap where
            its file is large (`npy.MAPPED_FROM_BYTES`): its rows are read from there when they are indexed.
        labels: (N,) class names; where there may be several, `piano|voice` in the order of the alphabet, or "".
        tracks: columns of tracks.csv (`track` and whatever else it has), each (N,) strings; None without the file.
        is_multi_label: whether a sample may have several labels, or none.
    """

    X: NDArray[Any]
    labels: Labels
    tracks: Tracks | None = None
    is_multi_label: bool = False

    def __len__(self) -> int:
        return len(self.X)


@dataclass(frozen=True, eq=False)
class Dataset:
    """The sets of one representation; `classes` are the training set's labels, each by itself, sorted.

    `digest` is a SHA-256 over the digests of the files that were read: it names the data in results and models.
    """

    features: str
    classes: tuple[str, ...]
    splits: Mapping[str, Split]
    digest: str = field(default="")

    @property
    def is_multi_label(self) -> bool:
        """Whether a sample may have several labels, or none."""
        return self.train.is_multi_label

    @property
    def train(self) -> Split:
        return self.splits["train"]

    @property
    def val(self) -> Split:
        return self.splits["val"]

    @property
    def test(self) -> Split:
        return self.splits["test"]


def load_dataset(root: str | Path, features: str) -> Dataset:
    """Read and check the train, val and test sets of one representation ("mfccs" or "melgrams").

    Raises:
        DataError: a missing file or set, lengths that differ, a wrong shape, NaN or infinity, labels that the training
            set does not know, object arrays (they could run code), an empty set, a tracks.csv that does not fit.
    """
    splits: dict[str, Split] = {}
    digests: dict[str, str] = {}
    for name in SETS:
        splits[name], found = read_split(root, name, features)
        digests |= found
    if any(split.is_multi_label for split in splits.values()):  # in one set each sample may happen to have one
        splits = {name: replace(split, is_multi_label=True) for name, split in splits.items()}
    classes = classes_of(splits["train"])
    check_distinct(classes, f"{Path(root) / 'train' / features / 'labels.npy'}")
    if len(classes) < 2:
        has = f"one class, {classes[0]}" if classes else "no class"
        raise DataError(f"{Path(root) / 'train'}: has {has}; training needs two or more")
    for name, split in splits.items():
        targets_of(split, classes, f"{Path(root) / name}")
    return Dataset(features, classes, splits, digest(root, features, digests))


def classes_of(split: Split) -> tuple[str, ...]:
    """The classes that occur in a set, sorted."""
    found = map(str, np.unique(split.labels))
    if not split.is_multi_label:
        return tuple(found)
    return tuple(sorted({label for text in found for label in labels_in(text)}))


def check_distinct(classes: Iterable[str], where: str) -> None:
    """DataError where names of classes differ in capitals or spaces alone; it names the first such."""
    seen: dict[str, str] = {}
    for name in classes:
        first = seen.setdefault(" ".join(name.casefold().split()), name)
        if first != name:
            raise DataError(
                f"{where}: the classes {first!r} and {name!r} differ in capitals or spaces alone; make them one"
            )


def load_split(root: str | Path, name: str, features: str) -> Split:
    """Read and check one set; raises DataError as `load_dataset` does, but for labels that train does not know."""
    return read_split(root, name, features)[0]


def read_tracks(path: Path) -> Tracks | None:
    """The columns of a tracks.csv; None where there is none. Raises DataError."""
    if not path.exists():
        return None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # with the byte order mark that spreadsheets write
            header, *rows = filter(None, csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise DataError(f"{path}: is not a CSV file with a header ({error})") from error
    if "track" not in header or len(set(header)) != len(header):
        raise DataError(f"{path}: its header is {','.join(header)!r}; it needs a column `track`, and no name twice")
    if bad := next((i for i, row in enumerate(rows, start=2) if len(row) != len(header)), None):
        raise DataError(f"{path}: line {bad} has {len(rows[bad - 2])} fields and the header {len(header)}")
    return {name: np.array([row[i] for row in rows], str) for i, name in enumerate(header)}


def read_split(
    root: str | Path,
    name: str,
    features: str,
    on_rows: Callable[[NDArray[Any]], object] = lambda rows: None,
    read_tracks: Callable[[Path], Tracks | None] = read_tracks,
) -> tuple[Split, dict[str, str]]:
    """As `load_split`, with the SHA-256 of its two arrays' files by their path below `root`; each file is read once.

    Args:
        on_rows: called with the rows of X, block by block as they are read.
        read_tracks: gives the columns of a tracks.csv.
    """
    if features not in FEATURE_SHAPES:
        raise DataError(f"features: {features!r} is not one of {', '.join(FEATURE_SHAPES)}")
    root = Path(root)
    folder = root / name / features
    for path in (root, root / name, folder):
        if not path.is_dir():
            raise DataError(f"{path}: there is no such folder; a dataset has {', '.join(SETS)} with {features} in each")
    X_file, labels_file = ArrayFile(folder / "X.npy"), ArrayFile(folder / "labels.npy")
    X, labels = X_file.array, np.asarray(labels_file.array)
    shape = FEATURE_SHAPES[features]
    if X.dtype not in (np.float16, np.float32, np.float64) or X.shape[1:] != shape:
        wanted = f"float16, float32 or float64 (N, {', '.join(map(str, shape))})"
        raise DataError(f"{folder / 'X.npy'}: is {X.dtype} {X.shape}; {features} are {wanted}")
    files = {"X.npy": X_file, "labels.npy": labels_file}
    if is_multi_label := labels.dtype == bool and labels.ndim == 2:
        files["classes.npy"] = ArrayFile(folder / "classes.npy")
        labels = _named(labels, np.asarray(files["classes.npy"].array), folder)
    if labels.dtype.kind != "U" or labels.ndim != 1:
        raise DataError(
            f"{folder / 'labels.npy'}: is {labels.dtype} {labels.shape}; labels are strings (N,), or booleans "
            "(N, classes) with classes.npy beside them"
        )
    blocks = (block for _, block in labels_file.row_blocks()) if not is_multi_label else [labels]
    texts = {str(text) for block in blocks for text in np.unique(block)}
    has_several = any(SEPARATOR in text for text in texts)
    is_multi_label = is_multi_label or has_several
    names = {name for text in texts for name in text.split(SEPARATOR)}
    for label in sorted(names - {""} if is_multi_label else names):
        if not label.strip() or any(unicodedata.category(letter) in NO_TEXT for letter in label):
            raise DataError(f"{folder / 'labels.npy'}: {label!r} is not a class name; a name has letters on one line")
    if has_several:  # each set of labels is written in one way from here on
        found, text_of = np.unique(labels, return_inverse=True)
        labels = np.array([SEPARATOR.join(labels_in(f"{text}{SEPARATOR}")) for text in found])[text_of]
    if len(X) != len(labels):
        raise DataError(f"{folder}: X.npy has {len(X)} rows and labels.npy {len(labels)}; they must be the same")
    if len(X) == 0:
        raise DataError(f"{folder}: the set is empty; prepare the dataset again")
    for start, block in X_file.row_blocks():
        with np.errstate(over="ignore"):  # networks compute in float32, where 1e300 is infinite
            finite = np.isfinite(block.astype(np.float32)).reshape(len(block), -1).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise DataError(f"{folder / 'X.npy'}: has NaN or infinity, first in row {row}; compute the features again")
        on_rows(block)
    path = root / name / "tracks.csv"
    tracks = read_tracks(path)
    if tracks is not None and len(tracks["track"]) != len(X):
        n = len(tracks["track"])
        raise DataError(f"{path}: has {n} rows and the set {len(X)} samples; they must be the same")
    digests = {f"{name}/{features}/{file}": array.sha256() for file, array in files.items()}
    return Split(X, labels, tracks, is_multi_label), digests


def _named(is_labelled: NDArray[np.bool_], classes: NDArray[Any], folder: Path) -> Labels:
    """Booleans (N, C) and names (C,) as texts (N,)."""
    if classes.dtype.kind != "U" or classes.shape != is_labelled.shape[1:]:
        raise DataError(
            f"{folder / 'classes.npy'}: is {classes.dtype} {classes.shape}; it holds a name for each of "
            f"{is_labelled.shape[1]} columns of labels.npy"
        )
    names = [str(name) for name in classes]
    if len(set(names)) < len(names) or any(not name or name != name.strip() or SEPARATOR in name for name in names):
        raise DataError(
            f"{folder / 'classes.npy'}: its names must be different, with no {SEPARATOR} in them and no space around"
        )
    rows, row_of = np.unique(is_labelled, axis=0, return_inverse=True)
    texts = [SEPARATOR.join(sorted(name for name, has in zip(names, row, strict=True) if has)) for row in rows]
    return np.array(texts, str)[row_of.ravel()]


def targets_of(split: Split, classes: Sequence[str], where: str, whose: str = "train") -> NDArray[Any]:
    """What a network is to answer: class numbers (N,) int64; of a multi-label set (N, n_classes) float32, 0 or 1.

    Raises:
        DataError: labels that are not among the classes, as `indices`.
    """
    return (multi_hot if split.is_multi_label else indices)(split.labels, classes, where, whose)


def multi_hot(labels: Labels, classes: Sequence[str], where: str, whose: str = "train") -> NDArray[np.float32]:
    """Texts of labels as (N, n_classes) float32: 1 for each that a sample has. Raises DataError, as `indices`."""
    texts, text_of = np.unique(labels, return_inverse=True)
    found = [labels_in(str(text)) for text in texts]
    _check_known({label for each in found for label in each}, classes, where, whose)
    rows = np.array([[name in each for name in classes] for each in found], np.float32)
    return rows.reshape(len(found), len(classes))[text_of]


def indices(labels: Labels, classes: Sequence[str], where: str, whose: str = "train") -> NDArray[np.int64]:
    """Labels as class numbers 0..n-1 (assignment, step 1.1): (N,) int64.

    Raises:
        DataError: labels that are not among the classes; it says `where` they are and `whose` the classes are.
    """
    _check_known({str(label) for label in np.unique(labels)}, classes, where, whose)
    order = np.argsort(classes)
    return order[np.searchsorted(np.asarray(classes)[order], labels)].astype(np.int64)


def _check_known(labels: set[str], classes: Sequence[str], where: str, whose: str) -> None:
    if unknown := sorted(labels - set(classes)):
        known = ", ".join(classes)
        raise DataError(f"{where}: has labels that {whose} does not know: {', '.join(unknown)}; it knows {known}")


def write_split(root: str | Path, name: str, features: str, split: Split) -> None:
    """Write one set of one representation, and its tracks.csv if it has tracks; each file atomically."""
    folder = Path(root) / name / features
    for file, array in (("X.npy", split.X), ("labels.npy", split.labels)):
        with replacing(folder / file) as temporary:
            np.save(temporary, array, allow_pickle=False)
    if split.tracks is not None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(split.tracks)
        writer.writerows(zip(*split.tracks.values(), strict=True))
        write_text(Path(root) / name / "tracks.csv", text.getvalue())


class TrackRows(NamedTuple):
    """The consecutive rows of one track in a set; `artist` may be ""."""

    track: str
    label: str
    artist: str
    n_rows: int


def write_split_blocks(
    root: str | Path,
    name: str,
    dtypes: Mapping[str, np.dtype[Any]],
    tracks: Sequence[TrackRows],
    blocks: Iterable[NDArray[Any]],
) -> dict[str, str]:
    """Write one set block by block, in memory that does not grow with it: the bytes that `write_split` would write.

    tracks.csv has the columns track and start_s, and artist if any is known. The files are not written atomically:
    give it a folder to move them from.

    Args:
        dtypes: of each representation to write.
        blocks: the rows of all tracks in their order, as structured arrays with a field for each representation.

    Returns:
        The SHA-256 of each file, by its path below `root`.

    Raises:
        DataError: the blocks have more or fewer rows than the tracks.
    """
    folder = Path(root) / name
    n_rows = sum(each.n_rows for each in tracks)
    label_type = np.dtype(f"<U{max(len(each.label) for each in tracks)}")
    with ExitStack() as files:

        def opened(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...] = ()) -> _Digesting:
            file = _Digesting(files.enter_context(path.open("wb")))
            header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (n_rows, *shape)}
            np.lib.format.write_array_header_1_0(file, header)
            return file

        for kind in dtypes:
            (folder / kind).mkdir(parents=True, exist_ok=True)
        arrays = {kind: opened(folder / kind / "X.npy", dtypes[kind], FEATURE_SHAPES[kind]) for kind in dtypes}
        labels = {kind: opened(folder / kind / "labels.npy", label_type) for kind in dtypes}
        csv_file = files.enter_context((folder / "tracks.csv").open("w", encoding="utf-8", newline=""))
        n_written = 0
        for rows in blocks:
            n_written += len(rows)
            for kind, file in arrays.items():
                file.write(np.ascontiguousarray(rows[kind], dtypes[kind]).tobytes())
        if n_written != n_rows:
            raise DataError(f"{folder}: got {n_written} rows instead of {n_rows}; run the same command again")
        writer = csv.writer(csv_file, lineterminator="\n")
        with_artist = any(each.artist for each in tracks)
        writer.writerow(["track", "start_s", *(["artist"] if with_artist else [])])
        for each in tracks:
            for file in labels.values():
                file.write(np.full(each.n_rows, each.label, label_type).tobytes())
            artist = [each.artist] if with_artist else []
            writer.writerows([each.track, str(second), *artist] for second in range(each.n_rows))
    digests = {f"{name}/{kind}/X.npy": file.hexdigest() for kind, file in arrays.items()}
    digests |= {f"{name}/{kind}/labels.npy": file.hexdigest() for kind, file in labels.items()}
    return {**digests, f"{name}/tracks.csv": digest_file(folder / "tracks.csv")}


class _Digesting:
    """A file that is written once from its beginning, and the SHA-256 of its content."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._total = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._total.update(data)
        return self._file.write(data)

    def hexdigest(self) -> str:
        return self._total.hexdigest()


def digest(root: str | Path, features: str, known: Mapping[str, str] = MappingProxyType({})) -> str:
    """SHA-256 over the names and contents of X.npy, labels.npy and classes.npy, as far as each set has them.

    Args:
        known: the SHA-256 of files that have been read, by their path below `root`.
    """
    total = hashlib.sha256()
    for name in sorted(f"{each}/{features}/{file}" for each in SETS for file in _ARRAYS):
        if (path := Path(root) / name).is_file():
            total.update(f"{name} {known.get(name) or digest_file(path)}\n".encode())
    return total.hexdigest()
