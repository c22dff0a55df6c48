"""What support vector machines get on a dataset's own sets: what a network has to beat to be worth its training."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genreline.data.labels import labels_in
from genreline.data.layout import Split, classes_of, load_split, targets_of
from genreline.train.checkpoint import load_model
from genreline.train.metrics import compute_label_scores, compute_scores
from genreline.train.models import Embedder
from genreline.train.transfer import embed_rows

COURSE = ("blues", "classical", "hiphop", "rock_metal_hardrock")
"""The classes of the assignment's own dataset, whose reference figures are the published solutions'."""

EMBEDDING_MODEL = "genres8-resnet"
MAX_ROWS = 3000
"""Of each set: the time that a kernel machine takes grows with the square of its samples."""


class Baseline(NamedTuple):
    """The validation figures of one machine, and how many rows of the two sets it was given."""

    name: str
    f1_macro: float
    accuracy: float
    n_train: int
    n_val: int


def baselines(
    data: str | Path, seed: int = 0, on_rows: Callable[[int, int], object] = lambda done, total: None
) -> list[Baseline]:
    """RBF-SVMs (scikit-learn's defaults, on standardised columns) on the features of a dataset that are there.

    One is on the MFCC vectors, one on the embeddings of melgrams by `genres8-resnet`. Of a set with more than MAX_ROWS
    rows, it is given as many, drawn at random; where these are of one class, there is nothing to compare. The test set
    is not read.

    Args:
        on_rows: called while embeddings are computed, with the rows done and all of them.

    Raises:
        DataError: a set that cannot be read.
    """
    found = []
    for kind, name in (
        ("mfccs", "RBF-SVM on the MFCC vectors"),
        ("melgrams", f"RBF-SVM on embeddings by {EMBEDDING_MODEL}"),
    ):
        if not all((Path(data) / each / kind).is_dir() for each in ("train", "val")):
            continue
        train, val = (_sample(load_split(data, each, kind), seed) for each in ("train", "val"))
        if train.is_multi_label or val.is_multi_label:
            train, val = (dataclasses.replace(each, is_multi_label=True) for each in (train, val))
        X: list[NDArray[Any]] = [train.X, val.X] if kind == "mfccs" else _embedded(train, val, on_rows)
        classes = classes_of(train)
        known = np.array([set(labels_in(text)) <= set(classes) for text in val.labels])  # one may miss from a sample
        if len(classes) > 1 and known.any():
            found.append(_score(name, X, train, val, classes, known))
    return found


def _embedded(train: Split, val: Split, on_rows: Callable[[int, int], object]) -> list[NDArray[np.float32]]:
    body = Embedder(load_model(EMBEDDING_MODEL).network).eval()
    n, total = len(train), len(train) + len(val)
    return [
        embed_rows(body, train.X, on_rows=lambda done: on_rows(done, total)).numpy(),
        embed_rows(body, val.X, on_rows=lambda done: on_rows(n + done, total)).numpy(),
    ]


def _score(
    name: str,
    X: list[NDArray[Any]],
    train: Split,
    val: Split,
    classes: tuple[str, ...],
    known: NDArray[np.bool_],
) -> Baseline:
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    machine: Any = make_pipeline(StandardScaler(), SVC())
    seen = dataclasses.replace(val, X=val.X[known], labels=val.labels[known], tracks=None)
    targets = targets_of(train, classes, "train"), targets_of(seen, classes, "val")
    if train.is_multi_label:
        machine = OneVsRestClassifier(machine).fit(X[0], targets[0])
        scores = compute_label_scores(targets[1], machine.predict(X[1][known]), [0.5] * len(classes))
    else:
        scores = compute_scores(targets[1], machine.fit(X[0], targets[0]).predict(X[1][known]), len(classes))
    return Baseline(name, scores.f1_macro, scores.accuracy, len(train), int(known.sum()))


def _sample(split: Split, seed: int) -> Split:
    if len(split) <= MAX_ROWS:
        return split
    rows = np.sort(np.random.default_rng(seed).choice(len(split), MAX_ROWS, replace=False))
    return dataclasses.replace(split, X=split.X[rows], labels=split.labels[rows], tracks=None)
