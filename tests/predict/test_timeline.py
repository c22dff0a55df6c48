"""The timeline against the standard library's parsers, and against plain numpy and plain loops."""

import csv
import dataclasses
import io
import itertools
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genreline.errors import ConfigError, DataError, GenrelineError
from genreline.predict.timeline import Run, Timeline

# Anything that UTF-8 can hold, with what hurts CSV and label files often enough to be tried.
NAMES = st.text(st.characters(codec="utf-8") | st.sampled_from(",\"'\t\n\r; "), max_size=6)
GENRES = ("blues", "classical", "hiphop", "rock_metal_hardrock")


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    classes = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    # Few different weights, so that equal probabilities and long runs come up.
    weight = st.integers(0, 3) | st.floats(0, 1, width=32)
    row = st.lists(weight, min_size=len(classes), max_size=len(classes)).filter(lambda weights: sum(weights) > 1e-3)
    weights = np.array(draw(st.lists(row, min_size=1, max_size=12)), dtype=np.float64)
    duration_s = len(weights) + draw(st.floats(-1, 0.249, exclude_min=True))
    if duration_s == len(weights) - 1:  # the remainder was lost in the subtraction
        duration_s = float(len(weights))
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    is_silent = np.array(draw(st.lists(st.booleans(), min_size=len(weights), max_size=len(weights))))
    is_silent &= draw(st.booleans())
    names = draw(NAMES), draw(NAMES)
    return Timeline(tuple(classes), probabilities.astype(np.float32), duration_s, *names, is_silent=is_silent)


@pytest.fixture
def song() -> Timeline:
    rows = [[0.7, 0.1, 0.1, 0.1], [0.6, 0.2, 0.1, 0.1], [0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0, 0]]
    return Timeline(GENRES, np.array(rows, dtype=np.float32), 3.437, title="Frozen", model="cnn")


def test_seconds_labels_and_confidence(song: Timeline) -> None:
    np.testing.assert_array_equal(song.start_s, [0, 1, 2, 3])
    np.testing.assert_array_equal(song.end_s, [1, 2, 3, 3.437])
    assert song.labels == ("blues", "blues", "rock_metal_hardrock", "blues")  # the first of equals
    np.testing.assert_array_equal(song.confidence, np.array([0.7, 0.6, 0.4, 0.5], dtype=np.float32))
    assert song.confidence.dtype == song.probabilities.dtype == np.float32


def test_runs_of_a_known_song(song: Timeline) -> None:
    first, second, third = song.runs()
    assert first == Run(0, 2, "blues", pytest.approx(0.65))
    assert second == Run(2, 3, "rock_metal_hardrock", pytest.approx(0.4))
    assert third == Run(3, 3.437, "blues", pytest.approx(0.5))


def test_dominant_is_by_probability_and_not_by_votes() -> None:
    rows = [[0.51, 0.49], [0.51, 0.49], [0.01, 0.99]]
    assert Timeline(("a", "b"), np.array(rows, dtype=np.float32), 3).dominant == "b"
    # The last row is a tenth of a second and weighs a tenth.
    assert Timeline(("a", "b"), np.array(rows, dtype=np.float32), 2.01).dominant == "a"


def test_a_tie_goes_to_the_first_class() -> None:
    rows = np.array([[0.1, 0.7, 0.2], [0.1, 0.2, 0.7]] * 50, dtype=np.float32)
    assert Timeline(("a", "b", "c"), rows, 100).dominant == "b"
    assert Timeline(("a", "c", "b"), rows[:, [0, 2, 1]], 100).dominant == "c"


