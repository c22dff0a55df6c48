"""Timelines whose seconds have several labels, or none: every format, the picture, the player and the page."""

import csv
import io
import json

import jams
import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genreline.errors import DataError
from genreline.predict.compare import compare_songs, draw_comparison, pair_labels, recall_on_test
from genreline.predict.files import SongTask
from genreline.predict.player import to_html
from genreline.predict.plot import draw, save_picture
from genreline.predict.timeline import NO_LABEL, SILENCE, Timeline, csv_header, csv_row

NAMES = ("bass", "drums", "voice")
THRESHOLDS = (0.5, 0.3, 0.7)
ROWS = [[0.9, 0.4, 0.1], [0.6, 0.1, 0.8], [0.1, 0.2, 0.3], [0.0, 0.0, 0.0], [0.2, 0.9, 0.1], [0.2, 0.8, 0.75]]


def timeline_of(rows=ROWS, thresholds=THRESHOLDS, duration_s=5.5, is_silent=(0, 0, 0, 1, 0, 0), title="A Song"):
    return Timeline(NAMES, rows, duration_s, title, "band", is_silent=np.array(is_silent, bool), thresholds=thresholds)


probabilities = arrays(np.float32, st.tuples(st.integers(1, 8), st.just(3)), elements=st.floats(0, 1, width=32))
thresholds_of = st.tuples(*[st.floats(0, 1)] * 3)


def test_a_second_has_each_label_that_reaches_its_threshold():
    timeline = timeline_of()
    assert timeline.labels == ("bass|drums", "bass|voice", "", SILENCE, "drums", "drums|voice")
    assert timeline.runs() == [
        pytest.approx(run)
        for run in [
            (0, 2, "bass", 0.75),
            (0, 1, "drums", 0.4),
            (1, 2, "voice", 0.8),
            (3, 4, SILENCE, 0),
            (4, 5.5, "drums", (0.9 + 0.8 * 0.5) / 1.5),
            (5, 5.5, "voice", 0.75),
        ]
    ]
    assert timeline.confidence.tolist() == pytest.approx([0.9, 0.8, 0.3, 0, 0.9, 0.8])


def test_the_song_has_the_labels_whose_mean_reaches_their_threshold():
    timeline = timeline_of()
    assert timeline.overall["drums"] == pytest.approx((0.4 + 0.1 + 0.2 + 0.9 + 0.4) / 4.5)
    assert timeline.song_labels == ("drums",)
    assert timeline.verdict == "drums"
    assert timeline_of(thresholds=(0, 0.1, 0)).verdict == "bass, drums, voice"
    assert timeline_of(thresholds=(1, 1, 1)).verdict == NO_LABEL
    assert timeline_of(is_silent=[1] * 6).verdict == SILENCE
    assert not timeline.is_unsure


@given(probabilities, thresholds_of, st.randoms())
def test_runs_hold_each_second_once_for_each_of_its_labels(rows, thresholds, chance):
    is_silent = [chance.random() < 0.2 for _ in rows]
    timeline = timeline_of(rows, thresholds, len(rows), is_silent)
    found = [set() for _ in rows]
    for run in timeline.runs():
        for second in range(int(run.start_s), int(run.end_s)):
            assert run.label not in found[second]
            found[second].add(run.label)
    assert [set(label.split("|")) - {""} for label in timeline.labels] == found
    assert [run.start_s for run in timeline.runs()] == sorted(run.start_s for run in timeline.runs())


@given(probabilities, thresholds_of, st.randoms())
def test_a_csv_file_gives_the_same_labels_again(rows, thresholds, chance):
    is_silent = [chance.random() < 0.2 for _ in rows]
    timeline = timeline_of(rows, thresholds, len(rows), is_silent)
    again = Timeline.from_csv(timeline.to_csv())
    assert again.labels == timeline.labels
    np.testing.assert_allclose(again.probabilities, timeline.probabilities, atol=1.01e-4)
    assert again.is_silent.tolist() == timeline.is_silent.tolist()
    assert next(csv.reader(io.StringIO(timeline.to_csv())))[:4] == ["start_s", "end_s", "labels", "confidence"]


