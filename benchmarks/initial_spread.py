"""Why some activations learn nothing at a rate of 0.002: how far an untrained network tells segments apart.

    python benchmarks/initial_spread.py GENRES7

For every activation of the study `activations`, and for its inputs as they are, standardised, and with batch
normalisation: the standard deviation of each logit over 512 training segments, averaged over the classes, at the
initial weights of the study's first seed. Beside it stands the validation macro F1 that the same weights were trained
to within 15 epochs, where results/studies has such a run. Writes results/initial_spread.md and .png; takes a minute.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from genreline import Config, Dataset, load_dataset
from genreline.files import replacing, write_text
from genreline.provenance import versions
from genreline.study.records import RunRecord, load_studies
from genreline.study.spec import load_study
from genreline.train.config import merge_settings
from genreline.train.loop import seed_everything
from genreline.train.models import build_network

RESULTS = Path(__file__).parents[1] / "results"
N_SEGMENTS, EPOCHS, ONE_CLASS = 512, 15, 0.1
INPUTS = {
    "as they are": {},
    "standardised": {"standardise": True},
    "batch normalisation": {"model": {"batch_norm": True}},
}


def spread(config: Config, dataset: Dataset) -> float:
    """The logits' standard deviation over segments at the initial weights, mean over classes."""
    seed_everything(config.seed)
    network = build_network(config, dataset.train.X.shape[1:], len(dataset.classes)).train()
    rows = np.random.default_rng(0).permutation(len(dataset.train.X))[:N_SEGMENTS]
    X = torch.from_numpy(np.ascontiguousarray(dataset.train.X[np.sort(rows)])).float()
    if config.standardise:
        network[0].fit(X)
    with torch.no_grad():
        return float(network(X).std(dim=0).mean())


def reached(config: Config, runs: list[RunRecord]) -> float:
    """The best validation macro F1 within 15 epochs of the run with this configuration, whatever its length; or NaN."""
    for run in runs:
        if Config.model_validate({**run.config, "epochs": config.epochs}) == config and len(run.history) >= EPOCHS:
            return max(epoch.val_f1_macro for epoch in run.history[:EPOCHS])
    return math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("genres7")
    dataset = load_dataset(parser.parse_args().genres7, "melgrams")
    runs = [run for _, found in load_studies(RESULTS / "studies") for run in found if run.data_digest == dataset.digest]
    study = load_study("activations")
    points = []
    for point in study.points():
        for inputs, more in INPUTS.items():
            settings = point.config(seed=0).model_dump(mode="json")
            merge_settings(settings, more)
            config = Config.model_validate(settings)
            points.append((point.variant.id, inputs, spread(config, dataset), reached(config, runs)))
    write_text(RESULTS / "initial_spread.md", table(points, dataset.digest))
    with replacing(RESULTS / "initial_spread.png") as path:
        picture(points).savefig(path, format="png", dpi=110)


def table(points: list[tuple[str, str, float, float]], digest: str) -> str:
    trained = [point for point in points if not math.isnan(point[3])]
    rho = spearmanr([point[2] for point in trained], [point[3] for point in trained]).statistic
    made = versions()
    lines = [
        "Made by `benchmarks/initial_spread.py`; never edited by hand.",
        "",
        f"Standard deviation of the first logits over {N_SEGMENTS} segments (genres7, {digest[:12]}), and the best",
        f"validation macro F1 that SGD at 0.002 reaches from those weights within {EPOCHS} epochs (one seed; - if it",
        f"was not tried). Over the {len(trained)} that were trained, Spearman's correlation of the two is {rho:.2f}.",
        f"Spreads: commit {made['commit']}, torch {made['torch']}, CPU; of the runs the report tells.",
        "",
        f"| activation | {' | '.join(f'{inputs}: spread | macro F1' for inputs in INPUTS)} |",
        f"| --- |{' ---: |' * 2 * len(INPUTS)}",
    ]
    for name in dict.fromkeys(point[0] for point in points):
        cells = [
            cell
            for point in points
            if point[0] == name
            for cell in (f"{point[2]:.1e}", "-" if math.isnan(point[3]) else f"{point[3]:.2f}")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def picture(points: list[tuple[str, str, float, float]]) -> Figure:
    figure = Figure(figsize=(9, 5), layout="constrained")
    ax = figure.subplots()
    for inputs, colour, marker in zip(INPUTS, ("#0072b2", "#d55e00", "#009e73"), "osD", strict=True):
        shown = [(x, y) for _, where, x, y in points if where == inputs and x > 0 and not math.isnan(y)]
        ax.scatter([x for x, _ in shown], [y for _, y in shown], c=colour, marker=marker, label=inputs)
    named: list[tuple[float, float]] = []
    for name, _, x, y in sorted(points, key=lambda point: point[2]):
        crowded = x > 0 and any(abs(math.log10(x / other)) < 0.09 and abs(y - height) < 0.15 for other, height in named)
        if x > 0 and not math.isnan(y) and not crowded:
            ax.annotate(name, (x, y), xytext=(-4, 8), textcoords="offset points", fontsize=8, rotation=90)
            named.append((x, y))
    ax.set_xscale("log")
    ax.set_xlabel("standard deviation of the first logits over segments")
    ax.set_ylabel(f"validation macro F1 within {EPOCHS} epochs")
    ax.set_ylim(0, 0.8)
    ax.legend(loc="upper left", title="inputs, or the convolutions' outputs")
    return figure


if __name__ == "__main__":
    main()
