"""Many models become an answer: a study file -> runs -> a tidy table. Read `run_study` first.

A study is data: a TOML file with the question it asks, a base configuration, and variants of it. Every run (a variant
with a seed) starts from a fresh model and is kept in a file named by the digest of all that decides its result, so
that a finished run is never computed again and an interrupted study goes on where it stopped.
"""

import csv
import hashlib
import io
import json
import math
import time
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from genreline.data.layout import Dataset, digest, load_dataset
from genreline.data.loaders import make_loaders
from genreline.errors import ConfigError, DataError, GenrelineError
from genreline.files import json_text, write_text
from genreline.parallel import map_unordered
from genreline.provenance import versions
from genreline.train.config import Config, load_config
from genreline.train.loop import evaluate, fit
from genreline.train.metrics import per_class

RUNS, TABLE, STUDY = "runs", "table.csv", "study.json"
COLUMNS = [
    "variant",
    "seed",
    "status",
    "device",
    "epochs",
    "best_epoch",
    "seconds",
    "val_f1_macro",
    "test_f1_macro",
    "test_accuracy",
    "last_test_f1_macro",
    "last_test_accuracy",
    "reason",
    "run",
]


class Study(BaseModel):
    """A study file. Its settings are `key=value` strings, as `genreline train --set` takes them.

    Attributes:
        step: the step of the assignment that it answers.
        question: what it asks.
        starts_from: which network and settings the variants change, and from which step they come.
        peers: what published solutions found, to be read beside the results.
        layout: whether the report's table has the variants as its rows or as its columns, as the source asks.
        base: the settings of every run.
        variants: name -> the settings that make it.
        grid: setting -> values; every variant runs with every combination of them.
        devices: variant -> device, for those that need one of their own (assignment, step 1.6).
        repeats: variant -> a number that makes it a run of its own although its settings are another's (step 3.1).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    step: str
    question: str
    starts_from: str
    peers: str = ""
    layout: Literal["rows", "columns"] = "rows"
    base: tuple[str, ...] = ()
    variants: dict[str, tuple[str, ...]]
    grid: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    devices: dict[str, str] = Field(default_factory=dict)
    repeats: dict[str, int] = Field(default_factory=dict)

    @property
    def n_runs(self) -> int:
        """How many runs a seed takes."""
        return len(self.variants) * math.prod(map(len, self.grid.values()))


@dataclass(frozen=True)
class StudyRun:
    """One run: everything that another process needs to know to do it."""

    variant: str
    config: Config
    device: str
    repeat: int
    root: Path
    data_digest: str
    folder: Path

    @property
    def path(self) -> Path:
        """The file of its result, named by the digest of all that decides it."""
        identity = json.dumps([self.config.digest(), self.data_digest, self.device, self.repeat])
        return self.folder / RUNS / f"{hashlib.sha256(identity.encode()).hexdigest()[:20]}.json"


def shipped_studies() -> dict[str, Path]:
    """The studies inside the package, in the order of the assignment's steps."""
    folder = Path(str(resources.files("genreline"))) / "study"
    paths = {path.stem: path for path in folder.glob("*.toml")}
    return dict(sorted(paths.items(), key=lambda item: (load_study(item[1]).step, item[0])))


def load_study(name_or_file: str | Path) -> Study:
    """A study that ships, by name, or a TOML file. ConfigError for what is no study."""
    path = Path(name_or_file)
    if not path.is_file():
        path = Path(str(resources.files("genreline"))) / "study" / f"{name_or_file}.toml"
    if not path.is_file():
        raise ConfigError(f"{name_or_file}: no such study or file; the studies are {', '.join(shipped_studies())}")
    try:
        return Study.model_validate({"name": path.stem, **tomllib.loads(path.read_text(encoding="utf-8"))})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML ({error})") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ConfigError(f"{path}: {problems}") from error


