"""Segments of one second become melgrams and MFCC vectors: the two representations of the assignment.

This is the only implementation in the project: datasets, training and timelines all see the same numbers. Every
function takes a batch and runs on the device of its input.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor

from genreline.audio.decode import RATE_HZ

N_FFT = 400
"""Samples in a frame (50 ms) and between frames: they do not overlap."""
N_MELS = 128
N_MFCC = 13
Bank = list[tuple[slice, Tensor]]
"""Groups of filters: the bins that they need, and their weights (bins, filters)."""

AMIN, TOP_DB = 1e-10, 80.0  # librosa.power_to_db's own defaults

SILENCE_RMS = 2.0**-14
"""A second is silent if its RMS, around its mean, is below this share of full scale (-84 dB): twice a 16-bit file's
smallest step, and a twentieth of the softest seconds of the music recordings used here. Dither lies at -96 dB."""
_SMEAR = 400
"""Samples (50 ms) at each end of a second that the test leaves out: codecs and resampling smear sound into them."""

FEATURE_SHAPES = {"mfccs": (2 * N_MFCC,), "melgrams": (RATE_HZ // N_FFT + 1, N_MELS)}
"""The shape of one second in each representation, under the names that the course layout uses."""


def segments(waveform: Tensor | np.ndarray) -> Tensor:
    """Cut a waveform into seconds; the last one is padded with zeros.

    Shape:
        waveform: (samples,), float, mono, 8 kHz -> (ceil(samples / 8000), 8000), same dtype and device.

    Raises:
        ValueError: the waveform is not one-dimensional or is empty.
    """
    waveform = torch.as_tensor(waveform)
    if waveform.ndim != 1 or len(waveform) == 0:
        raise ValueError(f"a waveform has the shape (samples,) with samples > 0; this has {tuple(waveform.shape)}")
    return torch.nn.functional.pad(waveform, (0, -len(waveform) % RATE_HZ)).reshape(-1, RATE_HZ)


def are_silent(waveform: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which seconds of a waveform hold no sound: digital silence, dither or a constant.

    Shape:
        waveform: (samples,), float, mono, 8 kHz -> (ceil(samples / 8000),)
    """
    whole = len(waveform) // RATE_HZ * RATE_HZ
    silent: NDArray[np.bool_] = waveform[:whole].reshape(-1, RATE_HZ)[:, _SMEAR:-_SMEAR].std(axis=1) < SILENCE_RMS
    rest = waveform[whole:]
    if not len(rest):
        return silent
    inner = rest[_SMEAR:-_SMEAR] if len(rest) > 4 * _SMEAR else rest
    return np.append(silent, inner.std() < SILENCE_RMS)


def melgrams(segments: Tensor | np.ndarray) -> Tensor:
    """Mel-spectrograms in dB below each segment's own maximum: 21 frames of 128 mel bands.

    The same numbers as `librosa.power_to_db(librosa.feature.melspectrogram(y=segment, sr=8000, n_fft=400,
    hop_length=400), ref=np.max).T` (assignment, Data), within 1e-4 dB. A silent segment is 0 dB everywhere, as there.

    Shape:
        segments: (N, 8000), float in [-1, 1] -> (N, 21, 128) float32, from -80 to 0 dB.
    """
    return _by_blocks(_melgrams_of_block, segments)


def mfccs(segments: Tensor | np.ndarray) -> Tensor:
    """The static MFCC vector: 13 means, then 13 standard deviations, of the coefficients of 20 frames of 50 ms.

    The same numbers as pyAudioAnalysis' `ShortTermFeatures.feature_extraction(segment, 8000, 400, 400)`, rows mfcc_1
    to mfcc_13 (assignment, Data), within 1e-5. A silent segment has about -99 as its first mean and 0 in every
    deviation.

    Shape:
        segments: (N, 8000), float in [-1, 1] -> (N, 26) float64 (float32 on devices without float64: Apple's mps).
    """
    return _by_blocks(_mfccs_of_block, segments)


def features(segments: Tensor | np.ndarray, kind: str) -> Tensor:
    """`mfccs(segments)` or `melgrams(segments)`, by the name that the course layout gives them."""
    functions = {"mfccs": mfccs, "melgrams": melgrams}
    if kind not in functions:
        raise ValueError(f"features are {' or '.join(functions)}, not {kind!r}")
    return functions[kind](segments)


def _by_blocks(function: Callable[[Tensor], Tensor], segments: Tensor | np.ndarray) -> Tensor:
    """Apply `function` to blocks of 32 segments, which fit a processor's cache: twice as fast as all at once."""
    segments = torch.as_tensor(segments).detach()
    if segments.ndim != 2 or segments.shape[1] != RATE_HZ:
        raise ValueError(f"segments have the shape (N, {RATE_HZ}); these have {tuple(segments.shape)}")
    # MFCCs of silence hinge on float64's epsilon, and 80 dB below a peak float32 is 2e-3 dB off.
    dtype = torch.float32 if segments.device.type == "mps" else torch.float64
    size = 32 if segments.device.type == "cpu" else 4096
    return torch.cat([function(block.to(dtype)) for block in torch.split(segments, size)])


