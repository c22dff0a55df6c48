"""Any sound file becomes a mono waveform at 8 kHz, in blocks. The only place that knows decoders.

soundfile (libsndfile) reads wav, flac, aiff and au, and those mp3, ogg and opus files that match what their first frame
or page declares. PyAV (FFmpeg's libraries) reads the rest: m4a, mp4, aac, webm, wma and more, and what libsndfile
refuses. A file's format is found from its bytes, not from its name. A file may be hostile: FFmpeg is restricted to
formats that contain the sound themselves, because playlists and the like make it open other files or the network, and
libsndfile never parses a wav's chunks.
"""

import errno
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, cast

import av
import numpy as np
import soundfile
import soxr
from av.stream import Disposition
from numpy.typing import NDArray

from genreline.audio.riff import Samples, Window, find_samples, is_w64_cut, rewritten
from genreline.audio.scan import scan_mp3, scan_ogg
from genreline.audio.seconds import RATE_HZ, Waveform
from genreline.errors import AudioError, TooLongError, TruncatedError

AudioSource = str | Path | bytes | BinaryIO

RATES_HZ = range(1000, 768_001)
CHANNELS = range(1, 65)
CHUNK = 65536  # frames that a decoder hands over at a time, or some fewer

_UNRECOGNISED = (1, 149)  # libsndfile's codes for a file of none of its formats; the second, where a file "._" is near
_DECLARED = re.compile(r"(?:data|SSND|Data Size|BODY)\s*: (\d+) \(should be (\d+)\)")  # in libsndfile's log of a file
_DECLARED_FRAMES = re.compile(r"^  Frames +: (\d+)", re.MULTILINE)
_BY_MPG123 = re.compile(rb"mpg123|^(Note|Warning|Info): |^\s*$")  # lines that it prints
_CONTAINERS = "mov,matroska,asf,aac,mp3,ogg,flac,wav,w64,aiff,au,caf,avi,flv,mpegts,mpeg,amr,ac3,eac3,ape,wv,tta"
_ONLY_SOUND = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "none"}
_WITH_DURATION = ("mp4", "matroska", "asf", "flv", "aiff", "au", "tta")  # others': estimated from size and bit rate
_STATES_DURATION = (*_WITH_DURATION, "flac", "caf", "w64")
_ABSURD = 1e9  # beyond it a sample is no sound, and its power overflows
_MOST_FRAMES = 2**48  # libsndfile declares 2**63 - 1 where a flac from a pipe declares nothing, and then cannot read it
_ARRAY = "<array>"  # what messages call samples that come from no file
_UNKNOWN_SIZES = {0, 0xFFFFFFFF, 0x7FFFFFFF}  # what an aiff or au written to a pipe declares
_TIMED = ("mp4", "matroska", "asf", "mpegts", "mpeg", "flv")  # FFmpeg's formats whose time stamps are the file's own
_FAILS = (av.FFmpegError, ValueError, OverflowError)  # what PyAV raises for damaged files
_MOST_PLANES = 7  # with eight or more, PyAV reads beyond the last one and crashes
_GAP_S = 0.1  # time stamps jitter by less
_LONGEST_GAP_S = 3600.0  # beyond it the clock was reset
_LONGEST_SILENCE_S = 86_400.0
_CUT_S = 0.5  # headers round, and encoders pad
_ENERGY_STEP = 61
_CANCELLED = 0.01  # of the channels' energy: an average with less is no longer the sound
_FADE_S = 0.01  # from the average to a channel and back, so that it does not click


def decode(source: AudioSource) -> Waveform:
    """The whole sound as a mono waveform at 8 kHz: the channels' average.

    Where the channels cancel in the average (it has less than 1% of their mean energy, as when one channel is the
    inverse of the other), the loudest channel replaces it; this is decided for each tenth of a second.

    Args:
        source: a path, the bytes of a file, or a binary stream of one (the rest of a pipe, or of a partly read
            stream, is first copied to a temporary file).

    Shape:
        -> (samples,) float32, in [-1, 1] where the file's samples are.

    Raises:
        AudioError: the file is missing, empty, truncated, not audio, holds no samples, or is absurd (rates outside 1
            to 768 kHz, more than 64 channels, samples that are NaN or above 1e9).
    """
    return np.concatenate(list(blocks(source)))


