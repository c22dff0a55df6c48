"""What a listener waits for and installs:

    python benchmarks/listen.py [--before CHECKOUT] [--rounds 5] [--songs 24] [--hours 3]

Each round starts the programs that are compared one after another, so that a busy machine is busy for both: this
version by ONNX Runtime, and an earlier checkout's or, without one, this one by PyTorch. It times `genreline predict`
of a song of four minutes, and of a folder of songs of half a minute, with the start of the process, and of a recording
of hours beside its decoder alone; and it reads the memory of a worker of the service. Writes results/listen.json and
results/listen.md.
"""

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import psutil
import soundfile
from packaging.requirements import Requirement

from genreline.files import json_text, write_text
from genreline.provenance import versions

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
JOBS = {
    "csv": "a song of 4 min, csv",
    "csv,png": "a song of 4 min, csv and png",
    "many": "{n} songs of 30 s, csv, 2 processes",
}


DECODE = "import soundfile, sys\nfor _ in soundfile.blocks(sys.argv[1], 2**20, dtype='float32'): pass"
"""A program that decodes an MP3 by libsndfile, which has libmpg123 do it."""


def write_hours(path: Path, song: Path, hours: float) -> None:
    """A recording of hours: a song again and again."""
    samples, rate_hz = soundfile.read(song, dtype="float32")
    with soundfile.SoundFile(path, "w", rate_hz, samples.shape[1], "MPEG_LAYER_III", format="MP3") as file:
        for _ in range(round(hours * 3600 * rate_hz / len(samples))):
            file.write(samples)


def write_song(path: Path, duration_s: int, seed: int) -> None:
    """A chord that swells, in noise: 44.1 kHz, stereo."""
    rng, times = np.random.default_rng(seed), np.arange(duration_s * 44100) / 44100
    chord = sum(np.sin(2 * np.pi * hz * times) for hz in rng.uniform(80, 1200, 5)) * (1 + np.sin(3 * times)) * 0.06
    soundfile.write(path, np.stack([chord, 0.8 * chord], axis=1) + rng.normal(0, 0.02, (len(times), 2)), 44100)


def ways(before: Path | None) -> dict[str, tuple[Path, list[str]]]:
    """The source and the options of each program that is compared."""
    here = ROOT / "src"
    other = {"before": (before / "src", [])} if before else {"torch": (here, ["--engine", "torch"])}
    return {**other, "onnx": (here, ["--engine", "onnx"])}


def environment(source: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(source)}


def predict(source: Path, options: list[str], songs: Iterable[Path], out: Path) -> tuple[float, float]:
    """Seconds by the clock and of processor time of one `genreline predict`, its start included."""
    return run(["-m", "genreline", "predict", *map(str, songs), "--out", str(out), *options], source)


def run(arguments: list[str], source: Path) -> tuple[float, float]:
    """Seconds by the clock and of processor time of a Python program."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment(source))
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def worker_mb(source: Path, song: Path) -> dict[str, float]:
    """Resident and unshared memory of a service's worker, in MB: when it is ready, and after a song."""
    command = [sys.executable, "-m", "genreline.web.worker", str(2**29)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-3, env=environment(source)) as worker:
        assert worker.stdin
        assert worker.stdout
        json.loads(worker.stdout.readline())
        measured = memory_mb(worker.pid, "ready")
        data = song.read_bytes()
        job = {"kind": "listen", "name": song.name, "model": "genres8-resnet", "max_duration_s": 3600}
        job |= {"processor_s": 600, "n_bytes": len(data)}
        worker.stdin.write(json.dumps(job).encode() + b"\n" + data)
        worker.stdin.flush()
        while json.loads(worker.stdout.readline())["event"] not in ("end", "error"):
            pass
        return measured | memory_mb(worker.pid, "after a song")


def memory_mb(pid: int, when: str) -> dict[str, float]:
    used = psutil.Process(pid).memory_full_info()
    return {f"resident, {when}": used.rss / 1e6, f"unshared, {when}": used.uss / 1e6}


def installed_mb(extra: str | None = None) -> float:
    """The files of genreline's dependencies, and of theirs, as they are installed here, byte code included."""
    sizes: dict[str, float] = {}

    def add(name: str, extras: set[str]) -> None:
        key = re.sub(r"[-_.]+", "-", name).lower()
        try:
            found = distribution(name)
        except PackageNotFoundError:  # for another system or version of Python
            return
        if key not in sizes:
            paths = (Path(str(file.locate())) for file in found.files or [])
            sizes[key] = sum(path.stat().st_size for path in paths if path.is_file()) / 1e6
        elif not extras:
            return
        for requirement in map(Requirement, found.requires or []):
            if requirement.marker is None or any(
                requirement.marker.evaluate({"extra": each}) for each in extras | {""}
            ):
                add(requirement.name, set(requirement.extras))

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])
    for requirement in map(Requirement, wanted):
        add(requirement.name, set(requirement.extras))
    sizes["genreline"] = sum(path.stat().st_size for path in (ROOT / "src").rglob("*") if path.is_file()) / 1e6
    return sum(sizes.values())


