"""A trained model's figures on a set: by second, by class and, where tracks are known, by track."""

from typing import Any

import torch
from torch import Tensor, nn

from genreline.data.layout import Labels, Split, indices
from genreline.data.loaders import split_loader
from genreline.train.checkpoint import Model
from genreline.train.loop import predict
from genreline.train.metrics import compute_scores, per_class, score_by_track


def evaluate_model(model: Model, split: Split, where: str = "labels") -> dict[str, Any]:
    """What `genreline evaluate --json` prints: `figures_of` the model's predictions.

    Raises:
        DataError: labels that the model does not know.
    """
    return figures_of(model, split, *predict_split(model, split, where))


def predict_split(model: Model, split: Split, where: str = "labels") -> tuple[Tensor, Tensor]:
    """The logits (N, n_classes) of a set and its class numbers (N,), in its order. Raises DataError."""
    targets = torch.from_numpy(indices(split.labels, model.classes, where, "the model"))
    return predict(split_loader(split, targets, batch_size=256), model.network)


def figures_of(model: Model, split: Split, logits: Tensor, targets: Tensor) -> dict[str, Any]:
    """The figures of a set's predictions, as `predict_split` returns them.

    Returns:
        loss, f1_macro, accuracy, classes, confusion_matrix (truth in rows), per_class, n; and, where the set has
        tracks and each has one label, by_track: the same figures with each track as one sample, predicted by its mean
        probabilities.
    """
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


def _tracks_have_one_label(labels: Labels, tracks: Labels) -> bool:
    return len(set(zip(tracks, labels, strict=True))) == len(set(tracks))
