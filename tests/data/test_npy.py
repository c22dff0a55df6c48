"""An array's file is read once, to the same numbers as NumPy's and the digest of all its bytes."""

import hashlib
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genreline.data.npy import ArrayFile
from genreline.errors import DataError


@pytest.mark.parametrize("mapped_from", [0, 2**30])
@pytest.mark.parametrize(
    "array",
    [
        np.random.default_rng(0).normal(size=(3000, 26)),
        np.random.default_rng(0).normal(size=(3000, 26)).astype(">f4"),
        np.asfortranarray(np.random.default_rng(0).normal(size=(50, 21, 128))),
        np.array(["jazz", "blues", "müzik"] * 9),
        np.zeros((0, 26)),
    ],
)
@pytest.mark.parametrize("behind", [b"", b"more" * 1000])
def test_an_array_and_the_digest_of_its_file(tmp_path, monkeypatch, mapped_from, array, behind):
    monkeypatch.setattr("genreline.data.npy.MAPPED_FROM_BYTES", mapped_from)
    path = tmp_path / "a.npy"
    np.save(path, array)
    path.write_bytes(path.read_bytes() + behind)
    file = ArrayFile(path)
    np.testing.assert_array_equal(file.array, array)
    assert file.array.dtype.isnative
    assert np.array_equal(np.concatenate([array[:0], *(rows for _, rows in file.row_blocks())]), array)
    assert file.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert ArrayFile(path).sha256() == file.sha256()  # asked before any rows were read


def test_what_is_read_can_be_trained_on(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 26)))
    assert ArrayFile(tmp_path / "a.npy").array.flags.writeable  # torch warns of others


def header(text):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "text",
    [
        b"{'descr': '<U0', 'fortran_order': False, 'shape': (1000000000000000000,)}\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (-5, 26)}\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775808, 26)}\n",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n",
        b"{'descr': [('a', '<f8'), ('b', '|O')], 'fortran_order': False, 'shape': (1,)}\n",
        b"{" * 9000,
    ],
)
def test_absurd_headers_are_refused(tmp_path, text):
    (tmp_path / "a.npy").write_bytes(header(text) + bytes(1000))
    with pytest.raises(DataError, match="is not an array that can be read"):
        ArrayFile(tmp_path / "a.npy")


@given(st.binary(max_size=150), st.integers(0, 130), st.binary(max_size=6))
def test_damage_is_a_data_error(tmp_path_factory, start, place, patch):
    path = tmp_path_factory.mktemp("damaged") / "a.npy"
    np.save(path, np.zeros((4, 26)))
    data = bytearray(path.read_bytes())
    data[place : place + len(patch)] = patch
    for content in (bytes(data), b"\x93NUMPY" + start, header(start)):
        path.write_bytes(content)
        with suppress(DataError):  # and nothing else
            ArrayFile(path)
