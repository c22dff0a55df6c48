"""What the recipes reach on small sets of sounds that no model has met, beside support vector machines.

    python benchmarks/small_sets.py WORK [--seeds 5] [--jobs 2] [--methods frozen svm ...]

Makes the sounds (`small_sounds.py`) and their features in the folder WORK, trains on 6 clips of each class, validates
on 2 and tests on all others, split anew for each seed. What is finished is kept in results/small_sets.jsonl and not
done again. Writes results/small_sets.md.
"""

import argparse
import functools
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from small_sounds import (
    CLIP_S,
    ENVIRONMENT,
    LEADS,
    PROGRAMS,
    SPEECH,
    SoundMaker,
    environment,
    instrument,
    lead,
    speech,
    write_clips,
)

from genreline import Dataset, Model, Split, decode, features, fit, segments
from genreline.files import replacing, write_text
from genreline.parallel import map_unordered
from genreline.provenance import versions
from genreline.train.evaluate import evaluate_model
from genreline.train.metrics import compute_scores, score_by_track
from genreline.train.recipes import configure, recipe_settings

RESULTS = Path(__file__).parents[1] / "results"
N_TRAIN, N_VAL = 6, 2


class SmallSet(NamedTuple):
    """How a set's clips are made, of what classes, and how many of each."""

    make: SoundMaker
    classes: tuple[str, ...]
    n_clips: int


SETS = {
    "instruments": SmallSet(instrument, tuple(PROGRAMS), 20),
    "environment": SmallSet(environment, tuple(ENVIRONMENT), 20),
    "speech": SmallSet(speech, SPEECH, 40),
    "leads": SmallSet(lead, LEADS, 20),
}
METHODS = {
    "svm": "RBF-SVM on MFCC vectors",
    "svm-statistics": "RBF-SVM on MFCC vectors and melgrams' means and deviations",
    "frozen": "`frozen` (`--from genres8-resnet --freeze`)",
    "fine-tuned": "`fine-tuned` (`--from genres8-resnet`)",
    "assignment-fnn": "`assignment-fnn`",
    "assignment-cnn": "`assignment-cnn`",
    "resnet": "`resnet`, from scratch",
}


class Run(NamedTuple):
    """One method on one split of one set."""

    name: str
    method: str
    seed: int


def prepare_set(name: str, work: Path) -> None:
    """Make a set's clips, and its features in one file, unless they are there."""
    path = work / f"{name}.npz"
    if path.exists():
        return
    made = SETS[name]
    write_clips(made.make, made.classes, made.n_clips, work / name)
    clips = sorted((work / name).rglob("*.flac"))
    cut = [segments(decode(clip)) for clip in clips]
    rows = torch.cat(cut)
    with replacing(path) as temporary:
        np.savez(
            temporary,
            mfccs=features(rows, "mfccs").numpy(),
            melgrams=features(rows, "melgrams").numpy(),
            labels=np.repeat([clip.parent.name for clip in clips], [len(each) for each in cut]),
            tracks=np.repeat([f"{clip.parent.name}/{clip.name}" for clip in clips], [len(each) for each in cut]),
        )


def split_set(data: dict[str, np.ndarray], kind: str, seed: int) -> Dataset:
    """The three sets of a seed: whole clips, by class."""
    chance, set_of = np.random.default_rng(seed), {}
    for label in np.unique(data["labels"]):
        clips = chance.permutation(np.unique(data["tracks"][data["labels"] == label]))
        names = ["train"] * N_TRAIN + ["val"] * N_VAL + ["test"] * (len(clips) - N_TRAIN - N_VAL)
        set_of |= dict(zip(clips, names, strict=True))
    sets = np.array([set_of[track] for track in data["tracks"]])
    splits = {
        name: Split(data[kind][sets == name], data["labels"][sets == name], {"track": data["tracks"][sets == name]})
        for name in ("train", "val", "test")
    }
    return Dataset(kind, tuple(np.unique(data["labels"]).tolist()), splits)


def machine(data: dict[str, np.ndarray], run: Run) -> dict[str, float]:
    """The test figures of a support vector machine; a clip's class is that of its highest mean decision."""
    mfccs = split_set(data, "mfccs", run.seed)
    X = {name: split.X for name, split in mfccs.splits.items()}
    if run.method == "svm-statistics":
        melgrams = split_set(data, "melgrams", run.seed)
        X = {
            name: np.concatenate([X[name], split.X.mean(axis=1), split.X.std(axis=1)], axis=1)
            for name, split in melgrams.splits.items()
        }
    fitted = make_pipeline(StandardScaler(), SVC()).fit(X["train"], mfccs.train.labels)
    decisions = fitted.decision_function(X["test"])
    truth = np.searchsorted(mfccs.classes, mfccs.test.labels)
    by_second = compute_scores(truth, decisions.argmax(axis=1), len(mfccs.classes))
    by_track = score_by_track(truth, decisions, mfccs.test.tracks["track"])
    return {"f1_macro": by_second.f1_macro, "track_accuracy": by_track.accuracy}


