"""Studies as data: what runs, what is kept, and what an interruption loses (nothing)."""

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from genreline.cli import app
from genreline.errors import ConfigError
from genreline.study import runner
from genreline.study.records import progress_of
from genreline.study.runner import jobs_of, load_results, run_study, without_device, write_table
from genreline.study.spec import load_study, shipped_studies
from genreline.train.loop import fit

STUDY = """
step = "2.5"
question = "Which rate?"
starts_from = "nothing"
settings.epochs = 2
variants = [
    { id = "SGD" },
    { id = "Adam", settings.optimizer.name = "Adam" },
    { id = "LBFGS", settings.optimizer.name = "LBFGS" },
]
grid.optimizer.lr = [0.01, 1e38]
"""


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Runs are made here: a process takes seconds to start, and a killed study shows that processes do the same."""
    monkeypatch.setattr(
        runner, "map_unordered", lambda function, items, *rest: ((item, function(item)) for item in items)
    )


@pytest.fixture
def study(tmp_path):
    (tmp_path / "rates.toml").write_text(STUDY)
    return load_study(tmp_path / "rates.toml")


def test_the_study_says_how_many_seeds(study, course, tmp_path):
    def seeds_of(jobs, variant, lr):
        return [job.config.seed for job in jobs if job.point.variant.id == variant and job.config.optimizer.lr == lr]

    jobs = jobs_of(study, course, tmp_path)
    assert (seeds_of(jobs, "Adam", 0.01), seeds_of(jobs, "Adam", 1e38)) == ([0, 1, 2], [0, 1, 2])
    (tmp_path / "rates.toml").write_text("seeds = 4\ngrid_seeds = 2\n" + STUDY)
    study = load_study(tmp_path / "rates.toml")
    jobs = jobs_of(study, course, tmp_path)
    assert (seeds_of(jobs, "Adam", 0.01), seeds_of(jobs, "Adam", 1e38)) == ([0, 1, 2, 3], [0, 1])
    assert len(jobs_of(study, course, tmp_path, seeds=1)) == study.n_runs == 6


def test_what_is_missing_is_counted_and_nothing_written(study, course, tmp_path, capsys):
    jobs = jobs_of(study, course, tmp_path / "out", seeds=1)
    list(run_study([job for job in jobs if job.config.optimizer.lr == 0.01], n_processes=1))
    before = sorted((tmp_path / "out").rglob("*"))
    progress = progress_of(jobs_of(study, course, tmp_path / "out", seeds=3))
    assert progress[:4] == (18, 2, 1, 15)
    took = {job.config.optimizer.name: result.get("processor_seconds") for job, result in load_results(jobs)}
    both = took["SGD"] + took["Adam"]  # two seeds of each are missing, and eleven runs of points without any
    assert progress.hours * 3600 == pytest.approx(2 * both + 11 * both / 2)
    command = ["study", str(tmp_path / "rates.toml"), "--data", str(course), "--out", str(tmp_path / "out")]
    app([*command, "--missing"], standalone_mode=False)
    assert re.search(r"^rates +18 +2 +1 +15 +0\.\d$", capsys.readouterr().out, re.M)
    assert sorted((tmp_path / "out").rglob("*")) == before
    assert math.isnan(progress_of(jobs_of(study, course, tmp_path / "other")).hours)


def test_every_variant_runs_with_every_seed(study, course, tmp_path):
    jobs = jobs_of(study, course, tmp_path / "out", seeds=2)
    assert [(job.point.name, job.config.optimizer.name, job.config.seed) for job in jobs[::2][:3]] == [
        ("SGD, optimizer.lr=0.01", "SGD", 0),
        ("Adam, optimizer.lr=0.01", "Adam", 0),
        ("LBFGS, optimizer.lr=0.01", "LBFGS", 0),
    ]
    assert [job.config.optimizer.lr for job in jobs[:2]] == [0.01, 1e38]
    assert len(jobs) == 12 == 2 * study.n_runs
    assert len({job.path for job in jobs}) == 12
    assert len(list(run_study(jobs, n_processes=2))) == 12
    status = {(row["variant"], row["setting"], row["seed"]): row["status"] for row in write_table(jobs)}
    assert status["SGD", "optimizer.lr=0.01", 0] == "completed"
    assert status["SGD", f"optimizer.lr=1{'0' * 38}", 1] == "diverged"
    assert status["LBFGS", "optimizer.lr=0.01", 0] == "failed"
    with (tmp_path / "out" / "rates" / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert "closure" in next(row["reason"] for row in rows if row["variant"].startswith("LBFGS"))
    again = list(run_study(jobs, n_processes=2))  # nothing is done twice, but what failed is tried again
    assert {job.path.stem for job in again} == {row["run"] for row in rows if row["status"] == "failed"}


def test_an_interrupted_run_is_done_again(study, course, tmp_path):
    jobs = jobs_of(study, course, tmp_path, seeds=1)[:1]
    list(run_study(jobs, n_processes=1))
    assert jobs[0].done
    jobs[0].path.write_text(jobs[0].path.read_text().replace('"completed"', '"interrupted"'))
    assert not jobs[0].done


def test_a_failed_run_is_tried_again(study, course, tmp_path, monkeypatch):
    jobs = jobs_of(study, course, tmp_path / "out", seeds=1)[:1]

    def refuse(*arguments):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "fit", refuse)
        runner.run_job(jobs[0])
    assert load_results(jobs)[0][1]["status"] == "failed"
    (tmp_path / "twin.toml").write_text(STUDY)
    twins = jobs_of(load_study(tmp_path / "twin.toml"), course, tmp_path / "out", seeds=1)[:1]
    list(run_study(twins, n_processes=1))  # not a copy of the failed one
    assert load_results(twins)[0][1]["status"] == "completed"
    list(run_study(jobs, n_processes=1))
    assert load_results(jobs)[0][1] == load_results(twins)[0][1]


def test_a_damaged_result_is_made_again_and_any_error_is_a_result(study, course, tmp_path, monkeypatch):
    jobs = jobs_of(study, course, tmp_path / "out", seeds=1)[:1]
    list(run_study(jobs, n_processes=1))
    whole = load_results(jobs)
    for damaged in ('{"half', "[]", "{}", '{"status": "completed"}'):
        jobs[0].path.write_text(damaged)
        assert not jobs[0].done
    list(run_study(jobs, n_processes=1))
    assert load_results(jobs)[0][1]["test"] == whole[0][1]["test"]
    jobs[0].path.unlink()

    def fail(*arguments):
        raise KeyError("a fault of ours")

    monkeypatch.setattr(runner, "fit", fail)
    list(run_study(jobs, n_processes=1))
    assert load_results(jobs)[0][1]["reason"] == "KeyError: 'a fault of ours'"


def test_data_that_change_meanwhile_are_no_result_of_the_first(study, course, tmp_path):
    jobs = jobs_of(study, course, tmp_path / "out", seeds=1)[:1]
    X = np.load(course / "train" / "mfccs" / "X.npy")
    np.save(course / "train" / "mfccs" / "X.npy", X + 1)
    list(run_study(jobs, n_processes=1))
    assert "has changed since the command began" in load_results(jobs)[0][1]["reason"]


def test_the_hours_left_are_of_each_runs_own_length(course, tmp_path):
    (tmp_path / "lengths.toml").write_text(
        'step = "1"\nquestion = "?"\nstarts_from = "-"\nseeds = 2\n'
        'variants = [{ id = "long", settings.epochs = 60 }, { id = "short", settings.epochs = 2 }]\n'
    )
    jobs = jobs_of(load_study(tmp_path / "lengths.toml"), course, tmp_path)
    (short,) = (job for job in jobs if job.config.epochs == 2 and not job.config.seed)
    list(run_study([short], n_processes=1))
    second = load_results([short])[0][1]["processor_seconds"] / 2
    assert progress_of(jobs).hours == pytest.approx((60 + 60 + 2) * second / 3600)
    with pytest.raises(ConfigError, match="1 epochs make runs alike"):
        jobs_of(load_study(tmp_path / "lengths.toml"), course, tmp_path, epochs=1)


def test_two_studies_of_one_name_do_not_share_a_folder(study, course, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "rates.toml").write_text(STUDY.replace("Which", "What"))
    paths = [str(tmp_path / "rates.toml"), str(tmp_path / "other" / "rates.toml")]
    app(["study", *paths, "--data", str(course), "--out", str(tmp_path / "out")], standalone_mode=False)
    assert "there are two of this name" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_here_is_left_for_a_machine_that_has_it(course, tmp_path):
    text = (
        STUDY[: STUDY.index("variants")]
        + 'variants = [{ id = "CPU", device = "cpu" }, { id = "GPU", device = "cuda" }]'
    )
    (tmp_path / "device.toml").write_text(text)
    jobs = jobs_of(load_study(tmp_path / "device.toml"), course, tmp_path / "out", seeds=1)
    assert [job.point.variant.id for job in without_device(jobs)] == ["GPU"]
    list(run_study(jobs[:1], n_processes=2))
    assert load_results(jobs)[0][1]["n_parallel"] == 1, "beside another run its time would be another"
    assert [job.point.variant.id for job in without_device(jobs)] == ["GPU"]


def test_a_comparison_of_devices_measures_its_own_times(course, tmp_path):
    head = STUDY[: STUDY.index("variants")]
    for name, device in (("plain", ""), ("device", ', device = "cpu"')):
        (tmp_path / f"{name}.toml").write_text(f'{head}variants = [{{ id = "CPU"{device} }}]')
    studies = [load_study(tmp_path / f"{name}.toml") for name in ("plain", "device")]
    plain, device = (jobs_of(study, course, tmp_path / "out", seeds=1) for study in studies)
    list(run_study(plain, n_processes=2))
    list(run_study(device, n_processes=2))
    ((first, other),), ((second, own),) = load_results(plain), load_results(device)
    assert first.path.name == second.path.name
    assert (other["n_parallel"], own["n_parallel"]) == (2, 1)
    assert [epoch["train_loss"] for epoch in other["history"]] == [epoch["train_loss"] for epoch in own["history"]]


def test_a_run_is_that_of_fit(study, course, mfccs, tmp_path):
    jobs = jobs_of(study, course, tmp_path, seeds=1)[:1]
    list(run_study(jobs, n_processes=1))
    ((_, result),) = load_results(jobs)
    torch.set_num_threads(1)
    run = fit(jobs[0].config, mfccs)
    assert [epoch["train_loss"] for epoch in result["history"]] == [epoch.train_loss for epoch in run.history]
    assert result["best_epoch"] == run.best_epoch
    assert sum(map(sum, result["test"]["best"]["confusion_matrix"])) == 45
    assert result["versions"]["commit"]
    assert result["processor_seconds"] > 0


def test_a_run_of_another_study_is_not_done_again(study, course, tmp_path):
    job, *_ = jobs_of(study, course, tmp_path / "out", seeds=1)
    list(run_study([job], n_processes=1))
    (tmp_path / "other.toml").write_text(STUDY.replace('"SGD"', '"plain"'))
    again, *_ = jobs_of(load_study(tmp_path / "other.toml"), course, tmp_path / "out", seeds=1)
    assert [job.path for job in run_study([again], n_processes=1)] == [again.path]
    assert again.path.read_bytes() == job.path.read_bytes()  # the seconds it took are the same too


def test_identity_is_of_all_that_decides_the_result(study, course, tmp_path):
    def paths(**changes):
        settings = {"data": course, "out": tmp_path, "seeds": 1, "epochs": None, "device": "cpu"}
        return {job.path for job in jobs_of(study, **{**settings, **changes})}

    before = paths()
    assert paths() == before
    assert not paths(epochs=3) & before
    assert not paths(device="cuda") & before
    labels = course / "test" / "mfccs" / "labels.npy"
    labels.write_bytes(labels.read_bytes().replace(b"r\0\0\0o", b"p\0\0\0o"))
    assert not paths() & before


@pytest.mark.slow
def test_a_killed_study_goes_on_to_the_same_results(course, tmp_path):
    """kill -9 of the program and all its processes in the middle: what was finished is kept, the rest is as it was."""
    study = tmp_path / "many.toml"
    variants = ",".join(f'{{ id = "lr{i}", settings.optimizer.lr = 0.0{i} }}' for i in range(1, 7))
    head = 'step = "0"\nquestion = "?"\nstarts_from = ""\nsettings.epochs = 10\n'
    study.write_text(f"{head}variants = [{variants}]\n")
    command = [sys.executable, "-m", "genreline", "study", str(study), "--data", str(course), "--seeds", "2"]
    live = {**os.environ, "TTY_INTERACTIVE": "1", "FORCE_COLOR": "1", "COLUMNS": "200"}
    with subprocess.Popen(
        [*command, "--out", str(tmp_path / "killed")],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=live, start_new_session=True,
    ) as process:  # fmt: skip
        seen = ""
        while not re.search(r"[2-9]/12", seen):
            seen += process.stderr.read(1) or pytest.fail(f"the study ended before it was killed: {seen}")
        os.killpg(process.pid, signal.SIGKILL)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed" / "many" / "runs").glob("[!.]*.json")}
    assert 2 <= len(kept) < 12
    for out in ("killed", "whole"):
        done = subprocess.run([*command, "--out", str(tmp_path / out)], check=True, capture_output=True, text=True)
    lines = re.findall(r"many: (\d) running, done: lr\d, seed [01], (\d+) of 12 runs\n", done.stderr)
    assert [int(n) for _, n in lines] == list(range(1, 13))  # a log file has a line a run
    assert [int(running) for running, _ in lines] == [2] * 10 + [1, 0]
    for name, before in kept.items():
        assert (tmp_path / "killed" / "many" / "runs" / name).stat().st_mtime_ns == before

    def results(out):
        runs = {
            path.name: json.loads(path.read_text()) for path in (tmp_path / out / "many" / "runs").glob("[!.]*.json")
        }
        for run in runs.values():
            del run["seconds"], run["processor_seconds"]
            for epoch in run["history"]:
                del epoch["seconds"]
        return runs

    assert len(results("whole")) == 12
    assert results("killed") == results("whole")


def test_the_studies_that_ship_answer_the_steps(shared):
    studies = {name: load_study(path) for name, path in shipped_studies().items()}
    steps = " ".join(study.step for study in studies.values())
    for step in ("1.5", "1.6", "1.7", "2.3", "2.4", "2.5", "3.1", "3.2", "3.4", "3.5", "3.6", "3.7"):
        assert step in steps
    assert len(studies["activations"].variants) >= 20
    assert len(studies["optimizers"].variants) >= 12
    assert len(studies["schedulers"].variants) >= 10
    assert [variant.id for variant in studies["batch-size"].variants] == [str(2**i) for i in range(8)]
    for name, study in studies.items():
        half = "course" if study.settings["features"] == "mfccs" else "genres7"
        jobs = jobs_of(study, shared / "data" / half, "nowhere", seeds=1)  # every configuration is one
        assert len({job.path for job in jobs}) == len(jobs) == study.n_runs, name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step = ", "is not TOML"),
        ("step = " + "9" * 5000, "is not TOML"),
        ("step = " + "[" * 5000, "is not TOML"),
        ('step = "1"', "question: Field required"),
        (STUDY + "\n[colours]\n", "colours: Extra inputs"),
        (STUDY.replace('"Adam"', '"SGD"'), "two variants have the id SGD"),
        (STUDY.replace(', settings.optimizer.name = "Adam"', ""), "SGD, .* and Adam, .* have the same settings"),
        (STUDY.replace("[0.01, 1e38]", "0.01"), "grid.optimizer.lr: a grid has a list"),
        (STUDY.replace("epochs = 2", "epoch = 2"), "epoch: there is no such setting; did you mean epochs"),
        (STUDY.replace('"LBFGS",', '"LB FGS",'), "variants.2.id: String should match"),
        ('name = "../other"\n' + STUDY, "name: a study is named by its file"),
        ("settings.seed = 5\n" + STUDY, "seed: each run has its own"),
        (STUDY.replace('"SGD" }', '"SGD", published_seconds = [0] }'), "published_seconds.0: Input should be greater"),
    ],
)
def test_what_is_no_study_is_said(tmp_path, text, message):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        load_study(tmp_path / "bad.toml")
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="no such study or file; the studies are fnn"):
        load_study("nothing")
