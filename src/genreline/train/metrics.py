"""How good predictions are: the figures of the assignment's step 1.4, by scikit-learn, also by class and by track.

Where a sample may have several labels, each is a decision of its own: whether its probability is at least a threshold.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray


class Scores(NamedTuple):
    """What an evaluation returns, in the order of the assignment, step 1.4.

    Attributes:
        loss: the mean over samples.
        f1_macro: the unweighted mean of the per-class F1 scores, over the classes that occur as truth or prediction
            (scikit-learn's reading); a class that is never predicted counts as 0.
        accuracy: the share of right predictions; multi-label, of samples whose labels are all right.
        confusion_matrix: (n_classes, n_classes) int64, truth in rows, predictions in columns; multi-label, one of
            (2, 2) for each class, (n_classes, 2, 2).
    """

    loss: float
    f1_macro: float
    accuracy: float
    confusion_matrix: NDArray[np.int64]


class ClassScores(TypedDict):
    """The figures of one class; `support` is the number of its samples."""

    precision: float
    recall: float
    f1: float
    support: int


def compute_scores(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int, loss: float = float("nan")
) -> Scores:
    """The figures of predictions, as class numbers (N,), against the truth (N,)."""
    # Imported here: it takes longer to import than everything that a prediction needs.
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

    return Scores(
        loss=float(loss),
        f1_macro=float(f1_score(truth, predicted, average="macro", zero_division=0)),
        accuracy=float(accuracy_score(truth, predicted)),
        confusion_matrix=confusion_matrix(truth, predicted, labels=range(n_classes)),
    )


def compute_label_scores(
    truth: NDArray[Any], probabilities: NDArray[Any], thresholds: Sequence[float], loss: float = float("nan")
) -> Scores:
    """The figures of independent labels: truth (N, n_classes) of 0 and 1, probabilities (N, n_classes)."""
    from sklearn.metrics import accuracy_score, f1_score, multilabel_confusion_matrix

    is_true, is_found = truth.astype(bool), probabilities >= np.asarray(thresholds, np.float32)
    occurring = np.flatnonzero(is_true.any(axis=0) | is_found.any(axis=0))
    f1_macro = f1_score(is_true, is_found, labels=occurring, average="macro", zero_division=0) if len(occurring) else 0
    return Scores(
        loss=float(loss),
        f1_macro=float(f1_macro),
        accuracy=float(accuracy_score(is_true, is_found)),
        confusion_matrix=multilabel_confusion_matrix(is_true, is_found),
    )


def average_precisions(truth: NDArray[Any], probabilities: NDArray[Any]) -> list[float]:
    """Each label's average precision, NaN for one that no sample has. Their mean is the mAP."""
    from sklearn.metrics import average_precision_score

    return [
        float(average_precision_score(truth[:, k], probabilities[:, k])) if truth[:, k].any() else float("nan")
        for k in range(truth.shape[1])
    ]


def fit_thresholds(truth: NDArray[Any], probabilities: NDArray[Any]) -> list[float]:
    """For each label the threshold of the highest F1; 0.5 for one that no sample has.

    It lies halfway between the lowest probability that is still called the label and the next lower one.
    """
    from sklearn.metrics import precision_recall_curve

    probabilities = np.nan_to_num(probabilities)  # of a network that has diverged
    thresholds = []
    for k in range(truth.shape[1]):
        if not truth[:, k].any():
            thresholds.append(0.5)
            continue
        precision, recall, scores = precision_recall_curve(truth[:, k], probabilities[:, k])
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        best = int(f1[:-1].argmax())
        thresholds.append(float(scores[best] + scores[max(0, best - 1)]) / 2)
    return thresholds


def per_class(matrix: NDArray[np.int64], classes: Sequence[str]) -> dict[str, ClassScores]:
    """Precision, recall, F1 and support of each class, of the confusion matrix of `Scores`."""
    from sklearn.metrics import precision_recall_fscore_support

    if matrix.ndim == 3:
        return {name: _of_label(each) for name, each in zip(classes, matrix.tolist(), strict=True)}
    numbers = np.arange(len(classes))
    truth, predicted = (
        np.repeat(numbers, matrix.sum(axis=1)),
        np.concatenate([np.repeat(numbers, row) for row in matrix]),
    )
    columns = precision_recall_fscore_support(truth, predicted, labels=numbers, zero_division=0)
    return {
        name: ClassScores(precision=float(p), recall=float(r), f1=float(f), support=int(n))
        for name, p, r, f, n in zip(classes, *columns, strict=True)
    }


def _of_label(matrix: list[list[int]]) -> ClassScores:
    (_, false), (missed, found) = matrix
    precision, recall = (found / n if n else 0.0 for n in (found + false, found + missed))
    f1 = 2 * found / n if (n := 2 * found + false + missed) else 0.0
    return ClassScores(precision=precision, recall=recall, f1=f1, support=found + missed)


def mean_by_track(
    truth: NDArray[Any], probabilities: NDArray[np.float32], tracks: NDArray[np.str_]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Each track's truth, that of its first sample, and its mean probabilities (n_tracks, n_classes)."""
    _, first, track_of = np.unique(tracks, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), probabilities.shape[1]))
    np.add.at(sums, track_of, probabilities)
    return truth[first], sums / np.bincount(track_of)[:, None]


def score_by_track(truth: NDArray[np.int64], probabilities: NDArray[np.float32], tracks: NDArray[np.str_]) -> Scores:
    """The figures with a track as the sample: its prediction is the class of the highest mean probability.

    Shape:
        truth (N,), probabilities (N, n_classes), tracks (N,) track names. The loss is that of the mean probabilities.
    """
    track_truth, means = mean_by_track(truth, probabilities, tracks)
    loss = -np.log(np.maximum(means[np.arange(len(means)), track_truth], 1e-12)).mean()
    return compute_scores(track_truth, means.argmax(axis=1), probabilities.shape[1], float(loss))