def blocks(
    source: AudioSource, block_s: int = 60, rate_hz: int = RATE_HZ, max_samples: int | None = None
) -> Iterator[Waveform]:
    """As `decode`, but in consecutive blocks of `block_s` whole seconds (the last one shorter), in bounded memory.

    Networks expect 8 kHz; any other `rate_hz` is for playback. A file that turns out to be truncated or damaged raises
    TruncatedError, an AudioError, after everything that could be read, the last short block included.

    Args:
        max_samples: the most samples to decode, counted over all channels at the file's own rate (default: no limit).
            A file that declares more is refused before it is decoded; one that contains more raises TooLongError where
            the limit is reached. A few kilobytes can hold a day of 64 channels.
    """
    name = source_name(source)
    with _opened(source, name) as file:
        pieces = _chunks(file, name) if max_samples is None else _few_samples(file, name, max_samples)
        yield from _cut(_resampled(_mixed(pieces), name, rate_hz), block_s * rate_hz, name)


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


def bounded(waveforms: Iterable[Waveform], max_duration_s: float, name: str) -> Iterator[Waveform]:
    """Waveforms at 8 kHz, one after another, as they come, within the bound; then TooLongError if there is more.

    A small file can be made to last for days, whatever duration it states.
    """
    n_left = int(max_duration_s * RATE_HZ)
    for waveform in waveforms:
        if n_within := min(len(waveform), n_left):
            yield waveform[:n_within]
        n_left -= n_within
        if n_within < len(waveform):
            most = f"{max_duration_s / 60:g} minutes" if max_duration_s >= 120 else f"{max_duration_s:g} s"
            raise TooLongError(f"{name}: lasts more than the {most} allowed; cut it")


def stated_duration_s(path: Path) -> float | None:
    """The duration that a file declares, without decoding it; None where it declares none, as in an mp3."""
    with open(path, "rb") as file:
        return _stated(file, str(path))[0]


def _stated(file: BinaryIO, name: str) -> tuple[float | None, int]:
    """The seconds that a file declares (None if it declares none), and its samples per second over all channels.

    Leaves the file at its start.
    """
    is_wav = file.read(4) in (b"RIFF", b"RF64")
    file.seek(0)
    try:
        if is_wav:
            wav = find_samples(file, name)
            return (wav.size / wav.bytes_per_s, wav.rate_hz * wav.channels) if wav and wav.bytes_per_s else (None, 0)
        with _opened_by_av(_Seekable(file)) as container:
            if container.duration and any(kind in container.format.name for kind in _STATES_DURATION):
                stream = _default_stream(container)
                context = stream and stream.codec_context  # None if FFmpeg has no such decoder
                samples_per_s = context.sample_rate * context.channels if context else 0
                return container.duration / av.time_base, samples_per_s
    except (AudioError, *_FAILS):
        pass  # decoding it will raise the error
    finally:
        file.seek(0)
    return None, 0


def _few_samples(file: BinaryIO, name: str, max_samples: int) -> Iterator[tuple[int, Waveform]]:
    """As `_chunks`, but raises AudioError for a file of more samples than that, counted over all channels."""
    too_many = f"{name}: has more than {max_samples:,} samples in all its channels; cut it, or make it stereo at 48 kHz"
    stated_s, samples_per_s = _stated(file, name)
    if stated_s and stated_s * samples_per_s > max_samples:
        raise AudioError(too_many)
    n_samples = 0
    for rate_hz, planes in _chunks(file, name):
        n_samples += planes.size
        if n_samples > max_samples:
            raise TooLongError(too_many)
        yield rate_hz, planes


class Readable(Protocol):
    """A stream that is still being written."""

    def read(self, n_bytes: int, /) -> bytes | None:
        """The available bytes, at most n_bytes; waits only if there are none; empty at the end."""


def arriving(stream: Readable, block_s: int = 1, raw_rate_hz: int | None = None) -> Iterator[Waveform]:
    """As `blocks`, but from a stream that is still being written: a block comes as soon as its sound is there.

    Args:
        stream: unbuffered, as `open(0, "rb", buffering=0)` is. It is never rewound, so a file whose index is at its
            end (as in many mp4 files) cannot be read.
        raw_rate_hz: the stream is raw: mono, signed 16-bit little-endian samples at this rate. Default: the bytes
            of the stream say what it is.

    Raises:
        AudioError: as `decode`.
    """
    name = str(getattr(stream, "name", "<stream>"))
    if raw_rate_hz is None:
        chunks = _by_av(_ReadOnly(stream), name)
    else:
        _check_format(raw_rate_hz, 1, name)
        chunks = _raw(stream, raw_rate_hz)
    yield from _cut(_resampled(_mixed(chunks), name, RATE_HZ), block_s * RATE_HZ, name)


