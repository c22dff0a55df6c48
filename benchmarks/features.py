"""How fast features are computed, beside librosa segment by segment, on one thread: `python benchmarks/features.py`.

Ratios are of medians taken in turns in one run, so that a busy machine slows both alike.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # before NumPy loads

import statistics
import time
from collections.abc import Callable

import librosa
import numpy as np
import torch

from genreline import melgrams, mfccs

N_SEGMENTS, ROUNDS = 600, 7


def librosa_melgrams(segments: np.ndarray) -> list[np.ndarray]:
    """What people do now: librosa, one segment at a time."""
    mels = (librosa.feature.melspectrogram(y=y, sr=8000, n_fft=400, hop_length=400) for y in segments)
    return [librosa.power_to_db(mel, ref=np.max).T for mel in mels]


def librosa_mfccs(segments: np.ndarray) -> list[np.ndarray]:
    """Likewise. librosa's MFCCs are another recipe than ours (pyAudioAnalysis'); the work is of the same kind."""
    options = {"sr": 8000, "n_mfcc": 13, "n_mels": 40, "n_fft": 400, "hop_length": 400}
    coefficients = (librosa.feature.mfcc(y=y, **options) for y in segments)
    return [np.concatenate([each.mean(axis=1), each.std(axis=1)]) for each in coefficients]


def seconds(function: Callable[[np.ndarray], object], segments: np.ndarray) -> float:
    start = time.perf_counter()
    function(segments)
    return time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(1)
    segments = np.random.default_rng(0).normal(0, 0.1, (N_SEGMENTS, 8000)).astype(np.float32)
    pairs = {"melgrams": (librosa_melgrams, melgrams), "mfccs": (librosa_mfccs, mfccs)}
    print(f"{N_SEGMENTS} segments of 1 s, one thread, median of {ROUNDS} rounds; torch {torch.__version__}")
    for name, functions in pairs.items():
        for function in functions:
            function(segments[:64])
        rounds = [[seconds(function, segments) for function in functions] for _ in range(ROUNDS)]
        theirs, ours = (N_SEGMENTS / statistics.median(times) for times in zip(*rounds, strict=True))
        print(f"{name:8}  librosa {theirs:6,.0f} segments/s  genreline {ours:6,.0f} segments/s  {ours / theirs:.1f} x")


if __name__ == "__main__":
    main()
