"""Training and evaluation: the functions of steps 1.3 and 1.4 of the assignment, and `fit`, a whole run.

Read it top to bottom: one epoch, `train`, `evaluate`, then `fit`, which is a loop over the same epoch with the
validation set's verdict after each (assignment, step 1.7).
"""

import contextlib
import copy
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from genreline.data.layout import Dataset, targets_of
from genreline.data.loaders import Loader, is_mapped, split_loader, split_tensor
from genreline.data.npy import row_blocks
from genreline.errors import ConfigError, first_line
from genreline.train.augment import build_augmentation
from genreline.train.config import Config
from genreline.train.metrics import Scores, compute_label_scores, compute_scores, fit_thresholds
from genreline.train.models import Standardise, build_network, evaluating
from genreline.train.optim import AveragedWeights, build_loss, build_optimizer, build_schedule, plain_loss
from genreline.train.resume import RunState
from genreline.train.targets import sample_weights, training_targets
from genreline.train.transfer import OnRows, fit_last_layer, start_network

LossFunction = Callable[[Tensor, Tensor], Tensor]
Batches = Iterable[tuple[Tensor, ...]] | Loader


def train(
    epochs: int,
    optimizer: Optimizer,
    loader: Batches,
    loss_function: LossFunction,
    network: nn.Module,
    on_epoch: Callable[[int, float], None] = lambda epoch, loss: print(f"epoch {epoch}: loss {loss:.4f}"),
    scheduler: LRScheduler | None = None,
) -> nn.Module:
    """Train a network for a number of epochs and return it as the last one leaves it (assignment, step 1.3).

    Args:
        loader: gives (inputs, class numbers) batches, on the network's device.
        on_epoch: gets the epoch's number, from 1, and the mean loss over its samples; it prints them by default.
        scheduler: of the optimizer's learning rate (assignment, step 3.4). OneCycleLR and CyclicLR take a step after
            each batch, as they are made for, any other after each epoch; ReduceLROnPlateau gets the epoch's mean loss.
    """
    by_batch = isinstance(scheduler, OneCycleLR | CyclicLR)
    for epoch in range(1, epochs + 1):
        after_batch = scheduler.step if scheduler and by_batch else lambda: None
        loss = train_epoch(optimizer, loader, loss_function, network, after_batch)
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(loss)
        elif scheduler and not by_batch:
            scheduler.step()
        on_epoch(epoch, loss)
    return network


