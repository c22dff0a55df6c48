"""A sound as bytes that every browser plays: those of its file if browsers play it, else an MP3."""

import io
import struct
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import soundfile

from genreline.audio.decode import AudioSource, blocks, source_name
from genreline.errors import AudioError, TruncatedError

MOST_BYTES = 32 * 2**20
"""A larger file is re-encoded."""

MOST_S = 4 * 3600
"""A longer sound makes a page that browsers do not open."""

_MP3_RATE_HZ = 44100


class Playable(NamedTuple):
    """A file's bytes and the type by which browsers know it; `is_original` unless it was re-encoded."""

    data: bytes
    mime: str
    is_original: bool


def playable(source: AudioSource) -> Playable:
    """The sound for a browser: the file as it is if browsers play it and it has at most 32 MiB, else a mono MP3.

    The MP3 has 44.1 kHz and about half a megabyte a minute.

    Args:
        source: as `genreline.audio.decode.decode`; a stream is read from its start, and must be seekable.

    Raises:
        AudioError: it cannot be decoded, or has to be encoded and lasts more than four hours.
    """
    data = _bytes_of(source)
    mime = data and _mime(data)
    if data and mime:
        return Playable(data, mime, True)
    return Playable(_mp3(source), "audio/mpeg", False)


def _bytes_of(source: AudioSource) -> bytes | None:
    """The content of a file of at most 32 MiB; None for a larger one."""
    try:
        if isinstance(source, bytes):
            data = source
        elif isinstance(source, str | Path):
            with open(source, "rb") as file:
                data = file.read(MOST_BYTES + 1)
        else:
            source.seek(0)
            data = source.read(MOST_BYTES + 1)
            source.seek(0)
    except OSError as error:
        raise AudioError(f"{source_name(source)}: cannot be read ({error.strerror or error})") from error
    return data if len(data) <= MOST_BYTES else None


def _mime(data: bytes) -> str | None:
    """The type of a file that Chrome, Firefox and Safari play, by its first bytes; None for any other."""
    head = data[:512]
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE" and (at := head.find(b"fmt ")) > 0 and len(head) >= at + 24:
        coding, bits = struct.unpack_from("<H", head, at + 8)[0], struct.unpack_from("<H", head, at + 22)[0]
        return "audio/wav" if coding in (1, 0xFFFE) and bits in (8, 16, 24) else None
    if head[:4] == b"OggS" and (b"vorbis" in head or b"OpusHead" in head):
        return "audio/ogg"
    if head[:4] == b"fLaC":
        return "audio/flac"
    if head[4:8] == b"ftyp" and b"mp4a" in data and b"esds" in data:  # AAC's description; ALAC has another
        return "audio/mp4"
    if head[:4] == b"\x1aE\xdf\xa3" and b"webm" in head:
        return "audio/webm"
    if head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2):
        return "audio/mpeg"
    return None


def _mp3(source: AudioSource) -> bytes:
    encoded = io.BytesIO()
    length_s = 0
    with (
        soundfile.SoundFile(
            encoded, "w", _MP3_RATE_HZ, 1, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.5
        ) as file,
        suppress(TruncatedError),
    ):  # the timeline has already reported that the sound ends early
        for block in blocks(source, block_s=10, rate_hz=_MP3_RATE_HZ):
            length_s += 10
            if length_s > MOST_S:
                raise AudioError(f"{source_name(source)}: lasts over four hours, too long for a page; leave out html")
            file.write(block)
    return encoded.getvalue()
