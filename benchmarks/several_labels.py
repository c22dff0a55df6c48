"""Which instruments play: a multi-label model of composed bands, by the commands that a user would run.

    python benchmarks/several_labels.py WORK [--pieces 200] [--seeds 5]

Composes pieces in which some of a band's families of instruments play, and lists them in WORK/pieces/pieces.csv with
labels such as `bass|drums|voice`. For each seed it prepares them with another split, trains by recipe, and evaluates.
Writes results/several_labels.json and results/several_labels.md.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import default_rng

from genreline.audio.seconds import RATE_HZ, are_silent
from genreline.data.labels import SEPARATOR
from genreline.demo import synth
from genreline.demo.music import GENRES, write_score, write_wav
from genreline.files import write_text
from genreline.provenance import versions

RESULTS = Path(__file__).parents[1] / "results"
PIECE_S = 12
FAMILIES = {
    "bass": (synth.bass, synth.synth_bass),
    "drums": (synth.kick, synth.snare, synth.brush, synth.hat, synth.cymbal, synth.clap, synth.tom),
    "guitar": (synth.guitar, synth.muted_guitar, synth.lead_guitar),
    "keys": (synth.piano, synth.electric_piano, synth.harpsichord, synth.organ, synth.synth_pluck),
    "strings": (synth.strings, synth.pad),
    "voice": (synth.voice,),
    "winds": (synth.flute, synth.reed, synth.harmonica),
}
RECIPES = ("frozen", "resnet")
FIGURES = {"f1_macro": "macro F1", "mean_average_precision": "mAP", "accuracy": "all labels right"}


def compose_pieces(folder: Path, n: int) -> None:
    """Write the pieces and their list, unless they are there."""
    listed = folder / "pieces.csv"
    if listed.exists():
        return
    family_of = {instrument: name for name, instruments in FAMILIES.items() for instrument in instruments}
    rows = []
    for seed in range(n):
        chance = default_rng(seed)
        score = write_score(str(chance.choice(GENRES)), seed, PIECE_S)
        present = sorted({family_of[part.instrument] for part in score.parts if part.instrument in family_of})
        chosen = {name for name in present if chance.random() < 0.5} or {str(chance.choice(present))}
        parts = [part for part in score.parts if family_of.get(part.instrument) in chosen]
        waveform = synth.render(parts, score.clock_s, PIECE_S * RATE_HZ, score.drive, chance)
        if are_silent(waveform).all():  # the families that were chosen have rests all through
            continue
        write_wav(folder / f"{seed:04}.wav", waveform)
        rows.append((f"{seed:04}.wav", SEPARATOR.join(sorted(chosen))))
    with listed.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])


def genreline(*arguments: object) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "genreline", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def figures_of(work: Path, seed: int, recipe: str) -> dict[str, Any]:
    """Train and evaluate once."""
    data, model = work / f"dataset-{seed}", work / f"{recipe}-{seed}"
    genreline("prepare", work / "pieces" / "pieces.csv", data, "--seed", seed)
    genreline("train", data, "--out", model, "--recipe", recipe, "--set", f"seed={seed}", "--force", "--no-baselines")
    return json.loads(genreline("evaluate", model, data, "--json"))


def table(records: list[dict[str, Any]], n_pieces: int) -> str:
    """The page."""
    lines = [
        "Made by `benchmarks/several_labels.py` from `several_labels.json`; never edited by hand.\n",
        f"Up to {n_pieces} composed pieces of {PIECE_S} s in which one to {len(FAMILIES)} families of instruments "
        "play; 60% train, 20% validate, 20% are tested. The labels say what plays in a piece, though not in each of "
        "its seconds. Mean ± deviation over seeds, each with a split of its own.\n",
        f"| recipe | by | {' | '.join(FIGURES.values())} | seeds |\n|{'---|' * (len(FIGURES) + 3)}",
    ]
    for recipe in RECIPES:
        found = [record["figures"] for record in records if record["recipe"] == recipe]
        for by, each in (("second", found), ("piece", [figures["by_track"] for figures in found])) if found else ():
            cells = [spread([figures[key] for figures in each]) for key in FIGURES]
            lines.append(f"| `{recipe}` | {by} | {' | '.join(cells)} | {len(each)} |")
    lines.append(f"\nBy label, `{RECIPES[0]}`, by second:\n\n| label | precision | recall | F1 | average precision |")
    lines.append("|---|---|---|---|---|")
    found = [record["figures"]["per_class"] for record in records if record["recipe"] == RECIPES[0]]
    for name in found[0]:
        keys = ("precision", "recall", "f1", "average_precision")
        lines.append(f"| {name} | {' | '.join(spread([each[name][key] for each in found]) for key in keys)} |")
    lines.append("\n" + ", ".join(f"{key} {value}" for key, value in versions().items()) + ".\n")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{deviation}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--pieces", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    compose_pieces(arguments.work / "pieces", arguments.pieces)
    kept = RESULTS / "several_labels.json"
    records = json.loads(kept.read_text()) if kept.exists() else []
    done = {(record["recipe"], record["seed"]) for record in records}
    for seed in range(arguments.seeds):
        for recipe in RECIPES:
            if (recipe, seed) in done:
                continue
            figures = figures_of(arguments.work, seed, recipe)
            records.append({"recipe": recipe, "seed": seed, "figures": figures})
            print(recipe, seed, *(f"{name} {figures[key]:.3f}" for key, name in FIGURES.items()), flush=True)
            write_text(kept, json.dumps(records, indent=1) + "\n")
            write_text(RESULTS / "several_labels.md", table(records, arguments.pieces))


if __name__ == "__main__":
    main()
