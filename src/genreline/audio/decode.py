"""Any sound file becomes a mono waveform at 8 kHz, in blocks. The only place that knows decoders.

soundfile (libsndfile) reads wav, flac, mp3, ogg, opus, aiff and au; PyAV (FFmpeg's libraries) reads the rest: m4a,
mp4, aac, webm, wma and more. What a file is, is told from its bytes, never from its name.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from genreline.errors import AudioError

RATE_HZ = 8000
"""Samples a second of every waveform inside genreline (spec, Data)."""

Waveform = NDArray[np.float32]
Source = str | Path | bytes | BinaryIO

RATES_HZ = range(1000, 768_001)
CHANNELS = range(1, 65)
CHUNK = 65536  # frames that a decoder hands over at a time

_UNRECOGNISED, _UNSUPPORTED = 1, 4  # libsndfile's codes for what another decoder may still read
_DECLARED = re.compile(r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)")  # in libsndfile's log of a file
_WITH_DURATION = {"matroska,webm", "asf"}  # FFmpeg estimates it for the others, from the bit rate
_MOST_FRAMES = 2**48  # libsndfile declares 2**63 - 1 where a flac from a pipe declares nothing, and then cannot read it
_UNKNOWN_SIZES = {0, 0xFFFFFFFF, 0x7FFFFFFF}  # what a wav written to a pipe declares


def decode(source: Source) -> Waveform:
    """The whole sound as a mono waveform at 8 kHz; the channels are averaged.

    Args:
        source: a path, the bytes of a file, or a binary stream of one (what is left of a pipe, or of a stream
            that has been read from, is copied to a temporary file first).

    Shape:
        -> (samples,) float32, in [-1, 1] where the file's samples are.

    Raises:
        AudioError: the file is missing, empty, truncated, not audio, holds no samples, or is absurd (rates outside 1
            to 768 kHz, more than 64 channels, samples that are not finite).
    """
    return np.concatenate(list(blocks(source)))


def blocks(source: Source, block_s: int = 60) -> Iterator[Waveform]:
    """As `decode`, but in consecutive blocks of `block_s` whole seconds (the last one shorter), in bounded memory.

    A file that turns out to be truncated or damaged raises AudioError after the blocks that could be read.
    """
    name = source_name(source)
    with _opened(source, name) as file:
        size = block_s * RATE_HZ
        ready: list[Waveform] = []
        n_ready = 0
        for piece in _resampled(_chunks(file, name), name):
            ready.append(piece)
            n_ready += len(piece)
            if n_ready >= size:
                waveform = np.concatenate(ready)
                whole = n_ready // size * size
                yield from waveform[:whole].reshape(-1, size)
                ready, n_ready = [waveform[whole:]], n_ready - whole
        if n_ready:
            yield np.concatenate(ready)


def source_name(source: Source) -> str:
    """What error messages call the source."""
    if isinstance(source, bytes):
        return "<bytes>"
    return str(source if isinstance(source, str | Path) else getattr(source, "name", "<stream>"))


@contextmanager
def _opened(source: Source, name: str) -> Iterator[BinaryIO]:
    """A seekable binary file of the source, at its start. A caller's own stream stays open."""
    try:
        if isinstance(source, bytes):
            yield BytesIO(source)
        elif isinstance(source, str | Path):
            with open(source, "rb") as file:
                yield file
        elif source.seekable() and source.tell() == 0:
            yield source
        else:  # decoders seek, and count positions from the start of the file
            with tempfile.TemporaryFile() as copy:
                shutil.copyfileobj(source, copy)
                copy.seek(0)
                yield cast(BinaryIO, copy)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise AudioError(f"{name}: there is no such file; check the path") from error
        raise AudioError(f"{name}: cannot be read ({error.strerror or error})") from error


def _chunks(file: BinaryIO, name: str) -> Iterator[tuple[int, Waveform]]:
    """(rate_hz, mono waveform) pieces of a file, by the first decoder that knows it."""
    if not file.read(1):
        raise AudioError(f"{name}: the file is empty; download or copy it again")
    file.seek(0)
    if _is_mp3_without_length(file):
        yield from _by_av(file, name)
        return
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError as error:
        if error.code not in (_UNRECOGNISED, _UNSUPPORTED):
            raise AudioError(f"{name}: damaged or truncated ({error.error_string.rstrip('.')})") from error
        sound = None
    if sound is None or sound.frames > _MOST_FRAMES:
        file.seek(0)
        yield from _by_av(file, name)
    elif _is_cut(file, sound):
        raise AudioError(f"{name}: the file is truncated; download or copy it again")
    else:
        yield from _by_soundfile(sound, name)


