"""A model's evaluation on one set as a page: figures, confusion matrix, reliability, and the most confident errors."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from genreline.data.layout import Split
from genreline.predict.timeline import format_time
from genreline.study import plots
from genreline.study.page import Page
from genreline.train.calibrate import calibration_error, reliability
from genreline.train.checkpoint import Model

_MOST_ERRORS = 10


def evaluation_page(
    title: str, model: Model, split: Split, logits: Tensor, targets: Tensor, figures: Mapping[str, Any]
) -> Page:
    """The page of a set's predictions (`train.evaluate.predict_split`) and their figures (`figures_of`).

    Confidence is what timelines would say of a second alone: after the model's temperature.
    """
    page = Page()
    page.heading(1, title)
    probabilities = (logits / model.calibration.temperature).softmax(dim=1).numpy()
    _figures(page, figures)
    _confusion(page, figures["confusion_matrix"], model.classes)
    _reliability(page, probabilities, targets.numpy())
    _errors(page, model.classes, split, probabilities, targets.numpy())
    return page


def _figures(page: Page, figures: Mapping[str, Any]) -> None:
    page.heading(2, "Figures")
    rows = [["by", "n", "macro F1", "accuracy", "loss"]]
    for by, each in (("second", figures), ("track", figures.get("by_track"))):
        if each:
            rows.append([by, str(each["n"]), *(f"{each[key]:.3f}" for key in ("f1_macro", "accuracy", "loss"))])
    page.table("The set as a whole", rows)
    rows = [["class", "precision", "recall", "F1", "support"]]
    for name, each in figures["per_class"].items():
        rows.append([name, *(f"{each[key]:.3f}" for key in ("precision", "recall", "f1")), str(each["support"])])
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
    page.heading(2, "Reliability")
    bins = reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == targets)
    error = calibration_error(probabilities, targets)
    page.picture(
        "reliability.png",
        plots.reliability(*([getattr(each, key) for each in bins] for key in ("confidence", "accuracy", "n"))),
        f"How often a second is right, by the probability of its label. Expected calibration error: {error:.3f}.",
        "Reliability diagram; the table below it has its points.",
    )
    rows = [["confidence from", "seconds", "mean confidence", "accuracy"]]
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


def _time_text(start_s: str) -> str:
    """`83` as 1:23; what is no number of seconds as it is."""
    try:
        return format_time(float(start_s))
    except (ValueError, OverflowError):
        return start_s