@given(timelines())
def test_overall_is_the_mean_over_time(timeline: Timeline) -> None:
    n = len(timeline.probabilities)
    lengths_s = [(i + 1 if i < n - 1 else timeline.duration_s) - i for i in range(n)]
    if not all(timeline.is_silent):
        lengths_s = [0 if is_silent else s for is_silent, s in zip(timeline.is_silent, lengths_s, strict=True)]
    for column, name in enumerate(timeline.classes):
        terms = (p * s for p, s in zip(timeline.probabilities[:, column].tolist(), lengths_s, strict=True))
        assert timeline.overall[name] == pytest.approx(math.fsum(terms) / math.fsum(lengths_s), abs=1e-8)
    if all(timeline.is_silent):
        assert timeline.dominant == "silence"
    else:
        assert timeline.overall[timeline.dominant] == max(timeline.overall.values())
    assert sum(timeline.overall.values()) == pytest.approx(1, abs=1e-5)


@given(timelines())
def test_runs_cover_the_song_and_change_at_every_border(timeline: Timeline) -> None:
    runs = timeline.runs()
    assert runs[0].start_s == 0
    assert runs[-1].end_s == timeline.duration_s
    for left, right in itertools.pairwise(runs):
        assert left.end_s == right.start_s
        assert left.label != right.label
    expected = [(label, len(list(group))) for label, group in itertools.groupby(timeline.labels)]
    ends = [*(run.end_s for run in runs[:-1]), len(timeline.labels)]  # the last row may last a little longer
    assert [(run.label, end - run.start_s) for run, end in zip(runs, ends, strict=True)] == expected
    for run in runs:
        within = timeline.confidence[int(run.start_s) : math.ceil(run.end_s)]
        assert within.min() - 1e-6 <= run.confidence <= within.max() + 1e-6


@pytest.fixture
def pauses() -> Timeline:
    """Silence, blues, silence, and blues again."""
    rows = [[0, 1.0], [0.9, 0.1], [0, 1.0], [0, 1.0], [0.7, 0.3]]
    return Timeline(("blues", "jazz"), np.array(rows), 5.2, is_silent=np.array([1, 0, 1, 1, 0], bool))


def test_silence_has_a_label_and_no_part_in_means(pauses: Timeline) -> None:
    assert pauses.labels == ("silence", "blues", "silence", "silence", "blues")
    np.testing.assert_array_equal(pauses.probabilities[[0, 2, 3]], 0.5)
    assert pauses.overall == pytest.approx({"blues": (0.9 + 0.7 * 1.2) / 2.2, "jazz": (0.1 + 0.3 * 1.2) / 2.2})
    assert pauses.dominant == "blues"
    assert [run[:3] for run in pauses.runs()] == [
        (0, 1, "silence"),
        (1, 2, "blues"),
        (2, 4, "silence"),
        (4, 5.2, "blues"),
    ]
    changed = dataclasses.replace(pauses, title="other")
    assert (changed.labels, changed.overall) == (pauses.labels, pauses.overall)


def test_silence_in_every_format(pauses: Timeline) -> None:
    assert pauses.to_csv().splitlines()[1:3] == ["0,1,silence,0.5000,0.5000,0.5000", "1,2,blues,0.9000,0.9000,0.1000"]
    for back in (Timeline.from_csv(pauses.to_csv()), Timeline.from_json(pauses.to_json())):
        np.testing.assert_array_equal(back.is_silent, pauses.is_silent)
        assert (back.labels, back.duration_s) == (pauses.labels, 5.2)
    assert pauses.to_dict()["seconds"][0]["label"] == "silence"
    assert pauses.to_audacity().splitlines()[2] == "2.000000\t4.000000\tsilence"
    assert " silence 0.5000 " in pauses.to_rttm().splitlines()[0]
    assert json.loads(pauses.to_jams())["annotations"][0]["data"][2]["value"] == "silence"
    assert list(pauses.to_pandas()["label"]) == list(pauses.labels)


def test_nothing_but_silence() -> None:
    timeline = Timeline(("blues", "jazz"), np.ones((3, 2)), 2.5, is_silent=np.ones(3, bool))
    assert timeline.dominant == "silence"
    assert timeline.overall == {"blues": 0.5, "jazz": 0.5}
    assert [run.label for run in timeline.runs()] == ["silence"]
    assert Timeline.from_csv(timeline.to_csv()).dominant == "silence"


