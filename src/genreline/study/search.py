"""A search for settings: trials of a grid, or of Optuna's sampler, and the best of them by validation alone.

A search is a TOML file with a `[search]` table. No trial reads the test set. Each is kept in a file named by the digest
of all that decides its result, so an interrupted search goes on where it stopped: Optuna is asked again from the
beginning, and gives the same trials.
"""

import itertools
import json
import math
import statistics
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from genreline.data.layout import digest
from genreline.errors import ConfigError, GenrelineError
from genreline.files import json_text, write_text
from genreline.parallel import map_unordered
from genreline.study.runner import dataset_of, read_result, reason_of
from genreline.study.spec import named, nested, problem_text, run_name
from genreline.train.config import Config, merge_settings, parse_config, read_settings
from genreline.train.loop import fit, one_thread

RUNS, BEST = "runs", "best.toml"


class Range(BaseModel):
    """Numbers from low to high, both included: integers if both are. `log` draws their logarithms evenly."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"from {self.low} to {self.high} is no range; low is below high, and above 0 with log")
        return self


def _flat(space: Any) -> Any:
    """`{"optimizer": {"lr": [1]}}` -> `{"optimizer.lr": [1]}`; a table with low and high is a range."""
    if not isinstance(space, Mapping):
        return space
    flat: dict[str, Any] = {}
    for key, value in space.items():
        if isinstance(value, Mapping) and not {"low", "high"} & set(value):
            flat |= {f"{key}.{below}": each for below, each in _flat(value).items()}
        else:
            flat[key] = value
    return flat


class Search(BaseModel):
    """The `[search]` table.

    Attributes:
        method: `grid` tries every combination of the lists; `tpe` asks Optuna (Bergstra et al. 2011). Default: grid
            where all of the space is lists and no number of trials is given.
        trials: how many; only for tpe.
        seeds: runs of each trial, each with another seed; their mean counts.
        space: by setting, as in a configuration file, a list of values or a range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["grid", "tpe", ""] = ""
    trials: int | None = Field(None, ge=1)
    seeds: int = Field(1, ge=1)
    space: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)] | Range], BeforeValidator(_flat)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.space:
            raise ValueError("space: names no setting; write space.optimizer.lr = [0.01, 0.001], for example")
        if "seed" in self.space:
            raise ValueError("space.seed: is no setting to search for; say with seeds how many runs a trial has")
        ranges = [key for key, values in self.space.items() if isinstance(values, Range)]
        if self.method == "grid" and (ranges or self.trials):
            raise ValueError(f"a grid has lists of values and no trials{': ' if ranges else ''}{', '.join(ranges)}")
        if self.is_sampled and not self.trials:
            raise ValueError("trials: say how many, as trials = 30")
        return self

    @property
    def is_sampled(self) -> bool:
        """Whether Optuna chooses the trials."""
        has_range = any(isinstance(values, Range) for values in self.space.values())
        return self.method == "tpe" or (not self.method and (has_range or self.trials is not None))


