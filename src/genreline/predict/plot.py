"""The diagram of a timeline: genres on the vertical axis, seconds on the horizontal one.

Each genre has a lane, and in it each second a bar as high as the genre's probability. Where the genre is the most
probable one the bar is dark and the lane behind it tinted, so that the eye can follow the song from lane to lane.
Hue alone carries no meaning: dark, pale and white stay distinct in grey print and without colour vision.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import StepPatch
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import NDArray

from genreline.errors import ConfigError, DataError
from genreline.files import replacing
from genreline.predict.style import can_be_drawn, ellipsize, fonts_for, plain_style, without_lost_signs
from genreline.predict.timeline import Timeline, format_time, in_words

_WINNER, _TINT, _OTHER, _EMPTY = "#00588f", "#c3dcef", "#a6adb4", "#f4f5f7"
_SILENT = "#dde1e5"
_INK, _FAINT = "#1c2126", "#626a72"
_LANE = 0.86  # the height of a lane, of the 1 from one to the next
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)
_COLUMNS = 1100  # at most, so that each is about two pixels wide
_FORMATS = (".png", ".svg", ".pdf")


def draw(timeline: Timeline | Sequence[int], classes: Sequence[str] | None = None, *, ax: Axes | None = None) -> Figure:
    """Draw a timeline, its classes from top to bottom in their own order, so that the pictures of two songs compare.

    A new figure has matplotlib's default style, whatever the program or a matplotlibrc has set; given axes keep theirs.

    A song of more than 1100 seconds is drawn in columns of several seconds, each the mean of its probabilities (and
    dark for the class with the highest mean); the axis label states it.

    Args:
        timeline: any, from one second to days, with any number of classes; or what `infer` returns, a class number
            for each second.
        classes: the names of the class numbers; only with class numbers.
        ax: where to draw; without it, in a new figure whose size follows from the timeline's.

    Returns:
        The figure. It belongs to no window and to no pyplot state, so threads may draw side by side.

    Raises:
        DataError: class numbers without classes, or out of range.
    """
    if not isinstance(timeline, Timeline):
        timeline = _of_predictions(timeline, classes)
    if ax is None:
        count = len(timeline.classes)
        size = (8 + min(8.0, timeline.duration_s / 75), 1.8 + count * min(0.62, max(0.3, 4 / count)))
        with plain_style():
            layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12)
            return _draw(timeline, Figure(figsize=size, layout=layout).add_subplot())
    return _draw(timeline, ax)


def _draw(timeline: Timeline, ax: Axes) -> Figure:
    count = len(timeline.classes)
    column_s = _step(timeline.duration_s, _COLUMNS)
    edges_s, heights, is_silent = _columns(timeline, column_s)
    is_labelled = _labelled_columns(timeline, column_s, heights) & ~is_silent[:, None]
    for i, (height, won) in enumerate(zip(heights.T, is_labelled.T, strict=True)):
        bottom = count - 1 - i
        layers = ((np.ones_like(height), _EMPTY), (won, _TINT), (height, _OTHER), (np.where(won, height, 0), _WINNER))
        for values, colour in layers:
            _fill(ax, bottom + _LANE * values, edges_s, bottom, colour)
        if is_silent.any():
            silence = bottom + _LANE * is_silent
            _fill(ax, silence, edges_s, bottom, _SILENT)
    if len(heights) <= 120:  # room for a gap between two seconds
        ax.vlines(edges_s[1:-1], 0, count, color="white", linewidth=1.2)
    ax.hlines(np.arange(count), 0, timeline.duration_s, color=_FAINT, linewidth=0.8)
    _name_lanes(timeline, ax)
    _mark_time(timeline, ax, column_s)
    _head(timeline, ax)
    return cast(Figure, ax.get_figure(root=True))


def _fill(ax: Axes, tops: NDArray[Any], edges: NDArray[Any], bottom: float, colour: str) -> None:
    """As `ax.stairs`, without its search for the data's limits, which takes half of a picture's time: they are set."""
    ax.add_artist(StepPatch(tops, edges, baseline=bottom, fill=True, facecolor=colour, linewidth=0))


def _of_predictions(predictions: Sequence[int], classes: Sequence[str] | None) -> Timeline:
    """A timeline with probability 1 for each second's predicted class."""
    if classes is None:
        raise DataError("draw: predictions are numbers; give their classes too, as draw(predictions, model.classes)")
    numbers = np.asarray(predictions)
    if not numbers.size or not np.isin(numbers, range(len(classes))).all():
        raise DataError(f"draw: predictions must be at least one number from 0 to {len(classes) - 1}")
    return Timeline(tuple(classes), np.eye(len(classes), dtype=np.float32)[numbers], duration_s=len(numbers))


def save_picture(timeline: Timeline, path: str | Path) -> None:
    """Draw a timeline into a file, .png (150 dots an inch), .svg or .pdf, which is either complete or absent.

    Raises:
        ConfigError: any other suffix.
        GenrelineError: the file cannot be written.
    """
    if Path(path).suffix.lower() not in _FORMATS:
        raise ConfigError(f"{path}: a picture is saved as {', '.join(_FORMATS)}; choose one of these suffixes")
    with replacing(path) as temporary, plain_style():
        draw(timeline).savefig(temporary, dpi=150)


