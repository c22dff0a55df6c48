"""The process in which hostile files are decoded: `python -m genreline.web.worker`, started by pool.py.

Jobs come on standard input, answers go to standard output: a line of JSON each, followed by `n_bytes` bytes where the
line gives that number. Nothing is pickled, so an attacker who takes this process over can send its parent only JSON.

Once the models are loaded the process limits its resources (see sandbox.py), and the processor time of each job.
SIGUSR1 ends the current job; the process ends when its input does, or its parent.
"""

import io
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from genreline.audio.decode import blocks, bounded
from genreline.audio.names import title_of
from genreline.audio.seconds import RATE_HZ
from genreline.errors import GenrelineError, TooLongError, TruncatedError, first_line
from genreline.predict.context import Follower
from genreline.predict.player import to_html
from genreline.predict.recognizer import DEFAULT_MODEL, Recognizer
from genreline.predict.timeline import Timeline, format_time
from genreline.train.folder import read_description, shipped_models
from genreline.web.sandbox import die_with_parent, limit_processor_time, limit_resources

BLOCK_S = 5  # recognized at a time: the first colours show at once, and the network still gets batches
PEAKS_PER_S = 10
_MOST_CLASSES = 100
_MOST_OF_A_CARD = 100_000
_SECONDS_AT_ONCE = 300  # in a line, whose length is bounded (pool.py)


