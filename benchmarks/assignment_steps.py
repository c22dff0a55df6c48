"""Steps 1.5, 1.7 and 2.4 on real data over several seeds, beside the figures of peers.

    python benchmarks/assignment_steps.py COURSE GENRES7 [--seeds 5]

Each finished run is kept in results/assignment_steps.json and not computed again; the table is
results/assignment_steps.md.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import torch

from genreline import evaluate, fit, load_config, load_dataset, make_loaders
from genreline.files import json_text, write_text
from genreline.provenance import versions

RESULTS = Path(__file__).parents[1] / "results"
STEPS = {
    "fnn": ("course", ["features=mfccs", "model.name=fnn"]),
    "cnn": ("genres7", ["features=melgrams", "model.name=cnn"]),
}
ROWS = [
    ("1.5", "fnn", "last epoch", "course, mfccs", ".621/.611, .635/.609, .595/.586"),
    ("1.7", "fnn", "best snapshot", "course, mfccs", ".610/.590, .599/.613, .626/.595"),
    ("2.4", "cnn", "best snapshot", "genres7, melgrams", ".668/.673, .689/.696, .737/.739 (course's four classes)"),
]


def run(name: str, roots: dict[str, Path], seed: int) -> dict[str, object]:
    which, overrides = STEPS[name]
    config = load_config(overrides=[*overrides, f"seed={seed}"])
    dataset = load_dataset(roots[which], config.features)
    start = time.perf_counter()
    trained = fit(config, dataset, on_epoch=lambda epoch: print(name, seed, epoch, flush=True))
    seconds = time.perf_counter() - start
    test = make_loaders(dataset).test
    loss_function = torch.nn.CrossEntropyLoss()
    return {
        "name": name,
        "seed": seed,
        "config_digest": config.digest(),
        "data_digest": dataset.digest,
        "status": trained.status,
        "best_epoch": trained.best_epoch,
        "seconds": seconds,
        "threads": 1 if name == "fnn" else torch.get_num_threads(),
        "last epoch": evaluate(test, trained.last_network, loss_function)._asdict(),
        "best snapshot": evaluate(test, trained.network, loss_function)._asdict(),
        "device": f"cpu ({platform.machine()})",
        "versions": versions(),
    }


def table(runs: list[dict[str, object]]) -> str:
    lines = [
        "Made by `benchmarks/assignment_steps.py` from `assignment_steps.json`; never edited by hand.",
        "",
        "| step | network | data | seeds | accuracy, mean ± deviation | macro F1, mean ± deviation | diverged "
        "| peers, one run each: accuracy / macro F1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for step, name, which, data, peers in ROWS:
        chosen = [each for each in runs if each["name"] == name]
        if not chosen:
            continue
        spread = []
        for key in ("accuracy", "f1_macro"):
            values = [each[which][key] for each in chosen]
            deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
            spread.append(f"{statistics.mean(values):.3f} ± {deviation:.3f} ({min(values):.3f} to {max(values):.3f})")
        diverged = sum(each["status"] == "diverged" for each in chosen)
        lines.append(
            f"| {step} | {name}, {which} | {data} | {len(chosen)} | {' | '.join(spread)} | {diverged} | {peers} |"
        )
    commits = sorted({each["versions"]["commit"] for each in runs})
    digests = sorted({f"{each['name']} {each['data_digest'][:12]}" for each in runs})
    lines += [
        "",
        f"Commits {', '.join(commits)}; data {', '.join(digests)}; {runs[0]['device']}; {runs[0]['versions']}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("course", type=Path)
    parser.add_argument("genres7", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    file = RESULTS / "assignment_steps.json"
    runs = json.loads(file.read_text()) if file.exists() else []
    for name in STEPS:
        for seed in range(arguments.seeds):
            if not any((each["name"], each["seed"]) == (name, seed) for each in runs):
                runs.append(run(name, {"course": arguments.course, "genres7": arguments.genres7}, seed))
                write_text(file, json_text(runs))
                runs = json.loads(file.read_text())
                write_text(RESULTS / "assignment_steps.md", table(runs))


if __name__ == "__main__":
    main()
