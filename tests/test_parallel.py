import errno
import math
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from genreline.data.prepare import prepare
from genreline.errors import GenrelineError
from genreline.parallel import map_unordered


def test_every_item_is_mapped_once_in_other_processes():
    assert dict(map_unordered(math.factorial, range(8), jobs=2)) == {n: math.factorial(n) for n in range(8)}
    pids = {pid for _, pid in map_unordered(eval, ["__import__('os').getpid()"] * 3, jobs=2)}
    assert os.getpid() not in pids


def test_an_error_is_raised_here():
    with pytest.raises(ValueError, match="not defined for negative"):
        dict(map_unordered(math.factorial, [3, -1], jobs=2))


@pytest.mark.parametrize(
    "script",
    [
        "print(dict(map_unordered(math.factorial, [3], jobs=1)))",  # as people write it
        "def six(n):\n    return 6\n\nif __name__ == '__main__':\n    print(dict(map_unordered(six, [3], jobs=1)))",
    ],
)
def test_a_script_starts_its_work_once(tmp_path, script):
    path = tmp_path / "script.py"
    path.write_text(f"import math\nfrom genreline.parallel import map_unordered\n\n{script}\n")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{3: 6}\n", "")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError("AF_UNIX path length cannot exceed 107 bytes"),
            "ray: AF_UNIX path length .*; see the log files there",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/tmp/ray"), "ray: Permission denied; see the log files"),
        (OSError(errno.ENOSPC, "No space left on device"), "ray: No space left on device; make room there"),
    ],
)
def test_what_ails_ray_is_not_called_a_full_disk(monkeypatch, tmp_path, error, message):
    def init(**options):
        raise error

    for genre in ("blues", "rock"):
        for name in ("a.wav", "b.wav", "c.wav"):
            (tmp_path / "music" / genre).mkdir(parents=True, exist_ok=True)
            (tmp_path / "music" / genre / name).touch()
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init, is_initialized=lambda: False))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(GenrelineError, match=message) as raised:
        prepare(tmp_path / "music", tmp_path / "out", backend="ray")
    assert "make room" in str(raised.value) if error.errno == errno.ENOSPC else "make room" not in str(raised.value)
