"""How long four minutes take to decode, before and now: `python benchmarks/decoding.py CHECKOUT [ROUNDS]`.

CHECKOUT is of an earlier version. Each round decodes a file by it and by this version, one after another, each in a
process of its own that times the decoding alone. Writes results/robustness/decoding.json, which robustness.py shows.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import numpy as np
import soundfile

from genreline.files import json_text, write_text
from genreline.provenance import versions

ROOT = Path(__file__).parents[1]
RATE_HZ, DURATION_S = 44100, 240
FORMATS = {"wav": "PCM_16", "mp3": "MPEG_LAYER_III", "flac": "PCM_16", "ogg": "VORBIS"}  # by libsndfile
PROGRAM = """
import sys, time
from genreline.audio.decode import blocks
next(blocks(sys.argv[1]))  # imports what it needs
start = time.perf_counter()
n = sum(len(block) for block in blocks(sys.argv[1]))
print(time.perf_counter() - start, n)
"""


def write_m4a(path: Path, samples: np.ndarray) -> None:
    """AAC by FFmpeg."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE_HZ, layout="stereo")
        for start in range(0, len(samples), 1024):
            planes = np.ascontiguousarray(samples[start : start + 1024].T, np.float32)
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE_HZ, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def decode_s(source: Path, path: Path) -> float:
    """The seconds that a version of genreline takes for a file."""
    environment = {**os.environ, "PYTHONPATH": str(source / "src")}
    command = [sys.executable, "-c", PROGRAM, str(path)]
    seconds, n = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.split()
    assert abs(int(n) / 8000 - DURATION_S) < 0.2, (path, n)
    return float(seconds)


def main() -> None:
    before, rounds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 7
    times, rng = np.arange(DURATION_S * RATE_HZ) / RATE_HZ, np.random.default_rng(0)
    chord = sum(np.sin(2 * np.pi * hz * times) for hz in (220, 277.2, 329.6)) * 0.1 * (1 + np.sin(times))
    samples = np.stack([chord, 0.8 * chord], axis=1) + rng.normal(0, 0.02, (len(times), 2))
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (*FORMATS, "m4a"):
            path = Path(folder) / f"song.{suffix}"
            if suffix in FORMATS:
                with soundfile.SoundFile(path, "w", RATE_HZ, 2, FORMATS[suffix]) as file:
                    for block in np.array_split(samples, DURATION_S):  # libsndfile crashes at long ones of Vorbis
                        file.write(block)
            else:
                write_m4a(path, samples)
            pairs = [(decode_s(before, path), decode_s(ROOT, path)) for _ in range(rounds)]
            figures[suffix] = {
                "before_s": statistics.median(first for first, _ in pairs),
                "now_s": statistics.median(second for _, second in pairs),
                "ratio": statistics.median(second / first for first, second in pairs),
            }
            print(suffix, figures[suffix], flush=True)
    commit = subprocess.run(["git", "describe", "--always", "--exclude=*"], cwd=before, capture_output=True, text=True)
    result = {"rounds": rounds, "before": commit.stdout.strip(), "formats": figures, "versions": versions()}
    write_text(ROOT / "results" / "robustness" / "decoding.json", json_text(result))


if __name__ == "__main__":
    main()
