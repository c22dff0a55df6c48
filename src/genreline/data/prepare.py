"""Folders of audio become a dataset in the course layout, split by track."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genreline.audio.decode import decode
from genreline.audio.features import FEATURE_SHAPES, features, segments
from genreline.data.layout import SETS, Split, write_split
from genreline.errors import DataError

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
"""The share of each class's tracks that goes to each set."""


def prepare(source: str | Path, out: str | Path, seed: int = 0, on_track: Callable[[], object] = lambda: None) -> None:
    """Write the dataset of `source`, with a folder of audio files for each class, to `out` in both representations.

    The files may be at any depth in their class's folder; hidden ones are passed over. Every second of a track goes to
    the same set, and tracks.csv names the track and the second of every row.

    Args:
        on_track: called after each file, for progress.

    Raises:
        DataError: no class folders, or a class with fewer than three tracks.
        AudioError: a file that cannot be decoded.
    """
    source = Path(source)
    folders = sorted(path for path in source.iterdir() if path.is_dir()) if source.is_dir() else []
    tracks = {folder.name: _visible_files(folder) for folder in folders if not folder.name.startswith(".")}
    if not tracks:
        raise DataError(f"{source}: holds no folders; make one for each class, with its audio files in it")
    sets = split_tracks(tracks, seed)
    for name in SETS:
        rows: dict[str, list[NDArray[Any]]] = defaultdict(list)
        labels: list[str] = []
        columns: dict[str, list[str]] = defaultdict(list)
        for label, path in sets[name]:
            cut = segments(decode(path))
            for kind in FEATURE_SHAPES:
                rows[kind].append(features(cut, kind).numpy())
            labels += [label] * len(cut)
            columns["track"] += [path.relative_to(source).as_posix()] * len(cut)
            columns["start_s"] += [str(second) for second in range(len(cut))]
            on_track()
        columns_as_arrays = {column: np.array(values) for column, values in columns.items()}
        for kind, parts in rows.items():
            write_split(out, name, kind, Split(np.concatenate(parts), np.array(labels), columns_as_arrays))


def _visible_files(folder: Path) -> list[Path]:
    """All files below a folder but hidden ones, which are the file manager's."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def split_tracks(tracks: Mapping[str, Sequence[Path]], seed: int) -> dict[str, list[tuple[str, Path]]]:
    """Deal each class's tracks out to train, val and test by SHARES, at least one to each, by a seeded shuffle.

    Raises:
        DataError: a class with fewer than three tracks.
    """
    sets: dict[str, list[tuple[str, Path]]] = {name: [] for name in SETS}
    rng = np.random.default_rng(seed)
    for label, paths in tracks.items():
        if len(paths) < len(SETS):
            raise DataError(f"{label}: has {len(paths)} tracks; each of {', '.join(SETS)} needs one of its own")
        shuffled = [paths[i] for i in rng.permutation(len(paths))]
        n_val, n_test = (max(1, round(SHARES[name] * len(paths))) for name in ("val", "test"))
        dealt = {"val": shuffled[:n_val], "test": shuffled[n_val : n_val + n_test], "train": shuffled[n_val + n_test :]}
        for name, chosen in dealt.items():
            sets[name] += [(label, path) for path in chosen]
    return sets
