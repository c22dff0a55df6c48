"""Training, figures and graphs of models that know several labels a second, against scikit-learn and ONNX Runtime."""

import json

import numpy as np
import pytest
import sklearn.metrics
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnxruntime import InferenceSession
from torch import nn

from genreline import Config, Model, Recognizer, fit, load_model
from genreline.cli import app
from genreline.data.layout import SETS, Dataset, Split, load_dataset, multi_hot, write_split
from genreline.errors import CheckpointError, ConfigError, DataError
from genreline.predict.timeline import Timeline
from genreline.train.baselines import baselines
from genreline.train.checkpoint import save_model
from genreline.train.config import load_config
from genreline.train.evaluate import evaluate_model, figures_of, predict_split
from genreline.train.export import to_graph
from genreline.train.folder import DESCRIPTION, Calibration
from genreline.train.folds import Fold, cross_validate, fit_whole, fold_numbers, pooled
from genreline.train.metrics import average_precisions, compute_label_scores, fit_thresholds, per_class
from genreline.train.optim import build_loss

NAMES = ("bass", "drums", "voice")


def make_split(n_tracks, seed, kind="mfccs", rows=4):
    """Features that each label shifts in columns of its own; every track has one set of labels."""
    rng = np.random.default_rng(seed)
    has = np.array([[i + 1 >> k & 1 for k in range(3)] for i in range(n_tracks)], bool)
    texts = ["|".join(name for name, each in zip(NAMES, row, strict=True) if each) or "bass" for row in has]
    labels = np.repeat(texts, rows)
    hot = multi_hot(labels, NAMES, "here")
    shift = np.repeat(hot, 8, axis=1)[:, :24]
    X = rng.normal(0, 1, (len(labels), *{"mfccs": (26,), "melgrams": (21, 128)}[kind]))
    X[..., :24] += 4 * (shift if kind == "mfccs" else shift[:, None])
    columns = {"track": np.repeat([f"{seed}-{i}" for i in range(n_tracks)], rows)}
    return Split(X.astype(np.float32), labels, {**columns, "start_s": np.tile(np.arange(rows).astype(str), n_tracks)})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    for kind in ("mfccs", "melgrams"):
        for seed, (name, n) in enumerate(zip(SETS, (28, 14, 14), strict=True)):
            write_split(folder, name, kind, make_split(n, seed, kind))
    return folder


@pytest.fixture(scope="module")
def dataset(root):
    return load_dataset(root, "mfccs")


@pytest.fixture(scope="module")
def model(dataset):
    config = load_config(None, ["epochs=20", "optimizer.lr=0.05", "optimizer.momentum=0.9", "standardise=true"])
    return Model.from_fit(fit(config, dataset), dataset)


@given(arrays(bool, (12, 3)), arrays(np.float32, (12, 3), elements=st.floats(0, 1, width=32)))
def test_figures_are_those_of_scikit_learn(truth, probabilities):
    thresholds = fit_thresholds(truth, probabilities)
    found = probabilities >= np.array(thresholds, np.float32)
    scores = compute_label_scores(truth, probabilities, thresholds)
    occurring = truth.any(axis=0) | found.any(axis=0)
    each = [sklearn.metrics.f1_score(truth[:, k], found[:, k], zero_division=0) for k in range(3)]
    assert scores.f1_macro == pytest.approx(np.mean(np.array(each)[occurring]) if occurring.any() else 0)
    assert scores.accuracy == (truth == found).all(axis=1).mean()
    report = per_class(scores.confusion_matrix, NAMES)
    for k, name in enumerate(NAMES):
        assert report[name]["f1"] == pytest.approx(each[k])
        assert report[name]["support"] == truth[:, k].sum()
    for k, precision in enumerate(average_precisions(truth, probabilities)):
        if truth[:, k].any():
            assert precision == sklearn.metrics.average_precision_score(truth[:, k], probabilities[:, k])
        else:
            assert np.isnan(precision)


@given(arrays(bool, (12, 1)), arrays(np.float32, (12, 1), elements=st.floats(0, 1, width=16)))
def test_no_other_threshold_has_a_higher_f1(truth, probabilities):
    (threshold,) = fit_thresholds(truth, probabilities)
    if not truth.any():
        assert threshold == 0.5
        return
    best = max(sklearn.metrics.f1_score(truth, probabilities >= each) for each in probabilities.ravel())
    assert sklearn.metrics.f1_score(truth, probabilities >= np.float32(threshold)) == pytest.approx(best)


