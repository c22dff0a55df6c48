"""What a dataset on disk holds, and every problem in it (`genreline check`)."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genreline.audio.features import FEATURE_SHAPES
from genreline.data.labels import labels_in
from genreline.data.layout import (
    SETS,
    Split,
    check_distinct,
    classes_of,
    digest,
    read_split,
    read_tracks,
    targets_of,
)
from genreline.errors import DataError


@dataclass
class SetReport:
    """One set of one representation: sizes, values, and conspicuous rows."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    counts: dict[str, int]
    n_tracks: int | None
    minimum: float
    maximum: float
    silent_rows: int
    duplicate_rows: int


@dataclass
class Report:
    """What `check_dataset` found. `problems` make a dataset unusable, `warnings` do not."""

    root: str
    digests: dict[str, str] = field(default_factory=dict)
    sets: dict[str, list[SetReport]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain lists and dicts, for JSON."""
        return asdict(self)


def check_dataset(root: str | Path) -> Report:
    """Check every set of every representation below `root`; problems in the data are reported, never raised."""
    root = Path(root)
    report = Report(str(root))
    kinds = [kind for kind in FEATURE_SHAPES if any((root / name / kind).is_dir() for name in SETS)]
    if not kinds:
        report.problems.append(f"{root}: holds no {'/'.join(SETS)} folders with {' or '.join(FEATURE_SHAPES)}")
    labels = {}
    tracks = cache(read_tracks)  # which both representations share
    for kind in kinds:
        splits: dict[str, Split] = {}
        rows: dict[str, _Rows] = {}
        digests: dict[str, str] = {}
        for name in SETS:
            try:
                seen = _Rows(kind)
                splits[name], found = read_split(root, name, kind, seen.add, tracks)
                rows[name] = seen
                digests |= found
            except DataError as error:
                report.problems.append(str(error))
        report.digests[kind] = digest(root, kind, digests)
        report.sets[kind] = [_describe(name, split, rows[name]) for name, split in splits.items()]
        _compare_sets(root, splits, rows, report)
        labels[kind] = {name: split.labels for name, split in splits.items()}
    report.problems = list(dict.fromkeys(report.problems))  # a missing set is missing for both representations
    for name in SETS:
        both = [labels[kind][name] for kind in kinds if name in labels[kind]]
        if len(both) == 2 and not np.array_equal(both[0], both[1]):
            report.problems.append(f"{root / name}: the two representations disagree on labels; prepare them again")
    return report


class _Rows:
    """Statistics of a set's rows, collected block by block as they are read."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self.minimum, self.maximum, self.n_silent = np.inf, -np.inf, 0
        self.distinct: set[bytes] = set()
        """Their digests: a copy of a row in another type, or with another zero, is the same row."""

    def add(self, block: NDArray[Any]) -> None:
        """Add the next rows."""
        values = block.reshape(len(block), -1).astype(np.float32)
        self.minimum, self.maximum = min(self.minimum, float(block.min())), max(self.maximum, float(block.max()))
        # Silence: every MFCC of a second the same in all frames, or a melgram without any structure (assignment, Data).
        flat = values[:, 13:] if self._kind == "mfccs" else values - values[:, :1]
        self.n_silent += int((np.abs(flat) < 1e-6).all(axis=1).sum())
        self.distinct.update(hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in values + np.float32(0))


def _describe(name: str, split: Split, rows: _Rows) -> SetReport:
    return SetReport(
        name=name,
        shape=split.X.shape,
        dtype=str(split.X.dtype),
        counts=_counts(split),
        n_tracks=None if split.tracks is None else len(np.unique(split.tracks["track"])),
        minimum=rows.minimum,
        maximum=rows.maximum,
        silent_rows=rows.n_silent,
        duplicate_rows=len(split) - len(rows.distinct),
    )


def _counts(split: Split) -> dict[str, int]:
    """How many samples have each label."""
    texts = Counter(map(str, split.labels))
    if not split.is_multi_label:
        return dict(sorted(texts.items()))
    counts: Counter[str] = Counter()
    for text, n in texts.items():
        counts.update(dict.fromkeys(labels_in(text), n))
    return dict(sorted(counts.items()))


def _compare_sets(root: Path, splits: Mapping[str, Split], rows: Mapping[str, _Rows], report: Report) -> None:
    """Whether the sets belong together: labels that train knows, no row and no track in two of them."""
    if "train" in splits:
        classes = classes_of(splits["train"])
        if len(classes) < 2:
            has = f"one class, {classes[0]}" if classes else "no class"
            report.problems.append(f"{root / 'train'}: has {has}; training needs two or more")
        try:
            check_distinct(classes, str(root / "train"))
        except DataError as error:
            report.problems.append(str(error))
        for name, split in splits.items():
            try:
                targets_of(split, classes, str(root / name))
            except DataError as error:
                report.problems.append(str(error))
            missing = sorted(set(classes) - set(classes_of(split)))
            if missing:
                report.warnings.append(f"{root / name}: has no sample of {', '.join(missing)}")
    pairs = [(a, b) for a in splits for b in splits if SETS.index(a) < SETS.index(b)]
    for first, second in pairs:
        shared_rows = len(rows[first].distinct & rows[second].distinct)
        if shared_rows:
            report.warnings.append(f"{root}: {first} and {second} share {shared_rows} distinct equal rows")
        for column in ("track", "artist"):
            shared = len(_values(splits[first], column) & _values(splits[second], column))
            if shared:
                line = f"{root}: {first} and {second} share {shared} values of `{column}`, so test figures are too high"
                report.warnings.append(line)


def _values(split: Split, column: str) -> set[str]:
    return set() if split.tracks is None else set(map(str, split.tracks.get(column, []))) - {""}