def summary(figures: dict) -> str:
    """results/listen.md"""
    names = list(figures["seconds"])
    ratio = names[0]
    lines = [
        "Made by `benchmarks/listen.py` from `listen.json`; never edited by hand.\n",
        f"Medians of {figures['rounds']} rounds, in each of which the programs run one after another. {os.cpu_count()} "
        f"CPUs, {platform.machine()}, shared: {figures['load']:.0f} processes wanted them (median), so the ratios say "
        f"more than the seconds. *Ratio* is that of `{ratio}` to `onnx`. These are this version's engines, and "
        "`before` is an earlier version, which ran on PyTorch alone.",
        f"\n| with the start of the process | | {' | '.join(names)} | ratio |",
        f"|---|---|{'---|' * len(names)}---|",
    ]
    for job, title in JOBS.items():
        if not figures["seconds"][names[0]][job]:
            continue
        for i, kind in enumerate(("seconds", "processor seconds")):
            medians = [statistics.median(run[i] for run in figures["seconds"][name][job]) for name in names]
            by_name = dict(zip(names, medians, strict=True))
            cells = " | ".join(f"{each:.2f}" for each in medians)
            title_of_row = title.format(n=figures["songs"]) if i == 0 else ""
            lines.append(f"| {title_of_row} | {kind} | {cells} | {by_name[ratio] / by_name['onnx']:.1f} |")
    if hours := figures["hours"]:
        alone, both = (statistics.median(figures["long"][name]) for name in ("decoder", "onnx"))
        lines.append(
            f"\nA recording of {hours:g} hours (MP3, csv): {both:.1f} s, {both / alone:.2f} times what its "
            f"decoder alone takes, {alone:.1f} s."
        )
    lines += ["\n| a worker of the service, MB | " + " | ".join(figures["worker_mb"]) + " |"]
    lines.append("|---|" + "---|" * len(figures["worker_mb"]))
    for key in next(iter(figures["worker_mb"].values())):
        lines.append(f"| {key} | " + " | ".join(f"{each[key]:.0f}" for each in figures["worker_mb"].values()) + " |")
    light, heavy = figures["installed_mb"]["predict"], figures["installed_mb"]["train"]
    lines.append(
        f"\nInstalled, with all dependencies and their byte code: {light:.0f} MB for predicting "
        f"(`pip install genreline`), {heavy:.0f} MB with `genreline[train]` (torch's CPU build)."
    )
    lines.append("\n" + ", ".join(f"{key} {value}" for key, value in figures["versions"].items()) + ".")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="a checkout of an earlier version")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--songs", type=int, default=24, help="in the folder; 0 leaves it out")
    parser.add_argument("--hours", type=float, default=3, help="of the long recording; 0 leaves it out")
    arguments = parser.parse_args()
    compared = ways(arguments.before)
    seconds = {name: {job: [] for job in JOBS} for name in compared}
    load = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_song(folder / "song.mp3", 240, 0)
        (folder / "many").mkdir()
        for i in range(arguments.songs):
            write_song(folder / "many" / f"{i}.mp3", 30, i)
        for number in range(arguments.rounds):
            for job in JOBS if arguments.songs else ("csv", "csv,png"):
                for name, (source, options) in compared.items():
                    load.append(os.getloadavg()[0])
                    chosen = ["--formats", job] if job != "many" else ["--formats", "csv", "--jobs", "2"]
                    song = folder / ("many" if job == "many" else "song.mp3")
                    seconds[name][job].append(predict(source, [*options, *chosen], [song], folder / "out"))
                    print(number, name, job, *(f"{each:.2f}" for each in seconds[name][job][-1]), flush=True)
        long: dict[str, list[float]] = {"decoder": [], "onnx": []}
        if arguments.hours:
            recording = folder / "hours.mp3"
            write_hours(recording, folder / "song.mp3", arguments.hours)
            source, options = compared["onnx"]
            for _ in range(arguments.rounds):
                long["decoder"].append(run(["-c", DECODE, str(recording)], source)[0])
                long["onnx"].append(predict(source, [*options, "--formats", "csv"], [recording], folder / "out")[0])
                print("hours", *(each[-1] for each in long.values()), flush=True)
        sources = {name: source for name, (source, _) in compared.items() if name != "torch"}
        memory = {name: worker_mb(source, folder / "song.mp3") for name, source in sources.items()}
    figures = {
        "rounds": arguments.rounds,
        "songs": arguments.songs,
        "load": statistics.median(load),
        "hours": arguments.hours,
        "long": long,
        "seconds": seconds,
        "worker_mb": memory,
        "installed_mb": {"predict": installed_mb(), "train": installed_mb("train")},
        "versions": versions(),
    }
    write_text(RESULTS / "listen.json", json_text(figures))
    write_text(RESULTS / "listen.md", summary(figures))
    print(summary(figures))


if __name__ == "__main__":
    main()
