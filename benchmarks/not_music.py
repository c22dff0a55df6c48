"""How well music is told from what is not music, where training has none of the latter's source.

    python benchmarks/not_music.py GENRES8 [--seeds 1] [--jobs 2]

For each of the two sources with most of `not_music`: trains with the settings of genres8-resnet on the dataset without
that source, also to choose the snapshot, and asks of the test set how well the probability of music parts the source's
seconds, and tracks, from music. What is finished is kept in results/not_music.jsonl and not done again. Writes
results/not_music.md.
"""

import argparse
import dataclasses
import functools
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from genreline import Dataset, Model, Split, fit, load_config, load_dataset
from genreline.files import write_text
from genreline.parallel import map_unordered
from genreline.provenance import versions
from genreline.train.evaluate import predict_split
from genreline.train.folds import rows_of

RESULTS = Path(__file__).parents[1] / "results"
KEPT = RESULTS / "not_music.jsonl"
RECIPE = Path(__file__).parents[1] / "scripts" / "genres8-resnet.toml"
NOT_MUSIC = "not_music"


def source_of(split: Split) -> np.ndarray:
    """(N,) each row's source."""
    assert split.tracks is not None
    return split.tracks["source"]


def largest_sources(dataset: Dataset) -> list[str]:
    """The two with most of what is not music to train on."""
    names, counts = np.unique(source_of(dataset.train)[dataset.train.labels == NOT_MUSIC], return_counts=True)
    return [str(names[place]) for place in np.argsort(-counts, kind="stable")[:2]]


def run(task: tuple[str, int], data: Path) -> dict[str, Any]:
    """The line of a left-out source and a seed."""
    left_out, seed = task
    torch.set_num_threads(1)
    dataset = load_dataset(data, "melgrams")
    chosen = {name: rows_of(split, source_of(split) != left_out) for name, split in dataset.splits.items()}
    part = dataclasses.replace(dataset, splits={**chosen, "test": dataset.test})
    start_s = time.process_time()
    model = Model.from_fit(fit(load_config(RECIPE, [f"seed={seed}"]), part), part)
    seconds = time.process_time() - start_s

    logits, _ = predict_split(model, part.test)
    music = 1 - logits.softmax(dim=1).numpy()[:, model.classes.index(NOT_MUSIC)]
    is_music, sources = part.test.labels != NOT_MUSIC, source_of(part.test)
    is_unseen = ~np.isin(sources, source_of(dataset.train))
    assert part.test.tracks is not None
    tracks, figures = part.test.tracks["track"], {}
    for name, of_music in (("all", is_music), ("unseen", is_music & is_unseen)):
        rows = of_music | (sources == left_out)
        by_track = {
            track: (bool(is_music[tracks == track][0]), float(music[tracks == track].mean()))
            for track in np.unique(tracks[rows])
        }
        truth, means = zip(*by_track.values(), strict=True)
        figures[name] = {
            "seconds": float(roc_auc_score(is_music[rows], music[rows])),
            "tracks": float(roc_auc_score(truth, means)),
        }
    return {
        "left_out": left_out,
        "seed": seed,
        "n_train": int(np.sum((dataset.train.labels == NOT_MUSIC) & (source_of(dataset.train) == left_out))),
        "n_test": int(np.sum(sources == left_out)),
        "n_test_tracks": len(np.unique(tracks[sources == left_out])),
        "auroc": figures,
        "training_processor_s": seconds,
        "data": dataset.digest,
        "versions": versions(),
    }


def kept_lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []


def spread(values: list[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def report(lines: list[dict[str, Any]]) -> str:
    """results/not_music.md."""
    first = lines[0]
    commits = ", ".join(sorted({line["versions"]["commit"] for line in lines}))
    text = [
        "# Music against not music, on sources that training never saw\n",
        "Made by `python benchmarks/not_music.py GENRES8` from [not_music.jsonl](not_music.jsonl): "
        f"data {first['data'][:12]}, one thread of a CPU, torch {first['versions']['torch']}, commit {commits}. The "
        "settings of genres8-resnet, trained without one source of `not_music`; AUROC of the probability of music, of "
        "the test set's seconds and tracks of that source against music: all of it, and that of sources which training "
        "never saw.\n",
        "| left out | to train on were | test | seeds | by second | by track | unseen music, by second | by track |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for left_out in dict.fromkeys(line["left_out"] for line in lines):
        group = [line for line in lines if line["left_out"] == left_out]
        each = group[0]
        cells = [
            spread([line["auroc"][music][by] for line in group])
            for music in ("all", "unseen")
            for by in ("seconds", "tracks")
        ]
        train = f"{each['n_train']} seconds"
        test = f"{each['n_test']} seconds of {each['n_test_tracks']} tracks"
        text.append(f"| {' | '.join([left_out, train, test, str(len(group)), *cells])} |")
    return "\n".join(text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    done = {(line["left_out"], line["seed"]) for line in kept_lines()}
    sources = largest_sources(load_dataset(arguments.data, "melgrams"))
    tasks = [(source, seed) for seed in range(arguments.seeds) for source in sources]
    tasks = [task for task in tasks if task not in done]
    for _, line in map_unordered(functools.partial(run, data=arguments.data), tasks, jobs=arguments.jobs):
        with KEPT.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line["left_out"], line["seed"], line["auroc"], flush=True)
    write_text(RESULTS / "not_music.md", report(kept_lines()))


if __name__ == "__main__":
    main()
