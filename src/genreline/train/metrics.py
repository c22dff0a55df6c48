"""How good predictions are: the figures of the assignment's step 1.4, by scikit-learn, also by class and by track."""

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray


class Scores(NamedTuple):
    """What an evaluation returns, in the order of the assignment, step 1.4.

    Attributes:
        loss: the mean over samples.
        f1_macro: the unweighted mean of the per-class F1 scores, over the classes that occur as truth or prediction
            (scikit-learn's reading); a class that is never predicted counts as 0.
        accuracy: the share of right predictions.
        confusion_matrix: (n_classes, n_classes) int64, truth in rows, predictions in columns.
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


def per_class(matrix: NDArray[np.int64], classes: Sequence[str]) -> dict[str, ClassScores]:
    """Precision, recall, F1 and support of each class, of a confusion matrix with the truth in its rows."""
    from sklearn.metrics import precision_recall_fscore_support

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


def score_by_track(truth: NDArray[np.int64], probabilities: NDArray[np.float32], tracks: NDArray[np.str_]) -> Scores:
    """The figures with a track as the sample: its prediction is the class of the highest mean probability.

    Shape:
        truth (N,), probabilities (N, n_classes), tracks (N,) track names. The loss is that of the mean probabilities.
    """
    _, first, track_of = np.unique(tracks, return_index=True, return_inverse=True)
    sums = np.zeros((len(first), probabilities.shape[1]))
    np.add.at(sums, track_of, probabilities)
    means = sums / np.bincount(track_of)[:, None]
    track_truth = truth[first]
    loss = -np.log(np.maximum(means[np.arange(len(first)), track_truth], 1e-12)).mean()
    return compute_scores(track_truth, means.argmax(axis=1), probabilities.shape[1], float(loss))
