"""Labelled songs against the test set: is a model as good on other music? (Assignment, step 4.3.)"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from genreline.audio.names import title_of
from genreline.data.labels import labels_in
from genreline.errors import DataError, GenrelineError
from genreline.files import replacing
from genreline.predict.engines import Engine
from genreline.predict.files import SongTask, failed_record
from genreline.predict.recognizer import Recognizer
from genreline.predict.style import ellipsize, fonts_for, plain_style

if TYPE_CHECKING:
    from genreline.train.checkpoint import Model

_SONG, _TEST, _INK, _FAINT = "#00588f", "#1c2126", "#1c2126", "#626a72"


def pair_labels(
    songs: Sequence[str], labels: Sequence[str], classes: Sequence[str], is_multi_label: bool = False
) -> list[tuple[str, str]]:
    """Each song (or folder of songs) with its label: one label for all, or one for each song, in order.

    Raises:
        DataError: another number of labels, or one that the model does not know.
    """
    if len(labels) not in (1, len(songs)):
        raise DataError(f"{len(labels)} labels for {len(songs)} songs; give one for all, or one for each in order")
    named = {each for text in labels for each in (labels_in(text) or [text])} if is_multi_label else set(labels)
    if unknown := sorted(named - set(classes)):
        raise DataError(f"{', '.join(unknown)}: the model does not know this genre; it knows {', '.join(classes)}")
    each = [labels[0]] * len(songs) if len(labels) == 1 else labels
    return list(zip(songs, each, strict=True))


def compare_songs(model: Engine, songs: Sequence[tuple[SongTask, str]]) -> Iterator[dict[str, Any]]:
    """Predict songs whose genre is known; yield a record of each, in their order, as it is done.

    Yields:
        file, label, n (seconds with sound), n_right, accuracy (n_right / n), mean_probability (of the label), dominant
        (the genre of the whole song); or file, label and error, and unusable as in `predict_files`. A second of a
        multi-label model is right if it has all labels of `piano|voice` and no other; their mean probability is that of
        the least probable one.
    """
    recognizer = Recognizer(model)
    for song, label in songs:
        try:
            with song.opened() as source:
                timeline = recognizer(source, max_duration_s=song.max_duration_s)
        except GenrelineError as error:
            yield {**failed_record(song, error), "label": label}
            continue
        wanted = _labels_of(model, label)
        is_right = (timeline.is_labelled == np.isin(timeline.classes, wanted)).all(axis=1) & ~timeline.is_silent
        n_right, n = int(is_right.sum()), int(np.sum(~timeline.is_silent))
        if not n:
            yield {"file": song.name, "label": label, "error": f"{song.name}: holds nothing but silence; leave it out"}
            continue
        yield {
            "file": song.name,
            "label": label,
            "n": n,
            "n_right": n_right,
            "accuracy": n_right / n,
            "mean_probability": min(timeline.overall[each] for each in wanted),
            "dominant": timeline.dominant,
        }


def _labels_of(model: Engine, label: str) -> list[str]:
    """The classes that a song's label names, of a model of one label a second itself."""
    return labels_in(label) if model.calibration.is_multi_label else [label]


def recorded_figures(model: Engine) -> dict[str, Any] | None:
    """The model on its test set, as its folder recorded it: n, accuracy and f1_macro; None if it recorded nothing."""
    recorded = model.metrics.get("test")
    return {key: recorded[key] for key in ("n", "accuracy", "f1_macro")} if recorded else None


def figures_on_test(model: "Model", data: str | Path) -> dict[str, Any]:
    """The model on the test set of `data`: n, accuracy, f1_macro, recall (by class). Needs PyTorch.

    Raises:
        DataError: no such dataset, or labels that the model does not know.
    """
    from genreline.data.layout import load_split
    from genreline.train.evaluate import evaluate_model

    split = load_split(Path(data), "test", model.config.features)
    figures = evaluate_model(model, split, f"{Path(data) / 'test'}")
    recall = {name: each["recall"] for name, each in figures["per_class"].items()}
    return {"n": figures["n"], "accuracy": figures["accuracy"], "f1_macro": figures["f1_macro"], "recall": recall}


def recall_on_test(test: Mapping[str, Any] | None, label: str) -> float | None:
    """The test set's recall of a label, of several the lowest; None where `figures_on_test` were not taken."""
    recall = (test or {}).get("recall")
    if not recall:
        return None
    return float(recall[label] if label in recall else min(recall[each] for each in labels_in(label)))


def summary(songs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The totals of the songs without an error: n (seconds), n_right, accuracy."""
    n, n_right = (sum(song[key] for song in songs) for key in ("n", "n_right"))
    return {"n": n, "n_right": n_right, "accuracy": n_right / n}


@plain_style()
def draw_comparison(songs: Sequence[Mapping[str, Any]], test: Mapping[str, Any] | None) -> Figure:
    """A bar for each song, as long as its accuracy; a line at the test set's, a mark at its recall of the song's label.

    Args:
        songs: of `compare_songs`, those without an error; at least one.
        test: of `figures_on_test` or `recorded_figures`.
    """
    ax = Figure(figsize=(8, 1.6 + 0.4 * len(songs)), layout=ConstrainedLayoutEngine(w_pad=0.15)).add_subplot()
    places = np.arange(len(songs))
    ax.barh(places, [song["accuracy"] for song in songs], height=0.6, color=_SONG, label="this song")
    marks = [mark for song in songs if (mark := recall_on_test(test, song["label"])) is not None]
    if marks:
        ax.plot(marks, places, "D", color="white", markeredgecolor=_TEST, label="the test set's seconds of this genre")
    if test:
        ax.axvline(test["accuracy"], color=_TEST, linestyle="--", label="the test set")
    names = [f"{ellipsize(title_of(song['file']), 40)} ({ellipsize(song['label'], 28)})" for song in songs]
    ax.set_yticks(places, names, parse_math=False, fontfamily=fonts_for(*names))
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of seconds labelled right", color=_INK)
    ax.tick_params(color=_FAINT, labelcolor=_INK)
    ax.spines[["top", "right"]].set_visible(False)
    figure = ax.figure
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure  # type: ignore[return-value]


def save_comparison(songs: Sequence[Mapping[str, Any]], test: Mapping[str, Any] | None, path: str | Path) -> None:
    """Draw into a file (.png, .svg or .pdf), atomically. Raises GenrelineError where it cannot be written."""
    with replacing(path) as temporary, plain_style():
        draw_comparison(songs, test).savefig(temporary, dpi=150)
