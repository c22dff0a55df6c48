"""A stream is heard as it arrives, and printed second by second."""

from typing import TextIO

from genreline.audio.decode import RATE_HZ, Readable, arriving
from genreline.errors import AudioError
from genreline.listen.recognizer import Recognizer
from genreline.listen.timeline import csv_header, csv_row


def hear_stream(recognizer: Recognizer, stream: Readable, out: TextIO, raw_rate_hz: int | None = None) -> None:
    """Write the rows of `Timeline.to_csv` to `out`, each as soon as its second is there, till the stream ends.

    Ctrl-C while it waits ends it as the stream's end would: what has arrived is heard, a last part of a second too, and
    then KeyboardInterrupt is raised.

    Args:
        stream: see `genreline.audio.decode.arriving`.
        raw_rate_hz: the stream is raw 16-bit mono samples at this rate; otherwise it is told from its bytes.

    Raises:
        AudioError: see `genreline.audio.decode.decode`; what could be heard has been written by then.
    """
    source = _UntilInterrupted(stream)
    classes = recognizer.model.classes
    out.write(csv_header(classes))
    out.flush()
    second = 0
    try:
        for waveform, probabilities in recognizer.hear(arriving(source, raw_rate_hz=raw_rate_hz)):
            out.write(csv_row(classes, second, second + len(waveform) / RATE_HZ, probabilities[0]))
            out.flush()
            second += 1
    except AudioError:
        if not source.is_interrupted:  # which cuts off any file
            raise
    if source.is_interrupted:
        raise KeyboardInterrupt


class _UntilInterrupted:
    """A stream that ends at Ctrl-C. FFmpeg, from within which it is read, would swallow the exception."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self.name = "<stdin>"
        self.is_interrupted = False

    def read(self, n_bytes: int, /) -> bytes | None:
        """What the stream gives; nothing from Ctrl-C on."""
        if self.is_interrupted:
            return b""
        try:
            return self._stream.read(n_bytes)
        except KeyboardInterrupt:
            self.is_interrupted = True
            return b""
