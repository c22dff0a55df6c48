"""Cross-validation: every recording is tested once, by a network that met neither it nor what belongs with it."""

import dataclasses
import hashlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genreline.data.layout import SETS, Dataset, Split, classes_of, targets_of
from genreline.errors import ConfigError, DataError
from genreline.train.checkpoint import Model
from genreline.train.config import Config
from genreline.train.evaluate import evaluate_model
from genreline.train.folder import Calibration
from genreline.train.loop import Epoch, fit

GROUPS = ("artist", "track", "source")
"""Columns of tracks.csv whose values stay together."""


class Fold(NamedTuple):
    """One fold's run: its best snapshot's epoch and thresholds, and the figures of `evaluate_model` on the fold."""

    best_epoch: int
    figures: dict[str, Any]
    thresholds: dict[str, float]


def cross_validate(
    config: Config,
    dataset: Dataset,
    pool: Split,
    numbers: NDArray[np.int64],
    device: str = "cpu",
    on_epoch: Callable[[int, Epoch], object] = lambda fold, epoch: None,
    folder: Path | None = None,
) -> Iterator[Fold]:
    """Train and test once for each fold; the snapshot is chosen on the validation fold alone.

    Args:
        on_epoch: gets the fold's number, from 1, and the epoch.
        folder: where the state of each fold's run is kept (`state_files`). Those that are there already go on from it.

    Raises:
        CheckpointError: a state is damaged, or that of other settings, data, folds or device.
        DataError: a run's loss was no number. KeyboardInterrupt: Ctrl-C, in any of the runs.
    """
    for number, fold in enumerate(fold_datasets(dataset, pool, numbers), start=1):
        run = fit(
            config,
            fold,
            device,
            lambda epoch, number=number: on_epoch(number, epoch),  # type: ignore[misc]
            _state_file(folder, number),
        )
        if run.interruption:
            raise run.interruption
        if not run.best_epoch:
            raise DataError(f"folds: fold {number} had no epoch with a finite loss; lower optimizer.lr")
        known = classes_of(fold.val)  # a threshold of a class that is not there was not fitted
        thresholds = {name: each for name, each in run.thresholds.items() if name in known}
        yield Fold(run.best_epoch, evaluate_model(Model.from_fit(run, fold), fold.test), thresholds)


def fit_whole(
    config: Config,
    dataset: Dataset,
    pool: Split,
    folds: Sequence[Fold],
    device: str = "cpu",
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
    folder: Path | None = None,
) -> Model:
    """The model of all rows, as its last epoch leaves it: it takes as many as the folds' best snapshots, the median.

    Its metrics are the folds': `folds` has the mean and the standard deviation of each figure. Nothing else is left
    that it did not train on. Of a multi-label model, the thresholds are the folds' means.

    Args:
        folder: where the state of its run is kept, as by `cross_validate`.

    Raises:
        DataError: the run's loss was no number. KeyboardInterrupt: Ctrl-C.
    """
    epochs = round(statistics.median(fold.best_epoch for fold in folds))
    whole = dataclasses.replace(dataset, splits={**dataset.splits, "train": pool})
    settings = config.model_copy(update={"epochs": epochs, "patience": None})
    run = fit(settings, whole, device, on_epoch, _state_file(folder, len(folds) + 1))
    if run.interruption:
        raise run.interruption
    if run.status == "diverged":
        raise DataError("folds: the run on all rows had no finite loss; lower optimizer.lr")
    metrics = {"folds": {"n_folds": len(folds), **spreads(folds)}}
    fitted = {name: [fold.thresholds[name] for fold in folds if name in fold.thresholds] for name in run.thresholds}
    thresholds = {name: statistics.mean(each or [0.5]) for name, each in fitted.items()}
    return dataclasses.replace(
        Model.from_fit(run, whole),
        network=run.last_network,
        metrics=metrics,
        calibration=Calibration(thresholds=thresholds),
    )


def state_files(folder: Path) -> list[Path]:
    """Those that the runs of `cross_validate` and `fit_whole` have left in a folder."""
    return list(folder.glob("unfinished-fold-*.safetensors"))


def _state_file(folder: Path | None, number: int) -> Path | None:
    return folder / f"unfinished-fold-{number}.safetensors" if folder else None


def spreads(folds: Sequence[Fold]) -> dict[str, dict[str, float]]:
    """`mean` and `deviation` (standard, over the folds) of each figure of `figures_by_fold`."""
    rows = figures_by_fold(folds)
    return {
        key: {
            "mean": statistics.mean(row[key] for row in rows),
            "deviation": statistics.stdev(row[key] for row in rows),
        }
        for key in rows[0]
    }


def figures_by_fold(folds: Sequence[Fold]) -> list[dict[str, float]]:
    """Macro F1 and accuracy of each fold, by second, and by track where each track of all folds has one label."""
    rows = [{key: fold.figures[key] for key in ("f1_macro", "accuracy")} for fold in folds]
    if all("by_track" in fold.figures for fold in folds):
        for row, fold in zip(rows, folds, strict=True):
            row |= {f"{key}_by_track": fold.figures["by_track"][key] for key in ("f1_macro", "accuracy")}
    return rows


