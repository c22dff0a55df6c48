import copy
import dataclasses
import json
import resource
import sys

import numpy as np
import psutil
import pytest
import torch

from genreline.audio.features import FEATURE_SHAPES
from genreline.data.loaders import make_loader, split_tensor
from genreline.errors import CheckpointError
from genreline.train import folder as model_folder
from genreline.train.checkpoint import Model, load_model, save_model
from genreline.train.config import load_config
from genreline.train.folder import Calibration
from genreline.train.loop import fit, predict
from genreline.train.models import build_network

SETTINGS = {
    "mfccs": ["standardise=true", "model.activation=ReLU"],
    "melgrams": ["model.name=cnn", "model.batch_norm=true", "model.activation=PReLU", "standardise=true"],
}


@pytest.fixture(scope="module", params=["mfccs", "melgrams"])
def fitted(request):
    dataset = request.getfixturevalue(request.param)
    config = load_config(overrides=["epochs=1", f"features={request.param}", *SETTINGS[request.param]])
    return Model.from_fit(fit(config, dataset), dataset), dataset


@pytest.fixture
def trained(fitted):
    """A model, the test's own, and the dataset that it was trained on."""
    model, dataset = fitted
    return dataclasses.replace(model, network=copy.deepcopy(model.network)), dataset


def test_what_is_saved_predicts_the_same(trained, tmp_path):
    model, dataset = trained
    save_model(model, tmp_path / "deep" / "model")
    loaded = load_model(tmp_path / "deep" / "model")
    loader = make_loader(split_tensor(dataset.test), torch.zeros(45))
    assert torch.equal(predict(loader, loaded.network)[0], predict(loader, model.network)[0])
    assert not loaded.network.training
    assert (loaded.config, loaded.classes, loaded.data_digest) == (model.config, model.classes, dataset.digest)
    assert loaded.metrics["val"]["f1_macro"] == model.metrics["val"]["f1_macro"]
    assert loaded.training["history"][0]["train_loss"] == model.training["history"][0]["train_loss"]
    assert loaded.name == "model"
    assert sorted(path.suffix for path in (tmp_path / "deep" / "model").iterdir()) == [".json", ".safetensors"]


def test_a_model_replaces_the_one_before(trained, tmp_path):
    model, _ = trained
    save_model(model, tmp_path / "model")
    with torch.no_grad():
        next(model.network.parameters()).add_(1)
    save_model(model, tmp_path / "model")
    assert torch.equal(next(load_model(tmp_path / "model").network.parameters()), next(model.network.parameters()))
    assert len(list((tmp_path / "model").iterdir())) == 2


