import dataclasses

import numpy as np
import pytest
import torch

from genreline.data.layout import Dataset, Split
from genreline.data.loaders import split_loader
from genreline.errors import ConfigError
from genreline.train.checkpoint import Model, save_model
from genreline.train.config import parse_config
from genreline.train.loop import fit
from genreline.train.targets import sample_weights, training_targets


def with_sources(dataset: Dataset, sources: list[str]) -> Dataset:
    train = dataset.train
    tracks = {"track": np.arange(len(train)).astype(str), "source": np.array(sources)}
    return dataclasses.replace(dataset, splits={**dataset.splits, "train": Split(train.X, train.labels, tracks)})


def test_sources_of_a_class_are_drawn_alike_and_classes_as_before(mfccs):
    # 32 samples of each class: 24 of blues from one source, all of jazz from another, rock from two halves
    labels = mfccs.train.labels
    place = {name: np.flatnonzero(labels == name) for name in mfccs.classes}
    sources = np.full(len(labels), "a", dtype="U1")
    sources[place["blues"][24:]] = "b"
    sources[place["rock"][16:]] = "b"
    weights = sample_weights(parse_config({"source_balance": 1}), with_sources(mfccs, sources.tolist()))
    assert weights is not None
    share = {name: float(weights[place[name]].sum()) for name in mfccs.classes}
    assert share == pytest.approx(dict.fromkeys(mfccs.classes, 32.0))
    assert float(weights[place["blues"][:24]].sum()) == pytest.approx(16)
    half = sample_weights(parse_config({"source_balance": 0.5}), with_sources(mfccs, sources.tolist()))
    common, rare = (float(half[place["blues"][part]].sum()) for part in (slice(24), slice(24, None)))
    assert common / rare == pytest.approx(3**0.5)
    assert sample_weights(parse_config({}), mfccs) is None
    with pytest.raises(ConfigError, match="no column `source`"):
        sample_weights(parse_config({"source_balance": 1}), mfccs)


def test_a_loader_draws_by_weight(mfccs):
    targets = torch.arange(len(mfccs.train))
    weights = (targets % 4 == 0).double()
    drawn = torch.cat([numbers for _, numbers in split_loader(mfccs.train, targets, 16, seed=0, weights=weights)])
    assert len(drawn) == len(targets)
    assert (drawn % 4 == 0).all()
    assert len(drawn.unique()) > 12


def test_teachers_set_the_targets(mfccs, tmp_path):
    config = parse_config({"epochs": 2, "optimizer": {"name": "Adam", "lr": 0.01}})
    for seed in (0, 1):
        run = fit(config.model_copy(update={"seed": seed}), mfccs)
        save_model(Model.from_fit(run, mfccs), tmp_path / f"teacher{seed}")
    folders = [str(tmp_path / "teacher0"), str(tmp_path / "teacher1")]
    student = parse_config({"epochs": 1, "distillation": {"teachers": folders, "weight": 0.75}})
    targets = training_targets(student, mfccs)
    assert targets.shape == (96, 3)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(96))
    labels = training_targets(parse_config({}), mfccs)
    assert labels.dtype == torch.int64
    assert (targets[torch.arange(96), labels] >= 0.25).all()
    assert fit(student, mfccs).history[0].train_loss != fit(parse_config({"epochs": 1}), mfccs).history[0].train_loss
    wrong = parse_config({"distillation": {"teachers": ["genres7-cnn"]}})
    with pytest.raises(ConfigError, match="genres7-cnn is for melgrams and blues, classical"):
        training_targets(wrong, mfccs)