def pooled(dataset: Dataset) -> Split:
    """The rows of all three sets as one, with those columns of their tracks.csv that all of them have."""
    splits = [dataset.splits[name] for name in SETS]
    tracks = [split.tracks for split in splits if split.tracks is not None]
    if len(tracks) < len(SETS):
        raise DataError("folds: tracks.csv is missing beside a set; without it, a song would be in several folds")
    columns = [name for name in tracks[0] if all(name in each for each in tracks)]
    return Split(
        np.concatenate([split.X for split in splits]),
        np.concatenate([split.labels for split in splits]),
        {name: np.concatenate([each[name] for each in tracks]) for name in columns},
        dataset.is_multi_label,
    )


def fold_numbers(pool: Split, n_folds: int, group: str | None = None, seed: int = 0) -> NDArray[np.int64]:
    """(N,) the fold of each row, from 0: groups stay whole, and classes are spread alike, as far as groups let them.

    Args:
        group: a column of tracks.csv. Default: artist if there is one, else track. A row without a value in it is
            grouped by its track.

    Raises:
        ConfigError: fewer than three folds, or another group. DataError: no such column, or a class with fewer groups
            than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import

    if n_folds < 3:
        raise ConfigError(f"folds: {n_folds} are too few; a fold is tested, one validates, and the others train")
    tracks = pool.tracks or {}
    group = group or ("artist" if "artist" in tracks else "track")
    if group not in GROUPS:
        raise ConfigError(f"group: {group!r} is not one of {', '.join(GROUPS)}")
    if group not in tracks:
        raise DataError(f"folds: tracks.csv has no column {group!r} in every set; group by another")
    groups = np.where(tracks[group] == "", np.char.add("track ", tracks["track"]), tracks[group])
    classes = classes_of(pool)
    targets = targets_of(pool, classes, "folds")
    has = targets.astype(bool) if pool.is_multi_label else targets[:, None] == np.arange(len(classes))
    n_groups = {name: len(np.unique(groups[has[:, k]])) for k, name in enumerate(classes)}
    if few := [f"{label} has {n}" for label, n in n_groups.items() if n < n_folds]:
        raise DataError(f"folds: too few groups ({group}) for {n_folds} folds: {', '.join(few)}; take fewer folds")
    numbers = np.zeros(len(pool), np.int64)
    if pool.is_multi_label:
        return _dealt(groups, has, n_folds, seed)
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed % 2**32)
    for number, (_, rows) in enumerate(folds.split(np.zeros(len(pool)), pool.labels, groups)):
        numbers[rows] = number
    return numbers


def _dealt(groups: NDArray[Any], has: NDArray[np.bool_], n_folds: int, seed: int) -> NDArray[np.int64]:
    """(N,) the fold of each row that may have several labels, (N, C): groups are dealt by their rarest label, each to
    the fold that has fewest groups with it, and then fewest at all (iterative stratification, Sechidis et al. 2011)."""
    names, group_of = np.unique(groups, return_inverse=True)
    labels = np.zeros((len(names), has.shape[1]), bool)
    np.logical_or.at(labels, group_of, has)
    fold_of = np.full(len(names), -1)
    counts = np.zeros((n_folds, has.shape[1] + 1), int)  # the last column: of all groups
    order = np.random.default_rng(seed).permutation(len(names))
    with_all = np.column_stack([labels, np.ones(len(names), bool)])  # groups without a label are dealt last
    for k in np.argsort(with_all.sum(axis=0), kind="stable"):
        for group in order[with_all[order, k] & (fold_of[order] < 0)]:
            fold_of[group] = np.lexsort([counts[:, -1], counts[:, k]])[0]
            counts[fold_of[group]] += with_all[group]
    return fold_of[group_of].astype(np.int64)


def fold_datasets(dataset: Dataset, pool: Split, numbers: NDArray[np.int64]) -> Iterator[Dataset]:
    """For each fold a dataset with it as the test set, the next one as the validation set, and the others to train on.

    Each is a copy of the pool's rows, made when it is its turn. Its digest names its rows, too.

    Raises:
        DataError: before the first one: a fold's training set lacks a class, because one group holds most of it.
    """
    n_folds = int(numbers.max()) + 1
    tested = [numbers == fold for fold in range(n_folds)]
    validated = [*tested[1:], tested[0]]
    for fold, out in enumerate(np.logical_or(tested, validated)):
        there = classes_of(dataclasses.replace(pool, labels=pool.labels[~out]))
        if missing := sorted(set(dataset.classes) - set(there)):
            raise DataError(f"folds: fold {fold + 1} leaves no {', '.join(missing)} to train on; take other folds")
    for fold, (is_test, is_val) in enumerate(zip(tested, validated, strict=True)):
        chosen = {"train": ~(is_test | is_val), "val": is_val, "test": is_test}
        splits = {name: rows_of(pool, rows) for name, rows in chosen.items()}
        digest = hashlib.sha256(f"{dataset.digest} {fold}".encode() + numbers.tobytes()).hexdigest()
        yield dataclasses.replace(dataset, splits=splits, digest=digest)


def rows_of(split: Split, chosen: NDArray[np.bool_]) -> Split:
    """Those rows of a set that are chosen, (N,)."""
    tracks = None if split.tracks is None else {name: column[chosen] for name, column in split.tracks.items()}
    return dataclasses.replace(split, X=split.X[chosen], labels=split.labels[chosen], tracks=tracks)