def test_it_does_not_change(song: Timeline) -> None:
    mine = np.array([[0.5, 0.5]], dtype=np.float32)
    timeline = Timeline(("a", "b"), mine, 1)
    mine[0] = 0, 1
    np.testing.assert_array_equal(timeline.probabilities, [[0.5, 0.5]])
    with pytest.raises(ValueError, match="read-only"):
        song.probabilities[0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        song.title = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("classes", "rows", "duration_s", "message"),
    [
        (("a", "a"), [[0.5, 0.5]], 1, "all different"),
        ((), np.empty((1, 0)), 1, "at least one"),
        ("ab", [[0.5, 0.5]], 1, "one text"),
        (("a", "b"), np.empty((0, 2)), 0, r"shape \(0, 2\)"),
        (("a", "b"), [0.5, 0.5], 1, r"shape \(2,\)"),
        (("a", "b"), [[1.0]], 1, r"shape \(1, 1\)"),
        (("a", "b"), [[0.5, 0.5], [1]], 2, "not numbers"),
        (("a", "b"), [[0.5, "x"]], 1, "not numbers"),
        (("a", "b"), [[0.5, 0.5], [0.5, np.nan]], 2, "second 1"),
        (("a", "b"), [[np.inf, -np.inf]], 1, "second 0"),
        (("a", "b"), [[1e300, 0]], 1, "second 0"),
        (("a", "b"), [[1.2, -0.2]], 1, "smallest -0.2"),
        (("a", "b"), [[70, 30]], 1, "sum 100"),
        (("a", "b"), [[0.5, 0.5]], 0, "does not fit"),
        (("a", "b"), [[0.5, 0.5]], 1.25, "does not fit"),
        (("a", "b"), [[0.5, 0.5]] * 2, 1, "does not fit"),
        (("a", "b"), [[0.5, 0.5]], np.nan, "does not fit"),
        (("a", "b"), [[0.5, 0.5]], None, "not numbers"),
    ],
)
def test_what_does_not_belong_together_is_refused(classes, rows, duration_s, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=message):
        Timeline(classes, rows, duration_s)


def test_csv_to_the_letter(song: Timeline) -> None:
    assert song.to_csv() == (
        "start_s,end_s,label,confidence,blues,classical,hiphop,rock_metal_hardrock\n"
        "0,1,blues,0.7000,0.7000,0.1000,0.1000,0.1000\n"
        "1,2,blues,0.6000,0.6000,0.2000,0.1000,0.1000\n"
        "2,3,rock_metal_hardrock,0.4000,0.1000,0.2000,0.3000,0.4000\n"
        "3,3.437,blues,0.5000,0.5000,0.5000,0.0000,0.0000\n"
    )


def test_csv_read_by_the_standard_library(song: Timeline) -> None:
    timeline = dataclasses.replace(song, classes=("comma, and", 'say "so"', "two\nlines", "label"))
    rows = list(csv.DictReader(io.StringIO(timeline.to_csv(), newline="")))
    assert [float(row["two\nlines"]) for row in rows] == pytest.approx([0.1, 0.1, 0.3, 0])
    assert [row["end_s"] for row in rows] == ["1", "2", "3", "3.437"]


@pytest.mark.parametrize("n_samples", [1, 1996, 1997, 1998, 1999])
def test_csv_holds_every_length_of_a_last_second(n_samples: int) -> None:
    rows = np.full((3, 2), 0.5, np.float32) if n_samples > 8 else np.full((4, 2), 0.5, np.float32)
    timeline = Timeline(("a", "b"), rows, 3 + n_samples / 8000)
    assert Timeline.from_csv(timeline.to_csv()).duration_s == pytest.approx(timeline.duration_s, abs=1e-3)


