"""Recipes: settings that work, by name. The files are in `recipes/`; a trained model's own settings are one, too.

A recipe file has the settings of a configuration, and three lines about itself: `about`, what the network is; `cost`,
how long it takes to train; `reaches`, its macro F1 by second where it was measured.
"""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from genreline.data.layout import load_split
from genreline.data.npy import ArrayFile
from genreline.errors import CheckpointError, ConfigError
from genreline.train.checkpoint import load_model
from genreline.train.config import (
    Config,
    ResNetConfig,
    merge_settings,
    override_settings,
    parse_config,
    read_settings,
)
from genreline.train.transfer import started_settings

FROZEN, FINE_TUNED = "frozen", "fine-tuned"
FROM_SCRATCH_S = 10_000
"""From so many seconds on, a network of one's own is worth its training; `genres8-resnet` itself had 12,225."""

_OF_EPOCHS = (
    *("epochs", "patience", "batch_size", "optimizer", "scheduler", "augment", "augmentation", "weight_averaging"),
    *("label_smoothing", "source_balance", "distillation", "precision"),
)


class Recipe(NamedTuple):
    """A recipe that ships: what it is, what it costs, what it reaches, and its nested settings."""

    name: str
    about: str
    cost: str
    reaches: str
    settings: dict[str, Any]


def recipes() -> list[Recipe]:
    """The recipes that ship, the assignment's first."""
    found = [_read(path) for path in Path(str(resources.files("genreline"))).glob("train/recipes/*.toml")]
    return sorted(found, key=lambda recipe: (not recipe.name.startswith("assignment"), recipe.name))


def recipe_settings(name: str) -> dict[str, Any]:
    """The nested settings of a recipe that ships, or of a model: a folder, or the name of one that ships.

    Raises:
        ConfigError: there is neither. CheckpointError: a model folder that cannot be read.
    """
    if found := [recipe for recipe in recipes() if recipe.name == name]:
        return found[0].settings
    try:
        return load_model(name).config.model_dump()
    except CheckpointError as error:
        if Path(name).is_dir():
            raise
        names = ", ".join(recipe.name for recipe in recipes())
        raise ConfigError(f"{name}: no such recipe, nor a model; the recipes are {names}") from error


def choose_recipe(data: str | Path) -> tuple[dict[str, Any], str]:
    """The settings of the recipe that works for a dataset, and a line that says which it is and why.

    Raises:
        DataError: the training set cannot be read.
    """
    kind = "melgrams" if (Path(data) / "train" / "melgrams").is_dir() else "mfccs"
    labels = Path(data) / "train" / kind / "labels.npy"
    n = len(ArrayFile(labels).array) if labels.is_file() else len(load_split(data, "train", kind))  # which says why
    name = "fnn" if kind == "mfccs" else FROZEN if n < FROM_SCRATCH_S else "resnet"
    return recipe_settings(name), f"recipe {name}, because {Path(data) / 'train'} has {n} seconds of {kind}"


def configure(settings: dict[str, Any], overrides: Iterable[str] = (), where: str = "configuration") -> Config:
    """The configuration of a recipe's settings with `key=value` strings over them, as `load_config` takes them.

    One that starts from a model has the model's features and network, whose last layer is given every block's output.

    Raises:
        ConfigError: settings that do not exist or make no sense, or that a frozen network has no use for.
        CheckpointError: the model to start from cannot be loaded.
    """
    overrides = list(overrides)
    override_settings(settings, overrides)
    start = settings.get("start")
    if not isinstance(start, dict) or "model" not in start:
        return parse_config(settings, where)
    if start.get("freeze"):
        for override in overrides:
            check_of_frozen([override.partition("=")[0].partition(".")[0]], f"--set {override}")
    model = load_model(str(start["model"])).config
    complete: dict[str, Any] = started_settings(model)
    if isinstance(model.model, ResNetConfig):
        complete["model"]["every_block"] = True
    merge_settings(complete, settings)
    return parse_config(complete, where)


def check_of_frozen(keys: Iterable[str], where: str) -> None:
    """ConfigError if one of the settings is of epochs, which a frozen network does not have."""
    for key in keys:
        if key in _OF_EPOCHS:
            raise ConfigError(
                f"{where}: a frozen network has a last layer to fit, at once, and no use for {key}; name a recipe that "
                "trains all of the network, as --recipe resnet"
            )


def _read(path: Path) -> Recipe:
    settings = read_settings(path)
    about, cost, reaches = (settings.pop(name) for name in ("about", "cost", "reaches"))
    return Recipe(path.stem, about, cost, reaches, settings)