class Worker:
    """Does one job after another; see the module's docstring."""

    def __init__(self, jobs: BinaryIO, answers: BinaryIO, folders: Sequence[str] = ()) -> None:
        self._jobs, self._answers = jobs, answers
        self._cancelled = False
        recognizers = [Recognizer.load(name, n_threads=1) for name in (*folders, *shipped_models())]
        self._recognizers = {each.model.name: each for each in recognizers}
        self._default = recognizers[0].model.name if folders else DEFAULT_MODEL
        self._cards = {each.model.name: _card(folder) for each, folder in zip(recognizers, folders, strict=False)}
        self._kinds: dict[str, Callable[[dict[str, Any], bytes], None]] = {
            "listen": self._listen,
            "render": self._render,
            "live": self._live,
            "conclude": self._conclude,
        }

    def announce(self) -> None:
        """Send the event that the process is ready, with its models."""
        models = [
            {
                "name": name,
                "classes": recognizer.model.classes,
                "features": recognizer.model.features,
                "metrics": recognizer.model.metrics,
                "default": name == self._default,
                "card": self._cards.get(name),
            }
            for name, recognizer in self._recognizers.items()
        ]
        self._send({"event": "ready", "models": models})

    def warm_up(self) -> None:
        """Do once what is slow the first time, before a client waits for it."""
        noise = _wav(np.random.default_rng(0).normal(0, 0.1, RATE_HZ).astype(np.float32))  # silence is not predicted
        timelines = [recognizer(noise) for recognizer in self._recognizers.values()]
        _picture(timelines[0])

    def run(self) -> None:
        """Take jobs until there are no more."""
        while line := self._jobs.readline():
            job = json.loads(line)
            self._cancelled = False
            limit_processor_time(job["processor_s"])
            try:
                self._kinds[job["kind"]](job, self._jobs.read(job["n_bytes"]))
                end: dict[str, Any] = {"event": "end"}
            except GenrelineError as error:
                end = {"event": "error", "status": 422, "detail": " ".join(str(error).splitlines())}
            except MemoryError:
                # The state of the heap and of the input is unknown after this, so a new process takes over.
                self._send({"event": "crash", "detail": f"{job['name']}: exceeds the memory of a job; send less"})
                return
            except Exception as error:  # a bug in genreline or in a library
                end = {
                    "event": "error",
                    "status": 422,
                    "detail": f"{job['name']}: {type(error).__name__}, send another",
                }
            self._send(end)

    def cancel(self, *_: object) -> None:
        """End the current job; a signal handler."""
        self._cancelled = True  # looked at between blocks, so that no answer is cut

    def _send(self, answer: dict[str, Any], payload: bytes = b"") -> None:
        line = json.dumps(answer, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        self._answers.write(line + payload)
        self._answers.flush()

    def _listen(self, job: dict[str, Any], payload: bytes) -> None:
        """The seconds of a sound as they are recognized, and finally the whole song.

        If the model has context, each second comes again at the end, when all of the song is known. Of a song that is
        cut, damaged or too long, what could be read is its timeline, and `incomplete` says so.
        """
        recognizer = self._recognizers[job["model"]]
        file = io.BytesIO(payload)
        file.name = job["name"]  # the name in error messages
        rows: list[NDArray[np.float32]] = []
        held: list[dict[str, Any]] = []  # sent when it is known whether the last one lasts a little longer
        samples = 0
        incomplete = ""
        title = job["title"] or title_of(job["name"])
        decoded = blocks(file, BLOCK_S, max_samples=job["max_samples"])
        waveforms = bounded(decoded, job["max_duration_s"], job["name"])
        follow = recognizer.follower() if recognizer.context else None
        self._send({"event": "start", "title": title, "model": job["model"], "classes": recognizer.model.classes})
        try:
            for waveform, probabilities in recognizer.predict_blocks(waveforms):
                start_s = samples // RATE_HZ
                samples += len(waveform)
                rows.append(probabilities)
                if not len(probabilities):
                    held[-1]["end_s"] = samples / RATE_HZ
                    continue
                if held:
                    self._send({"event": "seconds", "seconds": held})
                held = _seconds(recognizer, follow, start_s, waveform, probabilities)
                if self._cancelled:
                    return
        except (TooLongError, TruncatedError) as error:
            if not rows:
                raise
            incomplete = f"{first_line(error)}; this is the timeline of its first {format_time(samples / RATE_HZ)}"
        finally:
            if held and not self._cancelled:
                self._send({"event": "seconds", "seconds": held})
        self._send_whole(recognizer, np.concatenate(rows), samples / RATE_HZ, title, incomplete)

    def _live(self, job: dict[str, Any], payload: bytes) -> None:
        """Some seconds of a sound that goes on, float32 at 8 kHz; `before` is what the next ones must know."""
        recognizer = self._recognizers[job["model"]]
        waveform = np.frombuffer(payload, np.float32)
        ((_, probabilities),) = recognizer.predict_blocks([waveform])
        before = None if job["before"] is None else np.array(job["before"])
        follow = Follower(recognizer.context, before) if recognizer.context else None
        seconds = _seconds(recognizer, follow, job["start_s"], waveform, probabilities)
        rows = [None if np.isnan(row[0]) else row.tolist() for row in probabilities]
        state = None if follow is None or follow.before is None else follow.before.tolist()
        self._send({"event": "seconds", "seconds": seconds, "rows": rows, "before": state})

    def _conclude(self, job: dict[str, Any], payload: bytes) -> None:
        """All of a sound whose seconds `_live` has recognized, from their rows."""
        recognizer = self._recognizers[job["model"]]
        nothing = [np.nan] * len(recognizer.model.classes)
        rows = np.array([nothing if row is None else row for row in json.loads(payload)], np.float32)
        self._send_whole(recognizer, rows, job["duration_s"], job["title"])

    def _send_whole(
        self, recognizer: Recognizer, rows: NDArray[np.float32], duration_s: float, title: str, incomplete: str = ""
    ) -> None:
        """Send what is known of a whole song, of which `rows` are the probabilities of each second alone."""
        song = recognizer.timeline(rows, duration_s, title).to_dict()
        if incomplete:
            song["incomplete"] = incomplete
        seconds = song.pop("seconds")
        if recognizer.context:
            for i in range(0, len(seconds), _SECONDS_AT_ONCE):
                if self._cancelled:
                    return
                self._send({"event": "seconds", "seconds": seconds[i : i + _SECONDS_AT_ONCE]})
        self._send({"event": "done", "song": song})

    def _render(self, job: dict[str, Any], payload: bytes) -> None:
        """A timeline's JSON in another format."""
        try:
            timeline = Timeline.from_json(payload.decode())
        except UnicodeDecodeError as error:
            raise GenrelineError(f"timeline: is not UTF-8 ({error.reason}); send what the service sent") from error
        if len(timeline.classes) > _MOST_CLASSES:
            raise GenrelineError(
                f"timeline: has {len(timeline.classes)} classes, more than the {_MOST_CLASSES} drawn here"
            )
        formats: dict[str, Callable[[], bytes]] = {
            "csv": lambda: timeline.to_csv().encode(),
            "json": lambda: timeline.to_json().encode(),
            "txt": lambda: timeline.to_audacity().encode(),
            "rttm": lambda: timeline.to_rttm().encode(),
            "jams": lambda: timeline.to_jams().encode(),
            "png": lambda: _picture(timeline),
            "html": lambda: to_html(timeline, None).encode(),
        }
        content = formats[job["format"]]()
        self._send({"event": "content", "n_bytes": len(content), "title": timeline.title}, content)


def _card(folder: str) -> str:
    """A model folder's card, or what its description tells."""
    described = read_description(folder)
    try:
        return (described.folder / "README.md").read_text(encoding="utf-8")[:_MOST_OF_A_CARD]
    except (OSError, ValueError):
        lines = [f"# {described.name}", f"It knows {', '.join(described.classes)}."]
        if val := described.metrics.get("val"):
            lines.append(f"Macro F1 by second on its validation set: {val['f1_macro']:.3f}.")
        return "\n\n".join(lines)


def _seconds(
    recognizer: Recognizer,
    follow: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None,
    start_s: int,
    waveform: NDArray[np.float32],
    probabilities: NDArray[np.float32],
) -> list[dict[str, Any]]:
    """A block's seconds, from `start_s` on, as a timeline has them, with the outline of each."""
    is_silent = np.isnan(probabilities[:, 0])
    part = Timeline(
        recognizer.model.classes,
        probabilities,
        len(waveform) / RATE_HZ,
        is_silent=is_silent,
        thresholds=recognizer.thresholds,
    )
    if follow:
        part = part.smoothed(follow(probabilities))
    seconds: list[dict[str, Any]] = part.to_dict()["seconds"]
    for second, peaks in zip(seconds, outline(waveform, len(seconds)), strict=True):
        second["start_s"] += start_s
        second["end_s"] += start_s
        second["peaks"] = peaks
    return seconds


def outline(waveform: NDArray[np.float32], n_seconds: int) -> list[list[float]]:
    """The waveform's outline: the largest magnitude of each tenth of a second, PEAKS_PER_S for each second."""
    padded = np.zeros(n_seconds * RATE_HZ, np.float32)
    waveform = waveform[: len(padded)]
    padded[: len(waveform)] = np.abs(waveform)
    peaks = padded.reshape(n_seconds, PEAKS_PER_S, -1).max(axis=2)
    rounded: list[list[float]] = np.minimum(peaks.astype(np.float64), 1).round(3).tolist()
    return rounded


def _picture(timeline: Timeline) -> bytes:
    """The diagram as a PNG file."""
    from genreline.predict.plot import draw
    from genreline.predict.style import plain_style

    file = io.BytesIO()
    with plain_style():
        draw(timeline).savefig(file, format="png", dpi=150)
    return file.getvalue()


def _wav(waveform: NDArray[np.float32]) -> bytes:
    """A waveform (samples,) at 8 kHz as a 16-bit wav file."""
    file = io.BytesIO()
    soundfile.write(file, waveform, RATE_HZ, format="WAV", subtype="PCM_16")
    return file.getvalue()


def main() -> None:
    """Serve as a worker; the arguments are the memory that a job may take, in bytes, and model folders."""
    die_with_parent()
    # Libraries must not print between the answers, nor a client's data into a log.
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    worker = Worker(sys.stdin.buffer, answers, sys.argv[2:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, worker.cancel)
    os.dup2(nowhere, 2)
    worker.warm_up()
    limit_resources(int(sys.argv[1]))
    worker.announce()  # a job that came before this could not be cancelled yet
    worker.run()


if __name__ == "__main__":
    main()