@given(timelines())
def test_csv_round_trip(timeline: Timeline) -> None:
    back = Timeline.from_csv(timeline.to_csv())
    assert back.classes == timeline.classes
    assert back.labels == timeline.labels  # even where four decimals cannot tell the winner
    assert back.duration_s == pytest.approx(timeline.duration_s, abs=1e-3)
    np.testing.assert_allclose(back.probabilities, timeline.probabilities, rtol=0, atol=1e-4)
    assert Timeline.from_csv(back.to_csv()).to_csv() == back.to_csv() == timeline.to_csv()


def test_csv_keeps_the_label_that_rounding_hides() -> None:
    timeline = Timeline(("a", "b"), np.array([[0.49999, 0.50001]], dtype=np.float32), 1)
    assert "0.5000,0.5000" in timeline.to_csv()
    assert Timeline.from_csv(timeline.to_csv()).labels == ("b",)


@pytest.mark.parametrize("name", ["a\rb", "\r", "a\r\nb", '"\n"', ",", "", " ", "\ufeff", "\x00", "=1+1"])
def test_csv_and_json_of_awkward_names(name: str) -> None:
    timeline = Timeline((name, "label"), np.array([[0.25, 0.75], [0.75, 0.25]], dtype=np.float32), 2)
    for back in (Timeline.from_csv(timeline.to_csv()), Timeline.from_json(timeline.to_json())):
        assert back.classes == timeline.classes
        assert back.labels == ("label", name)


def test_csv_of_a_last_sample() -> None:
    timeline = Timeline(("a",), np.ones((4, 1), dtype=np.float32), 3 + 1 / 8000)
    assert timeline.to_csv().splitlines()[-1].startswith("3,3.001,")


def test_csv_of_many_classes_still_sums_to_one() -> None:
    timeline = Timeline(tuple(map(str, range(300))), np.full((1, 300), 1 / 300), 1)  # rounds to .0033: a sum of .99
    assert Timeline.from_csv(timeline.to_csv()).classes == timeline.classes


