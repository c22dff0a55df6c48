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
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from genreline import Dataset, Split, fit, load_config, load_dataset, load_split, save_model
from genreline.data.layout import digest
from genreline.files import digest_file, json_text, write_text
from genreline.parallel import map_unordered
from genreline.predict.context import fit_context, medleys
from genreline.provenance import versions
from genreline.train import augment
from genreline.train.calibrate import calibration_error, fit_temperature, fit_unsure_margin, reliability
from genreline.train.checkpoint import Model, load_model
from genreline.train.evaluate import evaluate_model, predict_split
from genreline.train.export import add_graph
from genreline.train.folder import Calibration
from genreline.train.folds import rows_of
from genreline.train.metrics import per_class

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "shipped"
PACKAGE = HERE.parent / "src" / "genreline" / "models"


def train_seed(seed: int, name: str, data: Path, elsewhere: Path | None) -> None:
    """Train one seed unless it is kept, evaluate it on every test set, and keep both the model and its figures."""
    folder = RESULTS / f"{name}-{seed}"
    config = load_config(HERE / f"{name}.toml", [f"seed={seed}"])
    recipe = [config.digest(), digest_file(augment.__file__), digest(data, config.features)]
    kept = folder.with_suffix(".json")
    if kept.exists() and json.loads(kept.read_text())["recipe"] == recipe:
        return
    torch.set_num_threads(1)
    dataset = load_dataset(data, config.features)
    start, processor_start = time.perf_counter(), time.process_time()
    run = fit(config, dataset, on_epoch=lambda epoch: print(name, seed, epoch, flush=True))
    figures = {
        "seed": seed,
        "best_epoch": run.best_epoch,
        "seconds": time.perf_counter() - start,
        "processor_seconds": time.process_time() - processor_start,
        "recipe": recipe,
        "data_digest": dataset.digest,
        "elsewhere_digest": digest(elsewhere, config.features) if elsewhere else None,
        "device": "cpu, 1 thread",
        "versions": versions(),
    }
    model = Model.from_fit(run, dataset)
    save_model(model, folder)
    figures["metrics"] = {key: evaluate_model(model, split) for key, split in sets_of(dataset, elsewhere).items()}
    write_text(kept, json_text(figures))


def sets_of(dataset: Dataset, elsewhere: Path | None) -> dict[str, Split]:
    """The sets that a model is evaluated on; "unseen" are the test set's tracks of sources that training never saw."""
    sets = {"val": dataset.val, "test": dataset.test}
    if dataset.train.tracks and "source" in dataset.train.tracks:
        is_unseen = ~np.isin(dataset.test.tracks["source"], dataset.train.tracks["source"])
        if is_unseen.any():
            sets["unseen"] = rows_of(dataset.test, is_unseen)
    if elsewhere:
        sets["elsewhere"] = load_split(elsewhere, "test", dataset.features)
    return sets


