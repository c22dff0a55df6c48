"""The genre timeline of a song: one row of class probabilities for each second, and the formats it is kept in.

Everything derived (labels, runs, the dominant genre) is computed from the probabilities here, so that
files, pictures and pages cannot disagree. A format is one method, `to_<format>`, that returns text.

A second of a multi-label timeline has every label whose probability is at least that label's threshold, or none: its
text is `piano|voice`, or empty. Its probabilities are independent of each other, and it has a run for each label.
"""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from genreline.audio.seconds import SHORTEST_S
from genreline.data.labels import SEPARATOR
from genreline.errors import ConfigError, DataError, GenrelineError
from genreline.files import writable, write_text

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]

_FIXED_COLUMNS = ["start_s", "end_s", "label", "confidence"]
_MULTI_LABEL_COLUMNS = ["start_s", "end_s", "labels", "confidence"]
_RAW_COLUMNS = ["label_raw", "confidence_raw"]
SILENCE = "silence"
"""The label of a second without sound."""
NO_LABEL = "no label"
"""The verdict on a song that has none of a multi-label model's labels."""
_ROUNDING = 1.01e-4  # how far four decimals may move two probabilities to each other
_JAMS_VERSION = "0.3.5"  # of the schema that a test validates against


class Run(NamedTuple):
    """A stretch of consecutive seconds with a label; its confidence is the label's mean probability over time."""

    start_s: float
    end_s: float
    label: str
    confidence: float


