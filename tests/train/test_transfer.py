"""Starting from a model: what is taken over, and a last layer against scikit-learn's."""

import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from genreline import CheckpointError, Config, ConfigError, Model, fit, load_dataset, load_model, save_model
from genreline.train.config import parse_config
from genreline.train.folder import shipped_folder
from genreline.train.models import Embedder, build_network
from genreline.train.transfer import WEIGHT_DECAYS, embed_rows

SMALL = {"features": "melgrams", "standardise": True, "model": {"name": "resnet", "channels": [4, 6, 8]}}


@pytest.fixture
def base(tmp_path):
    """A model of other classes, with statistics that are not the defaults."""
    torch.manual_seed(1)
    config = parse_config(SMALL)
    network = build_network(config, (21, 128), 5).eval()
    network[0].mean.fill_(-0.5)
    network[0].deviation.fill_(1.5)
    save_model(Model(network, config, ("a", "b", "c", "d", "e")), tmp_path / "base")
    return tmp_path / "base"


def started(base, freeze, **settings):
    model = {**SMALL["model"], "every_block": True}
    return parse_config({**SMALL, "model": model, "start": {"model": str(base), "freeze": freeze}, **settings})


def test_a_frozen_network_has_the_models_weights_and_scikit_learns_last_layer(melgrams, base, tmp_path):
    shown = []
    run = fit(started(base, True), melgrams, on_rows=lambda done, total: shown.append((done, total)))
    assert shown[-1] == (96 + 36, 96 + 36)
    ours, theirs = run.network.state_dict(), load_model(base).network.state_dict()
    for name, value in ours.items():
        assert name.startswith("1.classifier.") or torch.equal(value, theirs[name]), name
    embeddings = {
        name: embed_rows(Embedder(load_model(base).network).eval(), melgrams.splits[name].X).numpy()
        for name in ("train", "val")
    }
    scaler = StandardScaler().fit(embeddings["train"])
    losses = {}
    for decay in WEIGHT_DECAYS:
        theirs = LogisticRegression(C=1 / (decay * 96), tol=1e-8, max_iter=5000)
        theirs.fit(scaler.transform(embeddings["train"]), melgrams.train.labels)
        probabilities = theirs.predict_proba(scaler.transform(embeddings["val"]))
        truth = np.searchsorted(theirs.classes_, melgrams.val.labels)
        losses[decay] = -np.log(probabilities[np.arange(36), truth]).mean(), probabilities
    best_loss, best = min(losses.values(), key=lambda each: each[0])
    (epoch,) = run.history
    assert epoch.val_loss == pytest.approx(best_loss, abs=2e-3)
    with torch.no_grad():
        found = run.network(torch.from_numpy(melgrams.val.X)).softmax(dim=1).numpy()
    np.testing.assert_allclose(found, best, atol=5e-3)
    save_model(Model.from_fit(run, melgrams), tmp_path / "mine")
    again = load_model(tmp_path / "mine")
    assert again.config.start.freeze
    with torch.no_grad():
        assert torch.equal(again.network(torch.ones(2, 21, 128)), run.network(torch.ones(2, 21, 128)))


def test_all_weights_go_on_from_the_models(melgrams, base):
    run = fit(started(base, False, epochs=1, optimizer={"lr": 1e-6}), melgrams)
    frozen = fit(started(base, True), melgrams)
    for (name, moved), fixed in zip(run.network.named_parameters(), frozen.network.parameters(), strict=True):
        assert name.endswith("bias") or not torch.equal(moved, fixed), name
        torch.testing.assert_close(moved, fixed, atol=0.05, rtol=0)
    for name, buffer in run.network.named_buffers():  # what inputs and batches are normalised by
        assert torch.equal(buffer, frozen.network.get_buffer(name)), name


def test_a_model_that_does_not_fit_is_named(melgrams, course, base, tmp_path):
    with pytest.raises(ConfigError, match=r"start.model: .*base has model name resnet.*channels \(4, 6, 8\), this run"):
        fit(parse_config({**SMALL, "model": {"name": "cnn"}, "start": {"model": str(base)}}), melgrams)
    mfccs = parse_config({"start": {"model": str(base), "freeze": True}})
    with pytest.raises(ConfigError, match="has features melgrams, this run mfccs"):
        fit(mfccs, load_dataset(course, "mfccs"))
    with pytest.raises(CheckpointError, match="no such model folder"):
        fit(started(tmp_path / "nowhere", True), melgrams)


def test_the_last_blocks_embeddings_are_what_the_classifier_is_given():
    torch.manual_seed(0)
    network = build_network(parse_config(SMALL), (21, 128), 3).eval()
    x = torch.randn(2, 21, 128)
    with torch.no_grad():
        embeddings = Embedder(network)(x)
        assert embeddings.shape == (2, 2 * (6 + 8))
        torch.testing.assert_close(network[1].classifier(embeddings[:, -16:]), network(x))


@pytest.mark.parametrize("name", ["fnn", "cnn"])
def test_the_assignments_networks_have_embeddings(name):
    features = {"fnn": "mfccs", "cnn": "melgrams"}[name]
    shape = {"fnn": (26,), "cnn": (21, 128)}[name]
    network = build_network(parse_config({"features": features, "model": {"name": name}}), shape, 3).eval()
    x = torch.randn(2, *shape)
    with torch.no_grad():
        embeddings = Embedder(network)(x)
        assert embeddings.shape == (2, 32)
        last = network.layers[-1] if name == "fnn" else network.classifier[-1]
        torch.testing.assert_close(last(embeddings), network(x))
    with pytest.raises(ConfigError, match="has no embeddings"):
        Embedder(torch.nn.Linear(2, 2))


def test_what_came_later_does_not_change_the_identity_of_earlier_runs():
    described = json.loads((shipped_folder() / "genres8-resnet" / "model.json").read_text())
    assert load_model("genres8-resnet").config.digest() == described["config_digest"]
    assert Config().digest() != Config(start={"model": "genres8-resnet"}).digest()
