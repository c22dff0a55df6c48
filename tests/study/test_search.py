"""A search tries what its file says, goes on where it stopped, and never reads the test set."""

import json
import sys

import numpy as np
import pytest
import torch

from genreline.data.layout import load_dataset
from genreline.errors import ConfigError, GenrelineError
from genreline.study.search import Range, load_search, run_search, toml_text
from genreline.train.config import load_config
from genreline.train.loop import fit

GRID = """
settings.epochs = 2
[search]
space.optimizer.lr = [0.0001, 0.05]
space.model.dropout = [0.0, 0.1]
"""
SAMPLED = """
settings.epochs = 1
[search]
trials = 6
space.optimizer.lr = { low = 0.0001, high = 0.1, log = true }
space.batch_size = { low = 8, high = 32 }
space.optimizer.name = ["SGD", "Adam"]
"""


def written(tmp_path, text):
    (tmp_path / "mine.toml").write_text(text)
    return load_search(tmp_path / "mine.toml")


def test_a_grid_is_every_combination_and_the_best_is_by_validation(course, tmp_path):
    (course / "test" / "mfccs" / "X.npy").rename(course / "kept.npy")
    (course / "test" / "mfccs" / "X.npy").write_bytes((course / "val" / "mfccs" / "X.npy").read_bytes())
    (course / "test" / "mfccs" / "labels.npy").write_bytes((course / "val" / "mfccs" / "labels.npy").read_bytes())
    steps = []
    trials = run_search(
        written(tmp_path, GRID), course, tmp_path / "out", on_run=lambda done, n: steps.append((done, n))
    )
    assert steps == [(i, 4) for i in range(5)]
    tried = [(trial.chosen["optimizer.lr"], trial.chosen["model.dropout"]) for trial in trials]
    assert tried == [(0.0001, 0.0), (0.0001, 0.1), (0.05, 0.0), (0.05, 0.1)]
    data = load_dataset(course, "mfccs")
    for trial in trials:
        config = load_config(overrides=["epochs=2", *(f"{key}={value}" for key, value in trial.chosen.items())])
        assert trial.f1_macro == max(epoch.val_f1_macro for epoch in fit(config, data).history)
    best = load_config(tmp_path / "out" / "mine" / "best.toml")
    winner = max(trials, key=lambda trial: trial.f1_macro)
    assert (best.optimizer.lr, best.model.dropout) == tuple(winner.chosen.values())
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "mine" / "runs").iterdir()}
    assert run_search(written(tmp_path, GRID), course, tmp_path / "out") == trials
    assert kept == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "mine" / "runs").iterdir()}
    assert not any("test" in json.loads(path.read_text()) for path in (tmp_path / "out" / "mine" / "runs").iterdir())


def test_sampled_trials_lie_in_their_ranges_and_come_again(course, tmp_path):
    search = written(tmp_path, SAMPLED)
    trials = run_search(search, course, tmp_path / "out")
    assert len(trials) == 6
    for trial in trials:
        assert 0.0001 <= trial.chosen["optimizer.lr"] <= 0.1
        assert trial.chosen["batch_size"] in range(8, 33)
        assert trial.chosen["optimizer.name"] in ("SGD", "Adam")
    assert len({trial.chosen["optimizer.lr"] for trial in trials}) == 6
    next((tmp_path / "out" / "mine" / "runs").iterdir()).unlink()  # as if it had been interrupted before
    assert run_search(search, course, tmp_path / "out") == trials


def test_a_trial_that_fails_does_not_end_the_search(course, tmp_path):
    text = "settings.epochs = 1\n[search]\nspace.optimizer.momentum = [0.5, -1.0]\nseeds = 2\n"
    trials = run_search(written(tmp_path, text), course, tmp_path / "out")
    assert [trial.f1_macro is None for trial in trials] == [False, True]
    assert trials[0].deviation > 0
    assert "refuses" in trials[1].reason
    with pytest.raises(GenrelineError, match=r"every trial failed.*refuses"):
        run_search(written(tmp_path, text.replace("0.5, ", "")), course, tmp_path / "out")


