"""Kill commands at random moments, and let their disk fill up.

    python benchmarks/interruptions.py [POINTS] [SECONDS] [OUT]

It kills each command at POINTS moments (100), or at as many as SECONDS allow. After `kill -9` the same command is run
again, and must leave what an undisturbed one leaves, but for the times in it. On a full disk (a tmpfs that is too
small, which needs root) a command must end with an error, one line for each file that failed, and each file that is
there must be whole. Commands run in processes that are forked from this one, which has imported everything. Writes
interruptions.json to OUT (results/robustness/ if not given). Needs Linux.
"""

import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.metrics  # noqa: F401
import soundfile
import torch

import genreline.cli
import genreline.data.prepare
import genreline.predict.plot
import genreline.predict.recognizer
import genreline.study.runner
import genreline.train.loop
from genreline.data.layout import SETS, Split, write_split
from genreline.files import json_text, write_text
from genreline.provenance import versions

STUDY = """
step = "1.1"
question = "Which activation?"
starts_from = "1.1"
seeds = 1
settings = {epochs = 2}
variants = [{id = "plain"}, {id = "ReLU", settings = {model = {activation = "ReLU"}}}]
"""
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)  # of what the output takes; the rest of the disk is missing
TIMES = {"seconds", "processor_seconds"}
PAGE = 4096


def make_inputs(root: Path) -> dict[str, list[str]]:
    """Small inputs; each command's arguments, in which OUT stands for where it writes."""
    rng = np.random.default_rng(0)
    for genre in ("jazz", "rock"):
        (root / "music" / genre).mkdir(parents=True)
        for i in range(4):
            soundfile.write(root / "music" / genre / f"{i}.wav", rng.normal(0, 0.1, 8000 * 20), 8000)
    for name in SETS:
        labels = np.array(["jazz", "rock"] * 100)
        X = rng.normal(0, 1, (200, 26)) + (labels == "rock")[:, None]
        write_split(root / "data", name, "mfccs", Split(X.astype(np.float32), labels))
    (root / "small.toml").write_text(STUDY)
    songs = [str(root / "music" / "rock" / f"{i}.wav") for i in range(3)]
    train = ["train", str(root / "data"), "--out", "OUT/model", "--set", "epochs=2", "--no-graph", "--force"]
    return {
        "predict": ["predict", *songs, "--out", "OUT", "--formats", "csv,json,png", "--jobs", "1"],
        "prepare": ["prepare", str(root / "music"), "OUT/dataset", "--jobs", "1"],
        "train": train,
        "study": ["study", str(root / "small.toml"), "--data", str(root / "data"), "--out", "OUT", "--jobs", "1"],
    }


def start(command: list[str], out: Path, errors: Path) -> int:
    """Start a command in a process group of its own; gives its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        os.setpgid(0, 0)
        torch.set_num_threads(1)
        handle = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        genreline.cli.app([word.replace("OUT", str(out)) for word in command])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
        sys.stderr.flush()
    finally:
        os._exit(code)


def run(command: list[str], out: Path, errors: Path) -> int:
    """Run a command to its end; gives its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(start(command, out, errors), 0)[1])


def contents(out: Path) -> dict[str, Any]:
    """What each visible file holds, but for the times in it; a text for what is no JSON."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in name.split("/")):
            data = path.read_bytes()
            found[name] = without_times(name, data) if data else data
    return found


def without_times(name: str, data: bytes) -> Any:
    """A file's contents without what is measured anew each time."""
    if name.endswith(".json"):
        return dropped(json.loads(data))
    if name.endswith("table.csv"):
        rows = [line.split(",") for line in data.decode().splitlines()]
        return [[cell for cell, column in zip(row, rows[0], strict=True) if column not in TIMES] for row in rows]
    return data


def dropped(value: Any) -> Any:
    """Nested JSON without the keys of times."""
    if isinstance(value, dict):
        return {key: dropped(each) for key, each in value.items() if key not in TIMES}
    return [dropped(each) for each in value] if isinstance(value, list) else value


def kill_points(
    name: str, command: list[str], whole: dict[str, Any], whole_s: float, most: tuple[int, float], root: Path
) -> dict:
    """Kill the command at random moments and run it again; how often that gave the same."""
    rng = random.Random(name)
    same = alive = point = 0
    until = time.monotonic() + most[1]
    while point < most[0] and time.monotonic() < until:
        point += 1
        out = root / f"kill-{name}"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        pid = start(command, out, root / "errors")
        time.sleep(rng.uniform(0, whole_s))
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            with suppress(ProcessLookupError):  # its group is only there a moment after it has started
                os.killpg(pid, signal.SIGKILL)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            alive += 1
        code = run(command, out, root / "errors")
        is_same = code == 0 and contents(out) == whole
        same += is_same
        if not is_same:
            print(name, point, code, (root / "errors").read_text()[-300:], flush=True)
    return {"points": point, "killed": alive, "same": same}


@contextmanager
def small_disk(place: Path, n_bytes: int) -> Iterator[None]:
    """A tmpfs of that size."""
    place.mkdir(exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={max(n_bytes, PAGE) // PAGE * PAGE}", "none", place], check=True
    )
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def full_disk(name: str, command: list[str], whole: dict[str, Any], n_bytes: int, root: Path) -> list[dict[str, Any]]:
    """Run the command on disks that are too small; what it printed, and whether each file is whole."""
    rows = []
    for share in SHARES:
        with small_disk(root / "disk", int(n_bytes * share)):
            code = run(command, root / "disk", root / "errors")
            errors = (root / "errors").read_text()
            lines = re.findall(r"^error: .*|^failed: .*", errors, re.MULTILINE)
            left = contents(root / "disk")
            half_written = [each for each in left if left[each] != whole.get(each)]
        rows.append(
            {
                "command": name,
                "share": share,
                "code": code,
                "errors": len(lines),
                "traceback": "Traceback" in errors,
                "half_written": half_written,
            }
        )
        print(rows[-1], *lines[:2], flush=True)
    return rows


def main() -> None:
    """Do all, and write what came of it."""
    n_points = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    most_s = float(sys.argv[2]) if len(sys.argv) > 2 else float("inf")
    result = Path(sys.argv[3] if len(sys.argv) > 3 else "results/robustness") / "interruptions.json"
    forked: Callable[[str], Any] = lambda method: fork  # noqa: E731  # workers too, from what is imported
    fork = multiprocessing.get_context("fork")
    multiprocessing.get_context = forked  # type: ignore[assignment]
    figures: dict[str, Any] = {"kill_points": {}, "full_disk": [], "versions": versions()}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, command in make_inputs(root).items():
            out = root / f"whole-{name}"
            out.mkdir()
            begin = time.monotonic()
            code = run(command, out, root / "errors")
            whole_s, whole = time.monotonic() - begin, contents(out)
            assert code == 0, (root / "errors").read_text()
            n_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
            print(name, f"{whole_s:.2f} s, {n_bytes} bytes", flush=True)
            figures["full_disk"] += full_disk(name, command, whole, n_bytes, root)
            figures["kill_points"][name] = kill_points(name, command, whole, whole_s, (n_points, most_s), root)
            print(name, figures["kill_points"][name], flush=True)
            write_text(result, json_text(figures))


if __name__ == "__main__":
    main()
