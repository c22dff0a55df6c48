"""Store a song's features, one row a second, for another program: `python features.py SONG OUT.npz`."""

import sys

import numpy as np

from genreline import decode, melgrams, mfccs, segments

seconds = segments(decode(sys.argv[1]))  # (N, 8000) float32 at 8 kHz
np.savez(sys.argv[2], melgrams=melgrams(seconds), mfccs=mfccs(seconds))  # (N, 21, 128) in dB and (N, 26)
print(len(seconds), "seconds")
