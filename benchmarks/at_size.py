"""Does memory stay flat? `genreline predict` of up to 1,000 files; `train --from --freeze` on up to 100,000 seconds.

    python benchmarks/at_size.py WORK

Makes what it needs in the folder WORK (2 GB). Writes results/at_size.json and results/at_size.md.
"""

import argparse
import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile

from genreline.data.layout import SETS, TrackRows, write_split_blocks
from genreline.files import json_text, write_text
from genreline.provenance import versions

RESULTS = Path(__file__).parents[1] / "results"
FILES = (10, 100, 1000)
ROWS = (10_000, 30_000, 100_000)
SONG_S, JOBS, N_CLASSES, TRACK_S = 10, 2, 10, 20
POLL_S = 0.1


def measured(*arguments: object) -> dict[str, float]:
    """Run a command; its seconds, and the most unshared memory that it and its processes held together."""
    start = time.perf_counter()
    process = psutil.Popen(
        [sys.executable, "-m", "genreline", *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    most = 0
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            most = max(most, sum(anonymous(each.pid) for each in (process, *process.children(recursive=True))))
        time.sleep(POLL_S)
    if process.returncode:
        raise SystemExit(f"genreline {' '.join(map(str, arguments))}: exit code {process.returncode}")
    return {"seconds": time.perf_counter() - start, "anonymous_mb": most / 1e6}


def anonymous(pid: int) -> int:
    """Bytes of a process's memory that are no file's: what is mapped from disk can be dropped at any time."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:")), 0)


def write_songs(folder: Path, n: int) -> Path:
    """Chords in noise, 44.1 kHz, stereo."""
    if not folder.exists():
        folder.mkdir(parents=True)
        times = np.arange(SONG_S * 44100) / 44100
        for i in range(n):
            chance = np.random.default_rng(i)
            chord = sum(np.sin(2 * np.pi * hz * times) for hz in chance.uniform(80, 1200, 4)) * 0.1
            noise = chance.normal(0, 0.02, (len(times), 2))
            soundfile.write(folder / f"{i:04}.flac", chord[:, None] + noise, 44100)
    return folder


def write_dataset(folder: Path, n: int) -> Path:
    """Melgrams of noise, whose level in a part of the bands tells the class."""
    if folder.exists():
        return folder
    dtype = np.dtype([("melgrams", np.float32, (21, 128))])
    for name, n_rows in zip(SETS, (n, 2000, 2000), strict=True):
        chance = np.random.default_rng(n_rows)
        numbers = np.arange(n_rows // TRACK_S) % N_CLASSES
        tracks = [TrackRows(f"{name}-{i}", f"class {k}", "", TRACK_S) for i, k in enumerate(numbers)]

        def blocks(numbers: np.ndarray = numbers, chance: np.random.Generator = chance) -> Any:
            for k in numbers:
                rows = np.empty(TRACK_S, dtype)
                rows["melgrams"] = chance.normal(-40, 10, (TRACK_S, 21, 128))
                rows["melgrams"][:, :, 12 * k : 12 * k + 12] += 8
                yield rows

        write_split_blocks(folder, name, {"melgrams": np.dtype(np.float32)}, tracks, blocks())
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    results: dict[str, Any] = {"versions": versions(), "predict": [], "frozen": []}
    songs = sorted(write_songs(work / "songs", FILES[-1]).iterdir())
    for n in FILES:
        options = ("--jobs", JOBS, "--formats", "csv", "--out", work / "timelines")
        results["predict"].append({"files": n, **measured("predict", *songs[:n], *options)})
        print(results["predict"][-1], flush=True)
    for n in ROWS:
        data = write_dataset(work / f"rows-{n}", n)
        options = ("--out", work / "model", "--from", "genres8-resnet", "--freeze", "--force", "--no-baselines")
        results["frozen"].append({"rows": n, **measured("train", data, *options)})
        print(results["frozen"][-1], flush=True)
    figures = json.loads(
        subprocess.run(
            [sys.executable, "-m", "genreline", "evaluate", work / "model", data, "--json"],
            check=True,
            capture_output=True,
        ).stdout
    )
    results["accuracy"] = figures["accuracy"]
    write_text(RESULTS / "at_size.json", json_text(results))
    write_text(RESULTS / "at_size.md", table(results))


def table(results: dict[str, Any]) -> str:
    """The results for people."""
    lines = [
        "Made by `benchmarks/at_size.py` from `at_size.json`; never edited by hand.\n",
        "*Memory* is the most that all processes of the command held together, without what they map from disk. The "
        "machine was busy with other work, so the times are upper bounds.\n",
        f"`genreline predict --jobs {JOBS}` of FLAC files of {SONG_S} s:\n",
        "| files | memory, MB | seconds |\n|---|---|---|",
        *(f"| {row['files']} | {row['anonymous_mb']:.0f} | {row['seconds']:.1f} |" for row in results["predict"]),
        "\n`genreline train --from genres8-resnet --freeze`, melgrams as float32 of 10,752 bytes a second:\n",
        "| seconds | memory, MB | features on disk, MB | embeddings, MB | time, s |\n|---|---|---|---|---|",
    ]
    for row in results["frozen"]:
        n = row["rows"]
        sizes = f"{n * 10_752 / 1e6:.0f} | {n * 896 * 4 / 1e6:.0f}"
        lines.append(f"| {n} | {row['anonymous_mb']:.0f} | {sizes} | {row['seconds']:.0f} |")
    lines.append(
        f"\nThe last model is right on {results['accuracy']:.1%} of its test seconds, which are made to be easy."
    )
    lines.append("\n" + ", ".join(f"{key} {value}" for key, value in results["versions"].items()) + ".\n")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
