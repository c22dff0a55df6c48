"""A microphone as a stream of samples, by PortAudio (extra `listen`)."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator

from genreline.errors import GenrelineError


@contextlib.contextmanager
def microphone(
    device: str | None = None, on_lost: Callable[[], object] = lambda: None
) -> Iterator[tuple[io.FileIO, int]]:
    """An input device as an unbuffered stream of raw 16-bit mono samples, and how many of them make a second.

    Args:
        device: a part of its name, as PortAudio lists it (`python -m sounddevice`). Default: the system's own.
        on_lost: called, once, if samples are lost because they were not read in time.

    Raises:
        GenrelineError: there is no such device, or PortAudio or sounddevice is missing.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise GenrelineError("listen: sounddevice is missing; pip install 'genreline[listen]'") from error
    except OSError as error:
        raise GenrelineError(f"listen: {error}; on Debian, apt-get install libportaudio2") from error

    reader, writer = os.pipe()
    is_whole = True

    def take(samples: bytes, n_frames: int, time: object, status: object) -> None:
        nonlocal is_whole
        if status and is_whole:  # of an input, it can only say that samples were lost
            is_whole = False
            on_lost()
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more
            os.write(writer, samples)

    stream = open(reader, "rb", buffering=0)  # noqa: SIM115 - closed below
    try:
        rate_hz = round(sounddevice.query_devices(device, "input")["default_samplerate"])
        samples = sounddevice.RawInputStream(rate_hz, channels=1, dtype="int16", device=device, callback=take)
        # The reader is closed first, so that a callback that waits for it cannot hold up the end.
        with samples, stream:
            yield stream, rate_hz
    except (ValueError, sounddevice.PortAudioError) as error:
        name = f"microphone {device!r}" if device else "microphone"
        raise GenrelineError(f"listen: no {name} ({error}); python -m sounddevice lists the devices") from error
    finally:
        stream.close()
        os.close(writer)
