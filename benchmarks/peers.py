"""The same song by other libraries, each as its users write it, with the start of the process.

    python benchmarks/peers.py [--pyaudioanalysis PYTHON] [--rounds 5]

PYTHON is the interpreter of an environment into which pyAudioAnalysis and what it imports are installed by hand. The
programs take turns. Writes results/peers.json and results/peers.md.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import soundfile
from listen import write_song

from genreline.files import json_text, write_text
from genreline.provenance import versions

RESULTS = Path(__file__).parents[1] / "results"
LIBROSA = """
import sys
import librosa, torch
import matplotlib.pyplot as plt
from torch import nn
samples, rate = librosa.load(sys.argv[1], sr=8000)
seconds = [samples[i : i + rate] for i in range(0, len(samples) - rate + 1, rate)]
X = torch.tensor([librosa.power_to_db(librosa.feature.melspectrogram(y=s, sr=rate, hop_length=400)).T for s in seconds])
network = nn.Sequential(
    *(layer for a, b in ((1, 16), (16, 32), (32, 64), (64, 128))
      for layer in (nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))),
    nn.Flatten(), nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, 8),
)
with torch.no_grad():
    classes = network(X[:, None]).argmax(1)
plt.plot(classes)
plt.savefig(sys.argv[2])
"""
PYAUDIOANALYSIS = """
import sys
from pyAudioAnalysis import audioBasicIO, MidTermFeatures
rate, samples = audioBasicIO.read_audio_file(sys.argv[1])
samples = audioBasicIO.stereo_to_mono(samples)
MidTermFeatures.mid_feature_extraction(samples, rate, rate, rate, rate // 20, rate // 40)
"""
PROGRAMS = {
    "genreline": "`genreline predict SONG`, csv and png",
    "librosa": "librosa.load, its melgram of each second, a PyTorch CNN with random weights, a matplotlib line",
    "pyaudioanalysis": "pyAudioAnalysis' features of each second, of a WAV file, no prediction, no picture",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pyaudioanalysis", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_song(work / "song.wav", 240, 1)
        samples, rate_hz = soundfile.read(work / "song.wav", dtype="float32")
        soundfile.write(work / "song.mp3", samples, rate_hz)
        picture = str(work / "song.png")
        commands = {
            "genreline": [sys.executable, "-m", "genreline", "predict", "song.mp3"],
            "librosa": [sys.executable, "-c", LIBROSA, "song.mp3", picture],
        }
        if arguments.pyaudioanalysis:
            commands["pyaudioanalysis"] = [arguments.pyaudioanalysis, "-c", PYAUDIOANALYSIS, "song.wav"]
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(arguments.rounds):
            for name, command in commands.items():
                begin = time.perf_counter()
                subprocess.run(
                    command, cwd=work, check=True, capture_output=True, env={**os.environ, "MPLBACKEND": "agg"}
                )
                seconds[name].append(time.perf_counter() - begin)
                print(name, f"{seconds[name][-1]:.2f}", flush=True)
    results: dict[str, Any] = {"seconds": seconds, "versions": versions()}
    write_text(RESULTS / "peers.json", json_text(results))
    write_text(RESULTS / "peers.md", table(results))


def table(results: dict[str, Any]) -> str:
    """The results for people."""
    medians = {name: statistics.median(each) for name, each in results["seconds"].items()}
    lines = [
        "Made by `benchmarks/peers.py` from `peers.json`; never edited by hand.\n",
        "A song of four minutes (MP3, 44.1 kHz, stereo), the whole program with its start; medians of "
        f"{len(results['seconds']['genreline'])} rounds in which the programs took turns.\n",
        "| program | seconds | times as long as genreline |\n|---|---|---|",
    ]
    for name, median in medians.items():
        lines.append(f"| {PROGRAMS[name]} | {median:.2f} | {median / medians['genreline']:.1f} |")
    lines.append(
        "\nmusicnn could not be measured: it needs TensorFlow 1, which no Python that is maintained installs.\n"
    )
    lines.append(", ".join(f"{key} {value}" for key, value in results["versions"].items()) + ".\n")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
