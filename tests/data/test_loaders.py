import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from genreline.data.layout import load_dataset
from genreline.data.loaders import is_mapped, make_loader, make_loaders


def test_the_loaders_are_those_of_step_1_1(mfccs):
    train, val, test = make_loaders(mfccs, seed=3)
    assert [len(loader) for loader in (train, val, test)] == [6, 3, 3]
    for loader, split in zip((train, val, test), (mfccs.train, mfccs.val, mfccs.test), strict=True):
        batches = list(loader)
        assert batches[0][0].shape == (16, 26)
        assert batches[0][0].dtype == torch.float32
        assert batches[0][1].dtype == torch.int64
        X, y = (torch.cat(parts).numpy() for parts in zip(*batches, strict=True))
        order = np.lexsort(X.T)
        expected = np.lexsort(split.X.T)
        assert np.array_equal(X[order], split.X[expected])
        assert [mfccs.classes[i] for i in y[order]] == list(split.labels[expected])
    shuffled = [
        not np.array_equal(torch.cat([x for x, _ in each]).numpy(), split.X)
        for each, split in ((train, mfccs.train), (val, mfccs.val), (test, mfccs.test))
    ]
    assert shuffled == [True, True, False]


def test_the_order_follows_the_seed(mfccs):
    def order(seed):
        train = make_loaders(mfccs, seed=seed).train
        return torch.cat([x for _ in range(2) for x, _ in train])  # two epochs

    assert torch.equal(order(1), order(1))
    assert not torch.equal(order(1), order(2))
    epochs = order(1).chunk(2)
    assert not torch.equal(*epochs)


def test_the_order_leaves_the_global_generator_alone(mfccs):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    for loader in make_loaders(mfccs):
        list(loader)
    assert torch.equal(torch.rand(3), expected)


def test_batches_equal_torchs_own_collation():
    X, y = torch.randn(37, 26), torch.arange(37)
    theirs = DataLoader(TensorDataset(X, y), batch_size=8)
    for ours, other in zip(make_loader(X, y, batch_size=8), theirs, strict=True):
        assert all(map(torch.equal, ours, other))


def test_a_set_that_stays_on_disk_gives_the_same_batches(course, melgrams, monkeypatch):
    monkeypatch.setattr("genreline.data.npy.MAPPED_FROM_BYTES", 0)
    mapped = load_dataset(course, "melgrams")
    assert is_mapped(mapped.train)
    assert not is_mapped(melgrams.train)
    for ours, others in zip(make_loaders(mapped, seed=3), make_loaders(melgrams, seed=3), strict=True):
        for _ in range(2):  # epochs
            for batch, other in zip(ours, others, strict=True):
                assert all(map(torch.equal, batch, other))
                assert batch[0].dtype == torch.float32