def jobs_of(
    study: Study, data: str | Path, out: str | Path, seeds: int, epochs: int | None = None, device: str = "cpu"
) -> list[StudyRun]:
    """Every run of a study: variants x grid x seeds, seeds outermost, so that an early stop leaves whole comparisons.

    Args:
        out: the study's results go to the folder of its name below it.
        epochs: instead of what the study says, for a quick look.

    Raises:
        ConfigError: settings that make no sense. DataError: no dataset, or one without the features of the study.
    """
    over = [f"epochs={epochs}"] if epochs else []
    jobs = []
    digests: dict[str, str] = {}
    for seed in range(seeds):
        for variant, settings in study.variants.items():
            for values in product(*study.grid.values()):
                chosen = [f"{key}={value}" for key, value in zip(study.grid, values, strict=True)]
                config = load_config(overrides=[*study.base, *settings, *chosen, *over, f"seed={seed}"])
                if config.features not in digests:
                    if not (Path(data) / "train" / config.features / "X.npy").is_file():
                        raise DataError(f"{data}: is no dataset with {config.features}; `genreline check` says why")
                    digests[config.features] = digest(data, config.features)
                job = StudyRun(
                    variant=", ".join([variant, *chosen]),
                    config=config,
                    device=study.devices.get(variant, device),
                    repeat=study.repeats.get(variant, 0),
                    root=Path(data).absolute(),  # for workers that start elsewhere
                    data_digest=digests[config.features],
                    folder=Path(out).absolute() / study.name,
                )
                jobs.append(job)
    return jobs


def write_study(study: Study, out: str | Path) -> None:
    """Record what a study asks beside its results, for the report."""
    write_text(Path(out) / study.name / STUDY, json_text(study.model_dump()))


def run_study(
    jobs: Sequence[StudyRun], n_processes: int, backend: str = "processes", ray_address: str | None = None
) -> Iterator[StudyRun]:
    """Do the runs that are not done yet, side by side, one thread each; yields each job as it is done.

    For `backend` and `ray_address` see `map_unordered`; all nodes must see the data and the results by the same paths.
    A run that fails is a result that says so, never the end of the study. `write_table` sums up.
    """
    missing = [job for job in jobs if not job.path.exists()]
    for job, _ in map_unordered(run_job, missing, n_processes, backend, ray_address):
        yield job


def run_job(job: StudyRun) -> None:
    """Train, evaluate and record one run; one that another study beside it has done is copied."""
    for twin in job.folder.parent.glob(f"*/{RUNS}/{job.path.name}"):
        write_text(job.path, json_text({**json.loads(twin.read_text()), "variant": job.variant}))
        return
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "variant": job.variant,
        "seed": job.config.seed,
        "device": job.device,
        "config": job.config.model_dump(mode="json"),
        "config_digest": job.config.digest(),
        "data_digest": job.data_digest,
        "versions": versions(),
    }
    try:
        dataset = _dataset(job.root, job.config.features)
        start, processor_start = time.perf_counter(), time.process_time()
        run = fit(job.config, dataset, job.device)
        result["seconds"] = time.perf_counter() - start
        if job.device == "cpu":  # the time that other programs do not change; a GPU's work is not in it
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
    except (GenrelineError, RuntimeError, ValueError, TypeError) as error:
        result |= {"status": "failed", "reason": " ".join(str(error).split())[:300]}
    write_text(job.path, json_text(result))


@cache
def _dataset(root: Path, features: str) -> Dataset:
    """One load a process."""
    return load_dataset(root, features)


def load_results(jobs: Sequence[StudyRun]) -> list[dict[str, Any]]:
    """The results of those jobs that are done, in the jobs' order, each with its `run`, the name of its file."""
    return [{**json.loads(job.path.read_text()), "run": job.path.stem} for job in jobs if job.path.exists()]


def write_table(jobs: Sequence[StudyRun]) -> list[dict[str, Any]]:
    """Write the study's tidy table, a row a run (COLUMNS), as table.csv in its folder, and return its rows."""
    rows = []
    for result in load_results(jobs):
        row: dict[str, Any] = {column: result.get(column, "") for column in COLUMNS}
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
