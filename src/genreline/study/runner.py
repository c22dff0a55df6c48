"""Many models become an answer: a study -> runs -> a tidy table. Read `run_study` first.

Every run (a variant with a seed) starts from a fresh model and is kept in a file named by the digest of all that
decides its result, so that a finished run is never repeated and an interrupted study continues where it stopped.
"""

import csv
import dataclasses
import io
import json
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from genreline.data.layout import Dataset, digest, load_dataset
from genreline.data.loaders import make_loaders
from genreline.errors import ConfigError, DataError, GenrelineError
from genreline.files import json_text, write_text
from genreline.parallel import map_unordered
from genreline.provenance import versions
from genreline.study.spec import Point, Study, run_name
from genreline.train.config import Config
from genreline.train.loop import check_device, evaluate, fit
from genreline.train.metrics import per_class

RUNS, TABLE, STUDY = "runs", "table.csv", "study.json"
COLUMNS = [
    "variant",
    "setting",
    "seed",
    "status",
    "device",
    "epochs",
    "best_epoch",
    "seconds",
    "processor_seconds",
    "n_parallel",
    "val_f1_macro",
    "test_f1_macro",
    "test_accuracy",
    "last_test_f1_macro",
    "last_test_accuracy",
    "reason",
    "run",
]


@dataclass(frozen=True)
class StudyRun:
    """One run: everything that another process needs to know to do it."""

    point: Point
    config: Config
    device: str
    root: Path
    data_digest: str
    folder: Path
    n_parallel: int | None = None
    """How many runs are made side by side; None if that is unknown, as on a cluster."""

    @property
    def path(self) -> Path:
        """The file of its result."""
        name = run_name(self.config, self.data_digest, self.device, self.point.variant.repeat)
        return self.folder / RUNS / f"{name}.json"

    @property
    def done(self) -> bool:
        """Whether it has a result that is kept; a run that failed or was interrupted is tried again."""
        return _lasts(self.path)


def jobs_of(
    study: Study,
    data: str | Path,
    out: str | Path,
    seeds: int | None = None,
    epochs: int | None = None,
    device: str = "cpu",
) -> list[StudyRun]:
    """Every run of a study: variants x grid x seeds, seeds outermost, so that an early stop leaves whole comparisons.

    Args:
        out: the study's results go to the folder of its name below it.
        seeds: of each variant and setting, instead of as many as the study says.
        epochs: instead of what the study says, for a quick look.
        device: of the runs whose variant names none.

    Raises:
        ConfigError: settings that make no sense, or `epochs` that make two runs one. DataError: no dataset, or one
            without the features of the study.
    """
    digests: dict[str, str] = {}
    jobs = []
    points = [(point, seeds or point.n_seeds) for point in study.points()]
    for seed in range(max(n_seeds for _, n_seeds in points)):
        for point in (point for point, n_seeds in points if seed < n_seeds):
            config = point.config(seed, epochs)
            if config.features not in digests:
                if not (Path(data) / "train" / config.features / "X.npy").is_file():
                    raise DataError(f"{data}: is not a dataset with {config.features}; prepare it with both features")
                digests[config.features] = digest(data, config.features)
            jobs.append(
                StudyRun(
                    point=point,
                    config=config,
                    device=point.variant.device or device,
                    root=Path(data).absolute(),  # for workers that start elsewhere
                    data_digest=digests[config.features],
                    folder=Path(out).absolute() / study.name,
                )
            )
    if len({job.path for job in jobs}) < len(jobs):
        raise ConfigError(f"{study.name}: {epochs} epochs make runs alike that differ in nothing else; leave it out")
    return jobs


def without_device(jobs: Sequence[StudyRun]) -> list[StudyRun]:
    """The jobs whose device torch does not have here; the same command on a machine with it completes them."""
    missing = [job for job in jobs if job.point.variant.device and not job.done]
    absent = set()
    for device in {job.device for job in missing}:
        try:
            check_device(device)
        except ConfigError:
            absent.add(device)
    return [job for job in missing if job.device in absent]


def write_study(study: Study, out: str | Path) -> None:
    """Record the study next to its results, for the report."""
    write_text(Path(out) / study.name / STUDY, json_text(study.model_dump()))


def run_study(
    jobs: Sequence[StudyRun], n_processes: int, backend: str = "processes", ray_address: str | None = None
) -> Generator[StudyRun, None, None]:
    """Do the runs that are not done yet, side by side, one thread each; yields each job as it is done.

    Runs that compare devices are made one after the other, because side by side they would slow each other. For
    `backend` and `ray_address` see `map_unordered`; all nodes must see the data and the results under the same paths.
    A run that fails, for whatever reason, has a result that says so, and does not end the study. `write_table` sums up.
    """
    if any(job.point.study.compares_devices for job in jobs):
        n_processes = 1
    n_parallel = n_processes if backend == "processes" else None
    missing = [dataclasses.replace(job, n_parallel=n_parallel) for job in jobs if not job.done]
    with closing(map_unordered(run_job, missing, n_processes, backend, ray_address)) as mapped:
        for job, _ in mapped:
            yield job


