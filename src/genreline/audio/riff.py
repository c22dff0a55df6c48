"""A small reader of RIFF files (wav): finds the format and the samples, and checks every size on the way.

libsndfile trusts the sizes that a file declares: a wrong one loses sound, and one that overflows makes it read forever.
It is therefore only given a header written here, followed by the file's own samples.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from genreline.errors import AudioError

_PCM, _FLOAT, _A_LAW, _MU_LAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_PLAIN = {_PCM, _FLOAT, _A_LAW, _MU_LAW}
_UNKNOWN_SIZES = (0x7FFFF000, 0x7FFFFFFF, 0xFFFFF000, 0xFFFFFFFF)  # what writers declare when they cannot seek back
_LARGEST_RIFF = 2**32 - 1024
_LARGEST_LIST = 2**20
_MOST_CHUNKS = 10_000
_CUT_S = 0.5
_LOWEST_BYTES_PER_S = 8000  # of samples that somebody keeps


@dataclass(frozen=True)
class Samples:
    """Where a wav's samples are.

    Attributes:
        format_chunk: the body of the chunk "fmt ".
        start: the samples' first byte in the file.
        size: how many bytes of them are there.
        missing_s: the seconds that the file declares beyond those.
    """

    format_chunk: bytes
    start: int
    size: int
    missing_s: float

    @property
    def rate_hz(self) -> int:
        return int.from_bytes(self.format_chunk[4:8], "little")

    @property
    def bytes_per_s(self) -> int:
        """As the samples are stored, of all channels."""
        return self.rate_hz * int.from_bytes(self.format_chunk[12:14], "little")

    @property
    def channels(self) -> int:
        return int.from_bytes(self.format_chunk[2:4], "little")

    @property
    def is_16_bit(self) -> bool:
        """Whether the samples are plain signed 16-bit integers, and the header agrees with itself on that."""
        codec, channels, rate_hz, _, frame_size, bits = struct.unpack("<HHIIHH", self.format_chunk[:16])
        return bool(codec == _PCM and bits == 16 and rate_hz and channels and frame_size == 2 * channels)

    @property
    def is_cut(self) -> bool:
        return self.missing_s > _CUT_S


class Window:
    """Part of a file, behind a header made here, as a file of its own. A seek before its start goes to its start."""

    def __init__(self, file: BinaryIO, start: int, size: int, header: bytes = b"") -> None:
        self._file, self._start, self._header = file, start, header
        self._size = len(header) + size
        self._place = 0

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._place, self._size)[whence]
        self._place = min(max(0, base + offset), self._size)
        return self._place

    def read(self, n_bytes: int = -1) -> bytes:
        left = self._size - self._place
        n_bytes = left if n_bytes < 0 else min(n_bytes, left)
        head = self._header[self._place : self._place + n_bytes]
        self._place += len(head)
        rest = b""
        if n_bytes > len(head):
            self._file.seek(self._start + self._place - len(self._header))
            rest = self._file.read(n_bytes - len(head))
            self._place += len(rest)
        return head + rest if head else rest

    def readinto(self, buffer: bytearray | memoryview) -> int:
        place = memoryview(buffer).cast("B")
        n_bytes = min(len(place), self._size - self._place)
        if self._place >= len(self._header) and hasattr(self._file, "readinto"):
            self._file.seek(self._start + self._place - len(self._header))
            n_bytes = int(self._file.readinto(place[:n_bytes]))
            self._place += n_bytes
            return n_bytes
        data = self.read(n_bytes)
        place[: len(data)] = data
        return len(data)


def is_w64_cut(file: BinaryIO) -> bool:
    """Whether a Sony Wave64 file is shorter than its header declares. Leaves the file at its start."""
    file_size = file.seek(0, 2)
    file.seek(16)
    declared = int.from_bytes(file.read(8), "little")
    file.seek(0)
    is_known = declared < 2**48 and declared not in _UNKNOWN_SIZES
    return is_known and declared - file_size > _CUT_S * _LOWEST_BYTES_PER_S


def find_samples(file: BinaryIO, name: str) -> Samples | None:
    """The samples of a wav of plain samples (PCM, float, A-law, mu-law); None where another decoder must read it.

    Leaves the file at its start.

    Raises:
        AudioError: a chunk reaches beyond the end of the file, before any samples.
    """
    try:
        return _find_samples(file, name)
    finally:
        file.seek(0)


def _find_samples(file: BinaryIO, name: str) -> Samples | None:
    file_size = file.seek(0, 2)
    file.seek(0)
    kind, riff_size, form = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
    if kind not in (b"RIFF", b"RF64") or form != b"WAVE":
        return None
    format_chunk, data_size_64 = b"", None
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return None
        chunk, size = struct.unpack("<4sI", head)
        start = file.tell()
        if chunk == b"data":
            if not format_chunk:
                return None  # FFmpeg finds a format that follows the samples
            if size == 0xFFFFFFFF and data_size_64 is not None:
                size = data_size_64
            return _measured(format_chunk, start, size, file_size, riff_size)
        if start + size > file_size:
            kind_of_chunk = chunk.decode("ascii", "replace")
            raise AudioError(
                f"{name}: damaged or truncated (its chunk {kind_of_chunk!r} ends beyond the file); export it again"
            )
        if chunk == b"LIST":
            _check_list(file.read(min(size, _LARGEST_LIST)), file_size, name)
        if chunk == b"fmt ":
            format_chunk = file.read(min(size, 64))
        elif chunk == b"ds64" and size >= 16:
            data_size_64 = struct.unpack("<Q", file.read(16)[8:])[0]
        file.seek(start + size + size % 2)
    raise AudioError(f"{name}: damaged (more than {_MOST_CHUNKS} chunks before its samples); export it again")


def _check_list(body: bytes, file_size: int, name: str) -> None:
    """Raises AudioError if an entry of a LIST chunk is larger than the whole file."""
    place = 4
    while place + 8 <= len(body):
        size = int.from_bytes(body[place + 4 : place + 8], "little")
        if size > file_size:
            raise AudioError(f"{name}: damaged (an entry of its chunk 'LIST' ends beyond the file); export it again")
        place += 8 + size + size % 2


def _measured(format_chunk: bytes, start: int, declared: int, file_size: int, riff_size: int) -> Samples | None:
    if len(format_chunk) < 16:
        return None
    codec, _, rate_hz, _, frame_size, _ = struct.unpack("<HHIIHH", format_chunk[:16])
    if codec == _EXTENSIBLE and len(format_chunk) >= 26:
        codec = struct.unpack("<H", format_chunk[24:26])[0]
    there = file_size - start
    if codec not in _PLAIN or there > _LARGEST_RIFF:
        return None
    is_unknown = any(abs(declared - size) <= 256 for size in _UNKNOWN_SIZES) and declared > there
    is_unknown |= declared == 0 and riff_size + 8 != file_size
    size = there if is_unknown else min(declared, there)
    missing_s = 0.0 if is_unknown else max(0, declared - there) / max(1, rate_hz * frame_size)
    return Samples(format_chunk, start, size, missing_s)


def rewritten(file: BinaryIO, samples: Samples) -> Window:
    """The wav as a file whose header holds nothing but its format and the true size of its samples."""
    form = samples.format_chunk + bytes(len(samples.format_chunk) % 2)
    body = b"WAVEfmt " + struct.pack("<I", len(samples.format_chunk)) + form
    body += b"data" + struct.pack("<I", samples.size)
    header = b"RIFF" + struct.pack("<I", len(body) + samples.size) + body
    return Window(file, samples.start, samples.size, header)
