"""Compose the page's examples, and put them into the package with their timelines: `python scripts/make_examples.py`.

An example is an MP3 file and a JSON file: its timeline as composed4-resnet recognizes that MP3, with the waveform's
outline. They are made here and not when a visitor asks, so that the page can show them before the first click.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from genreline import Recognizer
from genreline.audio.decode import decode
from genreline.audio.seconds import RATE_HZ
from genreline.demo.music import GENRES, compose, medley
from genreline.files import replacing, write_text
from genreline.web.worker import outline

PACKAGE = Path(__file__).parents[1] / "src" / "genreline" / "web" / "examples"
MODEL = "composed4-resnet"
SEED = 1007  # the model's own data are the seeds from 0 to 39
DURATION_S = 30


def main() -> None:
    recognizer = Recognizer.load(MODEL)
    medley_waveform, parts = medley(seed=0)
    write_example("medley", medley_waveform, recognizer, [genre for start_s, end_s, genre in parts for _ in range(15)])
    for genre in GENRES:
        write_example(genre, compose(genre, SEED, DURATION_S), recognizer, [genre] * DURATION_S)


def write_example(name: str, waveform: np.ndarray, recognizer: Recognizer, truth: list[str]) -> None:
    """Write NAME.mp3 and NAME.json, and print how many seconds are recognized as what they were composed as."""
    path = PACKAGE / f"{name}.mp3"
    with replacing(path) as temporary:
        soundfile.write(temporary, waveform, RATE_HZ, format="MP3", compression_level=0.5)
    timeline = replace(recognizer(path), title=name.capitalize(), model=MODEL)
    song = timeline.to_dict()
    for second, peaks in zip(song["seconds"], outline(decode(path), len(song["seconds"])), strict=True):
        second["peaks"] = peaks
    write_text(PACKAGE / f"{name}.json", json.dumps(song) + "\n")
    n_right = sum(found == wanted for found, wanted in zip(timeline.labels, truth, strict=False))
    print(f"{name}: {n_right} of {len(truth)} seconds right, {path.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