def songs_of(model: Model, split: Split, temperature: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each track's probabilities and class numbers, its seconds in their order."""
    logits, targets = predict_split(model, split)
    probabilities = (logits / temperature).softmax(dim=1).numpy()
    found = []
    for track in np.unique(split.tracks["track"]):
        place = np.flatnonzero(split.tracks["track"] == track)
        place = place[np.argsort(split.tracks["start_s"][place].astype(float))]
        found.append((probabilities[place], targets.numpy()[place]))
    return found


def calibrate(model: Model, dataset: Dataset, songs: Path) -> tuple[Calibration, dict]:
    """A model's calibration, fitted on validation sets, and what it brings on the test sets."""
    temperature = fit_temperature(*predict_split(model, dataset.val))
    val = songs_of(model, load_split(songs, "val", dataset.features), temperature)
    context = fit_context(val + medleys(val, seed=0) + medleys(val, seed=1))
    means = [context.smooth(rows).mean(axis=0) for rows, _ in val]
    margin = fit_unsure_margin(means, [int(labels[0]) for _, labels in val])
    calibration = Calibration(round(temperature, 4), context.stay, context.evidence, round(margin, 4))
    if "not_music" in model.classes:  # hardly any of the songs is: the validation set's tracks say how sure that is
        not_music = not_music_margin(model, dataset.val, temperature)
        calibration = replace(calibration, unsure_margins={"not_music": round(not_music, 4)})

    figures = {"calibration": asdict(calibration), "sets": {}, "songs": {}}
    for name, split in sets_of(dataset, None).items():
        logits, targets = predict_split(model, split)
        before, after = (logits.softmax(dim=1).numpy(), (logits / temperature).softmax(dim=1).numpy())
        errors = [calibration_error(each, targets.numpy()) for each in (before, after)]
        figures["sets"][name] = {"before": errors[0], "after": errors[1], "reliability": reliability_of(after, targets)}
        if "not_music" in model.classes:
            is_music = targets.numpy() != model.classes.index("not_music")
            if not is_music.all():
                music = 1 - after[:, model.classes.index("not_music")]
                figures["sets"][name]["auroc_music"] = float(roc_auc_score(is_music, music))
    test = songs_of(model, load_split(songs, "test", dataset.features), temperature)
    for name, chosen in (("whole tracks", test), ("medleys", medleys(test, seed=2) + medleys(test, seed=3))):
        looks = {
            "alone": lambda rows: rows,
            "with those before": lambda rows: context.follower()(rows),
            "with all of the song": context.smooth,
        }
        figures["songs"][name] = {
            way: song_figures([(look(rows), numbers) for rows, numbers in chosen]) for way, look in looks.items()
        }
    figures["songs"]["n"] = len(test)
    return calibration, figures


def not_music_margin(model: Model, split: Split, temperature: float) -> float:
    """The margin of tracks that are most probably no music (`fit_unsure_margin`)."""
    logits, targets = predict_split(model, split)
    probabilities, tracks = (logits / temperature).softmax(dim=1).numpy(), split.tracks["track"]
    means = {track: probabilities[tracks == track].mean(axis=0) for track in np.unique(tracks)}
    truth = dict(zip(tracks, targets.tolist(), strict=True))
    number = model.classes.index("not_music")
    named = [track for track, mean in means.items() if mean.argmax() == number]
    return fit_unsure_margin([means[track] for track in named], [truth[track] for track in named])


def reliability_of(probabilities: np.ndarray, targets: torch.Tensor) -> list[dict]:
    """For five bins of confidence: how many seconds, their mean confidence, and how many of them are right."""
    is_right = probabilities.argmax(axis=1) == targets.numpy()
    bins = reliability(probabilities.max(axis=1), is_right, n_bins=5)
    return [{"from": each.low, "n": each.n, "confidence": each.confidence, "accuracy": each.accuracy} for each in bins]


def song_figures(songs: list[tuple[np.ndarray, np.ndarray]]) -> dict:
    """Accuracy by second, stretches of one label a minute, and how late a change is seen (median, up to 15 s)."""
    labels = [(rows.argmax(axis=1), truth) for rows, truth in songs]
    n = sum(len(truth) for _, truth in labels)
    delays = []
    for found, truth in labels:
        for change in np.flatnonzero(np.diff(truth)) + 1:
            seen = np.flatnonzero(found[change : change + 15] == truth[change])
            delays += [int(seen[0])] if seen.size else []
    return {
        "accuracy": sum(int((found == truth).sum()) for found, truth in labels) / n,
        "stretches_a_minute": 60 * sum(1 + int((np.diff(found) != 0).sum()) for found, _ in labels) / n,
        "delay_s": float(np.median(delays)) if delays else None,
    }


def cell(runs: list[dict], best: dict, *path: str) -> str:
    """A figure as mean ± standard deviation over the seeds, and in brackets that of the seed that ships."""

    def figure(run: dict) -> float:
        return functools.reduce(lambda value, key: value[key], path, run["metrics"])

    return spread([figure(run) for run in runs], figure(best))


def spread(values: list[float], shipped: float) -> str:
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation} ({shipped:.3f})"


def f1_of_present(figures: dict) -> float:
    """Macro F1 over the classes that the set has: one that it lacks can only count as 0, which says nothing."""
    matrix = np.array(figures["confusion_matrix"])
    scores = per_class(matrix, [str(number) for number in range(len(matrix))])
    return statistics.mean(each["f1"] for each in scores.values() if each["support"])


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def card(name: str, runs: list[dict], best: dict, calibration: dict | None) -> str:
    """The model card: the text beside the script, and after it the figures of all seeds."""
    lines = [
        (HERE / f"{name}.md").read_text().rstrip(),
        "\n## Figures\n",
        f"Mean ± standard deviation over {len(runs)} seeds; in brackets seed {best['seed']}, which ships because it is "
        "the best of them on the validation set. Macro F1 is the mean over the classes that a set has.\n",
        row("set", "by", "n", "macro F1", "accuracy"),
        row(*["---"] * 5),
    ]
    for name_of_set, figures in best["metrics"].items():
        for by, path in (("second", [name_of_set]), ("track", [name_of_set, "by_track"])):
            if by == "second" or "by_track" in figures:
                at = functools.partial(functools.reduce, lambda value, key: value[key], path)
                f1 = [f1_of_present(at(run["metrics"])) for run in (*runs, best)]
                cells = [spread(f1[:-1], f1[-1]), cell(runs, best, *path, "accuracy")]
                lines.append(row(name_of_set, by, at(best["metrics"])["n"], *cells))
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
    if calibration:
        lines += calibration_lines(calibration)
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