def test_it_learns_and_its_figures_are_the_predictions(model, dataset):
    figures = evaluate_model(model, dataset.test)
    assert figures["f1_macro"] > 0.9
    assert set(model.calibration.thresholds) == set(NAMES)
    logits, targets = predict_split(model, dataset.test)
    thresholds = [model.calibration.thresholds[name] for name in NAMES]
    found = torch.sigmoid(logits).numpy() >= np.array(thresholds, np.float32)
    truth = multi_hot(dataset.test.labels, NAMES, "test") > 0
    assert figures["f1_macro"] == pytest.approx(sklearn.metrics.f1_score(truth, found, average="macro"))
    precision = sklearn.metrics.average_precision_score(truth, torch.sigmoid(logits).numpy(), average="macro")
    assert figures["mean_average_precision"] == pytest.approx(precision)
    assert figures["loss"] == pytest.approx(float(nn.functional.binary_cross_entropy_with_logits(logits, targets)))
    assert figures["by_track"]["n"] == 14
    assert figures["per_class"]["bass"]["threshold"] == thresholds[0]
    best = model.training["history"][model.training["best_epoch"] - 1]
    val = figures_of(model, dataset.val, *predict_split(model, dataset.val))
    assert best["val_f1_macro"] == pytest.approx(val["f1_macro"])


def test_a_run_that_diverges_says_so(dataset):
    run = fit(load_config(None, ["epochs=3", "optimizer.lr=1e30"]), dataset)
    assert run.status == "diverged"


def test_a_label_that_no_sample_of_a_set_has_counts_for_nothing(model, dataset):
    without = dataset.test.labels == "bass"
    split = Split(dataset.test.X[without], dataset.test.labels[without], None, True)
    figures = evaluate_model(model, split)
    assert np.isnan(figures["per_class"]["voice"]["average_precision"])
    assert figures["mean_average_precision"] == 1


def test_a_folder_keeps_the_thresholds(model, tmp_path):
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.calibration == model.calibration
    description = json.loads((tmp_path / "model" / DESCRIPTION).read_text())
    for thresholds in ({"bass": 0.5}, {**model.calibration.thresholds, "drums": 2}):
        description["calibration"]["thresholds"] = thresholds
        (tmp_path / "model" / DESCRIPTION).write_text(json.dumps(description))
        with pytest.raises(CheckpointError, match="out of bounds"):
            load_model(tmp_path / "model")


def test_the_graph_predicts_the_same(model):
    graph = to_graph(model)
    seconds = np.random.default_rng(0).normal(0, 0.1, (3, 8000)).astype(np.float32)
    found = InferenceSession(graph.SerializeToString()).run(["probabilities"], {"waveform": seconds})[0]
    np.testing.assert_allclose(found, model.probabilities(seconds), rtol=0, atol=1e-4)
    assert not np.allclose(found.sum(axis=1), 1)
    metadata = {each.key: each.value for each in graph.metadata_props}
    assert json.loads(metadata["calibration"])["thresholds"] == model.calibration.thresholds


def test_a_recognizer_gives_several_labels(model):
    waveform = np.random.default_rng(1).normal(0, 0.1, 3 * 8000).astype(np.float32)
    waveform[8000:16000] = 0
    timeline = Recognizer(model)(waveform)
    assert timeline.thresholds == tuple(model.calibration.thresholds[name] for name in NAMES)
    alone = model.probabilities(waveform[:8000].reshape(1, -1))[0]
    np.testing.assert_allclose(timeline.probabilities[0], alone, rtol=1e-5)
    assert timeline.labels[1] == "silence"


def test_smoothing_and_balance_are_in_the_loss(dataset):
    logits, targets = torch.randn(5, 3), (torch.rand(5, 3) < 0.5).float()
    config = Config(label_smoothing=0.2, class_balance=0.5)
    present = multi_hot(dataset.train.labels, NAMES, "train").mean(axis=0)
    weight = torch.tensor(((1 - present) / present) ** 0.5)
    wanted = targets * 0.8 + 0.1
    expected = -(
        weight * wanted * torch.log(torch.sigmoid(logits)) + (1 - wanted) * torch.log(torch.sigmoid(-logits))
    ).mean()
    assert float(build_loss(config, dataset, "cpu")(logits, targets)) == pytest.approx(float(expected), rel=1e-5)


def test_a_frozen_network_learns_them_too(root):
    data = load_dataset(root, "melgrams")
    start = Model.from_fit(fit(load_config(None, ["features=melgrams", "epochs=1"]), data), data)
    assert start.calibration.is_multi_label
    folder = root / "start"
    save_model(start, folder)
    config = load_config(None, ["features=melgrams", f"start.model={folder}", "start.freeze=true"])
    frozen = Model.from_fit(fit(config, data), data)
    assert evaluate_model(frozen, data.test)["f1_macro"] > 0.85


def test_folds_train_and_give_mean_thresholds(dataset):
    pool = pooled(dataset)
    numbers = fold_numbers(pool, 3, "track", 0)
    config = Config(epochs=2)
    folds = list(cross_validate(config, dataset, pool, numbers))
    whole = fit_whole(config, dataset, pool, folds)
    for name in NAMES:
        assert whole.calibration.thresholds[name] == pytest.approx(np.mean([fold.thresholds[name] for fold in folds]))