def test_what_failed_or_is_damaged_is_tried_again_and_other_data_are_read_again(course, tmp_path):
    search = written(tmp_path, "settings.epochs = 1\n[search]\nspace.optimizer.lr = [0.05]\n")
    torch.set_num_threads(2)
    first = run_search(search, course, tmp_path / "out")
    assert torch.get_num_threads() == 2
    (path,) = (tmp_path / "out" / "mine" / "runs").iterdir()
    for content in ('{"half', "{}", '{"f1_macro": null, "reason": "out of memory"}'):
        path.write_text(content)
        assert run_search(search, course, tmp_path / "out") == first
    labels = np.load(course / "train" / "mfccs" / "labels.npy")
    np.save(course / "train" / "mfccs" / "labels.npy", labels[::-1])
    changed = run_search(search, course, tmp_path / "out")
    assert changed != first
    assert changed == run_search(search, course, tmp_path / "elsewhere")


def test_a_trial_that_diverged_is_done(course, tmp_path):
    search = written(tmp_path, "settings.epochs = 1\n[search]\nspace.optimizer.lr = [0.05, 1e38]\n")
    trials = run_search(search, course, tmp_path / "out")
    assert (trials[1].f1_macro, trials[1].reason) == (None, "no epoch had a finite loss")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "mine" / "runs").iterdir()}
    assert run_search(search, course, tmp_path / "out") == trials
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "mine" / "runs").iterdir()}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("space = {}", "names no setting"),
        ("method = 'grid'\nspace.epochs = {low = 1, high = 2}", "a grid has lists of values and no trials: epochs"),
        ("space.epochs = {low = 1, high = 2}", "trials: say how many"),
        ("trials = 2\nspace.epochs = {low = 3, high = 2}", "is no range"),
        ("trials = 2\nspace.optimizer.lr = {low = 0, high = 2, log = true}", "is no range"),
        ("space.epochs = 3", "search.space.epochs"),
        ("space.epochs = []", "search.space.epochs"),
        ("trails = 3\nspace.epochs = [1]", "search.trails"),
        ("space.seed = [1, 2]", "space.seed: is no setting to search for"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path, table, message):
    with pytest.raises(ConfigError, match=message) as error:
        written(tmp_path, f"[search]\n{table}")
    assert "\n" not in str(error.value)


def test_a_study_is_no_search(tmp_path):
    assert load_search("optimizers") is None
    assert written(tmp_path, "step = '1'") is None
    assert written(tmp_path, SAMPLED).search.space["batch_size"] == Range(low=8, high=32)


def test_a_missing_optuna_is_one_line(course, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install 'genreline\[search\]'"):
        run_search(written(tmp_path, SAMPLED), course, tmp_path / "out")


def test_a_configuration_as_toml_is_read_as_it_was(tmp_path):
    overrides = ["features=melgrams", "model={name='resnet', channels=[4, 8]}", "augmentation.mixup=1e-5"]
    config = load_config(
        overrides=[*overrides, "scheduler.name=OneCycleLR", "patience=3", "optimizer.betas=[0.8, 0.9]"]
    )
    (tmp_path / "config.toml").write_text(toml_text(config))
    assert load_config(tmp_path / "config.toml").digest() == config.digest()


def test_the_command(course, tmp_path, capsys):
    import typer

    from genreline.cli import app

    written(tmp_path, GRID)
    command = ["study", str(tmp_path / "mine.toml"), "--data", str(course), "--out", str(tmp_path), "--jobs", "1"]
    typer.main.get_command(app)(command, standalone_mode=False)
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["optimizer.lr", "model.dropout", "validation", "macro", "F1"]
    assert f"--config {tmp_path / 'mine' / 'best.toml'}" in out
