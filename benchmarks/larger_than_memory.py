"""Training on arrays larger than memory: `python benchmarks/larger_than_memory.py [GB] [LIMIT_GB]` (Linux).

Writes a dataset of that many gigabytes of melgrams to a temporary folder, and trains, validates and tests a network on
it in two fresh processes that the system gives no more than LIMIT_GB of memory of their own (RLIMIT_DATA; pages of
files that are mapped do not count, the system takes them back at will): as it is, mapped; and with all of it in memory.
"""

import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from genreline.data import npy
from genreline.data.layout import SETS, TrackRows, write_split_blocks

ROW_BYTES = 21 * 128 * 4


def write_dataset(root: Path, gigabytes: float) -> None:
    rng = np.random.default_rng(0)
    row = np.dtype([("melgrams", "<f4", (21, 128))])
    for name, share in zip(SETS, (0.8, 0.1, 0.1), strict=True):
        n = round(gigabytes * share * 1e9 / ROW_BYTES / 2 / 500) * 500
        tracks = [TrackRows(f"{label}/{i}", label, "", 500) for label in ("low", "high") for i in range(n // 500)]

        def blocks(tracks: list[TrackRows] = tracks):
            noise = rng.normal(-40, 10, (500, 21, 128)).astype(np.float32)
            for i, track in enumerate(tracks):
                rows = np.empty(500, row)
                rows["melgrams"] = np.roll(noise, i, axis=1) + (track.label == "high")
                yield rows

        write_split_blocks(root, name, {"melgrams": np.dtype("<f4")}, tracks, blocks())


def own_mb() -> float:
    """Memory of this process's own, MB: resident pages that are of no file."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024 / 1e6


def train(root: Path, limit_gb: float, mapped: bool) -> None:
    import torch

    from genreline import evaluate, fit, load_config, load_dataset, make_loaders

    torch.set_num_threads(1)
    if not mapped:
        npy.MAPPED_FROM_BYTES = 2**62
    options = ["features=melgrams", "model.name=fnn", "epochs=1", "batch_size=64", "standardise=true"]
    config, before = load_config(overrides=options), own_mb()
    resource.setrlimit(resource.RLIMIT_DATA, (round(limit_gb * 1e9),) * 2)
    peak = [before]

    def watch() -> None:
        while True:
            peak[0] = max(peak[0], own_mb())
            time.sleep(0.02)

    threading.Thread(target=watch, daemon=True).start()
    start = time.perf_counter()
    try:
        dataset = load_dataset(root, "melgrams")
        loaded = time.perf_counter()
        run = fit(config, dataset)
        scores = evaluate(make_loaders(dataset, 256).test, run.network, torch.nn.CrossEntropyLoss())
    except (MemoryError, RuntimeError) as error:
        print(f"  fails: {type(error).__name__}: {str(error).splitlines()[0][:90]}")
        return
    seconds = time.perf_counter() - loaded
    print(
        f"  loaded and checked in {loaded - start:.0f} s; trained an epoch, validated and tested in {seconds:.0f} s "
        f"(accuracy {scores.accuracy:.2f}); {before:.0f} MB before, {peak[0]:.0f} MB at most"
    )


def main() -> None:
    if len(sys.argv) == 4:
        train(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "mapped")
        return
    gigabytes, limit_gb = (float(each) for each in [*sys.argv[1:], *("4", "1.5")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(Path(folder), gigabytes)
        size = sum(path.stat().st_size for path in Path(folder).rglob("X.npy")) / 1e9
        print(f"{size:.1f} GB of melgrams, no more than {limit_gb} GB of memory of its own", flush=True)
        for how in ("mapped", "in memory"):
            print(how, flush=True)
            subprocess.run([sys.executable, __file__, folder, str(limit_gb), how], check=True)


if __name__ == "__main__":
    main()
