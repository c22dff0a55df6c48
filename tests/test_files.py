import errno
import hashlib
import json
import os
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genreline.errors import GenrelineError
from genreline.files import check_writable, digest_file, json_text, replacing, write_text


def write_half_and_raise(path, error):
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


def test_a_file_is_complete_or_not_there(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with pytest.raises(KeyboardInterrupt):
        write_half_and_raise(path, KeyboardInterrupt())
    assert list(path.parent.iterdir()) == []
    write_text(path, "whole\n")
    with pytest.raises(ValueError, match="late"):
        write_half_and_raise(path, ValueError("late"))
    assert path.read_bytes() == b"whole\n"
    assert list(path.parent.iterdir()) == [path]


def test_files_have_ordinary_permissions(tmp_path):
    (tmp_path / "ordinary").touch()
    write_text(tmp_path / "ours", "")
    modes = [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("ordinary", "ours")]
    assert modes[0] == modes[1]


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(GenrelineError, match="cannot be written"):
        write_text(tmp_path / "file" / "below.txt", "")


def test_a_full_disk_is_said(tmp_path):
    with pytest.raises(GenrelineError, match=r"file: cannot be written \(No space left"):
        write_half_and_raise(tmp_path / "file", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert not list(tmp_path.iterdir())


def test_what_can_be_written_to_is_told_before(tmp_path):
    check_writable(tmp_path / "not" / "yet" / "there")
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(GenrelineError, match="is not a folder; choose another place"):
            check_writable(folder)


def test_the_digest_is_sha_256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_file(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_json_is_kept(value):
    assert json.loads(json_text(value)) == value


def test_json_is_strict():
    value = {"nan": float("nan"), "list": [np.float64("inf"), np.int64(3)], "array": np.array([1.5, np.nan]), 7: (1,)}
    assert json.loads(json_text(value)) == {"nan": None, "list": [None, 3], "array": [1.5, None], "7": [1]}
