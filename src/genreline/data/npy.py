"""An array in a .npy file, read once: its numbers, and the SHA-256 of the file's bytes."""

import hashlib
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from genreline.errors import DataError
from genreline.files import digest_file

MAPPED_FROM_BYTES = 2**30
"""A larger array is not loaded but mapped: its rows are read when they are used."""

_HEADERS = {(1, 0): (2, npy.read_array_header_1_0), (2, 0): (4, npy.read_array_header_2_0)}
"""By version of the format: how many bytes hold the length of the header, and what reads both."""

_MAX_HEADER_BYTES = 10_000
_PROBLEMS = (OSError, ValueError, TypeError, SyntaxError, EOFError, OverflowError, RecursionError, TokenError)
_PIECE = 2**20


class ArrayFile:
    """A .npy file. Nothing in it is unpickled, and no memory is allocated for an array that the file is too short for.

    Attributes:
        array: what it holds, in this machine's byte order; a np.memmap where it is larger than MAPPED_FROM_BYTES: its
            rows are read from the file when they are indexed.

    Raises:
        DataError: the file is missing, is no array, or holds Python objects.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self._is_digested = False
        try:
            if path.exists() and not path.is_file():
                raise DataError(f"{path}: is not a file; write the array again")
            with path.open("rb") as file:
                self.array = self._read(file)
        except FileNotFoundError as error:
            raise DataError(f"{path}: the file is missing") from error
        except _PROBLEMS as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{path}: is not an array that can be read ({reason}); write it again") from error

    def row_blocks(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """As `row_blocks` of its array; the first pass through an array that stayed on disk digests it, too."""
        if self._is_digested or not isinstance(self.array, np.memmap):
            yield from row_blocks(self.array)
            return
        for start, rows in row_blocks(self.array):
            self._digest.update(rows.tobytes())
            yield start, rows
        with self._path.open("rb") as file:
            file.seek(self.array.offset + self.array.nbytes)
            self._digest_rest(file)

    def sha256(self) -> str:
        """The digest of the file, as 64 hexadecimal digits."""
        return self._digest.hexdigest() if self._is_digested else digest_file(self._path)

    def _read(self, file: BinaryIO) -> NDArray[Any]:
        if file.read(len(npy.MAGIC_PREFIX)) != npy.MAGIC_PREFIX:
            raise ValueError("no .npy file")
        file.seek(0)
        version = npy.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"version {version[0]}.{version[1]} of the format is for other arrays")
        n_length, read_header = _HEADERS[version]
        length = file.read(n_length)
        if int.from_bytes(length, "little") > _MAX_HEADER_BYTES:  # NumPy would first allocate what it declares
            raise ValueError("its header is too long")
        file.seek(-len(length), os.SEEK_CUR)
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # a header by Python 2 is as good
            shape, is_fortran, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError("holds Python objects, which are never loaded")
        start, n_bytes = file.tell(), math.prod(shape) * dtype.itemsize
        if not dtype.itemsize or min(shape, default=0) < 0:
            raise ValueError(f"{dtype} {shape} is not a valid array")
        if start + n_bytes > os.fstat(file.fileno()).st_size:
            raise ValueError(f"its end is missing; {dtype} {shape} takes {n_bytes} bytes")
        file.seek(0)
        self._digest.update(file.read(start))
        if n_bytes > MAPPED_FROM_BYTES and dtype.isnative and not is_fortran:
            return np.memmap(file, dtype, "r", start, shape)
        data = bytearray(n_bytes)
        if file.readinto(data) < n_bytes:  # type: ignore[attr-defined]
            raise EOFError("its end is missing")
        self._digest.update(data)
        self._digest_rest(file)
        array: NDArray[Any] = np.ndarray(shape, dtype, data, order="F" if is_fortran else "C")
        return array.astype(dtype.newbyteorder("="), copy=False)

    def _digest_rest(self, file: BinaryIO) -> None:
        """Add what follows the array to the digest, which is then that of the file."""
        while piece := file.read(_PIECE):
            self._digest.update(piece)
        self._is_digested = True


def row_blocks(X: NDArray[Any], n_rows: int = 1024) -> Iterator[tuple[int, NDArray[Any]]]:
    """(number of the first row, rows) in blocks, for arrays that are larger than memory."""
    for start in range(0, len(X), n_rows):
        yield start, X[start : start + n_rows]
