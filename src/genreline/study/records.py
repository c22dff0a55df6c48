"""Runs as they were recorded, grouped by variant, and the statistics that compare them. Read `compare` first."""

import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from scipy.stats import ttest_rel

from genreline.errors import DataError
from genreline.study.runner import RUNS, STUDY
from genreline.study.spec import Point, Study, load_study, run_name, shipped_studies

ALPHA, MIN_SEEDS = 0.05, 3

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A float; JSON has null where it was no number."""


T = TypeVar("T", bound=BaseModel)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class EpochRecord(_Record):
    """A line of a run's history (`train.loop.Epoch`)."""

    train_loss: Number
    val_loss: Number
    val_f1_macro: Number
    val_accuracy: Number
    lr: Number
    seconds: Number


class TestRecord(_Record):
    """The figures of one network on the test set; the truth is in the matrix's rows."""

    loss: Number
    f1_macro: Number
    accuracy: Number
    confusion_matrix: list[list[int]]


class RunRecord(_Record):
    """A result file, as `runner.run_job` writes it; its name says which run it is (`spec.run_name`)."""

    name: str
    seed: int
    device: str
    n_parallel: int | None = None
    config: dict[str, Any]
    data_digest: str
    versions: dict[str, str]
    status: Literal["completed", "diverged", "interrupted", "failed"]
    reason: str = ""
    seconds: Number = math.nan
    processor_seconds: Number = math.nan
    best_epoch: int = 0
    history: list[EpochRecord] = Field(default_factory=list)
    classes: list[str] = Field(default_factory=list)
    test: dict[str, TestRecord] = Field(default_factory=dict)


Which = Literal["best", "last"]
Metric = Callable[[RunRecord, Which], float]


@dataclass(frozen=True)
class VariantResult:
    """What a table compares: the runs of a variant, one a seed; `setting` is its point of the grid, if any."""

    name: str
    runs: tuple[RunRecord, ...]
    which: Which = "best"
    setting: str = ""
    variant_id: str = ""

    @property
    def completed(self) -> list[RunRecord]:
        """The runs whose figures count."""
        return [run for run in self.runs if run.status == "completed"]

    def values(self, metric: Metric) -> dict[int, float]:
        """Seed -> value, of the completed runs."""
        return {run.seed: metric(run, self.which) for run in self.completed}


def f1_of(run: RunRecord, which: Which) -> float:
    return run.test[which].f1_macro


def accuracy_of(run: RunRecord, which: Which) -> float:
    return run.test[which].accuracy


def val_f1_of(run: RunRecord, which: Which) -> float:
    return run.history[-1 if which == "last" else run.best_epoch - 1].val_f1_macro


def epochs_of(run: RunRecord, which: Which) -> float:
    return len(run.history)


def seconds_of(run: RunRecord, which: Which) -> float:
    return run.seconds if math.isnan(run.processor_seconds) else run.processor_seconds


def gap_of(run: RunRecord, which: Which) -> float:
    return run.history[-1].val_loss - run.history[-1].train_loss


def match(study: Study, runs: Iterable[RunRecord]) -> tuple[list[tuple[Point, list[RunRecord]]], list[RunRecord]]:
    """The runs of each point of a study, by their names, and those that belong to none.

    A run's length is its own: that of a quick look belongs to the same point.
    """
    points = study.points()
    found: list[list[RunRecord]] = [[] for _ in points]
    others: list[RunRecord] = []
    numbers: dict[tuple[object, ...], dict[str, int]] = {}
    for run in runs:
        made_with = (run.seed, run.config.get("epochs"), run.data_digest, run.device)
        if made_with not in numbers:
            numbers[made_with] = {
                run_name(
                    point.config(run.seed, run.config.get("epochs")),
                    run.data_digest,
                    point.variant.device or run.device,
                    point.variant.repeat,
                ): i
                for i, point in enumerate(points)
            }
        number = numbers[made_with].get(run.name)
        (others if number is None else found[number]).append(run)
    return list(zip(points, found, strict=True)), others


