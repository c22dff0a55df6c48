"""A study as data: a TOML file with its question, the settings of every run, and the variants.

A run is identified by its name, a digest of everything that decides its result. By it a result finds its variant, even
after the variant was renamed, or in another study.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from genreline.errors import ConfigError
from genreline.train.config import Config, merge_settings, parse_config, read_settings

Settings = Mapping[str, Any]


class Variant(BaseModel):
    """What one row of a study's table changes.

    Attributes:
        id: names it in tables and on the command line; letters, digits and `._+-`.
        title: names it in reports. Default: the id.
        settings: nested, over the study's.
        device: for a variant that needs one of its own (assignment, step 1.6).
        repeat: a number that makes it a run of its own although its settings are another's (step 3.1).
        published_f1, published_accuracy, published_seconds: the test figures and times of published solutions, on the
            course's data.
        published_last_f1: their macro F1 after the last epoch, for a study of one variant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[\w.+-]+$")
    title: str = ""
    settings: Settings = Field(default_factory=dict)
    device: str | None = None
    repeat: int = 0
    published_f1: tuple[float, ...] = ()
    published_last_f1: tuple[float, ...] = ()
    published_accuracy: tuple[float, ...] = ()
    published_seconds: tuple[Annotated[float, Field(gt=0)], ...] = ()

    @property
    def name(self) -> str:
        """The title, or else the id."""
        return self.title or self.id


class Study(BaseModel):
    """A study file.

    Attributes:
        name: the file's, without its suffix.
        step: the step of the assignment that it answers.
        question: what it asks.
        starts_from: which network and settings the variants change, and from which step they come.
        peers: what published solutions found, to be read beside the results.
        differs: why the results differ from what was published.
        published_f1_ranges: lowest and highest macro F1 over the variants of each published solution.
        layout: whether the report's table has the variants as its rows or as its columns, as the source asks.
        settings: of every run, nested as in a configuration file (`genreline.Config`).
        variants: at least one, each with another id.
        grid: nested as settings, with a list of values for each; every variant runs with every combination.
        seeds: how many runs each variant gets, each with another seed, where the command line says nothing else.
        grid_seeds: the same for the combinations of the grid after the first. Default: as many.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    step: str
    question: str
    starts_from: str
    peers: str = ""
    differs: str = ""
    published_f1_ranges: tuple[tuple[float, float], ...] = ()
    layout: Literal["rows", "columns"] = "rows"
    settings: Settings = Field(default_factory=dict)
    variants: tuple[Variant, ...] = Field(min_length=1)
    grid: Settings = Field(default_factory=dict)
    seeds: int = Field(3, ge=1)
    grid_seeds: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        ids = [variant.id for variant in self.variants]
        if twice := sorted({each for each in ids if ids.count(each) > 1}):
            raise ValueError(f"two variants have the id {twice[0]}")
        for key, values in _leaves(self.grid):
            if not isinstance(values, list) or not values:
                raise ValueError(f"grid.{key}: a grid has a list of values for each setting, as lr = [0.1, 0.01]")
        if any("seed" in settings for settings in (self.settings, self.grid, *(v.settings for v in self.variants))):
            raise ValueError("seed: each run has its own; say how many there are with seeds")
        return self

    def points(self) -> "list[Point]":
        """Every variant at every combination of the grid, in the file's order."""
        axes = [[(key, value) for value in values] for key, values in _leaves(self.grid)]
        return [Point(self, variant, chosen) for variant in self.variants for chosen in product(*axes)]

    @property
    def n_runs(self) -> int:
        """How many runs a seed takes."""
        return len(self.variants) * math.prod(len(values) for _, values in _leaves(self.grid))

    @property
    def repeats(self) -> bool:
        """Whether a variant repeats another with the same settings."""
        return any(variant.repeat for variant in self.variants)

    @property
    def compares_devices(self) -> bool:
        """Whether its variants are devices, whose times are to be measured one after the other."""
        return any(variant.device for variant in self.variants)


