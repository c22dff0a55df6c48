"""The picture's content, read back from the figure: lanes, bars, ticks and texts; and the files."""

import dataclasses
import itertools
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.patches import StepPatch
from matplotlib.text import Text

from genreline.errors import ConfigError, DataError, GenrelineError
from genreline.predict import style
from genreline.predict.plot import draw, save_picture
from genreline.predict.timeline import Timeline, in_words

GENRES = ("blues", "classical", "hiphop", "rock_metal_hardrock")


def timeline_of(seconds: int, classes: tuple[str, ...] = GENRES, *, less_s: float = 0.0, title: str = "") -> Timeline:
    """Random probabilities, the same ones each time."""
    rows = np.random.default_rng(seconds).dirichlet(np.full(len(classes), 0.3), seconds)
    return Timeline(classes, rows.astype(np.float32), seconds - less_s, title)


def bars(ax: Axes, lane: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges, grey heights and dark heights of a lane, counted from the bottom, in lane heights."""
    steps = [patch.get_data() for patch in ax.patches if isinstance(patch, StepPatch)]
    empty, _, heights, dark = (step for step in steps if step.baseline == lane)
    full = empty.values.max() - lane
    return heights.edges, (heights.values - lane) / full, (dark.values - lane) / full


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def x_ticks(figure: Figure) -> list[str]:
    figure.draw_without_rendering()
    ax = figure.axes[0]
    low, high = ax.get_xlim()
    return [label.get_text() for label in ax.get_xticklabels() if low <= label.get_position()[0] <= high]


def test_lanes_follow_class_order_from_the_top() -> None:
    timeline = timeline_of(10, less_s=0.4)
    ax = draw(timeline).axes[0]
    by_height = sorted(ax.get_yticklabels(), key=lambda label: -label.get_position()[1])
    assert [label.get_text() for label in by_height] == list(GENRES)
    for i in range(len(GENRES)):
        edges, heights, _ = bars(ax, len(GENRES) - 1 - i)
        np.testing.assert_allclose(edges, [*range(10), 9.6])
        np.testing.assert_allclose(heights, timeline.probabilities[:, i], atol=1e-6)
        assert int(by_height[i].get_position()[1]) == len(GENRES) - 1 - i


def test_the_label_of_each_second_is_dark_and_nothing_else_is() -> None:
    timeline = timeline_of(60)
    ax = draw(timeline).axes[0]
    for i, name in enumerate(GENRES):
        _, heights, dark = bars(ax, len(GENRES) - 1 - i)
        expected = np.where(np.array(timeline.labels) == name, heights, 0)
        np.testing.assert_allclose(dark, expected, atol=1e-12)


def test_the_dominant_genre_is_bold_and_the_shares_are_written() -> None:
    timeline = timeline_of(30, title="Frozen")
    ax = draw(timeline).axes[0]
    bold = [label.get_text() for label in ax.get_yticklabels() if label.get_fontweight() == "bold"]
    assert bold == [timeline.dominant]
    assert ax.get_title(loc="left") == "Frozen"
    assert {f"{share:.0%}" for share in timeline.overall.values()} <= set(texts(ax))
    share = f"{timeline.overall[timeline.dominant]:.0%}"
    assert f"dominant genre: {in_words(timeline.dominant)} ({share})    duration: 0:30" in texts(ax)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "first", "last", "count"),
    [
        (1, "0:00", "0:01", 2),
        (10, "0:00", "0:10", 11),
        (240, "0:00", "4:00", 9),
        (3599, "0:00", "55:00", 12),
        (3600, "0:00:00", "1:00:00", 13),
        (10_800, "0:00:00", "3:00:00", 13),
    ],
)
def test_ticks_are_round_times(seconds: int, first: str, last: str, count: int) -> None:
    ticks = x_ticks(draw(timeline_of(seconds)))
    assert (ticks[0], ticks[-1], len(ticks)) == (first, last, count)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [1, 2, 9, 61, 240, 700, 3599, 3601, 10_800, 100_000])
def test_tick_labels_do_not_touch(seconds: int) -> None:
    figure = draw(timeline_of(seconds, less_s=0.7))
    x_ticks(figure)
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


@pytest.mark.slow
def test_three_hours_keep_every_class_and_the_mean_of_every_second() -> None:
    classes = tuple("abcdefg")
    rng = np.random.default_rng(0)
    winners = np.repeat(rng.permutation(np.arange(540) % 7), 20)  # each wins stretches of 20 seconds
    rows = 0.3 * rng.dirichlet(np.ones(7), 10_800) + 0.7 * np.eye(7)[winners]
    timeline = Timeline(classes, rows.astype(np.float32), 10_799.3)
    figure = draw(timeline)
    ax = figure.axes[0]
    assert "the mean of 10 s" in ax.get_xlabel()
    for i in range(7):
        edges, heights, dark = bars(ax, 6 - i)
        assert len(heights) == 1080
        assert dark.max() > 0
        np.testing.assert_allclose(np.dot(heights, np.diff(edges)) / 10_799.3, timeline.overall[classes[i]], atol=1e-6)
        np.testing.assert_allclose(heights[:1079], rows[:10_790, i].reshape(-1, 10).mean(axis=1), atol=1e-6)


@pytest.mark.slow
def test_a_short_song_says_that_a_column_is_a_second() -> None:
    assert "a column is a second" in draw(timeline_of(240)).axes[0].get_xlabel()
    assert "the mean of 2 s" in draw(timeline_of(1101)).axes[0].get_xlabel()
    assert "the mean of 1 min" in draw(timeline_of(40_000)).axes[0].get_xlabel()


def test_it_draws_where_it_is_told() -> None:
    figure = Figure(figsize=(6, 8))
    upper, lower = figure.subplots(2)
    assert draw(timeline_of(5), ax=lower) is figure
    assert not upper.patches
    assert lower.patches


@pytest.mark.parametrize(("seconds", "count"), [(1, 1), (1, 20), (240, 2)])
def test_any_number_of_classes_and_seconds(seconds: int, count: int, tmp_path: Path) -> None:
    save_picture(timeline_of(seconds, tuple(f"genre_{i}" for i in range(count))), tmp_path / "a.png")
    height, width, _ = matplotlib.image.imread(tmp_path / "a.png").shape
    assert 1200 <= width <= 2400
    assert 300 <= height <= 1300
    assert (tmp_path / "a.png").stat().st_size < 500_000


def test_the_picture_in_grey_tells_winner_from_other(tmp_path: Path) -> None:
    figure = draw(timeline_of(30))
    colours = list(dict.fromkeys(to_hex(patch.get_facecolor()) for patch in figure.axes[0].patches))
    greys = [np.dot([int(colour[i : i + 2], 16) for i in (1, 3, 5)], [0.299, 0.587, 0.114]) for colour in colours]
    empty, tint, other, winner = greys
    assert empty - tint > 20
    assert tint - other > 30
    assert other - winner > 60


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_names_are_not_mathematics(suffix: str, tmp_path: Path) -> None:
    names = ("a $x^2$ b", r"$\broken{$", "under_score_^{}", "two\nlines", "n" * 200)
    timeline = timeline_of(10, names, title=r"$\frac{$ for $5 & <b>" + " very long" * 50)
    ax = draw(timeline).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()][:4] == [*names[:3], "two lines"]
    assert ax.get_title(loc="left").endswith("…")
    save_picture(timeline, tmp_path / f"a{suffix}")
    if suffix == ".svg":
        assert ET.parse(tmp_path / "a.svg").getroot().tag.endswith("svg")


def test_the_title_fits_the_picture() -> None:
    figure = draw(timeline_of(10, title="A Song Title of Ordinary Letters " * 9))
    figure.draw_without_rendering()
    title = next(
        child for child in figure.axes[0].get_children() if getattr(child, "get_text", str)().startswith("A S")
    )
    assert title.get_window_extent().x1 < figure.bbox.x1


@pytest.mark.slow
def test_letters_that_no_font_has_leave_the_title_out_and_signs_go_without_a_warning(tmp_path: Path) -> None:
    for title, written in (
        ("Μίκης 🧿\x07\t!", "Μίκης !"),
        ("Μίκης \U0001f468\u200d\U0001f469\ufe0f", "Μίκης"),
        ("𗀀𗀁 Tangut", "Genre timeline"),
        ("🧿", "Genre timeline"),
    ):
        timeline = timeline_of(10, ("𗀀𗀁", "λαϊκή"), title=title)
        ax = draw(timeline).axes[0]
        assert ax.get_title(loc="left") == written
        assert [label.get_text() for label in ax.get_yticklabels()] == ["□□", "λαϊκή"]
        save_picture(timeline, tmp_path / "a.png")  # a warning would be an error here


@pytest.fixture
def square_font(tmp_path: Path) -> Iterator[None]:
    """A font of one letter, which no other has: a full square."""
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", "day"])
    builder.setupCharacterMap({ord("𗀀"): "day"})
    pen = TTGlyphPen(None)
    for at, draw_to in enumerate([(0, 0), (0, 900), (900, 900), (900, 0)]):
        (pen.lineTo if at else pen.moveTo)(draw_to)
    pen.closePath()
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "day": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "day": (1000, 0)})
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "squares.ttf")
    fontManager.addfont(tmp_path / "squares.ttf")
    style._helpers.cache_clear()
    yield
    fontManager.ttflist.pop()
    style._helpers.cache_clear()


@pytest.mark.slow
def test_a_font_that_has_the_letters_helps(square_font: None, tmp_path: Path) -> None:
    timeline = timeline_of(10, ("𗀀", "b"), title="𗀀𗀀𗀀")
    figure = draw(timeline)
    assert figure.axes[0].get_title(loc="left") == "𗀀𗀀𗀀"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["𗀀", "b"]
    save_picture(timeline, tmp_path / "a.png")
    save_picture(timeline_of(10, ("a", "b"), title="MMM"), tmp_path / "b.png")
    ink = [(matplotlib.image.imread(tmp_path / name)[:80, :, 0] < 0.4).sum() for name in ("a.png", "b.png")]
    assert ink[0] > ink[1] + 800  # the title's letters are full squares of 24 pixels


def test_a_users_style_changes_no_picture_and_stays(tmp_path: Path) -> None:
    save_picture(timeline_of(20, title="a"), tmp_path / "plain.png")
    dark = {
        "text.usetex": True,
        "figure.facecolor": "black",
        "axes.facecolor": "black",
        "savefig.facecolor": "black",
        "savefig.transparent": True,
        "savefig.bbox": "tight",
        "font.size": 30,
        "font.family": "monospace",
        "axes.grid": True,
        "xtick.minor.visible": True,
    }
    with matplotlib.rc_context(dark):
        save_picture(timeline_of(20, title="a"), tmp_path / "dark.png")
        figure = draw(timeline_of(20, title="a"))
        assert {key: matplotlib.rcParams[key] for key in dark} == {**dark, "font.family": ["monospace"]}
        assert not any(text.get_usetex() for text in figure.findobj(Text))
    assert (tmp_path / "dark.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


def test_a_wrong_suffix_is_refused_and_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.txt", "a", "a.jpg"):
        with pytest.raises(ConfigError, match=r"\.png, \.svg, \.pdf"):
            save_picture(timeline_of(3), tmp_path / name)

    def fail(_figure: Figure, path: Path, **_settings: object) -> None:
        path.write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(GenrelineError, match="disk is full"):
        save_picture(timeline_of(3), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_threads_draw_side_by_side(tmp_path: Path) -> None:
    save_picture(timeline_of(20), tmp_path / "alone.png")
    jobs = [threading.Thread(target=save_picture, args=(timeline_of(20), tmp_path / f"{i}.png")) for i in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    assert len(list(tmp_path.iterdir())) == 4


def test_what_infer_returns_is_drawn_with_its_classes():
    ax = draw([1, 1, 0], ["blues", "jazz"]).axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["blues", "jazz"]
    assert "jazz (67%)" in " ".join(text.get_text() for text in ax.texts)
    for predictions, classes in (([0], None), ([2], ["blues", "jazz"]), ([], ["blues"])):
        with pytest.raises(DataError, match="draw: predictions"):
            draw(predictions, classes)


@pytest.mark.parametrize(("n", "column_s"), [(10, 1), (2000, 2)])
def test_silence_is_shaded_and_has_no_bars(n: int, column_s: int) -> None:
    timeline = timeline_of(n, less_s=-0.2)
    is_silent = np.arange(n) % (4 * column_s) < column_s
    ax = draw(dataclasses.replace(timeline, is_silent=is_silent)).axes[0]
    assert "shaded in silence" in ax.get_xlabel()
    steps = [patch.get_data() for patch in ax.patches if isinstance(patch, StepPatch)]
    _, tint, heights, dark, shade = (step.values for step in steps if step.baseline == 0)
    silent_columns = is_silent[::column_s]
    assert (shade > 0).tolist() == silent_columns.tolist()
    for values in (tint, heights, dark):
        assert not values[silent_columns].any()
    assert ax.get_xlim()[1] == n + 0.2


def test_a_picture_of_nothing_but_silence(tmp_path: Path) -> None:
    timeline = dataclasses.replace(timeline_of(3), is_silent=np.ones(3, bool))
    assert "silence    duration: 0:03" in texts(draw(timeline).axes[0])
    save_picture(timeline, tmp_path / "a.png")
