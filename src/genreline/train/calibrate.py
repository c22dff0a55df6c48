"""Calibrated probabilities, and the margin below which a song is unsure: both fitted on the validation set."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

Probabilities = NDArray[np.float32] | NDArray[np.float64]


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """The temperature with the lowest cross-entropy (Guo et al. 2017), from 0.05 to 20.

    Shape:
        logits (N, n_classes), targets (N,) class numbers, of the validation set.
    """

    def loss(log_temperature: float) -> float:
        scaled = logits.double() / float(np.exp(log_temperature))
        return float(nn.functional.cross_entropy(scaled, targets))

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(found.x))


def calibration_error(probabilities: Probabilities, targets: NDArray[np.int64], n_bins: int = 15) -> float:
    """Expected calibration error (Naeini et al. 2015): the mean distance between confidence and accuracy over samples.

    Shape:
        probabilities (N, n_classes), targets (N,) class numbers. The bins of confidence are equally wide.
    """
    confidence = probabilities.max(axis=1)
    is_right = probabilities.argmax(axis=1) == targets
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = [abs(float((confidence[bins == i] - is_right[bins == i]).sum())) for i in range(n_bins)]
    return sum(gaps) / len(targets)


class Bin(NamedTuple):
    """Predictions whose confidence lies in one interval: its lower end, their number, and their two means."""

    low: float
    n: int
    confidence: float
    accuracy: float


def reliability(confidence: NDArray[np.floating[Any]], is_right: NDArray[np.bool_], n_bins: int = 10) -> list[Bin]:
    """A reliability diagram's points (Niculescu-Mizil and Caruana 2005): equally wide bins, without the empty ones.

    Shape:
        confidence (N,) from 0 to 1, is_right (N,).
    """
    numbers = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    return [
        Bin(i / n_bins, int(chosen.sum()), float(confidence[chosen].mean()), float(is_right[chosen].mean()))
        for i in range(n_bins)
        if (chosen := numbers == i).any()
    ]


def fit_unsure_margin(songs: Sequence[Probabilities], targets: Sequence[int]) -> float:
    """The margin at which a song is as often right as wrong, by logistic regression; 0 if all songs are right.

    Args:
        songs: each song's mean probabilities (n_classes,); its margin is that between the two highest.
        targets: each song's class number.
    """
    from sklearn.linear_model import LogisticRegression  # here, because no prediction needs it

    ordered = [np.sort(song)[::-1] for song in songs]
    margins = np.array([song[0] - song[1] for song in ordered])
    is_right = np.array([int(song.argmax()) == target for song, target in zip(songs, targets, strict=True)])
    if is_right.all() or not is_right.any():
        return 0.0 if is_right.all() else 1.0
    fitted = LogisticRegression(C=1e6).fit(margins[:, None], is_right)
    slope, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    return float(np.clip(-offset / slope, 0, 1)) if slope > 0 else 0.0
