"""Damage a file as bit rot, cut copies and attackers do; the same seed, the same damage."""

import random
import zlib
from collections.abc import Sequence

_NUMBERS = [0, 1, 2, 7, 127, 128, 255, 2**15 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]
_WORDS = [
    *(b"-1", b"0", b"1e999", b"nan", b"1e-320", b"9" * 5000, b"0x7fffffff", b"null", b"true", b"{}", b"[]", b'""'),
    *(b"[" * 5000, b'{"a":' * 3000, b'"', b"'", b"\\", b"\0", b"\r", b",", b"\n" * 3, b"=", b"[[", b"]]", b".."),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"../../etc/passwd", b"|O", b"<U0", b"<f8", b"(-5, 26)"),
]


def mutated(data: bytes, others: Sequence[bytes], seed: int) -> bytes:
    """The data with one to eight pieces of damage; `others` lend parts of theirs."""
    rng = random.Random(seed)
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 3, 5, 8])):
        rng.choice(_DAMAGE)(changed, others, rng)
    # Nine in ten of Ogg's pages get a right checksum: with a wrong one no decoder looks into them.
    return with_ogg_checksums(bytes(changed)) if changed[:4] == b"OggS" and rng.random() < 0.9 else bytes(changed)


def _place(data: bytearray, rng: random.Random) -> int:
    """Anywhere, but half of the time among the first 200 bytes, where headers are."""
    return rng.randrange(min(len(data), 200) if rng.random() < 0.5 else len(data)) if data else 0


def _flip(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _number(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    size = rng.choice([1, 2, 4, 8])
    number = (rng.choice(_NUMBERS) + rng.choice([0, 0, -1, 1, rng.randrange(256)])) % 256**size
    place = _place(data, rng)
    data[place : place + size] = number.to_bytes(size, rng.choice(["little", "big"]))


def _digits(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    """Another number where a text has one."""
    places = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
    if places:
        place = rng.choice(places)
        data[place : place + 1] = str(rng.choice([*_NUMBERS, -1, 1e308, rng.randrange(1000)])).encode()


def _word(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    place = _place(data, rng)
    data[place : place + rng.choice([0, 0, 1, 4])] = rng.choice(_WORDS)


def _noise(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    place, size = _place(data, rng), rng.choice([1, 4, 16, 64])
    data[place : place + size] = rng.randbytes(size)


def _cut(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _remove(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    place = _place(data, rng)
    del data[place : place + rng.choice([1, 2, 4, 16, 200])]


def _repeat(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    place, size = _place(data, rng), rng.choice([1, 8, 64, 512])
    data[place:place] = bytes(data[place : place + size]) * rng.choice([1, 2, 20])


def _borrow(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(others)
    start = rng.randrange(len(other) + 1)
    size = rng.choice([4, 32, 256, len(other)])
    place = _place(data, rng)
    data[place : place + rng.choice([0, size])] = other[start : start + size]


_DAMAGE = (_flip, _flip, _number, _number, _digits, _word, _noise, _cut, _remove, _repeat, _borrow)


def with_ogg_checksums(data: bytes) -> bytes:
    """An Ogg file whose pages' checksums are right (RFC 3533, section 6: CRC-32 by 04c11db7, not reflected)."""
    changed = bytearray(data)
    place = changed.find(b"OggS")
    while 0 <= place <= len(changed) - 27:
        n_segments = changed[place + 26]
        end = place + 27 + n_segments + sum(changed[place + 27 : place + 27 + n_segments])
        changed[place + 22 : place + 26] = bytes(4)
        changed[place + 22 : place + 26] = _ogg_checksum(bytes(changed[place:end])).to_bytes(4, "little")
        place = changed.find(b"OggS", max(place + 27, end))
    return bytes(changed)


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _ogg_checksum(page: bytes) -> int:
    """By zlib's CRC-32, which is the reflected one: each byte's bits in reverse, no inversion before and after."""
    reflected = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reflected:032b}"[::-1], 2)