def entries_of(study: Study, runs: Sequence[RunRecord]) -> list[VariantResult]:
    """All points of a study; a study of a single point is evaluated after its last epoch and at its best snapshot."""
    found = [
        VariantResult(
            point.variant.name, tuple(sorted(same, key=lambda run: run.seed)), "best", point.setting, point.variant.id
        )
        for point, same in match(study, runs)[0]
    ]
    if len(found) == 1:
        return [VariantResult("last epoch", found[0].runs, "last"), VariantResult("best snapshot", found[0].runs)]
    if len(study.variants) == 1:
        return [VariantResult(entry.setting, entry.runs) for entry in found]
    return found


def load_studies(folder: Path) -> list[tuple[Study, list[RunRecord]]]:
    """Every study below a folder with its runs, in the order of the assignment's steps."""
    found = []
    for runs in sorted(folder.glob(f"*/{RUNS}")):
        recorded = runs.parent / STUDY
        paths = sorted(runs.glob("*.json"))
        if recorded.is_file():
            study = _parse(Study, recorded)
        elif (shipped := shipped_studies().get(runs.parent.name)) is not None:
            study = load_study(shipped)
        else:
            raise DataError(f"{runs.parent}: has no study.json and is no study that ships; run it again, or remove it")
        if paths:
            found.append((study, [load_run(path) for path in paths]))
    if not found:
        raise DataError(f"{folder}: holds no results of studies; make some with `genreline study --out {folder}`")
    return sorted(found, key=lambda each: (each[0].step, each[0].name))


def load_run(path: Path) -> RunRecord:
    """A result file; DataError for what is none."""
    return _parse(RunRecord, path, name=path.stem)


def _parse(kind: type[T], path: Path, **more: str) -> T:
    try:
        return kind.model_validate({**json.loads(path.read_text(encoding="utf-8")), **more})
    except (OSError, ValueError) as error:  # pydantic's and json's errors are ValueErrors
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else str(error)
        raise DataError(f"{path}: is no result of a study ({problem}); remove it and run the study again") from error


# ---- what is computed ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """How an entry differs from the reference over `n` common seeds; `p` is Holm's, NaN where n is too small."""

    name: str
    n: int
    difference: float
    p: float

    @property
    def claimed(self) -> bool:
        """Whether the difference exceeds the spread between seeds."""
        return self.p <= ALPHA


def compare(entries: Iterable[VariantResult], reference: VariantResult, metric: Metric) -> list[Verdict]:
    """Every other entry with a completed run against the reference: paired t-tests over common seeds, and Holm's
    correction for as many comparisons as have MIN_SEEDS seeds or more."""
    base = reference.values(metric)
    rows = []
    for entry in entries:
        values = entry.values(metric)
        seeds = sorted(values.keys() & base.keys())
        if entry is not reference and values:
            pairs = np.array([(values[seed], base[seed]) for seed in seeds]).reshape(-1, 2)
            rows.append((entry.name, pairs))
    corrected = iter(holm([_paired_p(pairs) for _, pairs in rows if len(pairs) >= MIN_SEEDS]))
    return [
        Verdict(
            name,
            len(pairs),
            float(np.mean(pairs[:, 0] - pairs[:, 1])) if len(pairs) else math.nan,
            next(corrected) if len(pairs) >= MIN_SEEDS else math.nan,
        )
        for name, pairs in rows
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction, in the order given: compare each with the level as it is."""
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = highest
    return corrected


def _paired_p(pairs: np.ndarray[Any, Any]) -> float:
    differences = pairs[:, 0] - pairs[:, 1]
    if np.ptp(differences) <= 1e-12 * np.abs(differences).max():  # no spread at all: the test would divide by it
        return float(not differences.any())
    return float(ttest_rel(pairs[:, 0], pairs[:, 1]).pvalue)


def best_entry(entries: Iterable[VariantResult]) -> VariantResult:
    """The highest mean validation macro F1, among those that most seeds completed."""
    return max(entries, key=lambda entry: (len(entry.completed), mean_of(entry, val_f1_of)))


def mean_of(entry: VariantResult, metric: Metric) -> float:
    values = entry.values(metric).values()
    return statistics.fmean(values) if values else -math.inf


def spread_text(values: Iterable[float], digits: int = 3) -> str:
    values = list(values)
    if not values:
        return "-"
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{deviation}"
