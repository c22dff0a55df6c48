"""Folds keep groups whole and test every row once; the model of all rows is a plain run's."""

import json
import re
import statistics

import numpy as np
import pytest
import torch
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from genreline.cli import app
from genreline.data.layout import SETS, Dataset, Split, load_dataset, write_split
from genreline.errors import ConfigError, DataError
from genreline.train import loop
from genreline.train.checkpoint import load_model
from genreline.train.config import OptimizerConfig, load_config
from genreline.train.folds import cross_validate, fit_whole, fold_datasets, fold_numbers, pooled, spreads
from genreline.train.loop import fit, train_epoch

CLASSES = ("blues", "jazz")


def pool_of(n_tracks, artists=None):
    """Tracks of three rows each, the classes in turn."""
    tracks = np.repeat([f"t{i}" for i in range(n_tracks)], 3)
    labels = np.repeat([CLASSES[i % 2] for i in range(n_tracks)], 3)
    columns = {"track": tracks} | ({} if artists is None else {"artist": np.repeat(artists, 3)})
    means = np.where(labels == "jazz", 2.0, 0.0)[:, None]
    X = (np.random.default_rng(0).normal(0, 1, (3 * n_tracks, 26)) + means).astype(np.float32)
    return Split(X, labels, columns)


@pytest.fixture
def dataset():
    pool = pool_of(16)
    third = np.arange(48) // 3 % 3
    splits = {
        name: Split(pool.X[third == i], pool.labels[third == i], {"track": pool.tracks["track"][third == i]})
        for i, name in enumerate(SETS)
    }
    return Dataset("mfccs", CLASSES, splits, "digest")


@settings(max_examples=15)
@given(st.integers(3, 5), st.lists(st.sampled_from("abcdefghij"), min_size=40, max_size=40), st.integers(0, 2**40))
def test_groups_stay_whole_and_every_row_is_tested_once(n_folds, artists, seed):
    pool = pool_of(40, np.array([f"{artist}{i % 2}" for i, artist in enumerate(artists)]))
    if min(len({a for i, a in enumerate(artists) if i % 2 == side}) for side in (0, 1)) < n_folds:
        with pytest.raises(DataError, match="too few groups"):
            fold_numbers(pool, n_folds, "artist", seed)
        return
    numbers = fold_numbers(pool, n_folds, "artist", seed)
    assert set(numbers) == set(range(n_folds))
    for artist in set(pool.tracks["artist"]):
        assert len(set(numbers[pool.tracks["artist"] == artist])) == 1
    seen = 0
    for fold in fold_datasets(Dataset("mfccs", CLASSES, {}, ""), pool, numbers):
        sets = [set(fold.splits[name].tracks["artist"]) for name in SETS]
        assert sum(map(len, sets)) == len(set().union(*sets))
        assert sum(map(len, fold.splits.values())) == len(pool)
        seen += len(fold.test)
    assert seen == len(pool)


def test_a_row_without_an_artist_goes_by_its_track():
    artists = np.array(["x", "x", "y", "y"] + [""] * 8)
    numbers = fold_numbers(pool_of(12, artists), 3)
    assert len(set(numbers[:6])) == 1
    assert all(len(set(numbers[i : i + 3])) == 1 for i in range(0, 36, 3))


def test_what_cannot_be_folded_is_one_line(dataset, mfccs):
    with pytest.raises(DataError, match=r"tracks.csv is missing"):
        pooled(mfccs)
    with pytest.raises(DataError, match="blues has 8, jazz has 8; take fewer"):
        fold_numbers(pooled(dataset), 9)
    with pytest.raises(DataError, match="no column 'source'"):
        fold_numbers(pooled(dataset), 3, "source")
    with pytest.raises(ConfigError, match="2 are too few"):
        fold_numbers(pooled(dataset), 2)


