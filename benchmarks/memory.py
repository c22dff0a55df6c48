"""Memory and speed of predicting a long file: `python benchmarks/memory.py [HOURS] [MODEL]`.

Writes an MP3 of that many hours (44.1 kHz, stereo) to a temporary folder, predicts it, and prints how far the peak of
the resident memory went above what the imports and the model take.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from genreline import Recognizer


def peak_mb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def write_song(path: Path, hours: float) -> None:
    rng = np.random.default_rng(0)
    minute = rng.normal(0, 0.1, (44100 * 60, 2)) * np.abs(np.sin(np.arange(44100 * 60) / 44100 * 4))[:, None]
    with soundfile.SoundFile(path, "w", 44100, 2, format="MP3") as file:
        for _ in range(round(hours * 60)):
            file.write(minute)


def main() -> None:
    hours = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    recognizer = Recognizer.load(*sys.argv[2:3])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp3"
        write_song(path, min(hours, 1 / 60))
        recognizer(path)  # whatever is imported late
        before = peak_mb()
        write_song(path, hours)
        wrote = peak_mb()
        start = time.perf_counter()
        timeline = recognizer(path)
        seconds = time.perf_counter() - start
    assert wrote <= before + 200, "writing the song took more memory than predicting it could show"
    hours = timeline.duration_s / 3600
    print(f"{hours:.2f} h predicted in {seconds:.0f} s, {timeline.duration_s / seconds:.0f} x real time")
    print(f"peak resident memory {peak_mb():.0f} MB, {peak_mb() - before:.0f} MB above imports, model and one minute")


if __name__ == "__main__":
    main()
