"""The report's figures: plain numbers in, the bytes of a PNG out. They know nothing of studies and runs.

Two colours, blue and orange, which are distinct without colour vision; the second is also dashed or hollow, so that
nothing depends on hue alone. The same numbers give the same bytes.
"""

import io
import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from genreline.predict.style import ellipsize, fonts_for, plain_style

_BLUE, _ORANGE, _INK, _FAINT, _GRID = "#0068a8", "#d55e00", "#1c2126", "#626a72", "#e3e6e9"
_DOTS_PER_INCH = 130

Curves = Sequence[tuple[ArrayLike, ArrayLike]]
"""A pair of curves, by epoch, for each seed."""


@plain_style()
def loss_curves(panels: Mapping[str, Curves]) -> bytes:
    """Loss over epochs, a panel for each name: train solid blue, validation dashed orange, a line for each seed."""
    figure, axes = _panels(list(panels))
    values = np.concatenate([np.ravel(curve) for curves in panels.values() for pair in curves for curve in pair])
    values = values[np.isfinite(values)]
    for ax, curves in zip(axes, panels.values(), strict=True):
        for train, val in curves:
            epochs = np.arange(1, len(np.ravel(train)) + 1)
            marker = "." if len(epochs) == 1 else None
            ax.plot(epochs, train, color=_BLUE, linewidth=1.1, alpha=0.8, label="train", marker=marker)
            ax.plot(epochs, val, color=_ORANGE, linewidth=1.1, alpha=0.8, linestyle=(0, (3, 1.5)), label="validation")
        if not any(np.isfinite(curve).any() for pair in curves for curve in pair):
            ax.text(0.5, 0.5, "no finite loss", ha="center", color=_FAINT, fontsize=8.5, transform=ax.transAxes)
    if len(values):  # a few losses of a diverging run must not flatten the others
        low, high = values.min(), min(values.max(), 3 * np.median(values))
        axes[0].set_ylim(low - 0.06 * (high - low) - 1e-6, high + 0.06 * (high - low) + 1e-6)
    _key(figure, axes)
    figure.supylabel("loss", fontsize=9, color=_FAINT)
    return _png(figure)


@plain_style()
def rate_traces(panels: Mapping[str, Sequence[float]]) -> bytes:
    """The learning rate that each epoch began with, on a logarithmic axis, a panel for each name."""
    figure, axes = _panels(list(panels))
    for ax, rates in zip(axes, panels.values(), strict=True):
        ax.step(np.arange(1, len(rates) + 1), rates, where="mid", color=_BLUE, linewidth=1.5)
        ax.set_yscale("log")
    axes[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[0].yaxis.set_minor_locator(NullLocator())
    figure.supylabel("learning rate", fontsize=9, color=_FAINT)
    return _png(figure)


@plain_style()
def confusion(matrix: NDArray[np.int64], classes: Sequence[str]) -> bytes:
    """A confusion matrix (C, C), truth in rows: each cell its count and its share of the row, darker for more."""
    count = len(classes)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = 1.9 + 0.75 * count
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    ax = figure.add_subplot()
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(count):
        for column in range(count):
            text = f"{shares[row, column]:.0%}\n{matrix[row, column]}"
            colour = "white" if shares[row, column] > 0.55 else _INK
            ax.text(column, row, text, ha="center", va="center", fontsize=8.5, color=colour)
    names = [ellipsize(name, 20) for name in classes]
    fonts = fonts_for(*names)
    ax.set_xticks(
        range(count), names, rotation=35, ha="right", rotation_mode="anchor", parse_math=False, fontfamily=fonts
    )
    ax.set_yticks(range(count), names, parse_math=False, fontfamily=fonts)
    ax.set_xlabel("predicted", color=_FAINT)
    ax.set_ylabel("truth", color=_FAINT)
    _plain(ax)
    return _png(figure)


@plain_style()
def reliability(confidence: Sequence[float], accuracy: Sequence[float], n: Sequence[int]) -> bytes:
    """A reliability diagram: the accuracy of each bin over its mean confidence, and below it how many are in each."""
    figure = Figure(figsize=(4.8, 5.2), layout="constrained")
    ax, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    ax.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle=(0, (3, 1.5)), label="as sure as right")
    ax.plot(confidence, accuracy, "o-", color=_BLUE, markersize=7, label="this model")
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.set_ylabel("share that is right", color=_FAINT)
    ax.legend(loc="upper left", frameon=False, fontsize=9)
    counts.bar(confidence, n, width=0.03, color=_BLUE)
    counts.set_ylabel("number", color=_FAINT)
    counts.set_xlabel("mean confidence", color=_FAINT)
    for each in (ax, counts):
        each.grid(color=_GRID)
        _plain(each)
    return _png(figure)