def test_the_model_of_all_rows_is_a_run_of_the_median_length(dataset):
    config = load_config(overrides=["epochs=3", "optimizer.lr=0.05", "seed=5"])
    pool = pooled(dataset)
    folds = list(cross_validate(config, dataset, pool, fold_numbers(pool, 3)))
    assert all(fold.figures["by_track"]["n"] >= 4 for fold in folds)
    model = fit_whole(config, dataset, pool, folds)
    epochs = round(statistics.median(fold.best_epoch for fold in folds))
    twin = fit(
        config.model_copy(update={"epochs": epochs}),
        Dataset("mfccs", CLASSES, {**dataset.splits, "train": pool}, "digest"),
    )
    weights = twin.last_network.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in model.network.state_dict().items())
    assert model.metrics["folds"]["n_folds"] == 3
    accuracies = [fold.figures["accuracy"] for fold in folds]
    assert spreads(folds)["accuracy"] == {
        "mean": pytest.approx(np.mean(accuracies)),
        "deviation": pytest.approx(np.std(accuracies, ddof=1)),
    }


def test_folds_go_on_where_they_were_cut_off(dataset, tmp_path, capsys, monkeypatch):
    """To the figures and weights of a run that was never interrupted; what is finished is not trained again."""
    for name in SETS:
        write_split(tmp_path / "data", name, "mfccs", dataset.splits[name])

    def train(out, *options):
        command = ["train", str(tmp_path / "data"), f"--out={tmp_path / out}", "--folds=3", "--no-graph", "--json"]
        settings = ["--set=epochs=3", "--set=optimizer.lr=0.05"]
        code = typer.main.get_command(app)([*command, *settings, *options], standalone_mode=False)
        printed = capsys.readouterr()
        return code, json.loads(printed.out or "null"), printed.err

    _, whole, _ = train("whole")
    epochs = []

    def cut_off(*arguments):
        epochs.append(arguments)
        if len(epochs) == cut_off.after:
            raise KeyboardInterrupt
        return train_epoch(*arguments)

    monkeypatch.setattr(loop, "train_epoch", cut_off)
    cut_off.after = 5  # in the second epoch of the second fold
    code, _, err = train("cut")
    assert (code, "go on with --resume" in err) == (130, True)
    code, _, err = train("cut", "--resume", "--folds=4")
    assert (code, "is of a run with other settings" in err) == (2, True)
    cut_off.after, epochs[:] = 0, []
    _, cut, _ = train("cut", "--resume")
    assert len(epochs) == 3 * 3 - 4 + len(load_model(tmp_path / "cut").training["history"])
    assert {**cut, "model": ""} == {**whole, "model": ""}
    one, other = (load_model(tmp_path / name).network.state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert not list((tmp_path / "cut").glob("unfinished*"))


def test_a_run_on_all_rows_that_diverges_is_no_model(dataset):
    config = load_config(overrides=["epochs=2", "optimizer.lr=0.05"])
    pool = pooled(dataset)
    folds = list(cross_validate(config, dataset, pool, fold_numbers(pool, 3)))
    with pytest.raises(DataError, match="the run on all rows had no finite loss"):
        fit_whole(config.model_copy(update={"optimizer": OptimizerConfig(lr=1e30)}), dataset, pool, folds)


@pytest.mark.parametrize(
    ("options", "length"),
    [(["--set=epochs=2"], r" for (1 epoch|2 epochs)"), (["--from=course-fnn", "--freeze"], "")],
    ids=["epochs", "frozen"],
)
def test_train_in_folds(dataset, tmp_path, capsys, options, length):
    for name in SETS:
        write_split(tmp_path / "data", name, "mfccs", dataset.splits[name])
    command = ["train", str(tmp_path / "data"), "--out", str(tmp_path / "model"), "--folds=3", "--no-graph", *options]
    typer.main.get_command(app)(command, standalone_mode=False)
    out = capsys.readouterr().out
    assert [line.split("  ")[0] for line in out.splitlines()[1:5]] == ["fold 1", "fold 2", "fold 3", "mean"]
    assert "accuracy by track" in out
    assert re.search(f"trained on all 48 rows{length}\n", out)
    assert "folds" in json.loads((tmp_path / "model" / "model.json").read_text())["metrics"]
    assert load_dataset(tmp_path / "data", "mfccs").classes == CLASSES
