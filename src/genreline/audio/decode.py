"""Any sound file becomes a mono waveform at 8 kHz, in blocks. The only place that knows decoders.

soundfile (libsndfile) reads wav, flac, mp3, ogg, opus, aiff and au; PyAV (FFmpeg's libraries) reads the rest: m4a,
mp4, aac, webm, wma and more. What a file is, is told from its bytes. A file may be hostile: FFmpeg is kept to formats
that hold sound themselves, since playlists and the like would have it open other files or the network.
"""

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from genreline.errors import AudioError

RATE_HZ = 8000
"""Samples a second of every waveform inside genreline (spec, Data)."""

Waveform = NDArray[np.float32]
AudioSource = str | Path | bytes | BinaryIO

SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64"),
    *(".m4a", ".m4b", ".mp4", ".mov", ".aac", ".webm", ".mka", ".mkv", ".wma", ".asf", ".avi", ".flv", ".ts", ".mpg"),
    *(".mpeg", ".amr", ".ac3", ".eac3", ".ape", ".wv", ".tta"),
)
"""What names of files with sound end in, lower case: for searching folders. What a file is, is told from its bytes."""

RATES_HZ = range(1000, 768_001)
CHANNELS = range(1, 65)
CHUNK = 65536  # frames that a decoder hands over at a time

_UNRECOGNISED, _UNSUPPORTED = 1, 4  # libsndfile's codes for what another decoder may still read
_DECLARED = re.compile(r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)")  # in libsndfile's log of a file
_CONTAINERS = "mov,matroska,asf,aac,mp3,ogg,flac,wav,w64,aiff,au,caf,avi,flv,mpegts,mpeg,amr,ac3,eac3,ape,wv,tta"
_WITH_DURATION = ("mp4", "matroska", "asf")  # FFmpeg estimates it for others, from the bit rate
_ABSURD = 1e9  # beyond it a sample is no sound, and its power overflows
_MOST_FRAMES = 2**48  # libsndfile declares 2**63 - 1 where a flac from a pipe declares nothing, and then cannot read it
_UNKNOWN_SIZES = {0, 0xFFFFFFFF, 0x7FFFFFFF}  # what a wav written to a pipe declares
_ARRAY = "<array>"  # what messages call samples that come from no file


def decode(source: AudioSource) -> Waveform:
    """The whole sound as a mono waveform at 8 kHz; the channels are averaged.

    Args:
        source: a path, the bytes of a file, or a binary stream of one (what is left of a pipe, or of a stream
            that has been read from, is copied to a temporary file first).

    Shape:
        -> (samples,) float32, in [-1, 1] where the file's samples are.

    Raises:
        AudioError: the file is missing, empty, truncated, not audio, holds no samples, or is absurd (rates outside 1
            to 768 kHz, more than 64 channels, samples that are NaN or above 1e9).
    """
    return np.concatenate(list(blocks(source)))


def blocks(source: AudioSource, block_s: int = 60, rate_hz: int = RATE_HZ) -> Iterator[Waveform]:
    """As `decode`, but in consecutive blocks of `block_s` whole seconds (the last one shorter), in bounded memory.

    Another `rate_hz` than 8 kHz is for ears rather than for networks. A file that turns out to be truncated or damaged
    raises AudioError after the blocks that could be read.
    """
    name = source_name(source)
    with _opened(source, name) as file:
        yield from _cut(_resampled(_chunks(file, name), name, rate_hz), block_s * rate_hz, name)


def resampled_blocks(waveforms: Iterable[Waveform], rate_hz: int, block_s: int = 60) -> Iterator[Waveform]:
    """Mono waveforms at `rate_hz`, one after another, as consecutive blocks of `block_s` seconds at 8 kHz.

    Shape:
        (samples,) float32 each, of any length -> (8000 * block_s,) float32 each; the last block may be shorter

    Raises:
        AudioError: no samples, samples that are NaN or above 1e9, or a rate outside 1 to 768 kHz.
    """
    _check_format(rate_hz, 1, _ARRAY)
    chunks = ((rate_hz, waveform) for waveform in waveforms)
    yield from _cut(_resampled(chunks, _ARRAY, RATE_HZ), block_s * RATE_HZ, _ARRAY)


class Readable(Protocol):
    """A stream that is still being written."""

    def read(self, n_bytes: int, /) -> bytes | None:
        """What is there, at most n_bytes; waits only if nothing is; empty at the end."""


def arriving(stream: Readable, block_s: int = 1, raw_rate_hz: int | None = None) -> Iterator[Waveform]:
    """As `blocks`, but from a stream that is still being written: a block comes as soon as its sound is there.

    Args:
        stream: unbuffered, as `open(0, "rb", buffering=0)` is. It is never sought in, so a file whose contents are
            described at its end (many an mp4) cannot be read.
        raw_rate_hz: the stream is raw: mono, signed 16-bit little-endian samples at this rate. Otherwise it is told
            from its bytes what it is.

    Raises:
        AudioError: as `decode`.
    """
    name = str(getattr(stream, "name", "<stream>"))
    if raw_rate_hz is None:
        chunks = _by_av(cast(BinaryIO, _ReadOnly(stream)), name)
    else:
        _check_format(raw_rate_hz, 1, name)
        chunks = _raw(stream, raw_rate_hz)
    yield from _cut(_resampled(chunks, name, RATE_HZ), block_s * RATE_HZ, name)


