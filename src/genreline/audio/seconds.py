"""A waveform as the seconds that a model predicts, and which of them hold sound. Needs no decoder and no PyTorch."""

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8000
"""Samples a second of every waveform inside genreline (assignment, Data)."""
Waveform = NDArray[np.float32]

SILENCE_RMS = 2.0**-14
"""A second is silent if its RMS, around its mean, is below this share of full scale (-84 dB): twice a 16-bit file's
smallest step, and a twentieth of the softest seconds of the music recordings used here. Dither lies at -96 dB."""
SMEAR = 400
"""Samples (50 ms) at each end of a second that the test leaves out: codecs and resampling smear sound into them."""
SHORTEST_S = 0.25
"""A shorter last part of a second has no row of its own: it extends the row before it."""


def cut_seconds(waveform: Waveform) -> Waveform:
    """(samples,) at 8 kHz -> (ceil(samples / 8000), 8000); the last second is padded with zeros."""
    return np.pad(waveform, (0, -len(waveform) % RATE_HZ)).reshape(-1, RATE_HZ)


def are_silent(waveform: Waveform) -> NDArray[np.bool_]:
    """Which seconds of a waveform hold no sound: digital silence, dither or a constant.

    Shape:
        waveform: (samples,), float, mono, 8 kHz -> (ceil(samples / 8000),)
    """
    whole = len(waveform) // RATE_HZ * RATE_HZ
    silent: NDArray[np.bool_] = waveform[:whole].reshape(-1, RATE_HZ)[:, SMEAR:-SMEAR].std(axis=1) < SILENCE_RMS
    rest = waveform[whole:]
    if not len(rest):
        return silent
    inner = rest[SMEAR:-SMEAR] if len(rest) > 4 * SMEAR else rest
    return np.append(silent, inner.std() < SILENCE_RMS)