class _ReadOnly:
    """A stream that offers FFmpeg no way to seek."""

    def __init__(self, stream: Readable) -> None:
        self.read = stream.read


class _Seekable:
    """A file in which an impossible seek returns an error number, as FFmpeg expects: PyAV may print an exception."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.tell, self._seek = file.read, file.tell, file.seek

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -errno.EINVAL


def _opened_by_av(file: _ReadOnly | _Seekable) -> av.container.InputContainer:
    return av.open(cast(BinaryIO, file), "r", options=_ONLY_SOUND, metadata_errors="ignore")


def _raw(stream: Readable, rate_hz: int) -> Iterator[tuple[int, Waveform]]:
    rest = b""
    while data := stream.read(CHUNK):
        data = rest + data
        whole = len(data) // 2 * 2
        rest = data[whole:]
        yield rate_hz, np.frombuffer(data[:whole], "<i2").astype(np.float32)[None] / np.float32(32768)


def _cut(pieces: Iterator[Waveform], size: int, name: str) -> Iterator[Waveform]:
    """The pieces, one after another, as blocks of `size` samples; the last block holds the rest."""
    ready: list[Waveform] = []
    n_ready = n_yielded = 0
    try:
        for piece in pieces:
            ready.append(piece)
            n_ready += len(piece)
            if n_ready >= size:
                waveform = np.concatenate(ready)
                whole = n_ready // size * size
                yield from waveform[:whole].reshape(-1, size)
                ready, n_ready, n_yielded = [waveform[whole:]], n_ready - whole, n_yielded + whole
    except TruncatedError:
        if n_ready:
            yield np.concatenate(ready)
        raise
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
    """The file itself, or a copy of the rest of it: decoders seek, and count from the start."""
    if file.seekable() and file.tell() == 0:
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        yield cast(BinaryIO, copy)


def _chunks(file: BinaryIO, name: str) -> Iterator[tuple[int, Waveform]]:
    """(rate_hz, (channels, frames)) pieces of a file, by the decoder that reads its kind correctly."""
    head = file.read(12)
    if not head:
        raise AudioError(f"{name}: the file is empty; download or copy it again")
    file.seek(0)
    is_cut, may_be_mp3, reading = False, head[:4] != b"fLaC", _Reading()
    nameless = cast(BinaryIO, _Nameless(file))
    sound_file: BinaryIO | None = nameless if head[:4] == b"fLaC" else cast(BinaryIO, _window(file))
    file.seek(0)
    if head[:4] == b"riff":  # w64
        is_cut, may_be_mp3, sound_file = is_w64_cut(file), False, None
    elif head[:4] in (b"RIFF", b"RF64", b"RIFX"):
        may_be_mp3 = False
        samples = find_samples(file, name)
        is_cut = bool(samples and samples.is_cut)
        if samples and samples.is_16_bit:
            yield from _by_numpy(file, samples, name)
            if is_cut:
                raise _truncated(name)
            return
        sound_file = cast(BinaryIO, rewritten(file, samples)) if samples else None
    elif ogg := scan_ogg(file):
        is_cut, may_be_mp3, reading.has_one_clock = ogg.is_cut, False, ogg.has_one_clock
        sound_file = nameless if ogg.is_single else None
    elif mp3 := scan_mp3(file):
        sound_file = nameless if mp3.is_as_declared else None
        reading.declared_s = mp3.declared_s
    refusal, sound = "its end is missing" if is_cut else None, None
    with ExitStack() as stack:
        quiet: AbstractContextManager[None] = nullcontext()
        if may_be_mp3:  # libsndfile takes other files for MP3, too
            # A worker of the service can write no file; it prints what libmpg123 says.
            with suppress(OSError):
                quiet = _Quiet(stack.enter_context(tempfile.TemporaryFile(buffering=0)))
        if sound_file:
            try:
                with quiet:
                    sound = stack.enter_context(soundfile.SoundFile(sound_file))
            except soundfile.LibsndfileError as error:
                refusal = refusal if error.code in _UNRECOGNISED else error.error_string.rstrip(".")
        if sound and sound.frames <= _MOST_FRAMES:
            is_cut = is_cut or _declares_more(sound)
            yield from _by_soundfile(sound, name, quiet)
        else:
            file.seek(0)
            yield from _by_av(_Seekable(file), name, refusal, reading)
    if is_cut:
        raise _truncated(name)


def _truncated(name: str) -> TruncatedError:
    return TruncatedError(f"{name}: the file is truncated; download or copy it again")


def _by_numpy(file: BinaryIO, samples: Samples, name: str) -> Iterator[tuple[int, Waveform]]:
    """A wav of 16-bit samples, the most common kind, in half the time that libsndfile takes."""
    rate_hz, n_channels = samples.rate_hz, samples.channels
    _check_format(rate_hz, n_channels, name)
    n_frames = samples.size // (2 * n_channels)
    _check_length(n_frames / rate_hz, None, name)
    file.seek(samples.start)
    at_once = max(1, CHUNK // _tenth(rate_hz)) * _tenth(rate_hz)  # so that the mixer keeps no rest
    while n_frames > 0:
        data = file.read(2 * n_channels * min(at_once, n_frames))
        pcm = np.frombuffer(data[: len(data) // (2 * n_channels) * 2 * n_channels], "<i2").reshape(-1, n_channels)
        if not len(pcm):
            raise _truncated(name)
        n_frames -= len(pcm)
        yield rate_hz, np.ascontiguousarray(pcm.T, np.float32) / np.float32(32768)


class _Nameless:
    """A file of which soundfile cannot see the name: of one that ends in .raw, it would not look at the bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell
        if readinto := getattr(file, "readinto", None):
            self.readinto = readinto


