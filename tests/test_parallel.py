import math
import os

import pytest

from genreline.parallel import map_unordered


def test_every_item_is_mapped_once_in_other_processes():
    assert dict(map_unordered(math.factorial, range(8), jobs=2)) == {n: math.factorial(n) for n in range(8)}
    pids = {pid for _, pid in map_unordered(eval, ["__import__('os').getpid()"] * 3, jobs=2)}
    assert os.getpid() not in pids


def test_an_error_is_raised_here():
    with pytest.raises(ValueError, match="not defined for negative"):
        dict(map_unordered(math.factorial, [3, -1], jobs=2))