def test_csv_with_what_excel_adds(song: Timeline) -> None:
    text = "\ufeff" + song.to_csv().replace("\n", "\r\n") + "\r\n"
    assert Timeline.from_csv(text).to_csv() == song.to_csv()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("start_s,", "start,", "line 1: the header"),
        ("0.1000\n1,", "\n1,", "line 2: could not convert"),
        ("0.1000\n1,", "0.1,0.1\n1,", "line 2: 9 fields"),
        ("1,2,blues", "1,3,blues", "line 3: 1 to 3 s is not second 1"),
        ("1,2,blues", "5,6,blues", "line 3: 5 to 6 s is not second 1"),
        ("3,3.437", "3,3", "line 5: 3 to 3 s"),
        ("2,3,rock", "2,2.5,rock", "line 5: 3 to 3.437"),
        ("0,1,blues", "0,1,hiphop", "line 2: label 'hiphop' is not the most probable"),
        ("0,1,blues", "0,1,jazz", "line 2: label 'jazz' is not the most probable"),
        ("0.6000,0.2000", "0.6000,0.9", "line 3: label 'blues'"),
        ("0.6000,0.2000", "0.6000,-0.2", "line 3: smallest -0.2"),
        ("0.6000,0.2000", "0.6000,nan", "line 3: smallest nan"),
        ("0.6000,0.6000,0.2000", "0.6,nan,0.6", "line 3: label"),
        ("1,2,blues", '1,2,"blues', "line 5: unexpected end of data"),
        ("hiphop", "blues", "all different"),
    ],
)
def test_malformed_csv_names_the_line(song: Timeline, old: str, new: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Timeline.from_csv(song.to_csv().replace(old, new, 1))


@pytest.mark.parametrize("text", ["", "\n", "start_s,end_s,label,confidence\n", "start_s,end_s,label,confidence,a\n"])
def test_csv_without_a_second_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        Timeline.from_csv(text)


@given(timelines())
def test_json_round_trip_is_exact(timeline: Timeline) -> None:
    back = Timeline.from_json(timeline.to_json())
    np.testing.assert_array_equal(back.probabilities, timeline.probabilities)
    for name in ("classes", "duration_s", "title", "model", "labels", "overall", "dominant"):
        assert getattr(back, name) == getattr(timeline, name)
    assert back.runs() == timeline.runs()


def test_json_read_by_the_standard_library(song: Timeline) -> None:
    text = dataclasses.replace(song, title="Παγωμένο").to_json()
    assert "Παγωμένο" in text
    data = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert data["classes"] == list(GENRES)
    assert data["duration_s"] == 3.437
    assert data["dominant"] == "blues"
    assert data["overall"]["blues"] == pytest.approx(np.dot([0.7, 0.6, 0.1, 0.5], [1, 1, 1, 0.437]) / 3.437, abs=1e-6)
    assert data["runs"][1] == {"start_s": 2, "end_s": 3, "label": "rock_metal_hardrock", "confidence": 0.4}
    assert data["seconds"][3] == {
        "start_s": 3,
        "end_s": 3.437,
        "label": "blues",
        "confidence": 0.5,
        "probabilities": {"blues": 0.5, "classical": 0.5, "hiphop": 0, "rock_metal_hardrock": 0},
    }


def test_json_has_the_shortest_digits(song: Timeline) -> None:
    assert max(len(digits) for digits in re.findall(r"0\.\d+", song.to_json())) <= len("0.123456")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{", "", "line 1"),
        ('"classes"', '"genres"', "KeyError"),
        ('{"blues": 0.6', '{"jazz": 0.6', "after 1 seconds: KeyError"),
        ('{"blues": 0.6', '{"blues": "much"', "after 1 seconds: ValueError"),
        ('{"blues": 0.6', '{"blues": NaN', "second 1"),
        ('{"blues": 0.6', '{"blues": null', "after 1 seconds: TypeError"),
        ('{"blues": 0.6', '{"blues": 1' + "0" * 400, "after 1 seconds: OverflowError"),
        ('"duration_s": 3.437', '"duration_s": 3', "does not fit"),
        ('"duration_s": 3.437', '"duration_s": []', "not numbers"),
    ],
)
def test_malformed_json_is_refused(song: Timeline, old: str, new: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Timeline.from_json(song.to_json().replace(old, new, 1))


@pytest.mark.parametrize("text", ["", "[]", "null", "3", "{}", "[" * 100_000])
def test_json_that_is_no_song_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"JSON|timeline, after 0 seconds"):
        Timeline.from_json(text)


def test_audacity_labels(song: Timeline) -> None:
    timeline = dataclasses.replace(song, classes=("tab\there", "b", "c", "two\r\nlines"))
    assert timeline.to_audacity() == (
        "0.000000\t2.000000\ttab here\n2.000000\t3.000000\ttwo  lines\n3.000000\t3.437000\ttab here\n"
    )


@given(timelines())
def test_audacity_has_a_line_a_run(timeline: Timeline) -> None:
    lines = timeline.to_audacity().split("\n")
    assert lines.pop() == ""
    fields = [line.split("\t") for line in lines]
    times = [(float(start), float(end)) for start, end, _ in fields]
    assert times == [pytest.approx((run.start_s, run.end_s), abs=1e-6) for run in timeline.runs()]


def test_rttm_read_by_pyannote(song: Timeline, tmp_path: Path) -> None:
    from pyannote.database.util import load_rttm

    timeline = dataclasses.replace(song, title="Two words\there")
    (tmp_path / "a.rttm").write_text(timeline.to_rttm(), encoding="utf-8")
    ((name, annotation),) = load_rttm(tmp_path / "a.rttm").items()
    assert name == "Two_words_here"
    tracks = [(part.start, part.end, label) for part, _, label in annotation.itertracks(yield_label=True)]
    assert tracks == [(pytest.approx(run.start_s), pytest.approx(run.end_s), run.label) for run in timeline.runs()]