def _window(file: BinaryIO) -> Window:
    """The whole file, in which a decoder's wrong seek raises nothing: soundfile would print a traceback."""
    return Window(file, 0, file.seek(0, 2))


class _Quiet:
    """Keeps libmpg123 from printing on stderr, for which it has no option; what others print there is delayed.

    Args:
        printed: an empty unbuffered file, for what is printed meanwhile.
    """

    _lock = threading.Lock()  # stderr is the whole process's

    def __init__(self, printed: IO[bytes]) -> None:
        self._printed = printed

    def __enter__(self) -> None:
        self._lock.acquire()
        sys.stderr.flush()
        self._stderr = os.dup(2)
        os.dup2(self._printed.fileno(), 2)

    def __exit__(self, *_: object) -> None:
        try:
            os.dup2(self._stderr, 2)
            os.close(self._stderr)
            if self._printed.tell():
                self._printed.seek(0)
                lines = self._printed.read().splitlines(keepends=True)
                self._printed.seek(0)
                self._printed.truncate()
                os.write(2, b"".join(line for line in lines if not _BY_MPG123.search(line)))
        finally:
            self._lock.release()


def _declares_more(sound: soundfile.SoundFile) -> bool:
    """Whether the end of an aiff, au, 8svx, avr or mpc is missing: libsndfile reads the rest without an error."""
    if declared := _DECLARED.search(sound.extra_info):
        n_missing = int(declared[1]) - int(declared[2])
        return int(declared[1]) not in _UNKNOWN_SIZES and n_missing > _CUT_S * sound.samplerate * sound.channels
    frames = _DECLARED_FRAMES.search(sound.extra_info)
    return frames is not None and int(frames[1]) - sound.frames > _CUT_S * sound.samplerate


def _by_soundfile(
    sound: soundfile.SoundFile, name: str, quiet: AbstractContextManager[None]
) -> Iterator[tuple[int, Waveform]]:
    _check_format(sound.samplerate, sound.channels, name)
    n_frames = 0
    while True:
        # soundfile does not say how much it read before an error: the rows that are still NaN were not.
        place = np.full((CHUNK, sound.channels), np.nan, np.float32)
        failure = None
        try:
            with quiet:
                frames = sound.read(out=place)
        except soundfile.LibsndfileError as error:
            failure = error
            frames = place[: CHUNK - int(np.isnan(place[::-1]).all(axis=1, keepdims=True).cumprod().sum())]
        if len(frames):
            n_frames += len(frames)
            # By channel: NumPy's mean along a short last axis takes nine times as long, more than reading a wav.
            yield sound.samplerate, np.ascontiguousarray(frames.T)
        if failure:
            reason = failure.error_string.rstrip(".")
            raise TruncatedError(f"{name}: damaged or truncated ({reason}); download it again") from failure
        if not len(frames):
            break
    _check_length(n_frames / sound.samplerate, sound.frames / sound.samplerate, name)


