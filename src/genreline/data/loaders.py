"""A dataset becomes three PyTorch DataLoaders (assignment, step 1.1 and 2.1)."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    Sampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torch.utils.data import Dataset as TorchDataset

from genreline.data.layout import Dataset, Split, targets_of

Loader = DataLoader[tuple[Tensor, ...]]


class Loaders(NamedTuple):
    """The three sets' loaders, in the order in which they are used."""

    train: Loader
    val: Loader
    test: Loader


def make_loaders(dataset: Dataset, batch_size: int = 16, seed: int = 0, device: str = "cpu") -> Loaders:
    """Loaders of (X float32, y int64) batches; train and validation are shuffled, test is not (assignment, step 1.1).

    Of a multi-label dataset, y is (batch, n_classes) float32, 1 for each label that a sample has.

    The order depends on `seed` alone: each loader has its own random generator. With a GPU as `device` the whole of
    the data is moved there first (assignment, step 1.6); of sets that are mapped, each batch when it is read from disk.
    """

    def loader(split: Split, shuffle_seed: int | None) -> Loader:
        targets = torch.from_numpy(targets_of(split, dataset.classes, "labels"))
        return split_loader(split, targets, batch_size, shuffle_seed, device)

    return Loaders(loader(dataset.train, seed), loader(dataset.val, seed + 1), loader(dataset.test, None))


def make_loader(*tensors: Tensor, batch_size: int = 16, seed: int | None = None, device: str = "cpu") -> Loader:
    """A loader over tensors of equal length; shuffled by its own generator if a seed is given.

    A batch is fetched by one indexing operation on each tensor, instead of sample by sample with a collation after
    it: the batches are the same, at a fraction of the time.
    """
    return _loader(TensorDataset(*(tensor.to(device) for tensor in tensors)), len(tensors[0]), batch_size, seed)


def split_loader(
    split: Split,
    targets: Tensor,
    batch_size: int = 16,
    seed: int | None = None,
    device: str = "cpu",
    weights: Tensor | None = None,
) -> Loader:
    """`make_loader` over a set's rows and their targets; of a set that is mapped, each batch is read from disk.

    Args:
        weights: (N,) how often each row is drawn, relative to the others; N rows are drawn anew for each epoch, some
            of them twice. Default: every row once.
    """
    rows: TorchDataset[tuple[Tensor, ...]]
    if is_mapped(split):
        rows = _MappedRows(split, targets, device)
    else:
        rows = TensorDataset(split_tensor(split).to(device), targets.to(device))
    return _loader(rows, len(split), batch_size, seed, weights)


def is_mapped(split: Split) -> bool:
    """Whether a set stays on disk, because it may be larger than memory (npy.MAPPED_FROM_BYTES)."""
    return isinstance(split.X, np.memmap)


class _MappedRows(TorchDataset[tuple[Tensor, ...]]):
    """Rows and targets by a list of their numbers, as TensorDataset has them, read from disk when asked for."""

    def __init__(self, split: Split, targets: Tensor, device: str) -> None:
        self._X, self._targets, self._device = np.asarray(split.X), targets.to(device), device

    def __len__(self) -> int:
        return len(self._X)

    def __getitem__(self, numbers: list[int]) -> tuple[Tensor, ...]:
        return torch.from_numpy(self._X[numbers]).float().to(self._device), self._targets[numbers]


def _loader(
    dataset: TorchDataset[tuple[Tensor, ...]],
    n: int,
    batch_size: int,
    seed: int | None,
    weights: Tensor | None = None,
) -> Loader:
    generator = torch.Generator().manual_seed(seed or 0)
    numbers = range(n)
    order: Sampler[int]
    if seed is None:
        order = SequentialSampler(numbers)
    elif weights is None:
        order = RandomSampler(numbers, generator=generator)
    else:
        order = WeightedRandomSampler(weights.tolist(), n, generator=generator)
    batches = BatchSampler(order, batch_size, drop_last=False)
    return DataLoader(dataset, sampler=batches, batch_size=None, generator=generator)


def split_tensor(split: Split) -> Tensor:
    """A set's X as float32, the type that networks take; all of it, in memory."""
    return torch.from_numpy(split.X).float()