def run_job(job: StudyRun) -> None:
    """Train, evaluate and record one run.

    A run that another study has made is copied, except in a comparison of devices, which needs its own times.
    """
    twins = [] if job.point.study.compares_devices else job.folder.parent.glob(f"*/{RUNS}/{job.path.name}")
    for twin in twins:
        if _lasts(twin):
            write_text(job.path, twin.read_text(encoding="utf-8"))
            return
    torch.set_num_threads(1)
    _warm_up()
    result: dict[str, Any] = {
        "seed": job.config.seed,
        "device": job.device,
        "n_parallel": job.n_parallel,
        "config": job.config.model_dump(mode="json"),
        "config_digest": job.config.digest(),
        "data_digest": job.data_digest,
        "versions": versions(),
    }
    try:
        dataset = dataset_of(job.root, job.config.features, job.data_digest)
        if dataset.is_multi_label:
            raise DataError(f"{job.root}: has several labels a sample, which reports of studies do not; take --folds")
        if job.point.study.compares_devices:  # the first use of a device takes extra time
            fit(job.config.model_copy(update={"epochs": 1}), dataset, job.device)
        processor_start = time.process_time()
        run = fit(job.config, dataset, job.device)
        # Of the epochs alone: each ends with its losses on the CPU, so a GPU has finished by then.
        result["seconds"] = sum(epoch.seconds for epoch in run.history)
        if job.device == "cpu":  # a time that other programs hardly change, and that excludes a GPU's work
            result["processor_seconds"] = time.process_time() - processor_start
        test = make_loaders(dataset, batch_size=256).test
        networks = {"last": run.last_network, "best": run.network}
        result |= {
            "status": run.status,
            "best_epoch": run.best_epoch,
            "history": [asdict(epoch) for epoch in run.history],
            "classes": dataset.classes,
            "test": {
                which: evaluate(test, network, nn.CrossEntropyLoss())._asdict() for which, network in networks.items()
            },
        }
        result["per_class"] = per_class(result["test"]["best"]["confusion_matrix"], dataset.classes)
    except Exception as error:
        result |= {"status": "failed", "reason": reason_of(error)}
    write_text(job.path, json_text(result))


def _warm_up() -> None:
    """Do what a process does once, and which takes seconds that are not the training's: imports."""
    import sklearn.metrics  # noqa: F401

    torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)  # of which the first imports torch's compiler


def reason_of(error: Exception) -> str:
    """Why a run failed, in a line: what genreline or torch says, and the kind of any other error."""
    text = " ".join(str(error).split())[:300]
    is_plain = isinstance(error, GenrelineError | RuntimeError | ValueError | TypeError)
    return text if is_plain and text else f"{type(error).__name__}: {text}"


def read_result(path: Path) -> dict[str, Any] | None:
    """The result of a run, as it was written; None if there is none, or none that can be read."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return result if isinstance(result, dict) else None


def _lasts(path: Path) -> bool:
    """Whether there is a result that is kept, of a run that ended by itself."""
    result = read_result(path) or {}
    return result.get("status") in ("completed", "diverged") and bool(result.get("history"))


@lru_cache(maxsize=2)
def dataset_of(root: Path, features: str, digest: str) -> Dataset:
    """A dataset with this digest, one load a process. Raises DataError if it has another one by now."""
    dataset = load_dataset(root, features)
    if dataset.digest != digest:
        raise DataError(f"{root}: has changed since the command began; run it again")
    return dataset


def load_results(jobs: Sequence[StudyRun]) -> list[tuple[StudyRun, dict[str, Any]]]:
    """The jobs that have a result, in their order, each with its result."""
    results = [(job, read_result(job.path)) for job in jobs]
    return [(job, result) for job, result in results if result is not None]


def write_table(jobs: Sequence[StudyRun]) -> list[dict[str, Any]]:
    """Write the study's tidy table, a row a run (COLUMNS), as table.csv in its folder, and return its rows."""
    rows = []
    for job, result in load_results(jobs):
        row: dict[str, Any] = {column: result.get(column, "") for column in COLUMNS}
        row |= {"variant": job.point.variant.id, "setting": job.point.setting, "run": job.path.stem}
        if history := result.get("history"):
            best = history[max(0, result["best_epoch"] - 1)]
            row |= {"epochs": len(history), "val_f1_macro": best["val_f1_macro"]}
            for which, prefix in (("best", "test"), ("last", "last_test")):
                row[f"{prefix}_f1_macro"] = result["test"][which]["f1_macro"]
                row[f"{prefix}_accuracy"] = result["test"][which]["accuracy"]
        rows.append(row)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(jobs[0].folder / TABLE, text.getvalue())
    return rows