@plain_style()
def time_performance(points: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> bytes:
    """Macro F1 over seconds, a point for each seed (hollow) and the mean of each name (filled, with its name)."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    ax = figure.add_subplot()
    means = {name: (float(np.mean(seconds)), float(np.mean(f1))) for name, (seconds, f1) in points.items()}
    for seconds, f1 in points.values():
        ax.plot(seconds, f1, "o", markersize=4, markerfacecolor="none", markeredgecolor=_FAINT, markeredgewidth=0.7)
    for i, (name, mean) in enumerate(means.items()):
        ax.plot(*mean, "o", markersize=8, color=_BLUE)
        label = ax.annotate(ellipsize(name, 24), mean, (0, 8 if i % 2 == 0 else -15), textcoords="offset points")
        label.set(ha="center", fontsize=9, color=_INK, parse_math=False, fontfamily=fonts_for(name))
    times = [seconds for seconds, _ in means.values()]
    if max(times) > 5 * min(times) > 0:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_locator(NullLocator())
    ax.margins(0.12)
    ax.set_xlabel("seconds of training", color=_FAINT)
    ax.set_ylabel("macro F1 on the test set", color=_FAINT)
    ax.grid(color=_GRID)
    _plain(ax)
    return _png(figure)


@plain_style()
def gaps(losses: Mapping[str, tuple[float, float]]) -> bytes:
    """The train loss (blue disc) and validation loss (orange square) of each name, and the gap as the bar between."""
    figure = Figure(figsize=(7.2, 1.2 + 0.36 * len(losses)), layout="constrained")
    ax = figure.add_subplot()
    for y, (train, val) in enumerate(losses.values()):
        ax.plot([train, val], [y, y], color=_FAINT, linewidth=2, zorder=1)
        ax.plot(train, y, "o", color=_BLUE, markersize=8, label="train")
        ax.plot(
            val, y, "s", color=_ORANGE, markerfacecolor="white", markeredgewidth=2, markersize=7, label="validation"
        )
    names = [ellipsize(name, 40) for name in losses]
    ax.set_yticks(range(len(losses)), names, parse_math=False, fontfamily=fonts_for(*names))
    ax.set_ylim(len(losses) - 0.4, -0.6)
    ax.set_xlabel("loss of the last epoch", color=_FAINT)
    ax.grid(axis="x", color=_GRID)
    _plain(ax)
    _key(figure, [ax])
    return _png(figure)


@plain_style()
def melgrams(samples: Mapping[str, NDArray[np.floating]]) -> bytes:
    """A melgram (21, 128) in dB for each name, on one scale: time to the right, mel bands upwards."""
    columns = min(4, len(samples))
    rows = math.ceil(len(samples) / columns)
    figure = Figure(figsize=(0.9 + 1.75 * columns, 0.5 + 2.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    low, high = min(float(x.min()) for x in samples.values()), max(float(x.max()) for x in samples.values())
    for ax, (name, melgram) in zip(axes, samples.items(), strict=False):
        image = ax.imshow(
            melgram.T.astype(np.float32), origin="lower", aspect="auto", cmap="cividis", vmin=low, vmax=high,
            extent=(0, 1, 0, melgram.shape[1]),
        )  # fmt: skip
        title = ax.set_title(ellipsize(name, 22), fontsize=9.5, loc="left", color=_INK, parse_math=False)
        title.set_fontfamily(fonts_for(name))
        _plain(ax)
    for ax in axes[len(samples) :]:
        ax.set_visible(False)
    figure.colorbar(image, ax=axes.tolist(), label="dB", shrink=0.8)
    figure.supxlabel("time (s)", fontsize=9, color=_FAINT)
    figure.supylabel("mel band", fontsize=9, color=_FAINT)
    return _png(figure)


def _panels(names: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """A panel for each name, on shared axes, at most four side by side."""
    columns = min(4, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(max(4.0, 0.6 + 1.95 * columns), 0.75 + 1.6 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel())
    for ax, name in zip(axes, names, strict=False):
        text = textwrap.fill(ellipsize(name, 80), 27, max_lines=2, placeholder="…")
        title = ax.set_title(text, fontsize=8.5, loc="left", color=_INK, parse_math=False)
        title.set_fontfamily(fonts_for(text))
        ax.grid(color=_GRID)
        _plain(ax)
    for ax in axes[len(names) :]:
        ax.set_visible(False)
    axes[0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for ax in axes[max(0, len(names) - columns) : len(names)]:  # the lowest of each column
        ax.tick_params(labelbottom=True)
    figure.supxlabel("epoch", fontsize=9, color=_FAINT)
    return figure, axes[: len(names)]


def _plain(ax: Axes) -> None:
    ax.spines[:].set_visible(False)
    ax.tick_params(color=_FAINT, labelcolor=_INK, labelsize=8.5)
    ax.set_axisbelow(True)


def _key(figure: Figure, axes: Sequence[Axes]) -> None:
    """One key of the two kinds of lines, above all panels."""
    found = {label: line for ax in axes for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if found:
        figure.legend(found.values(), found.keys(), loc="outside upper right", ncols=2, frameon=False, fontsize=9)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, facecolor="white")
    return buffer.getvalue()