class SearchFile(BaseModel):
    """A file with a search: `settings` of every run, nested as in a configuration file, and the `[search]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    question: str = ""
    settings: Mapping[str, Any] = Field(default_factory=dict)
    search: Search

    def config(self, chosen: Mapping[str, Any], seed: int, epochs: int | None = None) -> Config:
        """The configuration of a trial. Raises ConfigError for settings that make no sense."""
        settings: dict[str, Any] = {}
        layers = [self.settings, *(nested(key, value) for key, value in chosen.items()), {"seed": seed}]
        for layer in [*layers, {"epochs": epochs} if epochs else {}]:
            merge_settings(settings, layer)
        return parse_config(settings, self.name)


@dataclass(frozen=True)
class Trial:
    """What was tried: settings, and the validation figures of its runs; `f1_macro` is None where one failed."""

    chosen: Mapping[str, Any]
    f1_macro: float | None
    deviation: float
    reason: str = ""


@dataclass(frozen=True)
class _Run:
    config: Config
    root: Path
    device: str
    data_digest: str
    path: Path

    def figures(self) -> dict[str, Any] | None:
        """Its result; None where there is none yet, or none that can be read."""
        result = read_result(self.path)
        return result if result is not None and "f1_macro" in result else None

    @property
    def done(self) -> bool:
        """Whether it ended by itself; a run that failed is tried again."""
        figures = self.figures() or {}
        return figures.get("f1_macro") is not None or figures.get("status") == "diverged"


def load_search(path: str | Path) -> SearchFile | None:
    """The search in a TOML file; None where the file has no `[search]`, or there is none. ConfigError for a bad one."""
    path = Path(path)
    content = read_settings(path) if path.is_file() else {}
    if "search" not in content:
        return None
    try:
        return SearchFile.model_validate(named(path, content))
    except ValidationError as error:
        problems = "; ".join(dict.fromkeys(problem_text(each["loc"], each["msg"]) for each in error.errors()))
        raise ConfigError(f"{path}: {problems}") from error


def run_search(
    search: SearchFile,
    data: str | Path,
    out: str | Path,
    jobs: int = 1,
    epochs: int | None = None,
    device: str = "cpu",
    backend: str = "processes",
    ray_address: str | None = None,
    on_run: Callable[[int, int], object] = lambda n_done, n: None,
) -> list[Trial]:
    """Do the trials, `jobs` side by side, and write the best one's configuration to OUT/NAME/best.toml.

    Args:
        on_run: called with the number of runs that are done, and that of all.

    Raises:
        ConfigError: settings that make no sense in every trial, or Optuna is missing. GenrelineError: all failed.
    """
    folder = Path(out).absolute() / search.name
    digests: dict[str, str] = {}

    def runs_of(chosen: Mapping[str, Any]) -> list[_Run]:
        configs = [search.config(chosen, seed, epochs) for seed in range(search.search.seeds)]
        for features in {config.features for config in configs} - set(digests):
            digests[features] = digest(data, features)
        return [
            _Run(
                config,
                Path(data).absolute(),
                device,
                digests[config.features],
                folder / RUNS / f"{run_name(config, digests[config.features], device)}.json",
            )
            for config in configs
        ]

    space = search.search
    n = space.seeds * (
        space.trials or math.prod(len(values) for values in space.space.values() if isinstance(values, list))
    )
    n_done = 0

    def results_of(batch: Sequence[Mapping[str, Any]]) -> list[Trial]:
        nonlocal n_done
        planned = [runs_of(chosen) for chosen in batch]
        missing = [run for runs in planned for run in runs if not run.done]
        n_done += sum(map(len, planned)) - len(missing)
        on_run(n_done, n)
        here = jobs == 1 and backend == "processes"
        mapped = _in_this_process(missing) if here else map_unordered(_run, missing, jobs, backend, ray_address)
        with closing(mapped):
            for _ in mapped:
                n_done += 1
                on_run(n_done, n)
        return [_trial(chosen, runs) for chosen, runs in zip(batch, planned, strict=True)]

    trials = _sampled(space, jobs, results_of) if space.is_sampled else results_of(_grid(space))
    good = [trial for trial in trials if trial.f1_macro is not None]
    if not good:
        raise GenrelineError(f"{search.name}: every trial failed; the first one says: {trials[0].reason}")
    best = max(good, key=lambda trial: trial.f1_macro or 0.0)
    write_text(folder / BEST, toml_text(search.config(best.chosen, 0, epochs)))
    return trials


def _grid(search: Search) -> list[dict[str, Any]]:
    axes = [[(key, value) for value in values] for key, values in search.space.items() if isinstance(values, list)]
    return [dict(chosen) for chosen in itertools.product(*axes)]


def _sampled(
    search: Search, jobs: int, results_of: Callable[[Sequence[Mapping[str, Any]]], list[Trial]]
) -> list[Trial]:
    """Trials as Optuna's sampler asks for them, `jobs` at a time; the same results give the same trials."""
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("search: optuna is not installed; pip install 'genreline[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # constant_liar: for several at a time
        sampler = optuna.samplers.TPESampler(seed=0, constant_liar=jobs > 1)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    trials: list[Trial] = []
    while len(trials) < (search.trials or 0):
        asked = [study.ask() for _ in range(min(jobs, (search.trials or 0) - len(trials)))]
        chosen = [{key: _suggested(trial, key, values) for key, values in search.space.items()} for trial in asked]
        for trial, result in zip(asked, results_of(chosen), strict=True):
            failed = optuna.trial.TrialState.FAIL if result.f1_macro is None else None
            study.tell(trial, result.f1_macro, state=failed)
            trials.append(result)
    return trials


def _suggested(trial: Any, key: str, values: list[Any] | Range) -> Any:
    if isinstance(values, list):  # by their places: Optuna's own choices are plain numbers and texts alone
        return values[trial.suggest_categorical(key, range(len(values)))]
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(key, values.low, values.high, log=values.log)
    return trial.suggest_float(key, values.low, values.high, log=values.log)


def _run(run: _Run) -> None:
    """Train once and keep the validation figures. What fails is a result that says so."""
    result: dict[str, Any] = {"config": run.config.model_dump(mode="json")}
    try:
        with one_thread():
            done = fit(run.config, dataset_of(run.root, run.config.features, run.data_digest), run.device)
        if done.interruption:
            raise done.interruption
        if done.best_epoch:
            best = done.history[done.best_epoch - 1]
            result |= {"best_epoch": done.best_epoch, "f1_macro": best.val_f1_macro, "loss": best.val_loss}
        else:
            result |= {"f1_macro": None, "status": "diverged", "reason": "no epoch had a finite loss"}
    except Exception as error:
        result |= {"f1_macro": None, "reason": reason_of(error)}
    write_text(run.path, json_text(result))


def _in_this_process(runs: Sequence[_Run]) -> Generator[tuple[_Run, None], None, None]:
    for run in runs:
        _run(run)
        yield run, None


def _trial(chosen: Mapping[str, Any], runs: Sequence[_Run]) -> Trial:
    results = [run.figures() or {} for run in runs]
    if failed := next((each for each in results if each.get("f1_macro") is None), None):
        return Trial(chosen, None, 0.0, failed.get("reason", "its result is gone"))
    figures = [each["f1_macro"] for each in results]
    return Trial(chosen, statistics.mean(figures), statistics.stdev(figures) if len(figures) > 1 else 0.0)


def toml_text(config: Config) -> str:
    """A configuration as a TOML file that `genreline train --config` reads; what is None is left out."""
    lines = []
    for key, value in _settings(config.model_dump(mode="json", exclude_none=True)):
        lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")  # of such values, JSON is TOML
    return "\n".join(lines) + "\n"


def _settings(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