def _is_mp3_without_length(file: BinaryIO) -> bool:
    """Whether an MP3 file lacks the Xing, Info or VBRI header that tells its length; leaves the file at its start.

    libsndfile then guesses the length from the first frames and reads no further: most of a variable-rate file is
    lost without a word. FFmpeg reads to the end.
    """
    head = file.read(10)
    if head[:3] == b"ID3" and len(head) == 10:
        # ID3v2's size: four bytes of seven bits each (id3.org, ID3v2.4.0, section 6.2).
        file.seek(10 + sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)))
        head = b""
    head += file.read(4096)
    file.seek(0)
    is_layer_3 = len(head) > 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2
    return is_layer_3 and not any(tag in head for tag in (b"Xing", b"Info", b"VBRI"))


def _is_cut(file: BinaryIO, sound: soundfile.SoundFile) -> bool:
    """Whether the end of a file is missing, where libsndfile reads what is left without a word."""
    if sound.format == "OGG":
        # The last page carries the flag of the stream's end, and is all there (RFC 3533, section 6); its size is that
        # of its header, of the table of its segments, and of these. The decoder's place in the file is kept.
        place, size = file.tell(), file.seek(0, 2)
        file.seek(max(0, size - 65536))
        tail = file.read()
        file.seek(place)
        page = tail[max(0, tail.rfind(b"OggS")) :]
        return len(page) < 27 or not page[5] & 4 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]])
    declared = _DECLARED.search(sound.extra_info)
    return bool(declared and int(declared[1]) > int(declared[2]) and int(declared[1]) not in _UNKNOWN_SIZES)


def _by_soundfile(sound: soundfile.SoundFile, name: str) -> Iterator[tuple[int, Waveform]]:
    _check_format(sound.samplerate, sound.channels, name)
    n_frames = 0
    try:
        while len(frames := sound.read(CHUNK, dtype="float32", always_2d=True)):
            n_frames += len(frames)
            yield sound.samplerate, frames.mean(axis=1)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{name}: damaged or truncated ({error.error_string.rstrip('.')})") from error
    _check_length(n_frames / sound.samplerate, sound.frames / sound.samplerate, name)


def _by_av(file: BinaryIO, name: str) -> Iterator[tuple[int, Waveform]]:
    seconds, declared_s = 0.0, None
    try:
        with av.open(file, "r", metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise AudioError(f"{name}: holds no audio; choose a file with sound")
            stream = container.streams.audio[0]
            if stream.duration and stream.time_base and "mp4" in container.format.name:
                declared_s = float(stream.duration * stream.time_base)
            elif container.duration and len(container.streams) == 1 and container.format.name in _WITH_DURATION:
                declared_s = container.duration / av.time_base
            # It only unpacks samples to floats, a plane a channel: PyAV's own mono has a gain of sqrt(2).
            planar = av.AudioResampler(format="fltp")
            for decoded in container.decode(stream):
                _check_format(decoded.sample_rate, decoded.layout.nb_channels, name)
                for frame in planar.resample(decoded):
                    seconds += frame.samples / frame.sample_rate
                    yield frame.sample_rate, frame.to_ndarray().mean(axis=0)
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        state = f"damaged or truncated after {seconds:.1f} s" if seconds else "not an audio file that can be decoded"
        raise AudioError(f"{name}: {state} ({reason})") from error
    _check_length(seconds, declared_s, name)


def _check_format(rate_hz: int, channels: int, name: str) -> None:
    if rate_hz not in RATES_HZ:
        raise AudioError(f"{name}: a rate of {rate_hz} Hz is absurd; 1 to 768 kHz can be read")
    if channels not in CHANNELS:
        raise AudioError(f"{name}: {channels} channels are absurd; 1 to {CHANNELS[-1]} can be read")


def _check_length(seconds: float, declared_s: float | None, name: str) -> None:
    if declared_s and seconds < 0.99 * declared_s - 0.5:  # headers round, and encoders pad
        raise AudioError(f"{name}: truncated, {seconds:.1f} s of {declared_s:.1f} s are there; download it again")
    if seconds == 0:
        raise AudioError(f"{name}: holds no samples; choose a file with sound")


def _resampled(chunks: Iterator[tuple[int, Waveform]], name: str) -> Iterator[Waveform]:
    """The chunks at 8 kHz, by soxr. The rate is that of the first chunk: PyAV refuses a change on the way."""
    resampler = None
    for rate_hz, waveform in chunks:
        if not np.isfinite(waveform).all():
            raise AudioError(f"{name}: has samples that are not finite numbers; export it again")
        if rate_hz == RATE_HZ:
            yield waveform
            continue
        resampler = resampler or soxr.ResampleStream(rate_hz, RATE_HZ, num_channels=1, dtype="float32")
        yield resampler.resample_chunk(waveform)
    if resampler:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