@dataclass(frozen=True)
class Point:
    """A variant at one combination of its study's grid: (key, value) of each setting that the grid varies."""

    study: Study
    variant: Variant
    chosen: tuple[tuple[str, Any], ...]

    @property
    def setting(self) -> str:
        """The point of the grid in words, as `optimizer.lr=0.002`; empty without a grid."""
        return ", ".join(f"{key}={_value_text(value)}" for key, value in self.chosen)

    @property
    def n_seeds(self) -> int:
        """How many runs the study asks for."""
        first = tuple((key, values[0]) for key, values in _leaves(self.study.grid))
        return self.study.seeds if self.chosen == first else self.study.grid_seeds or self.study.seeds

    @property
    def name(self) -> str:
        """What tables and reports call it."""
        return ", ".join(filter(None, [self.variant.name, self.setting]))

    def config(self, seed: int, epochs: int | None = None) -> Config:
        """Its configuration, with `epochs` instead of the study's for a quick look.

        Raises:
            ConfigError: settings that make no sense.
        """
        layers = [self.study.settings, self.variant.settings, *(nested(key, value) for key, value in self.chosen)]
        layers += [{"seed": seed}, {"epochs": epochs} if epochs else {}]
        settings: dict[str, Any] = {}
        for layer in layers:
            merge_settings(settings, layer)
        return parse_config(settings, f"{self.study.name}, {self.name}")


def run_name(config: Config, data_digest: str, device: str, repeat: int = 0) -> str:
    """The name of a run's result file: a digest of everything that decides the result."""
    identity = json.dumps([config.digest(), data_digest, device, repeat])
    return hashlib.sha256(identity.encode()).hexdigest()[:20]


def shipped_studies() -> dict[str, Path]:
    """The studies inside the package, in the order of the assignment's steps."""
    folder = Path(str(resources.files("genreline"))) / "study"
    paths = {path.stem: path for path in folder.glob("*.toml")}
    return dict(sorted(paths.items(), key=lambda item: (load_study(item[1]).step, item[0])))


def load_study(name_or_file: str | Path) -> Study:
    """A study that ships, by name, or a TOML file. Raises ConfigError if there is none, or it is invalid."""
    path = Path(name_or_file)
    if not path.is_file():
        path = Path(str(resources.files("genreline"))) / "study" / f"{name_or_file}.toml"
    if not path.is_file():
        raise ConfigError(f"{name_or_file}: no such study or file; the studies are {', '.join(shipped_studies())}")
    try:
        study = Study.model_validate(named(path, read_settings(path)))
    except ValidationError as error:
        problems = "; ".join(problem_text(each["loc"], each["msg"]) for each in error.errors())
        raise ConfigError(f"{path}: {problems}") from error
    seen: dict[str, Point] = {}
    for point in study.points():  # all of them, before the first one runs
        name = run_name(point.config(seed=0), "", point.variant.device or "", point.variant.repeat)
        if (first := seen.setdefault(name, point)) is not point:
            raise ConfigError(f"{path}: {first.name} and {point.name} have the same settings; remove one of them")
    return study


def named(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What a study's or search's file says, and its name: the file's. Raises ConfigError for a name inside it."""
    if "name" in settings:
        raise ConfigError(f"{path}: name: a study is named by its file; leave it out")
    if path.stem.startswith("."):  # of `...toml` it is `..`, the folder above
        raise ConfigError(f"{path}: results go to a folder with the file's name, which begins with a dot; rename it")
    return {"name": path.stem, **settings}


def problem_text(location: Sequence[int | str], message: str) -> str:
    where = ".".join(map(str, location))
    return f"{where}: {message.removeprefix('Value error, ')}" if where else message.removeprefix("Value error, ")


def _leaves(settings: Settings, prefix: str = "") -> list[tuple[str, Any]]:
    """`{"optimizer": {"lr": 1}}` -> `[("optimizer.lr", 1)]`."""
    found: list[tuple[str, Any]] = []
    for key, value in settings.items():
        found += _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
    return found


def nested(key: str, value: Any) -> dict[str, Any]:
    """`("optimizer.lr", 1)` -> `{"optimizer": {"lr": 1}}`."""
    for part in reversed(key.split(".")):
        value = {part: value}
    nested: dict[str, Any] = value
    return nested


def _value_text(value: Any) -> str:
    """0.00002 rather than 2e-05."""
    return np.format_float_positional(value, trim="-") if isinstance(value, float) else str(value)
