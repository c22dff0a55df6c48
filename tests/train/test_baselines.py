"""The baselines beside a network, against scikit-learn by hand."""

import dataclasses

import numpy as np
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from genreline.train import baselines as module
from genreline.train.baselines import baselines


def test_baselines_are_support_vector_machines(course, mfccs, monkeypatch):
    vectors, embeddings = baselines(course)
    scaler = StandardScaler().fit(mfccs.train.X)
    by_hand = SVC().fit(scaler.transform(mfccs.train.X), mfccs.train.labels).predict(scaler.transform(mfccs.val.X))
    assert vectors.f1_macro == f1_score(mfccs.val.labels, by_hand, average="macro")
    assert vectors.accuracy == np.mean(by_hand == mfccs.val.labels)
    assert embeddings.name == "RBF-SVM on embeddings by genres8-resnet"
    assert (embeddings.n_train, embeddings.n_val) == (96, 36)
    monkeypatch.setattr(module, "MAX_ROWS", 20)
    assert [(each.n_train, each.n_val) for each in baselines(course)] == [(20, 20), (20, 20)]


def test_a_sample_of_one_class_has_no_baseline(course, monkeypatch):
    for name in ("train", "val"):
        path = course / name / "mfccs" / "labels.npy"
        labels = np.load(path)
        labels[1:] = "blues"
        np.save(path, labels)
        (course / name / "melgrams").rename(course / f"{name}-melgrams")
    monkeypatch.setattr(module, "_sample", lambda split, seed: dataclasses.replace(
        split, X=split.X[1:], labels=split.labels[1:], tracks=None
    ))  # fmt: skip
    assert baselines(course) == []
