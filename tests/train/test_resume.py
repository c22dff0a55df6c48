"""A run that was stopped goes on to the weights of one that never was, bit for bit."""

import csv
import os
import signal
import subprocess
import sys

import pytest
import safetensors.torch
import torch

from genreline.errors import CheckpointError
from genreline.train.checkpoint import load_model
from genreline.train.config import load_config
from genreline.train.loop import fit
from genreline.train.resume import STATE

RUNS = [
    ["model.dropout=0.3", "optimizer.name=Adam", "optimizer.lr=0.01", "scheduler.name=OneCycleLR"],
    ["optimizer.momentum=0.9", "optimizer.lr=0.2", "scheduler.name=ReduceLROnPlateau", "scheduler.patience=0"],
    ["model.activation=ReLU", "optimizer.name=AdamW", "scheduler.name=CosineAnnealingLR", "weight_averaging=0.9"],
    ["features=melgrams", "model={name='resnet', channels=[2, 3]}", "augment=true", "augmentation.mixup=0.3"],
]


def stopped_then_resumed(config, dataset, path, after):
    """A run that ends with an error in the epoch after `after`, and another one that goes on from its state."""

    def stop(epoch):
        if epoch.epoch > after:
            raise RuntimeError("the power is cut")

    with pytest.raises(RuntimeError, match="the power is cut"):
        fit(config, dataset, on_epoch=stop, state_file=path)
    torch.rand(7)  # another process has other generators
    later = []
    run = fit(config, dataset, on_epoch=later.append, state_file=path)
    assert [epoch.epoch for epoch in later] == list(range(after + 1, len(run.history) + 1))
    return run


def figures(run):
    return [(each.epoch, each.train_loss, each.val_loss, each.val_f1_macro, each.lr) for each in run.history]


def assert_equal(first, second):
    assert figures(first) == figures(second)
    assert first.best_epoch == second.best_epoch
    for one, other in ((first.network, second.network), (first.last_network, second.last_network)):
        weights = other.state_dict()
        assert all(torch.equal(value, weights[key]) for key, value in one.state_dict().items())


@pytest.mark.parametrize("settings", RUNS)
def test_a_run_goes_on_to_the_same_weights(mfccs, melgrams, tmp_path, settings):
    config = load_config(overrides=["epochs=4", *settings])
    dataset = {"mfccs": mfccs, "melgrams": melgrams}[config.features]
    whole = fit(config, dataset)
    assert_equal(stopped_then_resumed(config, dataset, tmp_path / STATE, after=2), whole)


def test_early_stopping_and_the_best_snapshot_count_epochs_before_the_stop(mfccs, tmp_path):
    config = load_config(overrides=["epochs=30", "patience=4", "optimizer.name=Adam", "optimizer.lr=0.3", "seed=3"])
    whole = fit(config, mfccs)
    assert whole.best_epoch < len(whole.history) < 30
    assert_equal(stopped_then_resumed(config, mfccs, tmp_path / STATE, after=whole.best_epoch + 1), whole)


def test_the_state_of_another_run_and_a_damaged_one_are_refused(mfccs, tmp_path):
    config = load_config(overrides=["epochs=2"])
    path = tmp_path / STATE
    fit(config, mfccs, state_file=path)
    with pytest.raises(CheckpointError, match="a run with other settings, data or device"):
        fit(load_config(overrides=["epochs=3"]), mfccs, state_file=path)
    whole = path.read_bytes()
    for damaged in (whole[:100], whole[:-1], b"", safetensors.torch.save({"0": torch.ones(1)}, {"state": "[1, {}]"})):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="start anew with --force"):
            fit(config, mfccs, state_file=path)


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_model(course, mfccs, tmp_path):
    settings = ["epochs=60", "model.dropout=0.2"]
    command = [sys.executable, "-m", "genreline", "train", str(course), "--no-graph", "--out", str(tmp_path / "killed")]
    command += [*(f"--set={setting}" for setting in settings), "--log", "csv", "--model", "fnn", "--no-baselines"]
    killed = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert any(line.startswith("epoch 2:") for line in killed.stderr)  # the state after the first is kept by then
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "killed" / "model.json").exists()
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 2
    assert "holds an interrupted run (with no --folds); go on with --resume, or start anew with --force" in again.stderr
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    whole, resumed = fit(load_config(overrides=settings), mfccs), load_model(tmp_path / "killed")
    weights = resumed.network.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in whole.network.state_dict().items())
    with (tmp_path / "killed" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 61))
    assert [float(row["val_loss"]) for row in rows] == [epoch["val_loss"] for epoch in resumed.training["history"]]
    assert not (tmp_path / "killed" / STATE).exists()