def _columns(timeline: Timeline, column_s: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """The edges (K+1,) in seconds of the K columns to draw, the mean probabilities (K, C) within each, and (K,) whether
    it is silent, where they are 0."""
    firsts = np.arange(0, len(timeline.probabilities), column_s)
    lengths_s = np.where(timeline.is_silent, 0, timeline.end_s - timeline.start_s)[:, None]
    sums_s = np.add.reduceat(lengths_s, firsts)
    means = np.add.reduceat(timeline.probabilities * lengths_s, firsts) / np.maximum(sums_s, 1e-9)
    return np.append(firsts, timeline.duration_s), means, sums_s[:, 0] == 0


def _labelled_columns(timeline: Timeline, column_s: int, means: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(K, C) which columns are drawn dark for which class: the most probable; multi-label, its label in half of it."""
    if not timeline.is_multi_label:
        winners: NDArray[np.bool_] = means.argmax(axis=1)[:, None] == np.arange(means.shape[1])
        return winners
    firsts = np.arange(0, len(timeline.probabilities), column_s)
    n_sounding = np.add.reduceat(~timeline.is_silent, firsts, dtype=int)
    return 2 * np.add.reduceat(timeline.is_labelled, firsts, dtype=int) >= np.maximum(n_sounding, 1)[:, None]


def _name_lanes(timeline: Timeline, ax: Axes) -> None:
    """The classes' names on the left, their overall probabilities on the right, the dominant one's in bold."""
    middles = len(timeline.classes) - 1 - np.arange(len(timeline.classes)) + _LANE / 2
    names = [ellipsize(name, 28) for name in timeline.classes]
    ax.set_yticks(middles, names, parse_math=False, fontfamily=fonts_for(*names))
    ax.tick_params(axis="y", length=0, labelsize=10.5, labelcolor=_INK)
    ax.set_ylim(-0.06, len(timeline.classes))
    for y, (name, share), label in zip(middles, timeline.overall.items(), ax.get_yticklabels(), strict=True):
        weight = "bold" if name in timeline.song_labels else "normal"
        label.set_fontweight(weight)
        number = ax.annotate(f"{share:.0%}", (1, y), (40, 0), ax.get_yaxis_transform(), "offset points")
        number.set(ha="right", va="center_baseline", color=_INK, fontsize=10.5, fontweight=weight)


def _mark_time(timeline: Timeline, ax: Axes, column_s: int) -> None:
    """Ticks at round times, as many as fit."""
    hours = timeline.duration_s >= 3600
    ticks = max(1, int(_width_in(ax) / (0.9 if hours else 0.6)))
    # To the end of the last second, even if the song ends within it.
    ax.set_xlim(0, max(len(timeline.probabilities), timeline.duration_s))
    ax.xaxis.set_major_locator(MultipleLocator(_step(timeline.duration_s, ticks)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda second, _: format_time(second, hours)))
    ax.tick_params(axis="x", color=_FAINT, labelcolor=_INK, labelsize=9.5)
    ax.get_xticklabels()  # creates them now, in this style, rather than when the figure is shown
    length = f"{column_s} s" if column_s < 60 else f"{column_s // 60} min"
    column = "a second" if column_s == 1 else f"the mean of {length}"
    dark = "it is a label" if timeline.is_multi_label else "it is the highest"
    key = f"a column is {column}: its height the probability, dark where {dark}"
    key += ", shaded in silence" if np.any(timeline.is_silent) else ""
    ax.set_xlabel(f"time ({'h:mm:ss' if hours else 'm:ss'})\n{key}", color=_FAINT, fontsize=9.5, linespacing=1.5)
    ax.spines[:].set_visible(False)


def _head(timeline: Timeline, ax: Axes) -> None:
    """The song's title, unless no font has its letters, and the verdict on the whole song."""
    title = without_lost_signs(timeline.title) if can_be_drawn(timeline.title) else ""
    title = ellipsize(title or "Genre timeline", int(_width_in(ax) * 7.5))
    ax.set_title(
        title,
        loc="left",
        pad=28,
        fontsize=13,
        fontweight="bold",
        color=_INK,
        parse_math=False,
        fontfamily=fonts_for(title),
    )
    dominant, share = ellipsize(in_words(timeline.dominant), 28), timeline.overall.get(timeline.dominant)
    sure = "silence" if share is None else f"dominant genre: {dominant} ({share:.0%})"
    if timeline.is_multi_label and share is not None:
        sure = f"labels: {ellipsize(timeline.verdict, 70)}"
    verdict = ellipsize(timeline.verdict, 70) if timeline.is_unsure else sure
    text = f"{verdict}    duration: {format_time(timeline.duration_s)}"
    ax.annotate(
        text,
        (0, 1),
        (0, 11),
        "axes fraction",
        "offset points",
        color=_INK,
        fontsize=10,
        parse_math=False,
        fontfamily=fonts_for(text),
    )
    number = ax.annotate("mean", (1, 1), (40, 11), "axes fraction", "offset points", color=_FAINT, fontsize=9.5)
    number.set_horizontalalignment("right")


def _width_in(ax: Axes) -> float:
    """How wide the axes are, in inches, before the layout has made room for names of unusual length."""
    return cast(Figure, ax.get_figure(root=True)).get_figwidth() * ax.get_position().width


def _step(duration_s: float, count: int) -> int:
    """The smallest round step, in seconds, of which `count` cover the duration."""
    return next((step for step in _STEPS_S if step * count >= duration_s), _STEPS_S[-1])
