"""The recorded runs of studies, and the point of its study to which each belongs."""

import json
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from genreline.errors import DataError
from genreline.study.page import count_text
from genreline.study.runner import RUNS, STUDY, StudyRun
from genreline.study.spec import Point, Study, load_study, run_name, shipped_studies

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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not isinstance(self.config.get("epochs"), int) or not all(
            isinstance(self.config.get(part), dict) for part in ("model", "optimizer")
        ):
            raise ValueError("config: is not the configuration of a run")
        if self.status != "failed":
            first = 1 if self.status == "completed" else 0  # a run may diverge at once
            if not self.history or not first <= self.best_epoch <= len(self.history):
                raise ValueError(f"best_epoch: {self.best_epoch} is not one of {len(self.history)} epochs")
            n = len(self.classes)
            matrices = [test.confusion_matrix for test in self.test.values()]
            is_square = all(len(matrix) == n and all(len(row) == n for row in matrix) for matrix in matrices)
            if set(self.test) != {"best", "last"} or not n or not is_square:
                raise ValueError(f"test: has not two matrices of {n} classes")
        return self


def match(study: Study, runs: Iterable[RunRecord]) -> tuple[list[tuple[Point, list[RunRecord]]], list[RunRecord]]:
    """The runs of each point of a study, matched by name, and the runs that belong to none.

    The length does not matter: the run of a quick look belongs to the same point.
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


def select_runs(study: Study, runs: Sequence[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """One run for each point and seed of a study, and warnings for the reader.

    Of runs that differ only in length, the one with the study's length counts; of those that differ only in device, the
    one on the device with the most runs, or on the CPU.

    Raises:
        DataError: two results of the same point and seed on other data.
    """
    points, others = match(study, runs)
    n_runs = Counter(run.device for run in runs)
    kept: list[RunRecord] = []
    shorter: list[RunRecord] = []
    elsewhere: Counter[str] = Counter()
    shortened = set()
    for point, found in points:
        length = point.config(seed=0).epochs
        by_seed: dict[int, list[RunRecord]] = defaultdict(list)
        for run in found:
            by_seed[run.seed].append(run)
        for seed, same in sorted(by_seed.items()):
            best = max(
                same, key=lambda run: (_epochs(run) == length, _epochs(run), n_runs[run.device], run.device == "cpu")
            )
            shorter += [run for run in same if _epochs(run) != _epochs(best)]
            rivals = [run for run in same if run is not best and _epochs(run) == _epochs(best)]
            elsewhere.update(run.device for run in rivals if run.device != best.device)
            if any(run.device == best.device for run in rivals):
                raise DataError(
                    f"{study.name}: holds several results of {point.name}, seed {seed}, made with other data; keep "
                    "those of one in the folder"
                )
            kept.append(best)
            shortened |= {(_epochs(best), length)} if _epochs(best) != length else set()
    flags = []
    if shorter:
        flags.append(f"{count_text(len(shorter), 'run')} of another length than the study's own left out.")
    for device, n in elsewhere.items():
        flags.append(f"{count_text(n, 'run')} on {device} left out, because another device made the same run.")
    if others:
        flags.append(f"{count_text(len(others), 'result')} of no variant of the study as recorded, not shown.")
    if shortened:
        lengths, wanted = (", ".join(map(str, sorted(set(each)))) for each in zip(*shortened, strict=True))
        words = f"epoch{'s' * (lengths != '1')}"
        flags.append(f"Runs were given {lengths} {words}, where the study says {wanted}: a quick look.")
    return kept, flags


def _epochs(run: RunRecord) -> int:
    """How many epochs the run was configured for."""
    return int(run.config["epochs"])


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
            raise DataError(f"{runs.parent}: has no study.json and does not ship; run it again, or remove it")
        if paths:
            found.append((study, [load_run(path) for path in paths]))
    if not found:
        raise DataError(f"{folder}: holds no results of studies; make some with `genreline study --out {folder}`")
    return sorted(found, key=lambda each: (each[0].step, each[0].name))


def load_run(path: Path) -> RunRecord:
    """A result file. Raises DataError if it is invalid."""
    return _parse(RunRecord, path, name=path.stem)


def _parse(kind: type[T], path: Path, **more: str) -> T:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no named values")
        return kind.model_validate({**content, **more})
    except (OSError, ValueError) as error:  # pydantic's and json's errors are ValueErrors
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else str(error)
        raise DataError(f"{path}: is not a study result ({problem}); remove it and run the study again") from error


class Progress(NamedTuple):
    """The progress of a study, in runs; `hours` of one process estimates the missing runs, NaN without a record."""

    n_runs: int
    n_done: int
    n_failed: int
    n_missing: int
    hours: float


def progress_of(jobs: Sequence[StudyRun]) -> Progress:
    """The progress of a study's jobs. The time is estimated from the study's recorded runs on the same device: of the
    same variant and setting if there are any, else of all."""
    study, folder = jobs[0].point.study, jobs[0].folder / RUNS
    missing = [job for job in jobs if not job.path.exists()]
    n_failed = sum(job.path.exists() and not job.done for job in jobs)
    by_epoch: dict[tuple[str, str], list[float]] = defaultdict(list)  # the seconds that one took
    for point, runs in match(study, [load_run(path) for path in sorted(folder.glob("*.json"))])[0]:
        for run in runs:
            if run.history and run.device in {job.device for job in missing}:
                took = run.seconds if math.isnan(run.processor_seconds) else run.processor_seconds
                by_epoch[point.variant.id, point.setting].append(took / len(run.history))
    mean = statistics.fmean(chain(*by_epoch.values())) if by_epoch else math.nan
    means = {point: statistics.fmean(found) for point, found in by_epoch.items()}
    total = sum(job.config.epochs * means.get((job.point.variant.id, job.point.setting), mean) for job in missing)
    return Progress(len(jobs), len(jobs) - n_failed - len(missing), n_failed, len(missing), total / 3600)


def digests_of(runs: Iterable[RunRecord]) -> dict[str, list[str]]:
    """The first digits of the data's digests, by representation."""
    found = sorted({(str(run.config.get("features")), run.data_digest[:12]) for run in runs})
    return {kind: [each for other, each in found if other == kind] for kind in dict(found)}
