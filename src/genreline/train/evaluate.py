"""A trained model's figures on a set: by second, by class and, where tracks are known, by track.

A multi-label model has figures for each label, and their means, in place of those of one label a second.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genreline.data.layout import Labels, Split, indices, multi_hot
from genreline.data.loaders import split_loader
from genreline.train.checkpoint import Model, probabilities_of
from genreline.train.loop import predict
from genreline.train.metrics import (
    average_precisions,
    compute_label_scores,
    compute_scores,
    mean_by_track,
    per_class,
    score_by_track,
)


def evaluate_model(model: Model, split: Split, where: str = "labels") -> dict[str, Any]:
    """What `genreline evaluate --json` prints: `figures_of` the model's predictions.

    Raises:
        DataError: labels that the model does not know.
    """
    return figures_of(model, split, *predict_split(model, split, where))


def predict_split(model: Model, split: Split, where: str = "labels") -> tuple[Tensor, Tensor]:
    """The logits (N, n_classes) of a set and its class numbers (N,), in its order; of a multi-label model the targets
    are (N, n_classes) float32, 0 or 1.

    Raises:
        DataError: labels that the model does not know, or several a sample where it knows one.
    """
    wanted = multi_hot if model.calibration.is_multi_label else indices
    targets = torch.from_numpy(wanted(split.labels, model.classes, where, "the model"))
    return predict(split_loader(split, targets, batch_size=256), model.network)


def figures_of(model: Model, split: Split, logits: Tensor, targets: Tensor) -> dict[str, Any]:
    """The figures of a set's predictions, as `predict_split` returns them.

    Returns:
        loss (of the logits as they are, before the calibration), f1_macro, accuracy, classes, confusion_matrix (truth
        in rows), per_class, n; and, where the set has tracks and each has one label, by_track: the same figures with
        each track as one sample, predicted by its mean probabilities. Of a multi-label model also
        mean_average_precision, and in per_class average_precision and threshold.
    """
    if model.calibration.is_multi_label:
        return _label_figures(model, split, logits, targets)
    loss = float(nn.functional.cross_entropy(logits, targets))
    truth, n_classes = targets.numpy(), len(model.classes)
    scores = compute_scores(truth, logits.argmax(dim=1).numpy(), n_classes, loss)
    figures = {
        **scores._asdict(),
        "classes": list(model.classes),
        "per_class": per_class(scores.confusion_matrix, model.classes),
        "n": len(truth),
    }
    if split.tracks is not None and _tracks_have_one_label(split.labels, split.tracks["track"]):
        by_track = score_by_track(truth, logits.softmax(dim=1).numpy(), split.tracks["track"])
        figures["by_track"] = {**by_track._asdict(), "n": int(by_track.confusion_matrix.sum())}
    return figures


def _label_figures(model: Model, split: Split, logits: Tensor, targets: Tensor) -> dict[str, Any]:
    thresholds = [model.calibration.thresholds[name] for name in model.classes]
    truth, probabilities = targets.numpy(), probabilities_of(logits, model.calibration).numpy()

    def figures(truth: NDArray[Any], probabilities: NDArray[Any], loss: float) -> dict[str, Any]:
        scores = compute_label_scores(truth, probabilities, thresholds, loss)
        precisions = average_precisions(truth, probabilities)
        classes = per_class(scores.confusion_matrix, model.classes)
        return {
            **scores._asdict(),
            "mean_average_precision": float(np.nanmean(precisions)) if truth.any() else float("nan"),
            "per_class": {
                name: {**classes[name], "average_precision": precision, "threshold": threshold}
                for name, precision, threshold in zip(model.classes, precisions, thresholds, strict=True)
            },
            "n": len(truth),
        }

    loss = nn.functional.binary_cross_entropy_with_logits(logits, targets)
    found = {"classes": list(model.classes), **figures(truth, probabilities, float(loss))}
    if split.tracks is not None and _tracks_have_one_label(split.labels, split.tracks["track"]):
        labels, means = mean_by_track(truth, probabilities, split.tracks["track"])
        sure = np.clip(means, 1e-12, 1 - 1e-12)
        loss_by_track = -np.mean(labels * np.log(sure) + (1 - labels) * np.log(1 - sure))
        found["by_track"] = figures(labels, means, float(loss_by_track))
    return found


def _tracks_have_one_label(labels: Labels, tracks: Labels) -> bool:
    return len(set(zip(tracks, labels, strict=True))) == len(set(tracks))