def _mixed(pieces: Iterator[tuple[int, Waveform]]) -> Iterator[tuple[int, Waveform]]:
    """(rate_hz, (channels, frames)) pieces -> (rate_hz, (frames,)): the channels' average or, where they cancel in it,
    the loudest of them.

    This is decided for each tenth of a second from the start (or from where the rate or the number of channels change),
    so the sound does not depend on how it is cut into pieces.
    """
    mixer: _Mixer | None = None
    try:
        for rate_hz, planes in pieces:
            if mixer and mixer.format != (rate_hz, len(planes)):
                yield mixer.format[0], mixer.mix_rest()
                mixer = None
            if len(planes) == 1:
                yield rate_hz, planes[0]
                continue
            mixer = mixer or _Mixer(rate_hz, len(planes))
            yield rate_hz, mixer.mix(planes)
    except TruncatedError:
        if mixer:
            yield mixer.format[0], mixer.mix_rest()
        raise
    if mixer:
        yield mixer.format[0], mixer.mix_rest()


def _tenth(rate_hz: int) -> int:
    """The frames of a tenth of a second."""
    return round(rate_hz / 10)


class _Mixer:
    """Mixes the channels of a sound, piece by piece; see `_mixed`."""

    def __init__(self, rate_hz: int, n_channels: int) -> None:
        self.format = (rate_hz, n_channels)
        self._size = _tenth(rate_hz)
        self._n_fade = min(self._size, round(_FADE_S * rate_hz))
        self._rest = np.zeros((n_channels, 0), np.float32)
        self._channel: int | None = None  # what the last tenth of a second ended with; None is the average
        self._has_begun = False

    def mix(self, planes: Waveform) -> Waveform:
        """The whole tenths of a second that are there with this piece; the rest stays for the next."""
        planes = np.concatenate([self._rest, planes], axis=1) if self._rest.size else planes
        whole = planes.shape[1] // self._size * self._size
        self._rest = planes[:, whole:].copy()
        return self._mix(planes[:, :whole], self._size)

    def mix_rest(self) -> Waveform:
        """What is left at the end."""
        rest, self._rest = self._rest, self._rest[:, :0]
        return self._mix(rest, rest.shape[1])

    def _mix(self, planes: Waveform, size: int) -> Waveform:
        with np.errstate(over="ignore", invalid="ignore"):  # absurd samples are refused later
            average: Waveform = planes.mean(axis=0)
            if not average.size:
                return average
            cut = planes.reshape(len(planes), -1, size)
            # For nearly all sound, a few samples are enough to see that it does not cancel.
            is_suspect = _cancels(cut[:, :, ::_ENERGY_STEP], average.reshape(-1, size)[:, ::_ENERGY_STEP])
            if self._channel is None and not is_suspect.any():
                self._has_begun = True
                return average
            mixed = average.reshape(-1, size).copy()
            for i in range(len(mixed)):
                is_cancelled = is_suspect[i] and _cancels(cut[:, i : i + 1], average.reshape(-1, size)[i : i + 1])[0]
                channel = _loudest(cut[:, i], self._channel) if is_cancelled else None
                if channel is not None:
                    mixed[i] = cut[channel, i]
                if channel != self._channel and self._has_begun:
                    n = min(self._n_fade, size)
                    before = average.reshape(-1, size)[i] if self._channel is None else cut[self._channel, i]
                    share = np.linspace(0, 1, n, endpoint=False, dtype=np.float32)
                    mixed[i, :n] = (1 - share) * before[:n] + share * mixed[i, :n]
                self._channel, self._has_begun = channel, True
        return mixed.ravel()


def _cancels(channels: Waveform, average: Waveform) -> NDArray[np.bool_]:
    """(channels, blocks, frames) and their average (blocks, frames) -> (blocks,) whether the average lost the sound."""
    # einsum, because np.square would need room for all squares.
    energy = np.einsum("cbf,cbf->b", channels, channels) / len(channels)
    cancels: NDArray[np.bool_] = np.einsum("bf,bf->b", average, average) < _CANCELLED * energy
    return cancels


def _loudest(channels: Waveform, current: int | None) -> int:
    """The loudest of the channels (channels, frames); the current one while it has half of the loudest's energy."""
    energies = np.square(channels).sum(axis=1)
    if current is not None and energies[current] >= energies.max() / 2:
        return current
    return int(energies.argmax())