def test_labels_are_compared_as_float32():
    timeline = Timeline(("a", "b"), [[0.7, 0.7]] * 2, 2, thresholds=(0.7, 0.3))
    assert timeline.labels == ("a|b", "a|b")
    assert timeline.song_labels == ("a", "b")
    assert Timeline.from_csv(timeline.to_csv()).song_labels == ("a", "b")


@given(probabilities, thresholds_of)
def test_json_gives_the_same_timeline_again(rows, thresholds):
    timeline = timeline_of(rows, thresholds, len(rows), [0] * len(rows))
    again = Timeline.from_json(timeline.to_json())
    assert again.to_dict() == timeline.to_dict()
    assert again.thresholds == timeline.thresholds
    np.testing.assert_array_equal(again.probabilities, timeline.probabilities)


def test_the_rows_of_a_stream_are_those_of_the_file():
    timeline = timeline_of()
    shown = np.where(timeline.is_silent[:, None], np.nan, timeline.probabilities)
    rows = [
        csv_row(NAMES, i, end_s, row, thresholds=THRESHOLDS)
        for i, (end_s, row) in enumerate(zip(timeline.end_s, shown, strict=True))
    ]
    assert csv_header(NAMES, is_multi_label=True) + "".join(rows) == timeline.to_csv()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thresholds": (0.5,)}, "one for each class"),
        ({"thresholds": (0.5, 0.5, 1.5)}, "from 0 to 1"),
        ({"rows": [[0.5, 0.5, 1.2]] * 6}, "must be from 0 to 1"),
        ({"rows": [[0.5, np.nan, 0]] * 6}, "must be from 0 to 1"),
    ],
)
def test_what_makes_no_sense_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        timeline_of(**change)


def test_labels_that_no_thresholds_give_are_refused():
    text = timeline_of().to_csv()
    with pytest.raises(DataError, match="CSV line 7: lacks a label that a less probable second has"):
        Timeline.from_csv(text.replace("drums|voice", "voice"))
    with pytest.raises(DataError, match="there is no column flute"):
        Timeline.from_csv(text.replace("drums|voice", "flute"))
    with pytest.raises(DataError, match="must have letters, and no"):
        Timeline(("a|b", "c"), [[0, 1]], 1, thresholds=(0.5, 0.5))


@pytest.mark.filterwarnings("ignore:Passing a schema to Validator:DeprecationWarning")  # jams' own use of jsonschema
def test_other_formats_have_a_line_for_each_labels_run(tmp_path):
    timeline = timeline_of()
    assert timeline.to_audacity().splitlines()[:2] == ["0.000000\t2.000000\tbass", "0.000000\t1.000000\tdrums"]
    assert len(timeline.to_rttm().splitlines()) == len(timeline.runs())
    timeline.save(tmp_path / "song.jams")
    song = jams.load(str(tmp_path / "song.jams"), validate=True, strict=True)
    assert [each.value for each in song.annotations["segment_open"][0].data] == [run.label for run in timeline.runs()]
    table = timeline.to_pandas()
    assert list(table.columns) == ["start_s", "end_s", "labels", "confidence", *NAMES]


def test_the_picture_is_dark_where_there_is_a_label(tmp_path):
    figure = draw(timeline_of())
    assert "dark where it is a label" in figure.axes[0].get_xlabel()
    bold = [label.get_text() for label in figure.axes[0].get_yticklabels() if label.get_fontweight() == "bold"]
    assert bold == ["drums"]
    rows = np.tile(ROWS, (400, 1))  # drawn in columns of several seconds
    save_picture(timeline_of(rows, duration_s=2400, is_silent=np.zeros(2400)), tmp_path / "long.png")
    assert matplotlib.image.imread(tmp_path / "long.png").shape[2] == 4


class Band:
    """An engine that gives the rows above, whatever it hears."""

    name, classes, features, metrics = "band", NAMES, "mfccs", {}

    def __init__(self):
        from genreline.train.folder import Calibration

        self.calibration = Calibration(thresholds=dict(zip(NAMES, THRESHOLDS, strict=True)))

    def probabilities(self, seconds):
        return np.array(ROWS, np.float32)[: len(seconds)]