def _melgrams_of_block(segments: Tensor) -> Tensor:
    frames = torch.nn.functional.pad(segments, (N_FFT // 2, N_FFT // 2)).unfold(1, N_FFT, N_FFT)
    spectrum = _rfft(frames * _hann().to(segments))
    power = spectrum.real.float().square_().add_(spectrum.imag.float().square_())
    db = _filtered(power, _mel_filters()).clamp_(min=AMIN).log10_().mul_(10)
    return db.sub_(db.amax(dim=(1, 2), keepdim=True)).clamp_(min=-TOP_DB)


def _mfccs_of_block(segments: Tensor) -> Tensor:
    centred = segments - segments.mean(dim=1, keepdim=True)
    scaled = centred / (centred.abs().amax(dim=1, keepdim=True) + 1e-10)
    half = N_FFT // 2
    spectrum = _rfft(scaled.unfold(1, N_FFT, N_FFT))[..., :half]
    # Not abs(), which guards complex numbers against overflow and takes five times as long.
    magnitude = spectrum.real.square().add_(spectrum.imag.square()).sqrt_().div_(half)
    filters, cosines = _mfcc_matrices()
    coefficients = _filtered(magnitude, filters).add_(np.finfo(np.float64).eps).log10_() @ cosines.to(segments)
    mean = coefficients.mean(dim=1)
    deviation = (coefficients - mean[:, None]).square().mean(dim=1).sqrt()
    return torch.cat([mean, deviation], dim=1)


def _rfft(frames: Tensor) -> Tensor:
    """torch.fft.rfft; on the CPU by pocketfft, with which librosa and pyAudioAnalysis were measured.

    In the empty bands of a pure tone nothing is left but the rounding noise of the FFT, and the logarithm shows it:
    MKL's FFT, which torch uses, gives MFCCs that are 1e-3 off there; pocketfft's are 1e-13 off.
    """
    on_cpu = frames.device.type == "cpu"
    spectrum: Tensor = torch.as_tensor(scipy.fft.rfft(frames.numpy())) if on_cpu else torch.fft.rfft(frames)
    return spectrum


def _grouped(filters: NDArray[Any]) -> Bank:
    """A filter bank (bins, filters) as four groups of filters, each with the bins that it needs.

    A filter spans a few bins, so most of a bank is zeros: this saves two thirds of the multiplications.
    """
    bank = []
    for group in np.split(filters, 4, axis=1):
        used = np.flatnonzero(group.any(axis=1))
        bins = slice(int(used[0]), int(used[-1]) + 1)
        bank.append((bins, torch.tensor(group[bins])))
    return bank


def _filtered(spectrum: Tensor, bank: Bank) -> Tensor:
    """(..., bins) -> (..., filters)."""
    return torch.cat([spectrum[..., bins] @ filters.to(spectrum) for bins, filters in bank], dim=-1)


@cache
def _hann() -> Tensor:
    return torch.hann_window(N_FFT, dtype=torch.float64)


@cache
def _mel_filters() -> Bank:
    """Slaney's mel filter bank with unit area, as librosa.filters.mel has it: (201 bins, 128 mels)."""
    # Slaney's scale (Auditory Toolbox, 1998): linear below 1 kHz (200/3 Hz a mel), logarithmic above (27 to 6.4 kHz).
    step, bend_hz, log_step = 200 / 3, 1000.0, np.log(6.4) / 27
    bend = bend_hz / step
    top = bend + np.log(RATE_HZ / 2 / bend_hz) / log_step
    mels = np.linspace(0, top, N_MELS + 2)
    edges_hz = np.where(mels < bend, mels * step, bend_hz * np.exp(log_step * (mels - bend)))
    bins_hz = np.linspace(0, RATE_HZ / 2, N_FFT // 2 + 1)
    low, centre, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins_hz[:, None] - low) / (centre - low)
    falling = (high - bins_hz[:, None]) / (high - centre)
    filters = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
    return _grouped(filters.astype(np.float32))


@cache
def _mfcc_matrices() -> tuple[Bank, Tensor]:
    """pyAudioAnalysis' filter bank (200 bins, 40) and the first 13 columns of an orthonormal DCT-II (40, 13)."""
    # 13 filters with linear and 27 with logarithmic spacing, after Slaney's Auditory Toolbox. pyAudioAnalysis labels
    # the 200 bins 0 to 8 kHz although they reach 4 kHz only; features that match its own have to do so as well.
    half = N_FFT // 2
    linear = 133.33 + 200 / 3 * np.arange(13)
    edges_hz = np.concatenate([linear, linear[-1] * 1.0711703 ** np.arange(1, 30)])
    bin_of_edge = np.floor(edges_hz * half / RATE_HZ).astype(int)
    bins = np.arange(half)[:, None]
    bins_hz = bins * RATE_HZ / half
    low, centre, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    rising = (bins > bin_of_edge[:-2]) & (bins <= bin_of_edge[1:-1])
    falling = (bins > bin_of_edge[1:-1]) & (bins <= bin_of_edge[2:])
    slopes = rising * (bins_hz - low) / (centre - low) + falling * (high - bins_hz) / (high - centre)
    filters = slopes * 2 / (high - low)
    n = filters.shape[1]
    cosines = np.sqrt(2 / n) * np.cos(np.pi / n * (np.arange(n)[:, None] + 0.5) * np.arange(N_MFCC))
    cosines[:, 0] /= np.sqrt(2)
    return _grouped(filters), torch.tensor(cosines)
