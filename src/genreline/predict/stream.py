"""Predict a stream as it arrives, and print its seconds one by one."""

import io
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from genreline.audio.decode import arriving
from genreline.audio.seconds import RATE_HZ
from genreline.errors import AudioError
from genreline.predict.recognizer import Recognizer
from genreline.predict.timeline import SILENCE, csv_header, csv_row


def predict_stream(recognizer: Recognizer, stream: io.FileIO, out: TextIO, raw_rate_hz: int | None = None) -> None:
    """Write the rows of `Timeline.to_csv` to `out`, each as soon as its second has arrived, until the stream ends.

    A model with context gives each second its probabilities given the seconds up to it; a file's timeline also uses
    those after it, which a stream does not have yet. A last part of a second below 0.25 s joins the row before it,
    unless that row was already written because the stream paused.

    Ctrl-C acts like the stream's end: what has arrived is predicted, including a last part of a second, and then
    KeyboardInterrupt is raised. A second Ctrl-C does not wait for that. Call this function in the main thread.

    Args:
        stream: unbuffered, as `open(0, "rb", buffering=0)` is.
        raw_rate_hz: the stream is raw 16-bit mono samples at this rate; by default the format is found from its bytes.

    Raises:
        AudioError: see `genreline.audio.decode.decode`; rows of what arrived before have been written.
    """
    classes, has_context = recognizer.model.classes, recognizer.context is not None
    follow = recognizer.follower()
    thresholds = recognizer.thresholds
    out.write(csv_header(classes, with_raw=has_context, is_multi_label=bool(thresholds)))
    out.flush()
    with _until_interrupted(stream) as source:
        n_rows, held = 0, ""

        def write_held() -> None:
            nonlocal held
            out.write(held)
            out.flush()
            held = ""

        source.before_waiting = write_held
        try:
            for waveform, rows in recognizer.predict_blocks(arriving(source, raw_rate_hz=raw_rate_hz)):
                if len(rows):
                    write_held()
                    n_rows += 1
                    row, raw = follow(rows)[0], _label(classes, rows[0]) if has_context else None
                    held = csv_row(classes, n_rows - 1, n_rows - 1 + len(waveform) / RATE_HZ, row, raw, thresholds)
                elif held:
                    held = csv_row(classes, n_rows - 1, n_rows + len(waveform) / RATE_HZ, row, raw, thresholds)
        except AudioError:
            if not source.is_interrupted:  # an interruption truncates any file
                raise
        finally:
            write_held()
        if source.is_interrupted:
            raise KeyboardInterrupt


def _label(classes: Sequence[str], row: NDArray[np.float32]) -> tuple[str, float]:
    """The label of a second alone, and its confidence."""
    if np.isnan(row[0]):
        return SILENCE, 1 / len(classes)
    return classes[int(row.argmax())], float(row.max())


class _Interruptible:
    """A stream that ends when something arrives at `wake`, after what is available then has been read."""

    def __init__(self, stream: io.FileIO, wake: int) -> None:
        self.name = "<stdin>"
        self.is_interrupted = False
        self.before_waiting: Callable[[], None] = lambda: None
        self._stream, self._wake = stream, wake

    def read(self, n_bytes: int, /) -> bytes | None:
        """The available bytes, at most n_bytes; waits for the stream or for `wake` if there are none."""
        if self.is_interrupted:
            return b""
        places = [self._stream.fileno(), self._wake]
        ready, _, _ = select.select(places, [], [], 0)
        if not ready:
            self.before_waiting()
            ready, _, _ = select.select(places, [], [])
        self.is_interrupted = self._wake in ready
        return self._stream.read(n_bytes) if self._stream.fileno() in ready else b""


@contextmanager
def _until_interrupted(stream: io.FileIO) -> Iterator[_Interruptible]:
    """The stream, which Ctrl-C ends. An exception instead could be raised inside FFmpeg's callback and be swallowed."""
    wake, interrupt = os.pipe()
    os.set_blocking(interrupt, False)

    def let_the_next_one_raise(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, handler)

    handler = signal.signal(signal.SIGINT, let_the_next_one_raise)
    wakeup_fd = signal.set_wakeup_fd(interrupt)  # written to at once, whichever thread the signal reaches
    try:
        yield _Interruptible(stream, wake)
    finally:
        signal.set_wakeup_fd(wakeup_fd)
        signal.signal(signal.SIGINT, handler)
        os.close(wake)
        os.close(interrupt)
