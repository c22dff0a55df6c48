"""The recipes that ship: that they are the shipped models' settings, and that their figures are results."""

import json
import statistics
from pathlib import Path

import pytest

from genreline import Config, ConfigError, load_config, load_model
from genreline.train.recipes import configure, recipe_settings, recipes

RESULTS = Path(__file__).parents[2] / "results"
RECIPES = {recipe.name: recipe for recipe in recipes()}


def spread(values):
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def test_the_assignments_recipes_are_the_defaults():
    assert configure(recipe_settings("assignment-fnn")) == Config()
    assert configure(recipe_settings("assignment-cnn")) == load_config(
        overrides=["features=melgrams", "model.name=cnn"]
    )


@pytest.mark.parametrize(
    ("recipe", "model"), [("fnn", "course-fnn"), ("cnn", "genres7-cnn"), ("resnet", "genres8-resnet")]
)
def test_a_recipe_is_the_configuration_of_the_model_that_it_made(recipe, model):
    theirs = load_model(model).config
    settings = {"seed": theirs.seed, "source_balance": theirs.source_balance}  # most data have no sources
    assert configure(recipe_settings(recipe)).model_copy(update=settings) == theirs
    assert configure(recipe_settings(model)) == theirs


@pytest.mark.parametrize("name", ["assignment-fnn", "assignment-cnn"])
def test_the_figures_of_the_assignments_recipes_are_results(name):
    runs = json.loads((RESULTS / "assignment_steps.json").read_text())
    values = [run["best snapshot"]["f1_macro"] for run in runs if run["name"] == name.removeprefix("assignment-")]
    assert RECIPES[name].reaches.startswith(spread(values))


@pytest.mark.parametrize(
    ("recipe", "model"), [("fnn", "course-fnn"), ("cnn", "genres7-cnn"), ("resnet", "genres8-resnet")]
)
def test_the_figures_of_our_recipes_are_results(recipe, model):
    runs = [json.loads(path.read_text()) for path in RESULTS.glob(f"shipped/{model}-[0-9].json")]
    assert RECIPES[recipe].reaches.startswith(spread([run["metrics"]["test"]["f1_macro"] for run in runs]))


def test_a_run_that_starts_from_a_model_has_its_network():
    config = configure(recipe_settings("frozen"), ["class_balance=0"])
    theirs = load_model("genres8-resnet").config
    assert (config.features, config.standardise, config.class_balance) == ("melgrams", True, 0)
    assert config.model == theirs.model.model_copy(update={"every_block": True})
    with pytest.raises(ConfigError, match="name a recipe that trains all of the network"):
        configure(recipe_settings("frozen"), ["optimizer.lr=1"])


def test_the_figures_of_the_frozen_recipe_are_results():
    records = [json.loads(line) for line in (RESULTS / "small_sets.jsonl").read_text().splitlines()]
    found = [each for each in records if each["method"] == "frozen"]
    assert RECIPES["frozen"].reaches.startswith(spread([r["f1_macro"] for r in found if r["set"] == "instruments"]))
    page = (RESULTS.parent / "docs" / "own-classifier.md").read_text()
    shares = [
        spread([each["track_accuracy"] for each in found if each["set"] == name])
        for name in ("instruments", "environment", "speech", "leads")
    ]
    assert f"| `frozen` | {' | '.join(shares)} |" in page
