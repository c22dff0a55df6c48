"""The same work on a Ray cluster of three nodes, one of which dies in the middle. Skips where Ray is not installed."""

import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genreline.data.prepare import prepare
from genreline.errors import ConfigError
from genreline.parallel import map_unordered
from genreline.predict.files import SongTask, predict_files
from genreline.study.runner import jobs_of, load_results, run_job, run_study
from genreline.study.spec import load_study

from .data.test_prepare import contents

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    """A head that does no work itself and two nodes of a CPU each, on this machine, with processes of their own."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install genreline[ray]")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        from ray.cluster_utils import Cluster

        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        nodes.doomed = [nodes.add_node(num_cpus=1), nodes.add_node(num_cpus=1)]
        yield nodes
        nodes.shutdown()


def test_items_and_errors_come_as_from_processes(cluster):
    items = range(40)
    expected = {n: math.factorial(n) for n in items}
    assert dict(map_unordered(math.factorial, items, 1, "ray", cluster.address)) == expected
    with pytest.raises(ValueError, match="not defined for negative") as error:
        dict(map_unordered(math.factorial, [3, -1], 1, "ray", cluster.address))
    assert type(error.value) is ValueError


def test_a_study_runs_there(cluster, course, tmp_path):
    (tmp_path / "one.toml").write_text(
        'step = "1"\nquestion = "?"\nstarts_from = ""\nsettings.epochs = 1\nvariants = [{ id = "a" }]\n'
    )
    here, there = (jobs_of(load_study(tmp_path / "one.toml"), course, tmp_path / name, 1) for name in ("here", "there"))
    assert list(run_study(there, 1, "ray", cluster.address)) == there
    for job in here:
        run_job(job)
    losses = [[run["history"][-1]["train_loss"] for _, run in load_results(jobs)] for jobs in (here, there)]
    assert losses[0] == losses[1]


def test_songs_are_predicted_there(cluster, tmp_path):
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", np.random.default_rng(i).normal(0, 0.1, 16000 + 4000 * i), 8000)
    (tmp_path / "3.wav").write_bytes(b"no sound")
    songs = sorted(tmp_path.glob("*.wav"))
    here, there = (
        dict(
            predict_files(
                [SongTask(path, tmp_path / name / path.stem) for path in songs], "course-fnn", ("csv",), 2, **where
            )
        )
        for name, where in (("here", {}), ("there", {"backend": "ray", "ray_address": cluster.address}))
    )
    assert [there[i]["overall"] for i in range(3)] == [here[i]["overall"] for i in range(3)]
    assert [(tmp_path / "there" / f"{i}.csv").read_text() for i in range(3)] == [
        (tmp_path / "here" / f"{i}.csv").read_text() for i in range(3)
    ]
    assert "error" in there[3]


def test_a_node_that_dies_loses_nothing(cluster, tmp_path):
    rng = np.random.default_rng(0)
    for genre in ("blues", "rock"):
        (tmp_path / "music" / genre).mkdir(parents=True)
        for i in range(20):
            soundfile.write(tmp_path / "music" / genre / f"{i}.flac", rng.normal(0, 0.1, 8000 * 5), 8000)
    done = []

    def kill_a_node(step):
        done.append(step)
        if step.what == "features" and step.done == 8:
            node = cluster.doomed.pop(0)
            assert node.any_processes_alive()
            cluster.remove_node(node, allow_graceful=False)
            assert not node.any_processes_alive()

    manifest = prepare(
        tmp_path / "music", tmp_path / "out", backend="ray", ray_address=cluster.address, on_step=kill_a_node
    )
    assert len(cluster.doomed) == 1
    assert [(step.what, step.done) for step in done] == [
        (what, n) for what in ("features", "writing") for n in range(1, 41)
    ]
    assert manifest["skipped"] == []
    prepare(tmp_path / "music", tmp_path / "here")
    assert contents(tmp_path / "out") == contents(tmp_path / "here")


def test_no_cluster_is_said():
    pytest.importorskip("ray", reason="Ray is not installed: pip install genreline[ray]")
    with pytest.raises(ConfigError, match=r"no cluster answers at 127\.0\.0\.1:1;"):
        dict(map_unordered(math.factorial, [1], 1, "ray", "127.0.0.1:1"))


def test_without_ray_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install genreline\[ray\]"):
        dict(map_unordered(math.factorial, [1], 1, "ray"))
    with pytest.raises(ConfigError, match="choose processes or ray"):
        dict(map_unordered(math.factorial, [1], 1, "dask"))


def test_ray_is_imported_by_those_alone_who_ask_for_it():
    import subprocess

    code = "import sys, genreline.cli, genreline.data.prepare, genreline.parallel; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