@dataclass
class _Reading:
    """What is known of a sound before FFmpeg reads it, and what has been read so far.

    `declared_s` is None where the file declares no duration. `has_one_clock` is an Ogg file's (`scan.Ogg`).
    """

    declared_s: float | None = None
    has_one_clock: bool = False
    seconds: float = 0.0
    end_s: float = 0.0
    n_bad: int = 0
    ends_badly: bool = False


def _by_av(
    file: _ReadOnly | _Seekable, name: str, refusal: str | None = None, reading: _Reading | None = None
) -> Iterator[tuple[int, Waveform]]:
    """By FFmpeg; single packets that cannot be decoded are skipped.

    Args:
        file: the file, at its start.
        name: what messages call it.
        refusal: why libsndfile refused it, for the message if FFmpeg refuses it too.
        reading: what is known of the sound.
    """
    reading = reading or _Reading()
    try:
        with _opened_by_av(file) as container:
            yield from _gathered(_frames(container, name, reading))
    except _FAILS as error:
        reason = refusal or getattr(error, "strerror", None) or str(error)
        if reading.seconds:
            raise TruncatedError(
                f"{name}: damaged or truncated after {reading.seconds:.1f} s ({reason}); download it again"
            ) from error
        state = "damaged or truncated" if refusal else "not an audio file that can be decoded"
        raise AudioError(f"{name}: {state} ({reason}); choose another file, or get it again") from error
    if not reading.seconds and (refusal or reading.n_bad):
        reason = refusal or "no packet can be decoded"
        raise AudioError(f"{name}: damaged or truncated ({reason}); download or copy it again")
    if reading.ends_badly:
        raise TruncatedError(f"{name}: truncated after {reading.seconds:.1f} s; download it again")
    _check_length(reading.end_s if reading.seconds else 0, reading.declared_s, name)


