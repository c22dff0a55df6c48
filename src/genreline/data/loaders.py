"""A dataset becomes three PyTorch DataLoaders (spec 1.1 and 2.1)."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

from genreline.data.layout import Dataset, Split, indices

Loader = DataLoader[tuple[Tensor, ...]]


class Loaders(NamedTuple):
    """The three sets' loaders, in the order in which they are used."""

    train: Loader
    val: Loader
    test: Loader


def make_loaders(dataset: Dataset, batch_size: int = 16, seed: int = 0, device: str = "cpu") -> Loaders:
    """Loaders of (X float32, y int64) batches; train and validation are shuffled, test is not (spec 1.1).

    The order depends on `seed` alone: each loader has its own random generator. With a GPU as `device` the whole of
    the data is moved there first (spec 1.6).
    """

    def loader(split: Split, shuffle_seed: int | None) -> Loader:
        labels = torch.from_numpy(indices(split.labels, dataset.classes, "labels"))
        return make_loader(split_tensor(split), labels, batch_size=batch_size, seed=shuffle_seed, device=device)

    return Loaders(loader(dataset.train, seed), loader(dataset.val, seed + 1), loader(dataset.test, None))


def make_loader(*tensors: Tensor, batch_size: int = 16, seed: int | None = None, device: str = "cpu") -> Loader:
    """A loader over tensors of equal length; shuffled by its own generator if a seed is given.

    A batch is fetched by one indexing operation on each tensor, instead of sample by sample with a collation after
    it: the batches are the same, at a fraction of the time.
    """
    dataset = TensorDataset(*(tensor.to(device) for tensor in tensors))
    generator = torch.Generator().manual_seed(seed or 0)
    order = SequentialSampler(dataset) if seed is None else RandomSampler(dataset, generator=generator)
    batches = BatchSampler(order, batch_size, drop_last=False)
    return DataLoader(dataset, sampler=batches, batch_size=None, generator=generator)


def split_tensor(split: Split) -> Tensor:
    """A set's X as float32, the type that networks take."""
    return torch.from_numpy(split.X).float()