@dataclass(frozen=True, eq=False)
class Timeline:
    """The genre probabilities of a song, second by second. Row i is the second that starts at i seconds.

    The arguments are checked and copied, and the array is read-only: a timeline does not change once it is made.

    Args:
        classes: C different class names, in the order of the columns.
        probabilities: (N, C), kept as float32. Rows sum to 1, within 0.01 plus the rounding of four decimals
            (5e-5 a class), so that a CSV file's rows are valid as they are; nothing is normalised. Of a multi-label
            timeline they need not sum to 1.
        duration_s: seconds, N-1 < duration_s < N + 0.25; the last row covers the rest.
        title: the song's.
        model: the name of the model that predicted it.
        raw_labels, raw_confidence: where the probabilities have been smoothed over the song's seconds, the label of
            each second alone, N names, and its probability, (N,) float32; else empty.
        unsure_margin: the least difference between the two most probable classes at which the verdict names one.
        is_silent: (N,) which seconds hold no sound; default: none. They are labelled `silence`, their probabilities are
            made uniform (multi-label: 0), and they take no part in means.
        thresholds: of a multi-label timeline, the least probability of each class at which a second has its label.

    Raises:
        DataError: the arguments do not belong together, or are not probabilities.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    duration_s: float
    title: str = ""
    model: str = ""
    raw_labels: tuple[str, ...] = ()
    raw_confidence: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    unsure_margin: float = 0.0
    is_silent: NDArray[np.bool_] = None  # type: ignore[assignment]  # an array once it is made
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.classes, str):
            raise DataError(f"classes: {self.classes!r} is one text; give a sequence of names")
        try:
            with np.errstate(over="ignore"):  # too large for float32 is infinite, which is refused below
                probabilities = np.array(self.probabilities, dtype=np.float32)
            duration_s = float(self.duration_s)
            thresholds = tuple(float(each) for each in self.thresholds)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"timeline: probabilities, duration or thresholds are not numbers ({error})") from error
        classes = tuple(writable(name) for name in self.classes)
        if not classes or len(set(classes)) < len(classes):
            raise DataError(f"classes: {list(classes)} must be at least one name, and all different")
        if probabilities.ndim != 2 or probabilities.shape[1] != len(classes) or not len(probabilities):
            raise DataError(f"probabilities: shape {probabilities.shape}, expected (seconds, {len(classes)} classes)")
        is_silent = np.zeros(len(probabilities), bool) if self.is_silent is None else np.array(self.is_silent, bool)
        if is_silent.shape != (len(probabilities),):
            raise DataError(f"is_silent: shape {is_silent.shape}, expected ({len(probabilities)},)")
        if len(thresholds) not in (0, len(classes)) or not all(0 <= each <= 1 for each in thresholds):
            raise DataError(f"thresholds: {thresholds} must be one for each class, from 0 to 1, or none")
        if thresholds and any(not name or SEPARATOR in name for name in classes):
            raise DataError(f"classes: {list(classes)} must have letters, and no {SEPARATOR}, which separates labels")
        probabilities[is_silent] = 0 if thresholds else 1 / len(classes)
        if bad := _bad_row(probabilities, bool(thresholds)):
            raise DataError(f"probabilities of second {bad[0]}: {bad[1]}")
        if not len(probabilities) - 1 < duration_s < len(probabilities) + SHORTEST_S:
            raise DataError(f"duration_s: {duration_s} does not fit {len(probabilities)} rows of one second")
        raw_confidence = np.array(self.raw_confidence, dtype=np.float32)
        raw_labels = tuple(writable(name) for name in self.raw_labels)
        if len(raw_labels) not in (0, len(probabilities)) or raw_confidence.shape != (len(raw_labels),):
            raise DataError(f"raw_labels, raw_confidence: not one for each of {len(probabilities)} seconds, or none")
        if set(raw_labels) - {*classes, SILENCE} or not ((raw_confidence >= 0) & (raw_confidence <= 1)).all():
            raise DataError("raw_labels, raw_confidence: must be among the classes, and from 0 to 1")
        if thresholds and (raw_labels or self.unsure_margin):
            raise DataError("raw_labels, unsure_margin: a multi-label timeline has none; each second stands alone")
        if not 0 <= self.unsure_margin <= 1:
            raise DataError(f"unsure_margin: {self.unsure_margin} is not from 0 to 1")
        for array in (probabilities, raw_confidence, is_silent):
            array.flags.writeable = False
        vars(self).update(raw_labels=raw_labels, raw_confidence=raw_confidence, unsure_margin=float(self.unsure_margin))
        # vars(), because a frozen dataclass takes no assignments.
        vars(self).update(classes=classes, probabilities=probabilities, duration_s=duration_s)
        vars(self).update(title=writable(self.title), model=writable(self.model), is_silent=is_silent)
        vars(self).update(thresholds=thresholds)

    @property
    def is_multi_label(self) -> bool:
        """Whether a second may have several labels, or none."""
        return bool(self.thresholds)

    @cached_property
    def is_labelled(self) -> NDArray[np.bool_]:
        """(N, C) which seconds have the label of which class."""
        if self.is_multi_label:
            found: NDArray[np.bool_] = self.probabilities >= np.array(self.thresholds, np.float32)
        else:
            found = self.probabilities.argmax(axis=1)[:, None] == np.arange(len(self.classes))
        return found & ~self.is_silent[:, None]

    @property
    def start_s(self) -> NDArray[np.float64]:
        """(N,) when each row starts, in seconds: 0, 1, 2, ..."""
        return np.arange(len(self.probabilities), dtype=np.float64)

    @property
    def end_s(self) -> NDArray[np.float64]:
        """(N,) when each row ends, in seconds: 1, 2, 3, ..., and at last `duration_s`."""
        return np.append(self.start_s[1:], self.duration_s)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The most probable class of each second, N names (the first of equals); `silence` where there is no sound.

        Of a multi-label timeline, all of a second's labels, between `|`, in class order; "" where there is none.
        """
        if self.is_multi_label:
            rows = zip(self.is_labelled.tolist(), self.is_silent.tolist(), strict=True)
            return tuple(SILENCE if silent else _joined(self.classes, found) for found, silent in rows)
        return tuple(self._name(winner) for winner in self._winners)

    @property
    def _winners(self) -> NDArray[np.int64]:
        """(N,) the number of each second's class, or -1 for silence."""
        winners: NDArray[np.int64] = np.where(self.is_silent, -1, self.probabilities.argmax(axis=1))
        return winners

    def _name(self, winner: int) -> str:
        return SILENCE if winner < 0 else self.classes[winner]

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(N,) the highest probability of each second: that of its label, or of any class in silence."""
        highest: NDArray[np.float32] = self.probabilities.max(axis=1)
        return highest

    @property
    def overall(self) -> dict[str, float]:
        """Each class's mean probability over time, in class order (a last half second counts for half).

        Silence does not count, unless there is nothing else.
        """
        weights = self.end_s - self.start_s
        if not np.all(self.is_silent):
            weights = np.where(self.is_silent, 0, weights)
        # Rounded, so that a tie stays a tie whatever the order in which a machine adds.
        means = np.round(np.average(self.probabilities, axis=0, weights=weights), 9)
        return dict(zip(self.classes, means.tolist(), strict=True))

    @property
    def dominant(self) -> str:
        """The genre of the whole song: the class with the highest `overall` probability, the first of equals.

        Not a majority vote over `labels`, because a vote counts a second won by .51 as much as one won by .99. The
        mean keeps what the model was sure of, and a near tie in a few seconds cannot turn it. `silence` if there is no
        sound at all.
        """
        if np.all(self.is_silent):
            return SILENCE
        overall = self.overall
        return max(self.classes, key=overall.__getitem__)

    @property
    def song_labels(self) -> tuple[str, ...]:
        """The labels of the whole song: its dominant genre; multi-label, all whose mean reaches their threshold."""
        if not self.is_multi_label or np.all(self.is_silent):
            return (self.dominant,)
        pairs = zip(self.overall.items(), self.thresholds, strict=True)
        return tuple(name for (name, mean), threshold in pairs if np.float32(mean) >= np.float32(threshold))

    @property
    def verdict(self) -> str:
        """What to say of the whole song: its dominant genre, or "unsure between rock and pop" where two are too near.

        Of a multi-label timeline, "piano, voice", or "no label". A class is named in words: `not_music` is "not music".
        """
        if self.is_multi_label:
            return ", ".join(map(in_words, self.song_labels)) or NO_LABEL
        if self.is_unsure:
            overall = self.overall
            first, second, *_ = sorted(overall, key=lambda name: -overall[name])
            return f"unsure between {in_words(first)} and {in_words(second)}"
        return in_words(self.dominant)

    @property
    def is_unsure(self) -> bool:
        """Whether the two most probable classes of the whole song are nearer than `unsure_margin`."""
        highest = sorted(self.overall.values(), reverse=True)
        return not np.all(self.is_silent) and len(highest) > 1 and highest[0] - highest[1] < self.unsure_margin

    def smoothed(self, probabilities: NDArray[np.float32]) -> Self:
        """The timeline with probabilities (N, C) in place of its own, whose labels and confidence it keeps as raw."""
        return replace(self, probabilities=probabilities, raw_labels=self.labels, raw_confidence=self.confidence)

    def runs(self) -> list[Run]:
        """Equal consecutive labels as one stretch each: they cover the song without gap or overlap.

        Of a multi-label timeline, the stretches of each label, in the order of their starts: they may overlap.
        """
        if self.is_multi_label:
            return self._label_runs()
        winners = self._winners
        firsts = np.flatnonzero(np.diff(winners, prepend=-2))
        lengths_s = self.end_s - self.start_s
        confidence = np.add.reduceat(lengths_s * self.confidence, firsts) / np.add.reduceat(lengths_s, firsts)
        ends_s = np.append(firsts[1:], self.duration_s)
        rows = zip(firsts, ends_s, winners[firsts], confidence, strict=True)
        return [Run(float(start), float(end), self._name(winner), float(mean)) for start, end, winner, mean in rows]

    def _label_runs(self) -> list[Run]:
        lengths_s, ends_s = self.end_s - self.start_s, self.end_s
        columns = [*zip(self.classes, self.is_labelled.T, self.probabilities.T, strict=True)]
        columns.append((SILENCE, self.is_silent, np.zeros(len(self.is_silent), np.float32)))
        found = []
        for place, (label, has, probabilities) in enumerate(columns):
            changes = np.flatnonzero(np.diff(np.concatenate([[False], has, [False]]).astype(int)))
            for first, stop in changes.reshape(-1, 2).tolist():
                mean = np.average(probabilities[first:stop], weights=lengths_s[first:stop])
                found.append((first, place, Run(float(first), float(ends_s[stop - 1]), label, float(mean))))
        return [run for _, _, run in sorted(found, key=lambda each: each[:2])]

    def to_csv(self) -> str:
        """A table with a row a second: start_s, end_s, label, confidence, then a column a class (four decimals).

        Where the probabilities are smoothed, the columns label_raw and confidence_raw come before those of the classes.
        In a multi-label timeline's the third column is called labels.
        """
        raw = list(zip(self.raw_labels, self.raw_confidence.tolist(), strict=True))
        shown = np.where(np.reshape(self.is_silent, (-1, 1)), np.nan, self.probabilities)
        rows = (
            csv_row(self.classes, i, end_s, probabilities, raw[i] if raw else None, self.thresholds)
            for i, (end_s, probabilities) in enumerate(zip(self.end_s.tolist(), shown, strict=True))
        )
        return csv_header(self.classes, bool(self.raw_labels), self.is_multi_label) + "".join(rows)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain Python, lossless: the form that goes between processes, into JSON and to pages.

        Returns:
            title, model, duration_s, classes (a list), dominant, verdict, unsure_margin, overall (class -> mean
            probability), runs (a list of start_s, end_s, label, confidence) and seconds (a list of the same four and
            probabilities, class -> float; and where they are smoothed, label_raw and confidence_raw). Multi-label, also
            thresholds, class -> float.
        """
        # Through text, because .1 as float32 is 0.10000000149011612 as float64: the shortest digits round-trip.
        rows: list[list[float]] = self.probabilities.astype(str).astype(np.float64).tolist()
        seconds = [
            {"start_s": start_s, "end_s": end_s, "label": label, "confidence": max(row)}
            | {"probabilities": dict(zip(self.classes, row, strict=True))}
            for start_s, end_s, label, row in zip(
                self.start_s.tolist(), self.end_s.tolist(), self.labels, rows, strict=True
            )
        ]
        if self.raw_labels:
            alone = self.raw_confidence.astype(str).astype(np.float64).tolist()
            for second, label, confidence in zip(seconds, self.raw_labels, alone, strict=True):
                second |= {"label_raw": label, "confidence_raw": confidence}
        return {
            "title": self.title,
            "model": self.model,
            "duration_s": self.duration_s,
            "classes": list(self.classes),
            "dominant": self.dominant,
            "verdict": self.verdict,
            "unsure_margin": self.unsure_margin,
            **({"thresholds": dict(zip(self.classes, self.thresholds, strict=True))} if self.is_multi_label else {}),
            "overall": {name: round(share, 6) for name, share in self.overall.items()},
            "runs": [run._replace(confidence=round(run.confidence, 6))._asdict() for run in self.runs()],
            "seconds": seconds,
        }

    def to_json(self) -> str:
        """`to_dict` as one strict JSON object on one line."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False) + "\n"

    def to_pandas(self) -> "pandas.DataFrame":
        """The table of `to_csv`, unrounded, as a pandas DataFrame: a row a second, with a column for each class.

        Raises:
            GenrelineError: pandas is not installed, or a class has the name of another column.
        """
        try:
            import pandas
        except ImportError as error:
            raise GenrelineError("to_pandas: pandas is missing; pip install pandas") from error
        names = _MULTI_LABEL_COLUMNS if self.is_multi_label else _FIXED_COLUMNS
        if taken := sorted(set(self.classes) & set(names)):
            raise GenrelineError(f"to_pandas: a class is named {taken[0]}, as a column is; rename the class")
        columns = dict(zip(names, (self.start_s, self.end_s, self.labels, self.confidence), strict=True))
        return pandas.DataFrame({**columns, **dict(zip(self.classes, self.probabilities.T, strict=True))})

    def to_audacity(self) -> str:
        """A label track for Audacity (File > Import > Labels): start, end and label between tabs, one line a run."""
        runs = ((run, re.sub(r"\s", " ", run.label)) for run in self.runs())  # a tab or a line end would break it
        return "".join(f"{run.start_s:.6f}\t{run.end_s:.6f}\t{label}\n" for run, label in runs)

    def to_rttm(self) -> str:
        """NIST's Rich Transcription Time Marked: a SPEAKER line a run, whose speaker is the genre (RT-09, appendix A).

        Fields are between spaces, so white space in the title and the names becomes `_`.
        """
        song = re.sub(r"\s", "_", self.title) or "song"
        runs = ((run, re.sub(r"\s", "_", run.label) or "_") for run in self.runs())
        return "".join(
            f"SPEAKER {song} 1 {run.start_s:.6f} {run.end_s - run.start_s:.6f} "
            f"<NA> <NA> {label} {run.confidence:.4f} <NA>\n"
            for run, label in runs
        )

    def to_jams(self) -> str:
        """A JAMS file (jams.readthedocs.io): the runs as `segment_open`, the genres of the whole song as `tag_open`."""
        metadata = {"data_source": "program", "annotation_tools": "genreline", "annotator": {"model": self.model}}
        observations = {
            "segment_open": [(run.start_s, run.end_s - run.start_s, run.label, run.confidence) for run in self.runs()],
            "tag_open": [(0.0, self.duration_s, name, share) for name, share in self.overall.items()],
        }
        song = {
            "file_metadata": {"title": self.title, "duration": self.duration_s, "jams_version": _JAMS_VERSION},
            "annotations": [
                {
                    "namespace": namespace,
                    "time": 0.0,
                    "duration": self.duration_s,
                    "annotation_metadata": metadata,
                    "data": [
                        {"time": time, "duration": duration, "value": value, "confidence": round(confidence, 6)}
                        for time, duration, value, confidence in rows
                    ],
                }
                for namespace, rows in observations.items()
            ],
            "sandbox": {},
        }
        return json.dumps(song, ensure_ascii=False, allow_nan=False) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the format that the suffix names: .csv, .json, .txt (Audacity's labels), .rttm or .jams.

        Raises:
            ConfigError: any other suffix.
            GenrelineError: the file cannot be written.
        """
        formats = {
            ".csv": self.to_csv,
            ".json": self.to_json,
            ".txt": self.to_audacity,
            ".rttm": self.to_rttm,
            ".jams": self.to_jams,
        }
        suffix = Path(path).suffix.lower()
        if suffix not in formats:
            raise ConfigError(f"{path}: a timeline is saved as {', '.join(formats)}; choose one of these suffixes")
        write_text(path, formats[suffix]())

    @classmethod
    def from_csv(cls, text: str) -> Self:
        """Read what `to_csv` wrote: the same labels, probabilities within 1e-4, the duration within 1 ms.

        Columns are identified by position. A CSV file holds neither title nor model. Nor does it hold the thresholds of
        a multi-label timeline, which become some that give the same labels.

        Raises:
            DataError: the text is no such table; the message names the line.
        """
        reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
        lines: list[int] = []
        rows: list[list[float]] = []
        raw: list[tuple[str, float]] = []
        is_silent: list[bool] = []
        labels_of_rows: list[list[str]] = []
        end_s = 0.0
        try:
            header = next(reader, [])
            n_fixed = len(_FIXED_COLUMNS) + len(_RAW_COLUMNS) * (header[len(_FIXED_COLUMNS) :][:2] == _RAW_COLUMNS)
            classes = header[n_fixed:]
            is_multi_label = header[: len(_FIXED_COLUMNS)] == _MULTI_LABEL_COLUMNS
            if header[: len(_FIXED_COLUMNS)] != _FIXED_COLUMNS and not is_multi_label:
                raise ValueError(f"the header must begin with {','.join(_FIXED_COLUMNS)}")
            for fields in filter(None, reader):
                if len(fields) != len(header):
                    raise ValueError(f"{len(fields)} fields, expected {len(header)}")
                start_s, last_end_s, end_s = float(fields[0]), end_s, float(fields[1])
                if start_s != len(rows) or start_s != last_end_s or not start_s < end_s < start_s + 1 + SHORTEST_S:
                    raise ValueError(f"{fields[0]} to {fields[1]} s is not second {len(rows)}")
                row = [float(p) for p in fields[n_fixed:]]
                is_silent.append(_is_silence(fields[2], row))
                if is_multi_label:
                    labels_of_rows.append([] if is_silent[-1] else _checked_labels(fields[2], classes))
                rows.append(row if is_multi_label or is_silent[-1] else _with_label(row, classes, fields[2]))
                if n_fixed > len(_FIXED_COLUMNS):
                    raw.append((fields[4], float(fields[5])))
                lines.append(reader.line_num)
        except (ValueError, csv.Error) as error:
            raise DataError(f"CSV line {reader.line_num}: {error}") from error
        if rows and (bad := _bad_row(np.array(rows), is_multi_label)):
            raise DataError(f"CSV line {lines[bad[0]]}: {bad[1]}")
        probabilities = np.array(rows, dtype=np.float32).reshape(len(rows), len(classes))
        thresholds: tuple[float, ...] = ()
        if is_multi_label:
            is_labelled = np.array([[name in found for name in classes] for found in labels_of_rows], bool)
            thresholds = _told_thresholds(probabilities, is_labelled.reshape(probabilities.shape), lines)
        labels, confidence = tuple(label for label, _ in raw), np.array([each for _, each in raw], np.float32)
        return cls(
            tuple(classes),
            probabilities,
            end_s,
            raw_labels=labels,
            raw_confidence=confidence,
            is_silent=np.array(is_silent, bool),
            thresholds=thresholds,
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote, exactly; see `from_dict`.

        Raises:
            DataError: the text is no such object; the message names the line, or the second.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"JSON line {error.lineno}: {error.msg}") from error
        except (ValueError, RecursionError) as error:  # a number with too many digits, or lists within lists
            raise DataError(f"JSON: {type(error).__name__} ({error})") from error
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The timeline of what `to_dict` returned, exactly.

        What follows from the probabilities (labels except silence, runs, dominant, overall) is recomputed, not read.

        Raises:
            DataError: a key is missing or a value is invalid; the message names the second.
        """
        rows: list[list[float]] = []
        is_silent: list[bool] = []
        try:
            classes = tuple(data["classes"])
            for second in data["seconds"]:
                rows.append([float(second["probabilities"][name]) for name in classes])
                is_silent.append(_is_silence(second.get("label"), rows[-1]))
            raw = [second for second in data["seconds"] if "label_raw" in second]
            return cls(
                classes,
                np.array(rows),
                data["duration_s"],
                data["title"],
                data["model"],
                tuple(str(second["label_raw"]) for second in raw),
                np.array([float(second["confidence_raw"]) for second in raw], np.float32),
                float(data.get("unsure_margin", 0.0)),
                np.array(is_silent, bool),
                tuple(float(data["thresholds"][name]) for name in classes) if "thresholds" in data else (),
            )
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"timeline, after {len(rows)} seconds: {type(error).__name__} ({error})") from error


def format_time(second: float, hours: bool = False) -> str:
    """A time as m:ss, or as h:mm:ss from an hour on (or with `hours`), rounded down to whole seconds."""
    minutes, seconds = divmod(int(second + 1e-6), 60)
    if hours or minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return f"{minutes}:{seconds:02}"


def in_words(name: str) -> str:
    """A class's name in running text: `not_music` becomes "not music"."""
    return name.replace("_", " ")