def calibration_lines(figures: dict) -> list[str]:
    """What the card says of calibration and context."""
    fitted = figures["calibration"]
    lines = [
        "\n## Calibration\n",
        f"The logits are divided by {fitted['temperature']:.3f}, the temperature with the lowest loss on the "
        "validation set. Expected calibration error (15 bins), before and after:\n",
        row("set", "before", "after", "AUROC, music against not music"),
        row(*["---"] * 4),
    ]
    for name, each in figures["sets"].items():
        auroc = f"{each['auroc_music']:.3f}" if "auroc_music" in each else "-"
        lines.append(row(name, f"{each['before']:.3f}", f"{each['after']:.3f}", auroc))
    lines += ["\nReliability, after:\n", row("set", "confidence from", "n", "mean confidence", "accuracy")]
    lines.append(row(*["---"] * 5))
    for name, each in figures["sets"].items():
        for one in each["reliability"]:
            shares = (f"{one[key]:.3f}" for key in ("confidence", "accuracy"))
            lines.append(row(name, f"{one['from']:.1f}", one["n"], *shares))
    lines += [
        "\n## Context\n",
        f"The next second has the same label with a probability of {fitted['stay']:g}, and a second's own evidence "
        f"counts with an exponent of {fitted['evidence']:g}: fitted on the songs of the validation set and medleys of "
        f"them. A song is called unsure where its two most probable classes are nearer than "
        f"{fitted['unsure_margin']:.3f}, where the validation set's songs are as often wrong as right"
        f"{not_music_text(fitted['unsure_margins'])}.\n",
        f"On {figures['songs']['n']} songs of the test set and medleys of pieces of 8 to 30 s of them: each second "
        "alone (`--raw`), with those before it (streams), with all of the song (files).\n",
        row("songs", "seconds", "accuracy by second", "stretches a minute", "delay of a change, median s"),
        row(*["---"] * 5),
    ]
    for name in ("whole tracks", "medleys"):
        for way, each in figures["songs"][name].items():
            delay = "-" if each["delay_s"] is None else f"{each['delay_s']:g}"
            lines.append(row(name, way, f"{each['accuracy']:.3f}", f"{each['stretches_a_minute']:.1f}", delay))
    return lines


def not_music_text(margins: dict[str, float]) -> str:
    """The end of the card's sentence about unsure songs."""
    if "not_music" not in margins:
        return ""
    if margins["not_music"]:
        return f"; one that is most probably not music, nearer than {margins['not_music']:.3f}"
    return (
        "; one that is most probably not music never is, because those of the validation set are mostly right, however "
        "near the next class is"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("data", type=Path)
    parser.add_argument("--elsewhere", type=Path, help="a test set of the same genres from other sources")
    parser.add_argument("--songs", type=Path, help="consecutive seconds of whole songs, val and test, to calibrate on")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--train-only", action="store_true", help="put nothing into the package (teachers)")
    arguments = parser.parse_args()
    name = arguments.name
    train = functools.partial(train_seed, name=name, data=arguments.data, elsewhere=arguments.elsewhere)
    for _ in map_unordered(train, range(arguments.seeds), jobs=arguments.jobs):
        pass
    if arguments.train_only:
        return
    runs = [json.loads((RESULTS / f"{name}-{seed}.json").read_text()) for seed in range(arguments.seeds)]
    best = max(runs, key=lambda run: run["metrics"]["val"]["f1_macro"])
    folder = RESULTS / f"{name}-{best['seed']}"
    model = load_model(folder if folder.exists() else PACKAGE / name)  # which it is, if it shipped before
    assert model.config.seed == best["seed"]
    metrics = {
        key: {figure: each[figure] for figure in ("loss", "f1_macro", "accuracy", "n")}
        for key, each in best["metrics"].items()
    }
    shipped = Model(model.network, model.config, model.classes, model.data_digest, metrics, model.training)
    brought = None
    if arguments.songs:
        dataset = load_dataset(arguments.data, model.config.features)
        calibration, brought = calibrate(model, dataset, arguments.songs)
        shipped = replace(shipped, calibration=calibration)
        write_text(RESULTS / f"{name}-calibration.json", json_text(brought))
    save_model(shipped, PACKAGE / name)
    add_graph(PACKAGE / name)
    write_text(PACKAGE / name / "README.md", card(name, runs, best, brought))
    print(card(name, runs, best, brought))


if __name__ == "__main__":
    main()