def _frames(
    container: av.container.InputContainer, name: str, reading: _Reading
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(rate_hz, (channels, frames)) pieces of the default audio stream, with silence where its time stamps jump."""
    stream = _default_stream(container)
    if stream is None:
        raise AudioError(f"{name}: holds no audio; choose a file with sound")
    kind = container.format.name
    start_s = (container.start_time or 0) / av.time_base
    is_timed = any(timed in kind for timed in _TIMED) or (kind == "ogg" and reading.has_one_clock)
    if container.duration and any(known in kind for known in _WITH_DURATION):
        reading.declared_s = container.duration / av.time_base
        if ("matroska" in kind or kind == "flv") and reading.declared_s > start_s:
            reading.declared_s -= max(0.0, start_s)  # their duration counts from 0, whenever the sound begins
    elif kind == "caf" and stream.frames and stream.time_base:  # whose stated duration is that of what is there
        reading.declared_s = float(stream.frames * stream.time_base)
    silence_s, offset_s = 0.0, start_s
    unpacked, unpacked_from = None, None
    for packet in _packets(container):  # video too: it may outlast the sound, and must be complete
        if packet.pts is not None:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            reading.end_s = max(reading.end_s, end - start_s)
        if packet.stream.index != stream.index:
            continue
        try:
            decoded_frames = cast(list[av.AudioFrame], packet.decode())
        except av.InvalidDataError:
            reading.n_bad += 1
            reading.ends_badly = kind != "mp3"
            continue
        for decoded in decoded_frames:
            reading.ends_badly &= not packet.size  # what FFmpeg returns at the end comes from earlier packets
            rate_hz, channels = decoded.sample_rate, decoded.layout.nb_channels
            _check_format(rate_hz, channels, name)
            if is_timed and decoded.pts is not None and decoded.time_base:
                gap_s = float(decoded.pts * decoded.time_base) - offset_s - reading.seconds
                if gap_s < -_GAP_S or gap_s > min(_LONGEST_GAP_S, _LONGEST_SILENCE_S - silence_s):
                    offset_s += gap_s  # the clock was reset
                elif gap_s > _GAP_S:
                    for n in _portions(round(gap_s * rate_hz)):
                        yield rate_hz, np.zeros((channels, n), np.float32)
                    silence_s += gap_s
                    reading.seconds += gap_s
            reading.seconds += decoded.samples / rate_hz
            if decoded.format.name == "fltp" and channels <= _MOST_PLANES:
                yield rate_hz, cast(Waveform, decoded.to_ndarray())
                continue
            # It only unpacks samples to floats: PyAV's own mono has a gain of sqrt(2).
            if unpacked is None or unpacked_from != (decoded.format.name, rate_hz, decoded.layout.name):
                unpacked = av.AudioResampler(format="fltp" if channels <= _MOST_PLANES else "flt")
                unpacked_from = (decoded.format.name, rate_hz, decoded.layout.name)
            for frame in unpacked.resample(decoded):
                samples = cast(Waveform, frame.to_ndarray())
                yield rate_hz, samples if len(samples) == channels else samples.reshape(-1, channels).T


def _packets(container: av.container.InputContainer) -> Iterator["av.Packet[Any]"]:
    """All packets but those of streams that begin after the container was opened, for which PyAV raises IndexError."""
    is_over = False
    while not is_over:
        with suppress(IndexError):
            for packet in container.demux():
                is_over = not packet.size and packet.dts is None  # at the end: what decoders still hold
                yield packet
            return


def _default_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """The audio stream that players choose; None if there is none."""
    default = [stream for stream in container.streams.audio if stream.disposition & Disposition.default]
    return next(iter([*default, *container.streams.audio]), None)


def _portions(n_frames: int) -> Iterator[int]:
    while n_frames > 0:
        yield min(n_frames, CHUNK)
        n_frames -= CHUNK


def _gathered(pieces: Iterator[tuple[int, Waveform]]) -> Iterator[tuple[int, Waveform]]:
    """The pieces, joined to whole tenths of a second, two or more, while neither rate nor channels change.

    What has been gathered when reading fails comes before the error.
    """
    ready: list[Waveform] = []
    ready_hz, n_ready = 0, 0
    try:
        for rate_hz, planes in pieces:
            if ready and (rate_hz != ready_hz or len(planes) != len(ready[0])):
                yield ready_hz, np.concatenate(ready, axis=1)
                ready, n_ready = [], 0
            ready.append(planes)
            ready_hz, n_ready = rate_hz, n_ready + planes.shape[1]
            if n_ready >= 2 * _tenth(rate_hz):
                gathered = np.concatenate(ready, axis=1)
                whole = n_ready // _tenth(rate_hz) * _tenth(rate_hz)
                yield ready_hz, gathered[:, :whole]
                ready, n_ready = [gathered[:, whole:]], n_ready - whole
    except (*_FAILS, AudioError):
        if ready:
            yield ready_hz, np.concatenate(ready, axis=1)
        raise
    if ready:
        yield ready_hz, np.concatenate(ready, axis=1)


def _check_format(rate_hz: int, channels: int, name: str) -> None:
    if rate_hz not in RATES_HZ:
        raise AudioError(f"{name}: a rate of {rate_hz} Hz is absurd; 1 to 768 kHz can be read")
    if channels not in CHANNELS:
        raise AudioError(f"{name}: {channels} channels are absurd; 1 to {CHANNELS[-1]} can be read")


def _check_length(seconds: float, declared_s: float | None, name: str) -> None:
    if declared_s and seconds and seconds < declared_s - _CUT_S:
        raise TruncatedError(f"{name}: truncated, {seconds:.1f} s of {declared_s:.1f} s are there; download it again")
    if seconds == 0:
        raise AudioError(f"{name}: holds no samples; choose a file with sound")


def _resampled(chunks: Iterator[tuple[int, Waveform]], name: str, to_hz: int) -> Iterator[Waveform]:
    """The chunks at another rate, by soxr; each stretch of one rate by itself.

    What the resampler still holds when reading fails comes before the error.
    """
    resampler, from_hz = None, to_hz
    nothing = np.zeros(0, np.float32)
    try:
        for rate_hz, waveform in chunks:
            if not (np.abs(waveform) < _ABSURD).all():  # NaN is not below it either
                raise AudioError(
                    f"{name}: has samples that are not sound (NaN, infinite or above 1e9); export it again"
                )
            if rate_hz != from_hz:
                if resampler:
                    yield resampler.resample_chunk(nothing, last=True)
                from_hz = rate_hz
                resampler = None
                if rate_hz != to_hz:
                    resampler = soxr.ResampleStream(rate_hz, to_hz, num_channels=1, dtype="float32")
            yield resampler.resample_chunk(waveform) if resampler else waveform
    except TruncatedError:
        if resampler:
            yield resampler.resample_chunk(nothing, last=True)
        raise
    if resampler:
        yield resampler.resample_chunk(nothing, last=True)