def test_an_interrupted_save_leaves_the_model_before(trained, tmp_path, monkeypatch):
    model, _ = trained
    save_model(model, tmp_path)
    before = next(load_model(tmp_path).network.parameters())
    with torch.no_grad():
        next(model.network.parameters()).add_(1)
    monkeypatch.setattr(model_folder, "json_text", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_model(model, tmp_path)
    assert torch.equal(next(load_model(tmp_path).network.parameters()), before)


def interrupt(*args):
    raise KeyboardInterrupt


def edit(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.json").unlink(), "has no model.json"),
        (lambda folder: weights(folder).unlink(), "is missing or not as model.json says"),
        (lambda folder: weights(folder).write_bytes(b"x" * 100), "is missing or not as model.json says"),
        (lambda folder: flip_last_byte(weights(folder)), "is missing or not as model.json says"),
        (lambda folder: edit(folder, weights_digest="../../etc/passwd"), "is missing or not as model.json says"),
        (lambda folder: (folder / "model.json").write_text("{"), "not a model that can be read"),
        (lambda folder: (folder / "model.json").write_text("[]"), "not a model that can be read"),
        (lambda folder: (folder / "model.json").write_text("{}"), "not a model that can be read"),
        (lambda folder: (folder / "model.json").write_text("[" * 100_000), "not a model that can be read"),
        (lambda folder: edit(folder, format=99), "has format 99"),
        (lambda folder: edit(folder, format="1"), "has format '1'"),
        (lambda folder: edit(folder, classes=["a", "b"]), "not a model that can be read"),
        (lambda folder: edit(folder, classes=["a", "a", "b"]), "classes are not different names"),
        (lambda folder: edit(folder, classes=[None, 1, "b"]), "classes are not different names"),
        (lambda folder: edit(folder, features={"name": "mfccs", "rate_hz": 22050}), "other features"),
        (lambda folder: edit(folder, config={"epochs": -1}), "not a model that can be read"),
    ],
)
def test_a_damaged_folder_is_said(trained, tmp_path, damage, message):
    save_model(trained[0], tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=message) as error:
        load_model(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_a_network_that_is_larger_than_its_weights_takes_no_memory(tmp_path):
    config = load_config(overrides=["features=melgrams", "model.name=resnet", "model.channels=[2, 3]"])
    save_model(Model(build_network(config, (21, 128), 3), config, ("a", "b", "c")), tmp_path)
    edit(tmp_path, config={"features": "melgrams", "model": {"name": "resnet", "channels": [1024] * 64}})  # 4.8 GB
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (psutil.Process().memory_info().data + 500_000_000, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="is not a model that can be read"):
            load_model(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)


def weights(folder):
    return next(folder.glob("*.safetensors"))


def flip_last_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def test_an_unknown_model_is_said_with_those_that_ship():
    with pytest.raises(
        CheckpointError, match=r"nowhere: no such model folder, nor one that ships \(composed4-resnet, course-fnn"
    ):
        load_model("nowhere")


def test_a_diverged_runs_nan_stays_valid_json(mfccs, tmp_path):
    run = fit(load_config(overrides=["epochs=3", "optimizer.lr=1e30"]), mfccs)
    save_model(Model.from_fit(run, mfccs), tmp_path)

    def refuse(constant):
        raise AssertionError(constant)

    saved = json.loads((tmp_path / "model.json").read_text(), parse_constant=refuse)
    assert saved["training"]["status"] == "diverged"
    assert saved["training"]["history"][-1]["train_loss"] is None
    assert np.isfinite(saved["training"]["best_epoch"])


def test_the_calibration_is_kept_and_an_earlier_folder_has_none(trained, tmp_path):
    model, _ = trained
    calibration = Calibration(temperature=1.3, stay=0.95, evidence=0.4, unsure_margin=0.1, unsure_margins={"a": 0.2})
    save_model(dataclasses.replace(model, calibration=calibration), tmp_path / "model")
    assert load_model(tmp_path / "model").calibration == calibration
    path = tmp_path / "model" / "model.json"
    description = json.loads(path.read_text())
    del description["calibration"]
    path.write_text(json.dumps(description))
    assert load_model(tmp_path / "model").calibration == Calibration()


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0},
        {"stay": 0.1},
        {"evidence": 2},
        {"unsure_margin": "a"},
        {"unsure_margins": {"a": 2}},
        {"x": 1},
    ],
)
def test_a_calibration_out_of_bounds_is_refused(trained, tmp_path, wrong):
    model, _ = trained
    save_model(model, tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "calibration": wrong}))
    with pytest.raises(CheckpointError, match="is not a model that can be read"):
        load_model(tmp_path / "model")


def test_a_network_far_larger_than_its_weights_is_refused_before_it_takes_memory(tmp_path):
    config = load_config(overrides=["features=melgrams", "model.name=resnet", "model.channels=[2, 2]"])
    network = build_network(config, FEATURE_SHAPES["melgrams"], 2)
    save_model(Model(network, config, ("blues", "jazz")), tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    description = json.loads(path.read_text())
    description["config"]["model"]["channels"] = [1024] * 64  # gigabytes
    path.write_text(json.dumps(description))
    with pytest.raises(CheckpointError, match="in loading state_dict"):
        load_model(tmp_path / "model")
