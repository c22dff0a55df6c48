import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from genreline.data.layout import Dataset, Split, indices
from genreline.data.loaders import make_loaders, split_tensor
from genreline.errors import ConfigError
from genreline.train.config import load_config
from genreline.train.loop import fit
from genreline.train.models import build_network


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        (["scheduler.name=StepLR", "scheduler.step_size=2", "scheduler.gamma=0.5"], [0.1, 0.1, 0.05, 0.05]),
        (["scheduler.name=ExponentialLR", "scheduler.gamma=0.1"], [0.1, 0.01, 0.001, 0.0001]),
        (["scheduler.name=CosineAnnealingLR"], [0.05 * (1 + math.cos(math.pi * i / 4)) for i in range(4)]),
    ],
)
def test_schedulers_change_the_rate(mfccs, settings, rates):
    run = fit(load_config(overrides=["epochs=4", "optimizer.lr=0.1", *settings]), mfccs)
    assert [epoch.lr for epoch in run.history] == pytest.approx(rates)


def test_schedulers_that_go_by_batch_and_by_loss(mfccs):
    cycle = fit(load_config(overrides=["epochs=4", "optimizer.lr=0.1", "scheduler.name=OneCycleLR"]), mfccs)
    rates = [epoch.lr for epoch in cycle.history]
    assert rates[0] == pytest.approx(0.1 / 25)  # OneCycleLR's div_factor
    assert max(rates) == rates[1]
    settings = ["optimizer.lr=0.1", "scheduler.name=ReduceLROnPlateau", "scheduler.patience=0", "scheduler.threshold=9"]
    plateau = fit(load_config(overrides=["epochs=4", *settings]), mfccs)
    assert plateau.history[-1].lr < 0.1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.name=Adan", "torch.optim has no 'Adan'"),
        ("optimizer.name=Optimizer", "torch.optim has no 'Optimizer'"),
        ("optimizer.momentun=0.9", "SGD refuses"),
        ("scheduler.name=Step", "torch has no scheduler 'Step'"),
        ("scheduler.name=StepLR", "StepLR refuses"),
        ("scheduler={name='OneCycleLR', total_steps=5}", "OneCycleLR refuses"),
        ("scheduler={name='StepLR', step_size=0}", "StepLR refuses"),
        ("scheduler.name=LRScheduler", "LRScheduler refuses"),
        ("optimizer.name=LBFGS", "LBFGS refuses"),
        ("optimizer={name='Adam', betas=[0.9]}", "Adam refuses"),
    ],
)
def test_what_torch_does_not_take_is_said(mfccs, override, message):
    with pytest.raises(ConfigError, match=message) as error:
        fit(load_config(overrides=[override]), mfccs)
    assert "\n" not in str(error.value)


def test_a_schedule_that_ends_too_early_is_refused_before_training(mfccs):
    """torch refuses a OneCycleLR of 11 steps in its 12th, here the last batch of the last epoch."""
    n_steps = 2 * math.ceil(len(mfccs.train) / 16)
    weights = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(weights, 0.1, total_steps=n_steps - 1)
    weights.step()
    for _ in range(n_steps - 1):
        schedule.step()
    with pytest.raises(ValueError, match="Tried to step"):
        schedule.step()

    epochs = []
    settings = ["epochs=2", f"scheduler={{name='OneCycleLR', total_steps={n_steps - 1}}}"]
    with pytest.raises(ConfigError, match="OneCycleLR refuses"):
        fit(load_config(overrides=settings), mfccs, on_epoch=epochs.append)
    assert epochs == []


def test_rare_classes_weigh_more(mfccs):
    few = [*np.flatnonzero(mfccs.train.labels != "rock"), 2]  # a single one of rock
    data = Dataset(
        "mfccs", mfccs.classes, {**mfccs.splits, "train": Split(mfccs.train.X[few], mfccs.train.labels[few])}
    )
    config = load_config(overrides=["epochs=1", "batch_size=100", "class_balance=1"])
    loss = fit(config, data).history[0].train_loss
    torch.manual_seed(config.seed)
    network = build_network(config, (26,), 3)
    X, y = split_tensor(data.train), torch.from_numpy(indices(data.train.labels, data.classes, "here"))
    by_class = [nn.functional.cross_entropy(network(X[y == c]), y[y == c]).item() for c in range(3)]
    assert loss == pytest.approx(np.mean(by_class), rel=1e-5)  # every class counts the same


def test_the_average_of_the_weights_is_kept(mfccs):
    """Two updates by hand: after them the average is 0.25 of the first and 0.75 of the second, and so on."""
    settings = ["epochs=1", "batch_size=48", "optimizer.lr=0.1"]
    plain = [fit(load_config(overrides=[*settings, f"weight_averaging={decay}"]), mfccs) for decay in (0.0, 0.9)]
    torch.manual_seed(0)
    start = build_network(plain[0].config, (26,), 3)
    twin = copy.deepcopy(start)
    optimizer = torch.optim.SGD(twin.parameters(), 0.1)
    average = dict(start.state_dict())
    for updates, (x, y) in enumerate(make_loaders(mfccs, 48, 0).train, start=1):
        optimizer.zero_grad()
        nn.functional.cross_entropy(twin(x), y).backward()
        optimizer.step()
        decay = min(0.9, (1 + updates) / (10 + updates))
        average = {key: decay * average[key] + (1 - decay) * value for key, value in twin.state_dict().items()}
    for key, value in plain[1].network.state_dict().items():
        torch.testing.assert_close(value, average[key])
    assert plain[1].history[0].train_loss == plain[0].history[0].train_loss
    assert plain[1].history[0].val_loss != plain[0].history[0].val_loss
