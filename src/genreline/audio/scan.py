"""What MP3 and Ogg files really hold, from the headers of their frames and pages, in a few milliseconds a song.

libsndfile takes what the first frame, or the first stream, declares as true of the whole file. These readers check it.
"""

from dataclasses import dataclass
from typing import BinaryIO

_CHUNK = 1 << 20
_KBITS = {  # layer III, by the header's index (ISO 11172-3, 2.4.2.3 and ISO 13818-3)
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
_RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by the version's bits
_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3")


@dataclass(frozen=True)
class Mp3:
    """An MP3's frames: how many its header declares (0: none), and whether they are all alike and nothing else.

    `frame_s` is how long one lasts.
    """

    declared: int
    counted: int
    is_uniform: bool
    frame_s: float

    @property
    def is_as_declared(self) -> bool:
        """Whether libsndfile reads it correctly, and then also notices a missing end."""
        return self.is_uniform and self.declared > 0 and self.counted <= self.declared + 1

    @property
    def declared_s(self) -> float | None:
        """The duration that the header declares; None if it declares none."""
        return self.declared * self.frame_s or None


def scan_mp3(file: BinaryIO) -> Mp3 | None:
    """What an MP3 holds; None if the file is none. Leaves the file at its start."""
    try:
        return _scan_mp3(file)
    finally:
        file.seek(0)


def _scan_mp3(file: BinaryIO) -> Mp3 | None:
    start, n_tags = 0, 0
    head = file.read(10)
    while head[:3] == b"ID3" and len(head) == 10:
        # ID3v2's size: four bytes of seven bits each (id3.org, ID3v2.4.0, section 6.2).
        start += 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        n_tags += 1
        file.seek(start)
        head = file.read(10)
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, is_mono, rate_bits = head[1] >> 3 & 3, head[3] >> 6 == 3, head[2] & 0x0C
    if version == 1 or rate_bits == 0x0C:
        return None
    lengths = _frame_lengths(version, rate_bits)
    file.seek(start)
    data, place, counted = file.read(_CHUNK), 0, 0
    declared = _declared_frames(data[: lengths[head[2]]])
    # A frame like the first, whether or not it has a checksum.
    seconds, mono = (head[1] & 0xFE, head[1] | 1), is_mono
    while True:
        end = len(data) - 4
        while place <= end and data[place] == 0xFF and data[place + 1] in seconds:
            length = lengths[data[place + 2]]
            if not length or (data[place + 3] >= 0xC0) is not mono:
                break
            place += length
            counted += 1
        if place <= end:
            break  # what stands here is no such frame
        more = file.read(_CHUNK)
        if not more:
            break
        data, place = data[-4:] + more, place - len(data) + min(len(data), 4)
    if place > len(data):
        counted -= 1  # the last frame is cut
    rest = data[place:]
    ends = len(rest) < 4 or rest.startswith(_TAGS) or not rest.strip(b"\0")
    frame_s = (1152 if version == 3 else 576) / _RATES_HZ[version][rate_bits >> 2]
    return Mp3(declared or 0, counted - (declared is not None), n_tags < 2 and ends, frame_s)


def _frame_lengths(version: int, rate_bits: int) -> list[int]:
    """A frame's bytes, by its header's third byte; 0 where that is not a frame of this rate."""
    rate_hz = _RATES_HZ[version][rate_bits >> 2]
    kbits, per_frame = (_KBITS[1], 144_000) if version == 3 else (_KBITS[2], 72_000)
    lengths = [0] * 256
    for byte in range(256):
        if byte & 0x0C == rate_bits and kbits[byte >> 4]:
            lengths[byte] = per_frame * kbits[byte >> 4] // rate_hz + (byte >> 1 & 1)
    return lengths


def _declared_frames(frame: bytes) -> int | None:
    """The frames that a first frame's Xing, Info or VBRI header declares (0 if it has no number); None without one."""
    for tag, at in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        place = frame.find(tag, 4, 64)
        if place >= 0:
            has_number = tag == b"VBRI" or bool(frame[place + 7 : place + 8] and frame[place + 7] & 1)
            return int.from_bytes(frame[place + at : place + at + 4], "big") if has_number else 0
    return None


@dataclass(frozen=True)
class Ogg:
    """An Ogg file's pages: whether they are one Vorbis or Opus stream and complete to its end; whether the last page is
    cut; and whether their time stamps are those of one clock from the first page on.

    Streams that follow one another have a clock each; in FLAC's, FFmpeg takes the first page for the start of time.
    """

    is_single: bool
    is_cut: bool
    has_one_clock: bool


def scan_ogg(file: BinaryIO) -> Ogg | None:
    """What an Ogg file holds (RFC 3533, section 6); None if the file is none. Leaves the file at its start."""
    try:
        return _scan_ogg(file)
    finally:
        file.seek(0)


def _scan_ogg(file: BinaryIO) -> Ogg | None:
    size = file.seek(0, 2)
    place, n_begins, ends = 0, 0, False
    is_known, is_whole, is_chained, has_sound = True, True, False, False
    numbers: dict[bytes, int] = {}  # of each stream's last page
    while place < size:
        file.seek(place)
        page = file.read(27 + 255 + 8)
        if page[:4] != b"OggS":
            if not place:
                return None
            is_whole = False  # something is missing; or these are zeros or tags after the last page
            place = _next_page(file, place) or size
            continue
        if len(page) < 27 or len(page) < 27 + page[26]:
            return Ogg(False, True, is_known and not is_chained)
        body, serial, number = 27 + page[26], page[14:18], int.from_bytes(page[18:22], "little")
        if page[5] & 2:
            n_begins += 1
            is_chained |= has_sound
            is_known &= page[body : body + 8] == b"OpusHead" or page[body : body + 7] == b"\x01vorbis"
        else:
            has_sound = True
            is_whole &= number == numbers.get(serial, number - 1) + 1
        numbers[serial] = number
        ends = bool(page[5] & 4)
        place += body + sum(page[27:body])
    is_single = is_known and n_begins == 1 and len(numbers) == 1
    return Ogg(is_single and is_whole and ends, place > size, is_known and not is_chained)


def _next_page(file: BinaryIO, place: int) -> int | None:
    """Where the next page begins, from a place on; None if there is none."""
    file.seek(place)
    data, n_bytes = b"", 4096
    while more := file.read(n_bytes):
        data, n_bytes = data[-3:] + more, min(2 * n_bytes, _CHUNK)
        if (found := data.find(b"OggS")) >= 0:
            return file.tell() - len(data) + found
    return None
