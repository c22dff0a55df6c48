import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, log_loss
from torch import nn

from genreline.data.layout import Split
from genreline.errors import DataError
from genreline.train.checkpoint import Model
from genreline.train.config import Config
from genreline.train.evaluate import evaluate_model


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model(nn.Linear(26, 3).eval(), Config(), ("blues", "jazz", "rock"))


def test_figures_are_scikit_learns(model, mfccs):
    figures = evaluate_model(model, mfccs.test)
    with torch.no_grad():
        probabilities = model.network(torch.tensor(mfccs.test.X)).softmax(dim=1).numpy().astype(float)
    predicted = np.array(model.classes)[probabilities.argmax(axis=1)]
    assert figures["f1_macro"] == pytest.approx(f1_score(mfccs.test.labels, predicted, average="macro"))
    assert figures["accuracy"] == pytest.approx(accuracy_score(mfccs.test.labels, predicted))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    assert figures["loss"] == pytest.approx(log_loss(mfccs.test.labels, probabilities), rel=1e-5)
    assert figures["n"] == 45
    assert figures["classes"] == ["blues", "jazz", "rock"]
    assert figures["confusion_matrix"].sum() == 45
    assert "by_track" not in figures


def test_tracks_are_judged_where_they_are_known(model, mfccs):
    tracks = {"track": np.array([f"{label}{i // 15}" for i, label in enumerate(mfccs.test.labels)])}
    figures = evaluate_model(model, Split(mfccs.test.X, mfccs.test.labels, tracks))
    assert figures["by_track"]["n"] == 9
    assert figures["by_track"]["confusion_matrix"].sum() == 9


def test_labels_that_the_model_does_not_know_are_said(model, mfccs):
    with pytest.raises(DataError, match="labels that the model does not know: polka"):
        evaluate_model(model, Split(mfccs.test.X, np.full(45, "polka")))


def test_a_track_of_two_labels_is_no_sample(model, mfccs):
    tracks = {"track": np.array(["a medley"] * 45)}
    assert "by_track" not in evaluate_model(model, Split(mfccs.test.X, mfccs.test.labels, tracks))


def test_a_set_may_lack_a_class(model, mfccs):
    some = mfccs.test.labels != "jazz"
    figures = evaluate_model(model, Split(mfccs.test.X[some], mfccs.test.labels[some]))
    assert figures["per_class"]["jazz"]["support"] == 0
    assert figures["confusion_matrix"].shape == (3, 3)
