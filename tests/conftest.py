"""What several test files share: small data made on the spot, and the real data beside the project where it exists."""

from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

from genreline.data.layout import SETS, Dataset, Split, load_dataset, write_split

# Machines that test are often busy: no test fails for being slow.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tests run side by side, one thread each."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared():
    """The folder of real data and recordings, which is not part of the project."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real data and recordings), which is not part of the project")
    return SHARED


def make_split(kind, rng, n, classes, tracks=True):
    """Random features whose mean depends on the class, so that a network can learn them."""
    shape = {"mfccs": (26,), "melgrams": (21, 128)}[kind]
    numbers = np.arange(n) % len(classes)
    means = np.random.default_rng(7).normal(0, 1, (len(classes), shape[-1]))
    X = rng.normal(0, 1, (n, *shape)) + means[numbers].reshape(n, *([1] * (len(shape) - 1)), shape[-1])
    names = np.array([f"track{i}" for i in numbers])
    columns = {"track": names, "start_s": np.arange(n).astype(str)} if tracks else None
    return Split(X.astype(np.float32), np.array(classes)[numbers], columns)


@pytest.fixture
def course(tmp_path):
    """A small dataset on disk in both representations, with three classes; gives its root."""
    rng = np.random.default_rng(0)
    for kind in ("mfccs", "melgrams"):
        for name, n in zip(SETS, (96, 36, 45), strict=True):
            write_split(
                tmp_path / "course", name, kind, make_split(kind, rng, n, ["blues", "jazz", "rock"], tracks=False)
            )
    return tmp_path / "course"


@pytest.fixture
def mfccs(course) -> Dataset:
    """The MFCC half of the small dataset."""
    return load_dataset(course, "mfccs")


@pytest.fixture
def melgrams(course) -> Dataset:
    """The melgram half of the small dataset."""
    return load_dataset(course, "melgrams")
