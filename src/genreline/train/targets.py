"""What training draws and aims at: how often each sample is drawn, and its target, a label or teachers' predictions."""

import numpy as np
import torch
from torch import Tensor, nn

from genreline.data.layout import Dataset, Split, targets_of
from genreline.data.loaders import split_loader
from genreline.errors import ConfigError
from genreline.train.checkpoint import Model, load_model
from genreline.train.config import Config


def sample_weights(config: Config, dataset: Dataset) -> Tensor | None:
    """(N,) float64: how often each training sample is drawn relative to the others; None draws each once an epoch.

    A sample of a class and source with n samples gets n ** -source_balance, brought to the same sum for each class as
    without, so that classes keep their shares.

    Raises:
        ConfigError: source_balance is set, and the training set's tracks.csv has no column `source`.
    """
    if config.source_balance == 0:
        return None
    tracks = dataset.train.tracks or {}
    if "source" not in tracks:
        raise ConfigError("source_balance: train/tracks.csv has no column `source`; add it, or set source_balance=0")
    _, class_of = np.unique(dataset.train.labels, return_inverse=True)
    _, source_of = np.unique(tracks["source"], return_inverse=True)
    _, pair_of, pair_sizes = np.unique(np.stack([class_of, source_of]), axis=1, return_inverse=True, return_counts=True)
    weights = pair_sizes[pair_of.ravel()] ** -config.source_balance
    weights *= np.bincount(class_of)[class_of] / np.bincount(class_of, weights)[class_of]
    return torch.from_numpy(weights)


def training_targets(config: Config, dataset: Dataset) -> Tensor:
    """The training set's `targets_of`; with teachers, probabilities (N, n_classes) float32.

    The probabilities are those of the teachers, averaged, and the label in proportion (Hinton et al. 2015, at a
    temperature of 1). They are computed once, from the unaugmented samples, and used for the augmented ones too.

    Raises:
        ConfigError: a teacher with other features or classes, or several labels a sample. CheckpointError: a teacher
            that cannot be loaded.
    """
    targets = torch.from_numpy(targets_of(dataset.train, dataset.classes, "train"))
    if config.distillation is None:
        return targets
    if dataset.is_multi_label:
        raise ConfigError("distillation: teachers say one label a second, and this dataset has several; leave it out")
    teachers = [load_model(name) for name in config.distillation.teachers]
    for name, teacher in zip(config.distillation.teachers, teachers, strict=True):
        if (teacher.config.features, teacher.classes) != (config.features, dataset.classes):
            raise ConfigError(
                f"distillation.teachers: {name} is for {teacher.config.features} and {', '.join(teacher.classes)}; "
                f"a teacher must know {config.features} and {', '.join(dataset.classes)}"
            )
    taught = torch.stack([_probabilities(teacher, dataset.train) for teacher in teachers]).mean(dim=0)
    labels = nn.functional.one_hot(targets, len(dataset.classes)).float()
    return torch.lerp(labels, taught, config.distillation.weight)


@torch.no_grad()
def _probabilities(model: Model, split: Split) -> Tensor:
    loader = split_loader(split, torch.empty(len(split)), batch_size=256)
    return torch.cat([model.network(inputs).softmax(dim=1) for inputs, _ in loader])