def csv_header(classes: Sequence[str], with_raw: bool = False, is_multi_label: bool = False) -> str:
    """The first line of `Timeline.to_csv`."""
    fixed = _MULTI_LABEL_COLUMNS if is_multi_label else _FIXED_COLUMNS
    return _csv_line([*fixed, *(_RAW_COLUMNS if with_raw else []), *classes], classes)


def csv_row(
    classes: Sequence[str],
    start_s: int,
    end_s: float,
    probabilities: NDArray[np.float32],
    raw: tuple[str, float] | None = None,
    thresholds: Sequence[float] = (),
) -> str:
    """The line of `Timeline.to_csv` for the second from start_s to end_s.

    Args:
        probabilities: (C,), NaN for silence.
        raw: the label and the confidence of the second alone, if there are such columns.
        thresholds: of a multi-label timeline.
    """
    is_silent = bool(np.isnan(probabilities).all())
    if is_silent:
        probabilities = np.full(len(classes), 0 if thresholds else 1 / len(classes), np.float32)
    winner = int(probabilities.argmax())
    label = SILENCE if is_silent else classes[winner]
    if thresholds and not is_silent:
        label = _joined(classes, (probabilities >= np.array(thresholds, np.float32)).tolist())
    # A last second of 0.1 ms must not round to nothing, nor one of less than 1.25 s to that.
    end = min(max(round(end_s, 3), start_s + 0.001), start_s + 1 + SHORTEST_S - 0.001)
    confidence, *shares = (f"{p:.4f}" for p in (probabilities[winner], *probabilities))
    alone = [] if raw is None else [raw[0], f"{raw[1]:.4f}"]
    end_text = f"{end:.3f}".rstrip("0").rstrip(".")
    return _csv_line([start_s, end_text, label, confidence, *alone, *shares], classes)


