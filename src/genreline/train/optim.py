"""How weights are updated: the loss, the optimizer, its schedule, the weights' average.

Optimizers and schedulers are torch's, by name, with any of their arguments. Invalid arguments are found before the
training begins, not in its last epoch.
"""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler

from genreline.data.layout import Dataset, indices, multi_hot
from genreline.errors import ConfigError, did_you_mean, first_line
from genreline.train.config import Config


def build_optimizer(config: Config, network: nn.Module) -> Optimizer:
    """The configuration's optimizer over a network's weights. ConfigError for what torch.optim does not take."""
    settings = config.optimizer.model_dump()
    name = settings.pop("name")
    kind = getattr(torch.optim, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Optimizer) and kind is not Optimizer):
        known = [each for each in torch.optim.__all__ if each[0].isupper() and each != "Optimizer"]
        raise ConfigError(f"optimizer.name: torch.optim has no {name!r}{did_you_mean(name, known)}")
    probe = nn.Parameter(torch.zeros(2, 2))
    probe.grad = torch.zeros(2, 2)
    try:
        kind([probe], **settings).step()  # some invalid arguments, and the need for a closure, only show in a step
        made: Optimizer = kind(network.parameters(), **settings)
    except Exception as error:  # whatever torch makes of a user's settings
        raise ConfigError(f"optimizer: {name} refuses {settings} ({first_line(error)})") from error
    return made


def class_weights(config: Config, dataset: Dataset, device: str) -> Tensor | None:
    """(n_classes,) weights (N / n_c) ** class_balance, scaled to a mean of 1 over the training samples."""
    if config.class_balance == 0:
        return None
    counts = np.bincount(indices(dataset.train.labels, dataset.classes, "train"))
    weights = (1 / counts) ** config.class_balance
    return torch.tensor(weights * counts.sum() / (weights * counts).sum(), dtype=torch.float32, device=device)


def plain_loss(dataset: Dataset) -> nn.Module:
    """What validation counts: cross-entropy; of a multi-label dataset binary cross-entropy, the mean over labels."""
    return nn.BCEWithLogitsLoss() if dataset.is_multi_label else nn.CrossEntropyLoss()


def build_loss(config: Config, dataset: Dataset, device: str) -> Callable[[Tensor, Tensor], Tensor]:
    """What training minimises: `plain_loss`, with the configuration's label smoothing and weights of the classes.

    Of a multi-label dataset, a label's presence weighs (absent / present samples) ** class_balance times its absence.
    """
    smoothing = config.label_smoothing
    if not dataset.is_multi_label:
        return nn.CrossEntropyLoss(class_weights(config, dataset, device), label_smoothing=smoothing)
    present = multi_hot(dataset.train.labels, dataset.classes, "train").sum(axis=0)
    weights = (np.maximum(len(dataset.train) - present, 1) / present) ** config.class_balance
    binary = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weights, dtype=torch.float32, device=device))
    return lambda logits, targets: binary(logits, torch.lerp(targets, torch.full_like(targets, 0.5), smoothing))


class AveragedWeights:
    """The network to validate and keep: an exponential moving average of another's weights and statistics.

    Its decay rises to its full value over the first batches, so that the random start is forgotten (as in
    tf.train.ExponentialMovingAverage). Without averaging it is that other network itself.

    Attributes:
        network: the average.
        n_updates: how many batches are in it.
    """

    def __init__(self, config: Config, network: nn.Module) -> None:
        self._decay, self._source = config.weight_averaging, network
        self.network = copy.deepcopy(network) if self._decay else network
        self.n_updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Bring the average up to date, after each batch."""
        if not self._decay:
            return
        self.n_updates += 1
        decay = min(self._decay, (1 + self.n_updates) / (10 + self.n_updates))
        for mean, value in zip(self.network.state_dict().values(), self._source.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


class Schedule:
    """A learning-rate schedule: what to do after each batch and after each epoch; nothing without a scheduler."""

    def __init__(self, scheduler: Any, by_batch: bool) -> None:
        self.scheduler, self._by_batch = scheduler, by_batch
        self._takes_loss = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)

    def after_batch(self) -> None:
        if self.scheduler and self._by_batch:
            self.scheduler.step()

    def after_epoch(self, val_loss: float) -> None:
        if self.scheduler and not self._by_batch:
            self.scheduler.step(*([val_loss] if self._takes_loss else []))


def build_schedule(config: Config, optimizer: Optimizer, n_batches: int) -> Schedule:
    """The configuration's schedule, of a run whose epochs have so many batches.

    OneCycleLR and CyclicLR are made for steps by batch, the others for steps by epoch (torch's documentation).

    Raises:
        ConfigError: torch.optim.lr_scheduler refuses the settings, in whichever step of the run.
    """
    if config.scheduler is None:
        return Schedule(None, by_batch=False)
    settings = config.scheduler.model_dump()
    name = settings.pop("name")
    kind = getattr(lr_scheduler, name, None)
    if not (isinstance(kind, type) and issubclass(kind, lr_scheduler.LRScheduler)):
        known = [each for each in lr_scheduler.__all__ if each != "LRScheduler"]
        raise ConfigError(f"scheduler.name: torch has no scheduler {name!r}{did_you_mean(name, known)}")
    if name == "OneCycleLR":
        settings = {"max_lr": config.optimizer.lr, "total_steps": config.epochs * n_batches, **settings}
    elif name == "CosineAnnealingLR":
        settings = {"T_max": config.epochs, **settings}
    by_batch = name in {"OneCycleLR", "CyclicLR"}
    arguments = [0.0] if name == "ReduceLROnPlateau" else []
    try:
        stand_in = torch.optim.SGD([nn.Parameter(torch.zeros(1))], config.optimizer.lr, momentum=0.9)
        rehearsal: Any = kind(stand_in, **settings)
        stand_in.step()
        for _ in range(config.epochs * (n_batches if by_batch else 1)):  # some fail only in the last step
            rehearsal.step(*arguments)
        made: Any = kind(optimizer, **settings)
    except Exception as error:  # whatever torch makes of a user's settings
        raise ConfigError(f"scheduler: {name} refuses {settings} ({first_line(error)})") from error
    return Schedule(made, by_batch)