@given(timelines())
def test_rttm_has_ten_fields_whatever_the_names(timeline: Timeline) -> None:
    lines = timeline.to_rttm().split("\n")
    assert lines.pop() == ""
    fields = [re.split(r"\s+", line) for line in lines]
    assert {len(each) for each in fields} == {10}
    assert [(float(each[3]), float(each[8])) for each in fields] == [
        (pytest.approx(run.start_s, abs=1e-6), pytest.approx(run.confidence, abs=1e-4)) for run in timeline.runs()
    ]


@pytest.mark.filterwarnings("ignore:Passing a schema to Validator:DeprecationWarning")  # jams' own use of jsonschema
def test_jams_is_valid_and_says_the_same(song: Timeline) -> None:
    import jams
    import jsonschema

    timeline = dataclasses.replace(song, classes=("a b", '"', "c", "λ"))
    loaded = jams.load(io.StringIO(timeline.to_jams()), validate=True, strict=True)
    assert loaded.validate(strict=True)
    assert loaded.file_metadata.duration == 3.437
    assert loaded.file_metadata.title == "Frozen"
    (segments,) = loaded.search(namespace="segment_open")
    assert [(s.time, s.time + s.duration, s.value) for s in segments.data] == [
        (run.start_s, pytest.approx(run.end_s), run.label) for run in timeline.runs()
    ]
    assert [s.confidence for s in segments.data] == pytest.approx([run.confidence for run in timeline.runs()])
    (tags,) = loaded.search(namespace="tag_open")
    assert {tag.value: tag.confidence for tag in tags.data} == pytest.approx(timeline.overall, abs=1e-6)
    schema = jsonschema.Draft4Validator(jams.schema.JAMS_SCHEMA)  # of the text as it is: jams.load fills gaps
    schema.validate(json.loads(timeline.to_jams()))
    broken = json.loads(timeline.to_jams())
    del broken["annotations"][0]["data"][0]["confidence"]
    assert not schema.is_valid(broken)


def test_save_picks_the_format_by_suffix(song: Timeline, tmp_path: Path) -> None:
    for name, text in {
        "a.csv": song.to_csv(),
        "a.JSON": song.to_json(),
        "new/a.txt": song.to_audacity(),
        "a.rttm": song.to_rttm(),
        "a.jams": song.to_jams(),
    }.items():
        song.save(tmp_path / name)
        assert (tmp_path / name).read_bytes() == text.encode()
    with pytest.raises(ConfigError, match=r"\.csv, \.json, \.txt, \.rttm, \.jams"):
        song.save(tmp_path / "a.wav")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.JSON", "a.csv", "a.jams", "a.rttm", "new"]


def test_a_file_name_that_is_no_text_can_be_written(song: Timeline, tmp_path: Path) -> None:
    broken = dataclasses.replace(song, title=b"caf\xe9".decode("utf-8", "surrogateescape"))
    broken.save(tmp_path / "a.json")
    assert Timeline.from_json((tmp_path / "a.json").read_text(encoding="utf-8")).title == "caf?"


@settings(max_examples=30)
@given(st.text())
def test_no_text_is_anything_but_read_or_refused(text: str) -> None:
    for read in (Timeline.from_csv, Timeline.from_json):
        with pytest.raises(DataError):
            read(text)


def test_importing_it_imports_neither_torch_nor_matplotlib() -> None:
    heavy = "{'torch', 'matplotlib', 'scipy', 'pandas'}"
    code = f"import sys, genreline.predict.timeline; print(*({heavy} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == ""