@given(st.integers(0, 2**20))
def test_folds_deal_each_label_to_all_of_them(seed):
    rng = np.random.default_rng(seed)
    rare = [f"{NAMES[i % 2]}|voice" if i < 6 else NAMES[i % 2] for i in range(24)]
    labels, tracks = np.repeat(rng.permutation(rare), 3), np.repeat([f"t{i}" for i in range(24)], 3)
    pool = Split(np.zeros((72, 26), np.float32), labels, {"track": tracks}, True)
    numbers = fold_numbers(pool, 3, "track", seed)
    hot = multi_hot(labels, NAMES, "here")
    for fold in range(3):
        assert (hot[numbers == fold].sum(axis=0) >= 3).all()
        assert 6 <= len(set(tracks[numbers == fold])) <= 10
    assert all(len(set(numbers[tracks == track])) == 1 for track in set(tracks))


def test_a_threshold_that_no_fold_fitted_counts_for_nothing(dataset):
    pool = pooled(dataset)
    folds = [
        Fold(1, {"f1_macro": 0.5, "accuracy": 0.5}, {"bass": 0.2, "drums": 0.4}),
        Fold(1, {"f1_macro": 0.5, "accuracy": 0.5}, {"bass": 0.4}),
    ]
    thresholds = fit_whole(Config(epochs=1), dataset, pool, folds).calibration.thresholds
    assert thresholds == {"bass": pytest.approx(0.3), "drums": 0.4, "voice": 0.5}


def test_the_loss_of_a_sure_model_is_that_of_its_logits(model, dataset):
    split = Split(dataset.test.X[:1], np.array(["drums"]), {"track": np.array(["a"])}, True)
    logits, targets = torch.tensor([[30.0, -5, -5]]), torch.tensor([[0.0, 1, 0]])
    figures = figures_of(model, split, logits, targets)
    expected = float(nn.functional.binary_cross_entropy_with_logits(logits, targets))
    assert figures["loss"] == pytest.approx(expected)
    assert figures["by_track"]["loss"] == pytest.approx(expected, rel=0.1)  # of a mean of float32 probabilities


def test_machines_beside_it_learn_each_label(root):
    found = baselines(root)
    assert len(found) == 2
    assert found[0].f1_macro > 0.9


def test_what_knows_one_label_is_refused(model, dataset):
    with pytest.raises(ConfigError, match="teachers say one label a second"):
        fit(Config(distillation={"teachers": ["course-fnn"]}), dataset)
    one = Model(model.network, model.config, model.classes)
    with pytest.raises(DataError, match=r"labels that the model does not know: .*bass\|drums"):
        evaluate_model(one, dataset.test)


def test_the_calibration_of_one_label_has_no_thresholds(model):
    assert not Calibration().is_multi_label
    single = Dataset("mfccs", ("bass", "voice"), {each: one_label(each) for each in SETS}, "")
    run = fit(Config(epochs=1), single)
    assert run.thresholds == {}
    assert not Model.from_fit(run, single).calibration.is_multi_label


def one_label(name):
    rng = np.random.default_rng(SETS.index(name))
    return Split(rng.normal(0, 1, (8, 26)).astype(np.float32), np.array(["bass", "voice"] * 4), None)


@pytest.mark.slow
def test_from_the_command_line(root, tmp_path, capsys):
    out = tmp_path / "model"
    app(["train", str(root), "--out", str(out), "--model", "fnn", "--set", "epochs=3"], standalone_mode=False)
    assert "beside it, RBF-SVM on the MFCC vectors" in capsys.readouterr().out
    page = tmp_path / "page.html"
    app(["evaluate", str(out), str(root), "--html", str(page)], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "mAP" in printed
    assert "threshold" in printed
    assert "Reliability, in bins of confidence" in page.read_text()
    app(["evaluate", str(out), str(root), "--json"], standalone_mode=False)
    figures = json.loads(capsys.readouterr().out)
    assert set(figures["per_class"]) == set(NAMES)
    song = tmp_path / "song.wav"
    soundfile.write(song, np.random.default_rng(0).normal(0, 0.1, 16000), 8000)
    formats = ("csv", "json", "txt", "rttm", "jams", "png", "html")
    arguments = ["--model", str(out), "--formats", ",".join(formats), "--out", str(tmp_path)]
    app(["predict", str(song), *arguments], standalone_mode=False)
    timeline = Timeline.from_json((tmp_path / "song.json").read_text())
    assert timeline.is_multi_label
    assert Timeline.from_csv((tmp_path / "song.csv").read_text()).labels == timeline.labels
    assert all((tmp_path / f"song.{name}").stat().st_size for name in formats if timeline.runs() or name != "rttm")
