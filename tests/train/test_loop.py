import copy
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score
from torch import nn

from genreline.data.layout import Dataset, Split, load_dataset
from genreline.data.loaders import make_loader, make_loaders, split_tensor
from genreline.errors import ConfigError
from genreline.files import json_text
from genreline.train import loop
from genreline.train.checkpoint import Model
from genreline.train.config import load_config
from genreline.train.evaluate import evaluate_model
from genreline.train.loop import evaluate, fit, predict, train

# A rate so high that epochs differ wildly: the best one is hardly ever the last.
WILD = ["optimizer.name=Adam", "optimizer.lr=0.3"]
QUICK = ["epochs=4", "optimizer.lr=0.05"]


def test_train_is_step_1_3(mfccs, capsys):
    torch.manual_seed(0)
    network = nn.Linear(26, 3)
    twin = copy.deepcopy(network)
    loader = make_loader(split_tensor(mfccs.train), torch.arange(96) % 3, batch_size=40)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    returned = train(2, optimizer, loader, nn.CrossEntropyLoss(), network)
    assert returned is network
    expected = []
    for _ in range(2):  # the same by hand
        losses = []
        for x, y in loader:
            loss = nn.functional.cross_entropy(twin(x), y)
            gradients = torch.autograd.grad(loss, list(twin.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(twin.parameters(), gradients, strict=True):
                    parameter -= 0.1 * gradient
            losses += [loss.item()] * len(y)
        expected.append(np.mean(losses))
    torch.testing.assert_close(network.weight, twin.weight)
    assert capsys.readouterr().out == "".join(f"epoch {i}: loss {loss:.4f}\n" for i, loss in enumerate(expected, 1))


def test_evaluate_is_step_1_4(mfccs):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Dropout(0.5), nn.Linear(26, 3))
    before = copy.deepcopy(network.state_dict())
    loaders = make_loaders(mfccs)
    loss, f1, accuracy, matrix = evaluate(loaders.test, network, nn.CrossEntropyLoss())
    X, y = split_tensor(mfccs.test), torch.arange(45) % 3
    logits = network[1](X)
    predicted = logits.argmax(dim=1)
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, y).item(), rel=1e-6)
    assert f1 == pytest.approx(f1_score(y, predicted, average="macro"))
    assert accuracy == pytest.approx(accuracy_score(y, predicted))
    assert np.array_equal(matrix, confusion_matrix(y, predicted))
    assert network.training
    network[0].eval()  # frozen by its owner, and so it stays
    evaluate(loaders.test, network, nn.CrossEntropyLoss())
    assert not network[0].training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


SCHEDULERS = [
    (lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5), [0.05, 0.025, 0.0125]),
    (lambda optimizer: torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=9), None),
    (lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9), None),
]