def test_a_dict_keeps_everything_and_is_what_json_holds(song):
    data = song.to_dict()
    assert json.loads(song.to_json()) == data
    back = Timeline.from_dict(data)
    np.testing.assert_array_equal(back.probabilities, song.probabilities)
    assert (back.classes, back.duration_s, back.title, back.model) == (
        song.classes,
        song.duration_s,
        song.title,
        song.model,
    )
    assert back.to_dict() == data
    with pytest.raises(DataError, match="after 1 seconds: KeyError"):
        Timeline.from_dict({**data, "seconds": [data["seconds"][0], {}]})


def test_pandas_gets_the_table(song, monkeypatch):
    frame = song.to_pandas()
    assert list(frame.columns) == ["start_s", "end_s", "label", "confidence", *song.classes]
    assert tuple(frame["label"]) == song.labels
    np.testing.assert_array_equal(frame[list(song.classes)].to_numpy(), song.probabilities)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(GenrelineError, match="pip install pandas"):
        song.to_pandas()


@pytest.fixture
def smoothed():
    alone = Timeline(("not_music", "rock"), np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3]]), 2.5, "A title", "a model")
    return alone.smoothed(np.array([[0.95, 0.05], [0.9, 0.1], [0.92, 0.08]], np.float32))


def test_a_smoothed_timeline_shows_its_neighbours_say_and_keeps_each_second_alone(smoothed):
    assert smoothed.labels == ("not_music",) * 3
    assert smoothed.raw_labels == ("not_music", "rock", "not_music")
    assert smoothed.raw_confidence.tolist() == pytest.approx([0.9, 0.6, 0.7])
    assert len(smoothed.runs()) == 1
    header, _, second, *_ = smoothed.to_csv().splitlines()
    assert header == "start_s,end_s,label,confidence,label_raw,confidence_raw,not_music,rock"
    assert second == "1,2,not_music,0.9000,rock,0.6000,0.9000,0.1000"
    seconds = smoothed.to_dict()["seconds"]
    assert [(each["label"], each["label_raw"], each["confidence_raw"]) for each in seconds[:2]] == [
        ("not_music", "not_music", 0.9),
        ("not_music", "rock", 0.6),
    ]


def test_smoothed_timelines_are_read_as_they_were_written(smoothed):
    assert Timeline.from_json(smoothed.to_json()).to_dict() == smoothed.to_dict()
    read = Timeline.from_csv(smoothed.to_csv())
    assert (read.labels, read.raw_labels) == (smoothed.labels, smoothed.raw_labels)
    np.testing.assert_allclose(read.raw_confidence, smoothed.raw_confidence, atol=1e-4)


@pytest.mark.parametrize(
    ("shares", "margin", "verdict"),
    [
        ((0.1, 0.5, 0.4), 0.05, "rock"),
        ((0.1, 0.5, 0.4), 0.2, "unsure between rock and pop"),
        ((0.6, 0.3, 0.1), 0.1, "not music"),
        ((0.42, 0.38, 0.2), 0.1, "unsure between not music and rock"),
    ],
)
def test_the_verdict_says_when_the_song_is_unsure(shares, margin, verdict):
    timeline = Timeline(("not_music", "rock", "pop"), np.array([shares] * 4), 4, unsure_margin=margin)
    assert timeline.verdict == verdict
    assert Timeline.from_json(timeline.to_json()).verdict == verdict


@pytest.mark.parametrize(
    "changes",
    [
        {"raw_labels": ("rock",)},
        {"raw_labels": ("jazz", "rock"), "raw_confidence": [0.5, 0.5]},
        {"raw_labels": ("rock", "rock"), "raw_confidence": [0.5, 1.5]},
        {"raw_labels": ("rock", "rock"), "raw_confidence": [0.5, np.nan]},
        {"unsure_margin": -0.1},
    ],
)
def test_raw_seconds_that_do_not_belong_are_refused(changes):
    with pytest.raises(DataError, match=r"raw_labels|unsure_margin"):
        Timeline(("rock", "pop"), np.array([[0.5, 0.5]] * 2), 2, **changes)
