"""The assignment's best CNN, yesterday's default model and today's on genres8: by set, by source, and what they cost.

    python benchmarks/models.py GENRES8 [--seeds 3] [--jobs 2]

Trains the assignment's CNN and the network of genres8-resnet, and evaluates them and the models that ship on the test
set. What is finished is kept in results/models.jsonl and not done again. Writes results/models.md, which the site
shows, and the reliability diagrams of genres8-resnet into docs/.
"""

import argparse
import functools
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genreline import Dataset, Model, fit, load_dataset, load_model
from genreline.files import replacing, write_text
from genreline.parallel import map_unordered
from genreline.provenance import versions
from genreline.study.plots import reliability as reliability_diagram
from genreline.study.spec import load_study
from genreline.train.calibrate import calibration_error, reliability
from genreline.train.evaluate import figures_of, predict_split
from genreline.train.folds import rows_of
from genreline.train.metrics import per_class

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
KEPT = RESULTS / "models.jsonl"
TRAINED = {"assignment": "the assignment's CNN (step 3.5)", "resnet": "the network of genres8-resnet"}
SHIPPED = {"genres7-cnn": "genres7-cnn, the default before", "genres8-resnet": "genres8-resnet, the default"}
SETS = {"home": "sources that training has", "unseen": "sources that training never saw"}
FEWEST_TRACKS = 5


def run(task: tuple[str, int | None], data: Path) -> dict[str, Any]:
    """The line of one model: trained with a seed, or one that ships."""
    name, seed = task
    torch.set_num_threads(1)
    dataset = load_dataset(data, "melgrams")
    line: dict[str, Any] = {"model": name, "seed": seed, "data": dataset.digest, "versions": versions()}
    if seed is None:
        model = load_model(name)
    else:
        variant = next(each for each in load_study("beyond").points() if each.variant.id == name)
        start_s = time.process_time()
        trained = fit(variant.config(seed), dataset)
        line["training_processor_s"] = time.process_time() - start_s
        model = Model.from_fit(trained, dataset)
    line["n_weights"] = sum(each.numel() for each in model.network.parameters())
    return line | evaluate(model, dataset)


def evaluate(model: Model, dataset: Dataset) -> dict[str, Any]:
    """Its figures on the test set's rows whose labels it knows: by set, by source; and its processor time."""
    test = rows_of(dataset.test, np.isin(dataset.test.labels, model.classes))
    assert test.tracks is not None
    assert dataset.train.tracks is not None
    start_s = time.process_time()
    logits, targets = predict_split(model, test)
    ms = 1000 * (time.process_time() - start_s) / len(targets)
    sources = test.tracks["source"]
    is_home = np.isin(sources, dataset.train.tracks["source"])
    figures = {}
    for name, chosen in {"test": np.ones(len(sources), bool), "home": is_home, "unseen": ~is_home}.items():
        each = figures_of(model, rows_of(test, chosen), logits[chosen], targets[chosen])
        by_track = each["by_track"]
        figures[name] = {
            "seconds": each["n"],
            "f1_macro": f1_macro(np.array(each["confusion_matrix"]), model),
            "accuracy": each["accuracy"],
            "tracks": by_track["n"],
            "track_f1_macro": f1_macro(np.array(by_track["confusion_matrix"]), model),
            "track_accuracy": by_track["accuracy"],
        }
    by_source = {}
    for source in np.unique(sources):
        chosen = sources == source
        by_track = figures_of(model, rows_of(test, chosen), logits[chosen], targets[chosen])["by_track"]
        by_source[str(source)] = {
            "tracks": by_track["n"],
            "right": int(np.trace(by_track["confusion_matrix"])),
            "unseen": bool(~is_home[chosen][0]),
        }
    return {"ms_a_second": ms, "sets": figures, "by_source": by_source}


def f1_macro(matrix: np.ndarray, model: Model) -> float:
    """The mean F1 of the classes that a set has."""
    return statistics.mean(each["f1"] for each in per_class(matrix, model.classes).values() if each["support"])


def kept_lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []


def spread(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def row(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def report(lines: list[dict[str, Any]]) -> str:
    """results/models.md."""
    groups = {
        label: [line for line in lines if line["model"] == name and (line["seed"] is None) == (name in SHIPPED)]
        for name, label in (TRAINED | SHIPPED).items()
    }
    groups = {label: group for label, group in groups.items() if group}
    commits = ", ".join(sorted({line["versions"]["commit"] for line in lines}))
    first = lines[0]
    text = [
        "# Models\n",
        "Made by `python benchmarks/models.py GENRES8` from [models.jsonl](models.jsonl): "
        f"data {first['data'][:12]}, one thread of a CPU, torch {first['versions']['torch']}, commit {commits}. "
        "Means ± standard deviations over seeds. genres7-cnn does not know the class `not_music`, so it is evaluated "
        "on music alone, an easier task.\n",
        "<!-- --8<-- [start:tables] -->\n",
        "## By set\n",
        row("model", "seeds", "set", "macro F1, seconds", "right, seconds", "macro F1, tracks", "right, tracks"),
        row(*["---"] * 7),
    ]
    for label, group in groups.items():
        for name, where in (("test", "test set"), *SETS.items()):
            sets = [line["sets"][name] for line in group]
            columns = ("f1_macro", "accuracy", "track_f1_macro", "track_accuracy")
            cells = [spread([each[column] for each in sets]) for column in columns]
            n = f"{where} ({sets[0]['tracks']} tracks)"
            text.append(row(label, len(group), n, *cells))
    text += [
        "\nMacro F1 is the mean over the classes that a set has.\n",
        "## By source\n",
        f"Tracks that are right, for each source with at least {FEWEST_TRACKS} tracks in the test set (sources are "
        "anonymous), and for all others together.\n",
        row("source", "training has it", "tracks", *groups),
        row(*["---"] * (3 + len(groups))),
    ]
    text += source_rows(groups)
    text += [
        "\n## Cost\n",
        row("model", "weights", "training, processor min", "processor ms for a second of sound"),
        row(*["---"] * 4),
    ]
    for label, group in groups.items():
        minutes = [line["training_processor_s"] / 60 for line in group if "training_processor_s" in line]
        ms = statistics.mean(line["ms_a_second"] for line in group)
        trained = f"{statistics.mean(minutes):.1f}" if minutes else "-"
        text.append(row(label, f"{group[0]['n_weights']:,}", trained, f"{ms:.2f}"))
    text += [
        "\nThe network alone, in PyTorch, in batches of 256; features and decoding come on top.\n",
        "<!-- --8<-- [end:tables] -->",
    ]
    return "\n".join(text) + "\n"


def source_rows(groups: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The table by source, the largest first."""
    full = max(groups.values(), key=lambda group: sum(each["tracks"] for each in group[0]["by_source"].values()))
    sources = dict(sorted(full[0]["by_source"].items(), key=lambda item: -item[1]["tracks"]))
    large = [name for name, each in sources.items() if each["tracks"] >= FEWEST_TRACKS]
    parts = [([name], name, sources[name]["unseen"]) for name in large]
    for is_unseen in (False, True):
        rest = [name for name, each in sources.items() if name not in large and each["unseen"] == is_unseen]
        if rest:
            parts.append((rest, f"{len(rest)} others", is_unseen))
    rows = []
    for names, label, is_unseen in parts:
        cells = []
        for group in groups.values():
            shares = []
            for line in group:
                there = [line["by_source"][name] for name in names if name in line["by_source"]]
                if n := sum(each["tracks"] for each in there):
                    shares.append(sum(each["right"] for each in there) / n)
            cells.append(spread(shares) if shares else "-")
        n_tracks = sum(sources[name]["tracks"] for name in names)
        rows.append(row(label, "no" if is_unseen else "yes", n_tracks, *cells))
    return rows


def draw_reliability(data: Path) -> None:
    """The diagrams of the model that ships, at home and on unseen sources."""
    model, dataset = load_model("genres8-resnet"), load_dataset(data, "melgrams")
    assert dataset.test.tracks is not None
    assert dataset.train.tracks is not None
    assert model.calibration
    logits, targets = predict_split(model, dataset.test)
    probabilities = (logits / model.calibration.temperature).softmax(dim=1).numpy()
    is_home = np.isin(dataset.test.tracks["source"], dataset.train.tracks["source"])
    for name, chosen in (("home", is_home), ("unseen", ~is_home)):
        truth = targets.numpy()[chosen]
        bins = reliability(probabilities[chosen].max(axis=1), probabilities[chosen].argmax(axis=1) == truth)
        picture = reliability_diagram(
            *([getattr(each, key) for each in bins] for key in ("confidence", "accuracy", "n"))
        )
        with replacing(HERE.parent / "docs" / f"reliability-{name}.png") as path:
            path.write_bytes(picture)
        print(name, f"expected calibration error {calibration_error(probabilities[chosen], truth):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    done = {(line["model"], line["seed"]) for line in kept_lines()}
    tasks = [(name, None) for name in SHIPPED] + [(name, seed) for seed in range(arguments.seeds) for name in TRAINED]
    tasks = [task for task in tasks if task not in done]
    for _, line in map_unordered(functools.partial(run, data=arguments.data), tasks, jobs=arguments.jobs):
        with KEPT.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line["model"], line["seed"], flush=True)
    draw_reliability(arguments.data)
    write_text(RESULTS / "models.md", report(kept_lines()))


if __name__ == "__main__":
    main()