def network(data: dict[str, np.ndarray], run: Run) -> dict[str, float]:
    """The test figures of a recipe."""
    config = configure(recipe_settings(run.method), [f"seed={run.seed}"])
    dataset = split_set(data, config.features, run.seed)
    figures = evaluate_model(Model.from_fit(fit(config, dataset), dataset), dataset.test)
    return {"f1_macro": figures["f1_macro"], "track_accuracy": figures["by_track"]["accuracy"]}


def do(run: Run, work: Path) -> dict:
    torch.set_num_threads(1)
    with np.load(work / f"{run.name}.npz") as file:
        data = dict(file)
    start = time.process_time()
    figures = (machine if run.method.startswith("svm") else network)(data, run)
    return {**run._asdict(), **figures, "processor_s": time.process_time() - start}


def table(records: list[dict]) -> Iterator[str]:
    """The page: test clips that are right, and processor time, mean and deviation over seeds."""
    sets = [name for name in SETS if any(record["set"] == name for record in records)]
    yield "Made by `benchmarks/small_sets.py` from `small_sets.jsonl`; never edited by hand.\n"
    yield f"Share of test clips of {CLIP_S} s that are right, mean ± deviation of seeds; and macro F1 by second."
    yield f"{N_TRAIN} clips of each class train, {N_VAL} validate.\n"
    columns = [f"{name} ({len(SETS[name].classes)} classes)" for name in sets]
    yield f"| method | {' | '.join(columns)} | seeds | processor time, s |"
    yield f"|{'---|' * (len(sets) + 3)}"
    for method, title in METHODS.items():
        cells, seeds, times = [], [], []
        for name in sets:
            found = [record for record in records if (record["set"], record["method"]) == (name, method)]
            shares, f1 = ([record[key] for record in found] for key in ("track_accuracy", "f1_macro"))
            cells.append(f"{spread(shares)} ({statistics.mean(f1):.3f})" if found else "-")
            seeds.append(len(found))
            times += [record["processor_s"] for record in found]
        n = f"{min(seeds)}" if len(set(seeds)) == 1 else f"{min(seeds)} to {max(seeds)}"
        yield f"| {title} | {' | '.join(cells)} | {n} | {f'{min(times):.0f} to {max(times):.0f}' if times else '-'} |"
    yield "\n`frozen` against the better support vector machine, in test clips, paired by seed:\n"
    yield "| set | mean difference | least | most | seeds |\n|---|---|---|---|---|"
    for name in sets:
        by_seed = {(r["method"], r["seed"]): r["track_accuracy"] for r in records if r["set"] == name}
        rivals = [method for method in ("svm", "svm-statistics") if (method, 0) in by_seed]
        means = {m: statistics.mean(value for (each, _), value in by_seed.items() if each == m) for m in rivals}
        rival = max(means, key=means.__getitem__)
        gaps = [
            by_seed["frozen", seed] - value
            for (m, seed), value in by_seed.items()
            if m == rival and ("frozen", seed) in by_seed
        ]
        if not gaps:
            continue
        mean, least, most = (f"{figure:+.3f}" for figure in (statistics.mean(gaps), min(gaps), max(gaps)))
        yield f"| {name} (`{rival}`) | {mean} | {least} | {most} | {len(gaps)} |"
    yield (
        "\nThe machine was shared, one thread a run. "
        + ", ".join(f"{key} {value}" for key, value in versions().items())
        + "."
    )


def spread(values: list[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    arguments = parser.parse_args()
    for name in SETS:
        prepare_set(name, arguments.work)
    kept = RESULTS / "small_sets.jsonl"
    records = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    done = {(record["set"], record["method"], record["seed"]) for record in records}
    runs = [Run(name, method, seed) for method in arguments.methods for seed in range(arguments.seeds) for name in SETS]
    todo = [run for run in runs if tuple(run) not in done]
    for run, record in map_unordered(functools.partial(do, work=arguments.work), todo, arguments.jobs):
        records.append({"set": record.pop("name"), **record})
        write_text(
            kept,
            "".join(
                json.dumps(each) + "\n" for each in sorted(records, key=lambda r: (r["set"], r["method"], r["seed"]))
            ),
        )
        print(run, f"{record['track_accuracy']:.3f}", flush=True)
    write_text(RESULTS / "small_sets.md", "\n".join(table(records)) + "\n")


if __name__ == "__main__":
    main()
