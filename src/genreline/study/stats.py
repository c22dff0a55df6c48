"""The statistics of a study: its runs by variant, and how the variants differ. Read `compare` first."""

import dataclasses
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.stats import spearmanr, ttest_rel

from genreline.files import json_text
from genreline.study.records import RunRecord, match
from genreline.study.spec import Study

ALPHA, MIN_SEEDS = 0.05, 3

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


def wall_seconds_of(run: RunRecord, which: Which) -> float:
    return run.seconds


def timer_of(study: Study) -> Metric:
    """The time by which a study's runs are compared: processor time, which other programs hardly change; wall time for
    devices, because a GPU has no other."""
    return wall_seconds_of if study.compares_devices else seconds_of


def gap_of(run: RunRecord, which: Which) -> float:
    return run.history[-1].val_loss - run.history[-1].train_loss


def entries_of(study: Study, runs: Sequence[RunRecord]) -> list[VariantResult]:
    """All points of a study; a study of a single point is evaluated after its last epoch and at its best snapshot."""
    found = [
        VariantResult(
            point.variant.name, tuple(sorted(same, key=lambda run: run.seed)), "best", point.setting, point.variant.id
        )
        for point, same in match(study, runs)[0]
    ]
    if len(found) == 1:
        (only,) = found
        return [
            dataclasses.replace(only, name="last epoch", which="last"),
            dataclasses.replace(only, name="best snapshot"),
        ]
    if len(study.variants) == 1:
        return [dataclasses.replace(entry, name=entry.setting, setting="") for entry in found]
    return found


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
    if np.ptp(differences) <= 1e-12 * np.abs(differences).max():  # no spread: the test would divide by zero
        return float(not differences.any())
    return float(ttest_rel(pairs[:, 0], pairs[:, 1]).pvalue)


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation of two sequences of equal length."""
    return float(spearmanr(first, second).statistic)


class Repeated(NamedTuple):
    """How reproducible runs of the same settings are.

    Attributes:
        n_pairs: settings and seeds that were run more than once; n_equal: those whose runs are equal to the last bit.
        n_seeds: how many seeds there are; alike: groups of different seeds whose runs are equal.
    """

    n_pairs: int
    n_equal: int
    n_seeds: int
    alike: list[list[int]]


def repeated(runs: Iterable[RunRecord]) -> Repeated:
    """Compare the completed runs by their settings and seed, in the losses and figures of every epoch and the test."""
    groups: dict[str, list[str]] = defaultdict(list)
    seeds: dict[str, set[int]] = defaultdict(set)
    for run in runs:
        if run.status == "completed":
            epochs = [epoch.model_dump(exclude={"seconds"}) for epoch in run.history]
            found = json_text([epochs, {which: record.model_dump() for which, record in run.test.items()}])
            groups[json_text([run.config, run.device, run.data_digest])].append(found)
            seeds[found].add(run.seed)
    pairs = [same for same in groups.values() if len(same) > 1]
    return Repeated(
        n_pairs=len(pairs),
        n_equal=sum(len(set(same)) == 1 for same in pairs),
        n_seeds=len(set().union(*seeds.values())),
        alike=[sorted(found) for found in seeds.values() if len(found) > 1],
    )


def best_entry(entries: Iterable[VariantResult]) -> VariantResult:
    """The highest mean validation macro F1, among those that most seeds completed."""
    return max(entries, key=lambda entry: (len(entry.completed), mean_of(entry, val_f1_of)))


def at_common_seeds(entries: Sequence[VariantResult]) -> list[VariantResult]:
    """The entries, restricted to the seeds that all entries with runs share, so that settings with few seeds are
    compared fairly with settings with many."""
    seeds = [{run.seed for run in entry.runs} for entry in entries if entry.runs]
    common = set.intersection(*seeds) if seeds else set()
    return [dataclasses.replace(e, runs=tuple(run for run in e.runs if run.seed in common)) for e in entries]


def mean_of(entry: VariantResult, metric: Metric) -> float:
    values = entry.values(metric).values()
    return statistics.fmean(values) if values else -math.inf


def spread_text(values: Iterable[float], digits: int = 3) -> str:
    values = list(values)
    if not values:
        return "-"
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f}{deviation}"