def test_songs_of_known_labels_are_compared(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "song.wav", np.random.default_rng(0).normal(0, 0.1, 8000 * 3), 8000)
    task = SongTask(tmp_path / "song.wav", tmp_path / "song")
    songs = pair_labels([task, task], ["bass", "bass|voice"], NAMES, is_multi_label=True)
    bass, both = compare_songs(Band(), songs)
    assert (bass["n_right"], bass["n"]) == (0, 3)  # both seconds with bass have another label, too
    assert both["n_right"] == 1
    assert both["mean_probability"] == pytest.approx(0.4)
    recall = {"bass": 0.9, "drums": 0.2, "voice": 0.4}
    assert recall_on_test({"recall": recall}, "bass|voice") == 0.4
    assert recall_on_test({"accuracy": 0.5}, "bass") is None
    test = {"accuracy": 0.5, "recall": recall}
    assert draw_comparison([bass, both], test).axes[0].get_lines()[0].get_xdata().tolist() == [0.9, 0.4]
    for label in ("bass|flute", "", "|"):
        with pytest.raises(DataError, match="the model does not know this genre"):
            pair_labels([task], [label], NAMES, is_multi_label=True)
    with pytest.raises(DataError, match=r"bass\|voice: the model does not know"):
        pair_labels([task], ["bass|voice"], NAMES)


@pytest.mark.slow
def test_lanes_of_several_seconds_are_dark_where_half_of_them_have_the_label(open_page, until, tmp_path):
    """Also where each second has one label, and another class the higher mean."""
    rows = np.tile([[0.6, 0.5, 0.0]], (3000, 1))
    timeline = Timeline(NAMES, rows, 3000, "Long", "band", thresholds=(0.7, 0.5, 0.5))
    (tmp_path / "song.html").write_text(to_html(timeline, None))
    page = open_page((tmp_path / "song.html").as_uri())
    page.wait_for_selector(".timeline-tick")
    drawn = "[...document.querySelectorAll('.timeline-winner')].map((path) => Boolean(path.getAttribute('d'))).join()"
    until(page, f"{drawn} === 'false,true,false'")


@pytest.mark.slow
def test_the_player_shows_all_labels_of_a_second(open_page, until, tmp_path):
    (tmp_path / "song.html").write_text(to_html(timeline_of(), None))
    page = open_page((tmp_path / "song.html").as_uri())
    page.wait_for_selector(".timeline-tick")
    until(page, "document.querySelectorAll('.timeline-readout canvas').length === 2")
    assert page.locator(".timeline-readout").inner_text() == "0:00  bass, drums"
    assert page.locator(".timeline-at.timeline-won").count() == 2
    assert page.locator(".timeline-name.timeline-won").all_inner_texts() == ["drums"]
    assert page.locator(".timeline-run-label").all_inner_texts() == [run.label for run in timeline_of().runs()]
    page.keyboard.press("Tab")
    page.locator(".timeline-slider").focus()
    for expected in ("0:01  bass, voice", "0:02  no label", "0:03  silence", "0:04  drums 90\u00a0%"):
        page.keyboard.press("ArrowRight")
        until(page, f"document.querySelector('.timeline-readout').textContent === {json.dumps(expected)}")
    assert page.locator("[aria-current] .timeline-run-label").all_inner_texts() == ["drums"]
    page.keyboard.press("Home")
    until(page, "document.querySelectorAll('[aria-current]').length === 2")
    # The ribbon's foot has both colours of the first second, one below the other.
    colours = page.evaluate(
        """() => {
          const canvas = document.querySelector('.timeline-ribbon');
          const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
          copy.drawImage(canvas, 0, 0);
          const x = Math.round(canvas.width / 11);
          return [2, 7].map((up) => Array.from(copy.getImageData(x, canvas.height - up, 1, 1).data).join());
        }"""
    )
    assert colours[0] != colours[1]