@pytest.mark.parametrize(("make", "expected"), SCHEDULERS)
def test_train_takes_a_scheduler(mfccs, make, expected):
    """The rate after each epoch is that of torch's own loop, written out."""

    def fresh():
        torch.manual_seed(0)
        network = nn.Linear(26, 3)
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        loader = make_loader(split_tensor(mfccs.train), torch.arange(96) % 3, batch_size=40)
        return network, optimizer, make(optimizer), loader

    network, optimizer, scheduler, loader = fresh()
    rates = []
    train(
        3, optimizer, loader, nn.CrossEntropyLoss(), network,
        on_epoch=lambda epoch, loss: rates.append(optimizer.param_groups[0]["lr"]), scheduler=scheduler,
    )  # fmt: skip
    twin, optimizer, scheduler, loader = fresh()
    by_hand = []
    for _ in range(3):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(twin(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
            if isinstance(scheduler, torch.optim.lr_scheduler.OneCycleLR):
                scheduler.step()
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            scheduler.step(total / 96)
        elif not isinstance(scheduler, torch.optim.lr_scheduler.OneCycleLR):
            scheduler.step()
        by_hand.append(optimizer.param_groups[0]["lr"])
    assert rates == by_hand
    assert len(set(rates)) > 1
    assert expected is None or rates == expected
    torch.testing.assert_close(twin.weight, network.weight)


@pytest.mark.parametrize("settings", [["features=mfccs"], ["features=melgrams", "model.name=cnn", "model.dropout=0.2"]])
def test_the_same_seed_gives_the_same_run_to_the_last_bit(mfccs, melgrams, settings):
    config = load_config(overrides=["epochs=2", "optimizer.lr=0.001", *settings])
    data = {"mfccs": mfccs, "melgrams": melgrams}[config.features]
    torch.rand(17)  # whatever happened before
    first = fit(config, data)
    torch.rand(3)
    second = fit(config, data)
    other = fit(config.model_copy(update={"seed": 1}), data)

    def losses(run):
        return [(epoch.train_loss, epoch.val_loss, epoch.val_f1_macro) for epoch in run.history]

    assert losses(first) == losses(second)
    assert losses(first) != losses(other)
    weights = [run.network.state_dict() for run in (first, second)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_the_snapshot_is_a_copy_of_the_best_epoch(mfccs):
    config = load_config(overrides=["epochs=12", "seed=3", *WILD])
    validated = []
    run = fit(config, mfccs, on_epoch=validated.append)
    assert validated == run.history
    f1 = [epoch.val_f1_macro for epoch in run.history]
    assert run.best_epoch == 1 + int(np.argmax(f1))
    assert run.best_epoch < len(f1), "choose another seed: this test needs a best epoch before the last"
    val = make_loaders(mfccs).val
    assert evaluate(val, run.network, nn.CrossEntropyLoss()).f1_macro == max(f1)
    assert evaluate(val, run.last_network, nn.CrossEntropyLoss()).f1_macro == f1[-1]
    shorter = fit(config.model_copy(update={"epochs": run.best_epoch}), mfccs)
    for key, value in shorter.last_network.state_dict().items():
        assert torch.equal(value, run.network.state_dict()[key])


@pytest.mark.slow
def test_it_learns(mfccs, melgrams):
    assert fit(load_config(overrides=["epochs=10", "optimizer.lr=0.05"]), mfccs).history[-1].val_accuracy > 0.9
    cnn = [
        "features=melgrams",
        "model.name=cnn",
        "model.activation=ReLU",
        "model.batch_norm=true",
        "epochs=3",
        "optimizer.name=AdamW",
        "optimizer.lr=0.001",
        "standardise=true",
    ]
    assert fit(load_config(overrides=cnn), melgrams).history[-1].val_accuracy > 0.9


def test_a_run_that_diverges_says_so(mfccs):
    run = fit(load_config(overrides=["epochs=9", "optimizer.lr=1e30"]), mfccs)
    assert run.status == "diverged"
    assert not math.isfinite(run.history[-1].train_loss)
    assert len(run.history) < 9
    assert run.best_epoch == sum(math.isfinite(epoch.train_loss + epoch.val_loss) for epoch in run.history)


def test_weights_that_blow_up_in_the_last_batch_are_no_snapshot(mfccs):
    # One batch an epoch: its loss is still finite, and only what it leaves is not.
    run = fit(load_config(overrides=["epochs=1", "batch_size=96", "optimizer.lr=1e38"]), mfccs)
    assert math.isfinite(run.history[0].train_loss)
    assert (run.status, run.best_epoch) == ("diverged", 0)


def test_ctrl_c_keeps_the_best_snapshot(mfccs):
    config = load_config(overrides=QUICK)

    def interrupt(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    run = fit(config, mfccs, on_epoch=interrupt)
    assert run.status == "interrupted"
    assert len(run.history) == 2
    assert run.best_epoch == 1 + int(np.argmax([epoch.val_f1_macro for epoch in run.history]))


def test_ctrl_c_before_the_first_epoch_is_raised(mfccs, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(load_config(overrides=QUICK), mfccs)


def test_the_test_set_is_never_looked_at(mfccs):
    spoilt = Split(np.full_like(mfccs.test.X, np.nan), mfccs.test.labels)
    config = load_config(overrides=QUICK)
    other = Dataset(mfccs.features, mfccs.classes, {**mfccs.splits, "test": spoilt})
    assert [e.val_loss for e in fit(config, mfccs).history] == [e.val_loss for e in fit(config, other).history]


@pytest.mark.parametrize("device", ["warp", "meta"])
def test_an_unknown_device_is_said(mfccs, device):
    with pytest.raises(ConfigError, match=f"device '{device}': torch cannot use it here; choose cpu"):
        fit(load_config(), mfccs, device=device)


def test_early_stopping_waits_for_patience(mfccs):
    config = load_config(overrides=["epochs=20", *WILD])
    whole = fit(config, mfccs)
    stopped = fit(config.model_copy(update={"patience": 4}), mfccs)
    f1 = [epoch.val_f1_macro for epoch in whole.history]
    best, expected = 0, len(f1)
    for i, value in enumerate(f1):
        best = i if value > f1[best] else best
        if i - best >= 4:
            expected = i + 1
            break
    assert expected < len(f1)
    assert len(stopped.history) == expected
    assert [e.train_loss for e in stopped.history] == [e.train_loss for e in whole.history[:expected]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_is_used_and_reproducible(mfccs):
    config = load_config(overrides=QUICK)
    runs = [fit(config, mfccs, device="cuda") for _ in range(2)]
    assert [e.train_loss for e in runs[0].history] == [e.train_loss for e in runs[1].history]
    cpu = fit(config, mfccs)
    assert [e.train_loss for e in runs[0].history] == pytest.approx([e.train_loss for e in cpu.history], rel=1e-3)


def test_predict_keeps_the_order(mfccs):
    network = nn.Linear(26, 3)
    loader = make_loader(split_tensor(mfccs.test), torch.arange(45), batch_size=7)
    logits, targets = predict(loader, network)
    assert targets.tolist() == list(range(45))
    torch.testing.assert_close(logits, network(split_tensor(mfccs.test)).detach())


def test_augmentation_changes_training_only(melgrams):
    settings = ["features=melgrams", "model.name=cnn", "epochs=1", "batch_size=96", "optimizer.lr=1e-12"]
    runs = [fit(load_config(overrides=[*settings, f"augment={on}"]), melgrams) for on in ("true", "false")]
    assert runs[0].history[0].val_loss == pytest.approx(runs[1].history[0].val_loss, rel=1e-6)
    assert runs[0].history[0].train_loss != runs[1].history[0].train_loss


@pytest.mark.slow
@pytest.mark.parametrize("standardise", ["true", "false"])
def test_a_dataset_that_stays_on_disk_gives_the_same_run(course, melgrams, monkeypatch, standardise):
    small = ["features=melgrams", "model.name=cnn", "epochs=2", f"standardise={standardise}"]
    config = load_config(overrides=small)
    in_memory = fit(config, melgrams)
    monkeypatch.setattr("genreline.data.npy.MAPPED_FROM_BYTES", 0)
    mapped = load_dataset(course, "melgrams")
    assert isinstance(mapped.train.X, np.memmap)
    on_disk = fit(config, mapped)
    assert mapped.digest == melgrams.digest
    if standardise == "false":
        assert [each.train_loss for each in on_disk.history] == [each.train_loss for each in in_memory.history]
    else:  # sums in blocks round otherwise
        losses = [[each.train_loss for each in run.history] for run in (on_disk, in_memory)]
        np.testing.assert_allclose(*losses, rtol=1e-4)
    model = Model.from_fit(on_disk, mapped)
    figures = [evaluate_model(model, data.test) for data in (mapped, melgrams)]
    assert json_text(figures[0]) == json_text(figures[1])


@pytest.mark.slow
def test_bfloat16_trains_almost_the_same(melgrams):
    settings = [
        "features=melgrams",
        "model.name=resnet",
        "model.channels=[4,8]",
        "model.dropout=0",
        "epochs=2",
        "optimizer.name=AdamW",
    ]
    runs = [fit(load_config(overrides=[*settings, f"precision={each}"]), melgrams) for each in ("float32", "bfloat16")]
    full, half = runs
    assert half.history[0].train_loss != full.history[0].train_loss
    assert half.history[0].train_loss == pytest.approx(full.history[0].train_loss, rel=0.05)
    assert all(each.dtype == torch.float32 for each in half.network.parameters())