class _ReadOnly:
    """A stream of which FFmpeg cannot even try to seek."""

    def __init__(self, stream: Readable) -> None:
        self.read = stream.read


def _raw(stream: Readable, rate_hz: int) -> Iterator[tuple[int, Waveform]]:
    rest = b""
    while data := stream.read(CHUNK):
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        yield rate_hz, np.frombuffer(data[:whole], "<i2").astype(np.float32) / np.float32(32768)


def _cut(pieces: Iterator[Waveform], size: int, name: str) -> Iterator[Waveform]:
    """The pieces, one after another, as blocks of `size` samples; the last one is what is left."""
    ready: list[Waveform] = []
    n_ready = n_yielded = 0
    for piece in pieces:
        ready.append(piece)
        n_ready += len(piece)
        if n_ready >= size:
            waveform = np.concatenate(ready)
            whole = n_ready // size * size
            yield from waveform[:whole].reshape(-1, size)
            ready, n_ready, n_yielded = [waveform[whole:]], n_ready - whole, n_yielded + whole
    if n_ready:
        yield np.concatenate(ready)
    elif not n_yielded:
        raise AudioError(f"{name}: is shorter than a sample at 8 kHz; choose a file with sound")


def source_name(source: AudioSource) -> str:
    """What error messages call the source."""
    if isinstance(source, bytes):
        return "<bytes>"
    return str(source if isinstance(source, str | Path) else getattr(source, "name", "<stream>"))


@contextmanager
def _opened(source: AudioSource, name: str) -> Iterator[BinaryIO]:
    """A seekable binary file of the source, at its start. A caller's own stream stays open."""
    try:
        if isinstance(source, bytes):
            yield BytesIO(source)
        elif isinstance(source, str | Path):
            with open(source, "rb") as file, _seekable(file) as seekable:
                yield seekable
        else:
            with _seekable(source) as seekable:
                yield seekable
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise AudioError(f"{name}: there is no such file; check the path") from error
        raise AudioError(f"{name}: cannot be read ({error.strerror or error})") from error


@contextmanager
def _seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    """The file itself, or a copy of what is left of it: decoders seek, and count from the start."""
    if file.seekable() and file.tell() == 0:
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        yield cast(BinaryIO, copy)


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
            with np.errstate(over="ignore"):  # the sum of absurd samples is infinite, which is told later
                # By channel: NumPy's mean along a short last axis takes nine times as long, more than reading a wav.
                yield sound.samplerate, np.ascontiguousarray(frames.T).mean(axis=0)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{name}: damaged or truncated ({error.error_string.rstrip('.')})") from error
    _check_length(n_frames / sound.samplerate, sound.frames / sound.samplerate, name)


def _by_av(file: BinaryIO, name: str) -> Iterator[tuple[int, Waveform]]:
    seconds, end_s, declared_s = 0.0, 0.0, None
    only = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "none"}
    try:
        with av.open(file, "r", options=only, metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise AudioError(f"{name}: holds no audio; choose a file with sound")
            stream = container.streams.audio[0]
            if container.duration and any(kind in container.format.name for kind in _WITH_DURATION):
                declared_s = (container.duration + max(0, container.start_time or 0)) / av.time_base
            # It only unpacks samples to floats, a plane a channel: PyAV's own mono has a gain of sqrt(2).
            planar = av.AudioResampler(format="fltp")
            for packet in container.demux():  # pictures too: they may go on when the sound is over, and must be there
                if packet.pts is not None:
                    end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream.index != stream.index:
                    continue
                for decoded in cast(list[av.AudioFrame], packet.decode()):
                    _check_format(decoded.sample_rate, decoded.layout.nb_channels, name)
                    for frame in planar.resample(decoded):
                        seconds += frame.samples / frame.sample_rate
                        yield frame.sample_rate, frame.to_ndarray().mean(axis=0)
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        state = f"damaged or truncated after {seconds:.1f} s" if seconds else "not an audio file that can be decoded"
        raise AudioError(f"{name}: {state} ({reason})") from error
    _check_length(end_s if seconds else 0, declared_s, name)


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


def _resampled(chunks: Iterator[tuple[int, Waveform]], name: str, to_hz: int) -> Iterator[Waveform]:
    """The chunks at another rate, by soxr. The rate is that of the first chunk: PyAV refuses a change on the way."""
    resampler = None
    for rate_hz, waveform in chunks:
        if not (np.abs(waveform) < _ABSURD).all():  # NaN is not below it either
            raise AudioError(f"{name}: has samples that are no sound (NaN, infinite or above 1e9); export it again")
        if rate_hz == to_hz:
            yield waveform
            continue
        resampler = resampler or soxr.ResampleStream(rate_hz, to_hz, num_channels=1, dtype="float32")
        yield resampler.resample_chunk(waveform)
    if resampler:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
