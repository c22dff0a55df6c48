"""Train and evaluate the models that ship, and put them into the package with their cards.

    python scripts/ship_models.py NAME DATA [--elsewhere DATA] [--seeds 5] [--jobs 2]

NAME is that of a TOML file beside this script. Each finished seed is kept in results/shipped/, and not trained again
unless the configuration, the augmentation or the data have changed since.
The seed that validates best ships; the card is written from the results of all.
"""

import argparse
import functools
import json
import statistics
import time
from pathlib import Path

import torch

from genreline import fit, load_config, load_dataset, load_split, save_model
from genreline.data.layout import digest
from genreline.files import digest_file, json_text, write_text
from genreline.parallel import map_unordered
from genreline.provenance import versions
from genreline.train import augment
from genreline.train.checkpoint import Model, load_model
from genreline.train.evaluate import evaluate_model

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "shipped"
PACKAGE = HERE.parent / "src" / "genreline" / "models"


def train_seed(seed: int, name: str, data: Path, elsewhere: Path | None) -> None:
    """Train one seed, judge it once on every test set, and keep both the model and its figures."""
    folder = RESULTS / f"{name}-{seed}"
    config = load_config(HERE / f"{name}.toml", [f"seed={seed}"])
    recipe = [config.digest(), digest_file(augment.__file__), digest(data, config.features)]
    kept = folder.with_suffix(".json")
    if kept.exists() and json.loads(kept.read_text())["recipe"] == recipe:
        return
    torch.set_num_threads(1)
    dataset = load_dataset(data, config.features)
    start = time.perf_counter()
    run = fit(config, dataset, on_epoch=lambda epoch: print(name, seed, epoch, flush=True))
    seconds = time.perf_counter() - start
    model = Model.from_fit(run, dataset)
    metrics = {"val": evaluate_model(model, dataset.val), "test": evaluate_model(model, dataset.test)}
    if elsewhere:
        metrics["elsewhere"] = evaluate_model(model, load_split(elsewhere, "test", config.features))
    save_model(model, folder)
    figures = {
        "seed": seed,
        "best_epoch": run.best_epoch,
        "seconds": seconds,
        "recipe": recipe,
        "data_digest": dataset.digest,
        "elsewhere_digest": digest(elsewhere, config.features) if elsewhere else None,
        "device": "cpu, 1 thread",
        "versions": versions(),
        "metrics": metrics,
    }
    write_text(kept, json_text(figures))


def cell(runs: list[dict], best: dict, *path: str) -> str:
    """A figure as mean ± standard deviation over the seeds, and in brackets that of the seed that ships."""

    def figure(run: dict) -> float:
        return functools.reduce(lambda value, key: value[key], path, run["metrics"])

    values = [figure(run) for run in runs]
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation} ({figure(best):.3f})"


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def card(name: str, runs: list[dict], best: dict) -> str:
    """The model card: the text beside the script, and after it the figures of all seeds."""
    lines = [
        (HERE / f"{name}.md").read_text().rstrip(),
        "\n## Figures\n",
        f"Mean ± standard deviation over {len(runs)} seeds; in brackets seed {best['seed']}, which ships because it is "
        "the best of them on the validation set.\n",
        row("set", "by", "n", "macro F1", "accuracy"),
        row(*["---"] * 5),
    ]
    for name_of_set, figures in best["metrics"].items():
        for by, path in (("second", [name_of_set]), ("track", [name_of_set, "by_track"])):
            if by == "second" or "by_track" in figures:
                n = functools.reduce(lambda value, key: value[key], [*path, "n"], best["metrics"])
                cells = [cell(runs, best, *path, figure) for figure in ("f1_macro", "accuracy")]
                lines.append(row(name_of_set, by, n, *cells))
    for name_of_set in [key for key in best["metrics"] if key != "val"]:
        figures = best["metrics"][name_of_set]
        lines += [f"\nBy class, {name_of_set}, by second:\n", row("class", "precision", "recall", "F1", "n")]
        lines.append(row(*["---"] * 5))
        for label, each in figures["per_class"].items():
            cells = [cell(runs, best, name_of_set, "per_class", label, key) for key in ("precision", "recall", "f1")]
            lines.append(row(label, *cells, each["support"]))
        lines.append(f"\nConfusion, {name_of_set}, by second, of the seed that ships (truth in rows):\n")
        lines += [row("", *figures["classes"]), row(*["---"] * (1 + len(figures["classes"])))]
        matrix = zip(figures["classes"], figures["confusion_matrix"], strict=True)
        lines += [row(label, *counts) for label, counts in matrix]
    seconds = statistics.mean(run["seconds"] for run in runs)
    elsewhere = f", elsewhere `{best['elsewhere_digest'][:16]}`" if best["elsewhere_digest"] else ""
    lines += [
        "\n## How it was made\n",
        f"`python scripts/ship_models.py {name} DATA`, {seconds:.0f} s a seed ({best['device']}); the configuration is "
        f"`scripts/{name}.toml`. Data "
        f"`{best['data_digest'][:16]}`{elsewhere}; "
        + ", ".join(f"{key} {value}" for key, value in best["versions"].items())
        + ".",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("data", type=Path)
    parser.add_argument("--elsewhere", type=Path, help="a test set of the same genres from other sources")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    name = arguments.name
    train = functools.partial(train_seed, name=name, data=arguments.data, elsewhere=arguments.elsewhere)
    for _ in map_unordered(train, range(arguments.seeds), jobs=arguments.jobs):
        pass
    runs = [json.loads((RESULTS / f"{name}-{seed}.json").read_text()) for seed in range(arguments.seeds)]
    best = max(runs, key=lambda run: run["metrics"]["val"]["f1_macro"])
    model = load_model(RESULTS / f"{name}-{best['seed']}")
    metrics = {
        key: {figure: each[figure] for figure in ("loss", "f1_macro", "accuracy", "n")}
        for key, each in best["metrics"].items()
    }
    shipped = Model(model.network, model.config, model.classes, model.data_digest, metrics, model.training)
    save_model(shipped, PACKAGE / name)
    write_text(PACKAGE / name / "README.md", card(name, runs, best))
    print(card(name, runs, best))


if __name__ == "__main__":
    main()