def _csv_line(fields: Sequence[object], classes: Sequence[str]) -> str:
    text = io.StringIO()
    # Python 3.11's writer forgets to quote a lone carriage return, so with one in a name everything is quoted.
    returns = "\r" in "".join(classes)
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL).writerow(fields)
    return text.getvalue()


def _joined(classes: Sequence[str], has: Sequence[bool]) -> str:
    return SEPARATOR.join(name for name, found in zip(classes, has, strict=True) if found)


def _bad_row(probabilities: NDArray[Any], is_multi_label: bool) -> tuple[int, str] | None:
    """The first of the rows (N, C) that is not a probability distribution, and why; None if all are.

    Multi-label, each number of a row is a probability by itself.
    """
    if is_multi_label:
        good = ((probabilities >= 0) & (probabilities <= 1)).all(axis=1)
        if good.all():
            return None
        i = int(good.argmin())
        return i, f"from {probabilities[i].min():.4f} to {probabilities[i].max():.4f}; must be from 0 to 1"
    with np.errstate(invalid="ignore"):
        sums = probabilities.sum(axis=1, dtype=np.float64)
    tolerance = 0.01 + 5e-5 * probabilities.shape[1]
    good = (probabilities >= 0).all(axis=1) & (np.abs(sums - 1) <= tolerance)  # NaN fails both
    if good.all():
        return None
    i = int(good.argmin())
    return i, f"smallest {probabilities[i].min():.4f}, sum {sums[i]:.4f}; must be at least 0 and sum to 1"


