"""A model's evaluation on one set as a page: figures, confusion matrix, reliability, and the most confident errors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genreline.data.layout import Split
from genreline.predict.timeline import format_time
from genreline.study import plots
from genreline.study.page import Page
from genreline.train.calibrate import Bin, calibration_error, reliability
from genreline.train.checkpoint import Model, probabilities_of

_MOST_ERRORS = 10
_ECE = "Expected calibration error"
_FIGURES = {"f1_macro": "macro F1", "accuracy": "accuracy", "loss": "loss"}
_CLASS_FIGURES = {"precision": "precision", "recall": "recall", "f1": "F1"}
_LABEL_FIGURES = {
    "f1_macro": "macro F1",
    "mean_average_precision": "mAP",
    "accuracy": "all labels right",
    "loss": "loss",
}
_LABEL_CLASS_FIGURES = {**_CLASS_FIGURES, "average_precision": "AP", "threshold": "threshold"}


def evaluation_page(
    title: str, model: Model, split: Split, logits: Tensor, targets: Tensor, figures: Mapping[str, Any]
) -> Page:
    """The page of a set's predictions (`train.evaluate.predict_split`) and their figures (`figures_of`).

    Confidence is what timelines would say of a second alone: after the model's temperature.
    """
    page = Page()
    page.heading(1, title)
    probabilities, truth = probabilities_of(logits, model.calibration).numpy(), targets.numpy()
    if model.calibration.is_multi_label:
        _figures(page, figures, _LABEL_FIGURES, _LABEL_CLASS_FIGURES)
        _label_reliability(page, probabilities, truth)
        _label_errors(page, model, split, probabilities, truth)
        return page
    _figures(page, figures, _FIGURES, _CLASS_FIGURES)
    _confusion(page, figures["confusion_matrix"], model.classes)
    _reliability(page, probabilities, truth)
    _errors(page, model.classes, split, probabilities, truth)
    return page


def _figures(page: Page, figures: Mapping[str, Any], names: Mapping[str, str], class_names: Mapping[str, str]) -> None:
    page.heading(2, "Figures")
    rows = [["by", "n", *names.values()]]
    for by, each in (("second", figures), ("track", figures.get("by_track"))):
        if each:
            rows.append([by, str(each["n"]), *(f"{each[key]:.3f}" for key in names)])
    page.table("The set as a whole", rows)
    rows = [["class", *class_names.values(), "support"]]
    for name, each in figures["per_class"].items():
        rows.append([name, *(f"{each[key]:.3f}" for key in class_names), str(each["support"])])
    page.table("By class, by second", rows)


def _confusion(page: Page, matrix: NDArray[np.int64], classes: tuple[str, ...]) -> None:
    page.heading(2, "Confusion")
    wrong = matrix - np.diag(np.diag(matrix))
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    n = matrix[row].sum()
    most = f"{classes[row]} is most often called {classes[column]}, in {wrong[row, column]} of {n} seconds."
    caption = f"Counts, and shares of the row: {most if wrong.any() else 'every second is right.'}"
    page.picture("confusion.png", plots.confusion(matrix, classes), caption, f"Confusion matrix. {caption}")
    rows = [["truth \\ predicted", *classes]]
    rows += [[name, *map(str, counts)] for name, counts in zip(classes, matrix.tolist(), strict=True)]
    page.table("The same as numbers", rows)


def _reliability(page: Page, probabilities: NDArray[np.float32], targets: NDArray[np.int64]) -> None:
    bins = reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == targets)
    error = calibration_error(probabilities, targets)
    _diagram(
        page, bins, f"How often a second is right, by the probability of its label. {_ECE}: {error:.3f}.", "seconds"
    )


def _label_reliability(page: Page, probabilities: NDArray[np.float32], truth: NDArray[np.float32]) -> None:
    decisions = probabilities.ravel(), truth.ravel() > 0
    bins = reliability(*decisions)
    error = sum(each.n * abs(each.confidence - each.accuracy) for each in reliability(*decisions, n_bins=15))
    error /= probabilities.size  # in as many bins as `calibration_error` has
    caption = f"How often a label is there, by its probability, over all seconds and classes. {_ECE}: {error:.3f}."
    _diagram(page, bins, caption, "decisions")


def _diagram(page: Page, bins: Sequence[Bin], caption: str, of_what: str) -> None:
    page.heading(2, "Reliability")
    page.picture(
        "reliability.png",
        plots.reliability(*([getattr(each, key) for each in bins] for key in ("confidence", "accuracy", "n"))),
        caption,
        "Reliability diagram; the table below it has its points.",
    )
    rows = [["confidence from", of_what, "mean confidence", "accuracy"]]
    rows += [[f"{each.low:.1f}", str(each.n), f"{each.confidence:.3f}", f"{each.accuracy:.3f}"] for each in bins]
    page.table("Reliability, in bins of confidence", rows)


def _errors(
    page: Page,
    classes: tuple[str, ...],
    split: Split,
    probabilities: NDArray[np.float32],
    targets: NDArray[np.int64],
) -> None:
    """The wrong seconds with the most probable labels, one of a track: the first places to look for wrong labels."""
    page.heading(2, "The most confident errors")
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    tracks = split.tracks or {}
    names = tracks["track"] if tracks else np.array([f"row {i}" for i in range(len(split))])
    order = np.argsort(-confidence, kind="stable")
    wrong = order[(predicted != targets)[order]]
    first_of_track = np.sort(np.unique(names[wrong], return_index=True)[1])
    rows = [["file" if tracks else "row of X.npy", "at", "label", "predicted", "probability"]]
    for i in wrong[first_of_track][:_MOST_ERRORS]:
        at = _time_text(str(tracks["start_s"][i])) if "start_s" in tracks else "-"
        rows.append([str(names[i]), at, classes[targets[i]], classes[predicted[i]], f"{probabilities[i].max():.3f}"])
    if len(rows) == 1:
        page.text("There are none: every second is right.")
        return
    page.text("Of each file the wrong second of which the model is surest. A label that is wrong itself is found here.")
    page.table("The most confident errors", rows)


def _label_errors(
    page: Page, model: Model, split: Split, probabilities: NDArray[np.float32], truth: NDArray[np.float32]
) -> None:
    """The wrong decisions farthest from the label's threshold, one of a track."""
    page.heading(2, "The most confident errors")
    thresholds = np.array([model.calibration.thresholds[name] for name in model.classes], np.float32)
    tracks = split.tracks or {}
    names = tracks["track"] if tracks else np.array([f"row {i}" for i in range(len(split))])
    distance = np.where((probabilities >= thresholds) != (truth > 0), np.abs(probabilities - thresholds), -1)
    rows = [["file" if tracks else "row of X.npy", "at", "label", "error", "probability", "threshold"]]
    seen: set[str] = set()
    for place in np.argsort(-distance, axis=None, kind="stable"):
        i, k = np.unravel_index(place, distance.shape)
        if distance[i, k] < 0 or len(seen) == _MOST_ERRORS:
            break
        if str(names[i]) in seen:
            continue
        seen.add(str(names[i]))
        at = _time_text(str(tracks["start_s"][i])) if "start_s" in tracks else "-"
        error = "missed" if truth[i, k] else "found where it is not"
        figures = (f"{each:.3f}" for each in (probabilities[i, k], thresholds[k]))
        rows.append([str(names[i]), at, model.classes[k], error, *figures])
    if not seen:
        page.text("There are none: every label is right.")
        return
    page.text(
        "Of each file the wrong label that the model is surest of. Labels that are wrong themselves are found here."
    )
    page.table("The most confident errors", rows)


def _time_text(start_s: str) -> str:
    """`83` as 1:23; what is no number of seconds as it is."""
    try:
        return format_time(float(start_s))
    except (ValueError, OverflowError):
        return start_s