def train_epoch(
    optimizer: Optimizer,
    loader: Batches,
    loss_function: LossFunction,
    network: nn.Module,
    after_batch: Callable[[], object] = lambda: None,
    transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda inputs, targets: (inputs, targets),
) -> float:
    """Pass every batch through the network once and update the weights after each; returns the mean loss by sample.

    Args:
        after_batch: called after each update.
        transform: what the network is given in place of a batch of inputs and targets (augmentation).
    """
    network.train()
    total: Tensor | float = 0.0
    n = 0
    for inputs, targets in loader:
        optimizer.zero_grad()
        seen, wanted = transform(inputs, targets)
        loss = loss_function(network(seen), wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        after_batch()
        total = total + loss.detach() * len(targets)  # stays on the device: .item() would wait for a GPU every batch
        n += len(targets)
    return float(total) / n


def evaluate(
    loader: Batches, network: nn.Module, loss_function: LossFunction, thresholds: Sequence[float] = ()
) -> Scores:
    """Loss, macro F1, accuracy and confusion matrix on a loader, the weights untouched (assignment, step 1.4).

    Args:
        thresholds: of a multi-label network, for each class (default: 0.5).
    """
    logits, targets = predict(loader, network)
    return scores_of(logits, targets, float(loss_function(logits, targets)), thresholds)


def scores_of(logits: Tensor, targets: Tensor, loss: float, thresholds: Sequence[float] = ()) -> Scores:
    """The figures of logits (N, n_classes) for targets (N,), or (N, n_classes) of a multi-label set."""
    truth, n_classes = targets.cpu().numpy(), logits.shape[1]
    if targets.ndim == 1:
        return compute_scores(truth, logits.argmax(dim=1).cpu().numpy(), n_classes, loss)
    return compute_label_scores(truth, torch.sigmoid(logits).cpu().numpy(), thresholds or [0.5] * n_classes, loss)


@torch.no_grad()
def predict(loader: Batches, network: nn.Module) -> tuple[Tensor, Tensor]:
    """The logits (N, n_classes) and the targets of all batches, the network in evaluation mode meanwhile."""
    with evaluating(network):
        pairs = [(network(inputs), targets) for inputs, targets in loader]
    return torch.cat([logits for logits, _ in pairs]), torch.cat([targets for _, targets in pairs])


@dataclass(frozen=True)
class Epoch:
    """One line of a run's history. `lr` is the rate that the epoch began with; `seconds` includes the validation."""

    epoch: int
    train_loss: float
    val_loss: float
    val_f1_macro: float
    val_accuracy: float
    lr: float
    seconds: float


@dataclass
class FitResult:
    """What `fit` returns.

    Attributes:
        network: the snapshot with the best validation macro F1, on the CPU, in evaluation mode (assignment, step 1.7).
        last_network: the network as the last epoch, or the interruption, left it (assignment, step 1.5), likewise.
        best_epoch: the number of the snapshot's epoch, the first of equals; 0 if none was finite.
        history: an Epoch for each epoch that was completed.
        status: "diverged" if a loss was NaN or infinite (the run ends there), "interrupted" by Ctrl-C.
        thresholds: by class, of the snapshot of a multi-label run, fitted on the validation set.
        interruption: what ended an interrupted run, for its caller to raise.
    """

    config: Config
    network: nn.Module
    last_network: nn.Module
    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    status: Literal["completed", "diverged", "interrupted"] = "completed"
    thresholds: dict[str, float] = field(default_factory=dict)
    interruption: KeyboardInterrupt | None = None


def fit(
    config: Config,
    dataset: Dataset,
    device: str = "cpu",
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
    state_file: Path | None = None,
    on_rows: OnRows = lambda done, total: None,
) -> FitResult:
    """Train the configuration's network on a dataset, and keep the snapshot that validates best: steps 1.5 to 1.7.

    The same configuration, data and device give the same losses to the last bit (assignment, step 3.1). The test set
    is not read. Ctrl-C ends the run after the last complete epoch, with what there is; before the first, it is raised.

    The classes of a multi-label dataset are learned side by side, by binary cross-entropy. Its validation figures are
    those at the thresholds that suit the validation set best, and its accuracy counts samples with all labels right.

    A run that starts from a model (`config.start`) has its weights, and begins with a last layer that is fitted on
    them (`train/transfer.py`). With `freeze` that is all: its history is one epoch, without a learning rate.

    Args:
        on_epoch: called after each epoch.
        state_file: where the run's state is kept after each epoch. If it is there already, the run goes on from it,
            to the same weights as one that was never interrupted.
        on_rows: called while the embeddings for that last layer are computed, with the rows done and all of them.

    Raises:
        CheckpointError: the state is damaged, or that of another configuration, dataset or device; a model to start
            from cannot be loaded.
        ConfigError: an unknown device, optimizer, scheduler or activation, or arguments that they do not take; a model
            to start from that does not fit.
    """
    check_device(device)
    seed_everything(config.seed)
    if config.is_frozen:
        return _fit_frozen(config, dataset, device, on_epoch, on_rows)
    targets = {
        "train": training_targets(config, dataset),
        "val": torch.from_numpy(targets_of(dataset.val, dataset.classes, "val")),
    }
    # The same batches as make_loaders gives.
    train_loader = split_loader(
        dataset.train, targets["train"], config.batch_size, config.seed, device, sample_weights(config, dataset)
    )
    val_loader = split_loader(dataset.val, targets["val"], config.batch_size, config.seed + 1, device)
    network = _new_network(config, dataset, device, on_rows)
    optimizer = build_optimizer(config, network)
    schedule = build_schedule(config, optimizer, len(train_loader))
    average = AveragedWeights(config, network)
    loss_function, val_loss_function = build_loss(config, dataset, device), plain_loss(dataset)
    transform = build_augmentation(config, len(dataset.classes))
    run = FitResult(config, average.network, average.network)
    best_f1, best_weights = -1.0, average.network.state_dict()
    state = RunState(config, dataset, device, network, average, optimizer, schedule, (train_loader, val_loader))
    if state_file and state_file.exists():
        kept = state.restore(state_file)
        run.history = [Epoch(**epoch) for epoch in kept["history"]]
        run.best_epoch, best_f1, best_weights = kept["best_epoch"], kept["best_f1"], kept["best_weights"]

    def after_batch() -> None:
        schedule.after_batch()
        average.update()

    with one_thread(config.model.name == "fnn"), _deterministic(device):
        try:
            for number in range(len(run.history) + 1, config.epochs + 1):
                start, lr = time.perf_counter(), float(optimizer.param_groups[0]["lr"])
                # Without a cache, which would hold the weights of the epoch's first batch to its end.
                is_half = config.precision == "bfloat16"
                with torch.autocast(torch.device(device).type, torch.bfloat16, is_half, cache_enabled=False):
                    train_loss = train_epoch(optimizer, train_loader, loss_function, network, after_batch, transform)
                val = _validate(val_loader, average.network, val_loss_function)
                seconds = time.perf_counter() - start
                epoch = Epoch(number, train_loss, val.loss, val.f1_macro, val.accuracy, lr, seconds)
                run.history.append(epoch)
                finite = math.isfinite(train_loss) and math.isfinite(val.loss)
                if finite and val.f1_macro > best_f1:
                    # A copy: state_dict() refers to the living weights, which the next epoch changes.
                    best_f1, best_weights = val.f1_macro, copy.deepcopy(average.network.state_dict())
                    run.best_epoch = number
                on_epoch(epoch)
                if not finite:
                    run.status = "diverged"
                    break
                if config.patience and number - run.best_epoch >= config.patience:
                    break
                schedule.after_epoch(val.loss)
                if state_file:
                    history = [asdict(epoch) for epoch in run.history]
                    best = {"best_epoch": run.best_epoch, "best_f1": best_f1, "best_weights": best_weights}
                    state.keep(state_file, {"history": history, **best})
        except KeyboardInterrupt as interruption:
            if not run.history:
                raise
            run.status, run.interruption = "interrupted", interruption
    run.last_network = average.network.cpu().eval()
    run.network = copy.deepcopy(run.last_network)
    run.network.load_state_dict(best_weights)
    if dataset.is_multi_label:
        logits, wanted = predict(split_loader(dataset.val, targets["val"], 256), run.network)
        run.thresholds = _thresholds(logits, wanted, dataset.classes)
    return run


def seed_everything(seed: int) -> None:
    """Seed every random generator involved: Python's, NumPy's, torch's on all devices (assignment, step 3.1)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  a user's own transforms may use the global generator
    torch.manual_seed(seed)


def check_device(device: str) -> None:
    """ConfigError where torch does not have the device: cpu, cuda, cuda:1, mps."""
    try:
        if torch.device(device).type not in ("cpu", "cuda", "mps"):
            raise RuntimeError("cpu, cuda and mps can be used")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {device!r}: torch cannot use it here; choose cpu ({first_line(error)})") from error


@contextlib.contextmanager
def _deterministic(device: str) -> Iterator[None]:
    """On CUDA, torch's deterministic algorithms meanwhile; on the CPU they are deterministic as they are."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(before or device.startswith("cuda"))
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _fit_frozen(
    config: Config, dataset: Dataset, device: str, on_epoch: Callable[[Epoch], object], on_rows: OnRows
) -> FitResult:
    """A run whose last layer alone is new: fitted at once, as one epoch."""
    start = time.perf_counter()
    network = start_network(config, dataset, device)
    with _deterministic(device):
        layer = fit_last_layer(config, dataset, network, device, on_rows)
    loss_function, logits = plain_loss(dataset), {"train": layer.train_logits.cpu(), "val": layer.val_logits.cpu()}
    targets = {name: torch.from_numpy(targets_of(dataset.splits[name], dataset.classes, name)) for name in logits}
    train_loss, val_loss = (float(loss_function(logits[name], targets[name])) for name in ("train", "val"))
    thresholds = _thresholds(logits["val"], targets["val"], dataset.classes)
    scores = scores_of(logits["val"], targets["val"], val_loss, list(thresholds.values()))
    epoch = Epoch(1, train_loss, val_loss, scores.f1_macro, scores.accuracy, 0.0, time.perf_counter() - start)
    on_epoch(epoch)
    network = network.cpu().eval()
    return FitResult(config, network, copy.deepcopy(network), [epoch], best_epoch=1, thresholds=thresholds)


def _validate(loader: Batches, network: nn.Module, loss_function: LossFunction) -> Scores:
    logits, targets = predict(loader, network)
    thresholds = fit_thresholds(targets.cpu().numpy(), torch.sigmoid(logits).cpu().numpy()) if targets.ndim > 1 else []
    return scores_of(logits, targets, float(loss_function(logits, targets)), thresholds)


def _thresholds(logits: Tensor, targets: Tensor, classes: Sequence[str]) -> dict[str, float]:
    """By class, of a multi-label network; empty of another."""
    if targets.ndim == 1:
        return {}
    return dict(zip(classes, fit_thresholds(targets.numpy(), torch.sigmoid(logits).numpy()), strict=True))


def _new_network(config: Config, dataset: Dataset, device: str, on_rows: OnRows) -> nn.Module:
    if config.start:
        network = start_network(config, dataset, device)
        fit_last_layer(config, dataset, network, device, on_rows)
        return network
    network = build_network(config, dataset.train.X.shape[1:], len(dataset.classes))
    for module in network.modules():
        if isinstance(module, Standardise):
            if is_mapped(dataset.train):
                module.fit_blocks(lambda: (torch.tensor(rows).float() for _, rows in row_blocks(dataset.train.X)))
            else:
                module.fit(split_tensor(dataset.train))
    return network.to(device)


@contextlib.contextmanager
def one_thread(is_wanted: bool = True) -> Iterator[None]:
    """One thread of torch's meanwhile: for a small network, sharing microseconds of work costs more than it saves."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if is_wanted else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