def _is_silence(label: object, row: Sequence[float]) -> bool:
    """Whether a second that was written with this label and row has no sound."""
    return label == SILENCE and len(set(row)) == 1


def _with_label(row: list[float], classes: list[str], label: str) -> list[float]:
    """The row with `label` minimally ahead where rounding to four decimals made the two highest equal."""
    if label not in classes or not row[classes.index(label)] >= max(row) - 1e-4:
        raise ValueError(f"label {label!r} is not the most probable class")
    if classes[row.index(max(row))] != label:
        row[classes.index(label)] = float(np.nextafter(np.float32(max(row)), np.float32(2)))
    return row


def _checked_labels(text: str, classes: list[str]) -> list[str]:
    found = text.split(SEPARATOR) if text else []
    if unknown := sorted(set(found) - set(classes)):
        raise ValueError(f"labels {text!r}: there is no column {unknown[0]}")
    return found


def _told_thresholds(
    probabilities: NDArray[np.float32], is_labelled: NDArray[np.bool_], lines: Sequence[int]
) -> tuple[float, ...]:
    """Thresholds that give these labels, one for each class: each halfway between the least probability of a second
    with the label and the highest of one without it. The song's own labels may be others than those of before.

    Where four decimals made a probability with a label and one without it equal, they are set minimally apart, in
    place. Raises DataError where one with a label is clearly below one without it.
    """
    thresholds = []
    for column, has in zip(probabilities.T, is_labelled.T, strict=True):
        least = column[has].min() if has.any() else np.float32(1)
        too_high = ~has & (column >= least)
        if has.any() and (column[too_high] > least + _ROUNDING).any():
            i = int((too_high & (column > least + _ROUNDING)).argmax())
            raise DataError(f"CSV line {lines[i]}: lacks a label that a less probable second has")
        if too_high.any() and least == 0:  # nothing is lower, so those that have the label are raised
            least = np.nextafter(column[too_high].max(), np.float32(2))
            column[has & (column < least)] = least
        else:
            column[too_high] = np.nextafter(least, np.float32(0))
        below = column[~has].max(initial=np.float32(0))
        middle = np.float32((float(least) + float(below)) / 2)
        thresholds.append(float(middle if below < middle else least))
    return tuple(thresholds)
