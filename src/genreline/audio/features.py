"""Segments of one second become melgrams and MFCC vectors: the two representations of the assignment.

This is the only implementation in the project: datasets, training and timelines all see the same numbers. Every
function takes a batch and runs on the device of its input.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from torch import Tensor

from genreline.audio.seconds import RATE_HZ

N_FFT = 400
"""Samples in a frame (50 ms) and between frames: they do not overlap."""
N_MELS = 128
N_MFCC = 13
Bank = list[tuple[slice, Tensor]]
"""Groups of filters: the bins that they need, and their weights (bins, filters)."""
RealFft = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(..., N_FFT) -> real and imaginary parts of the spectrum, (..., N_FFT / 2 + 1) each."""

AMIN, TOP_DB = 1e-10, 80.0  # librosa.power_to_db's own defaults

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


def traceable_features(segments: Tensor, kind: str) -> Tensor:
    """`features(segments, kind)` by operations that an ONNX graph may hold: the Fourier transform is matrix products.

    Shape:
        segments: (N, 8000), float -> (N, *FEATURE_SHAPES[kind]) float32.
    """
    functions = {"mfccs": _mfccs_of_block, "melgrams": _melgrams_of_block}
    return functions[kind](segments.double(), _rfft_by_products).float()


def _by_blocks(function: Callable[[Tensor], Tensor], segments: Tensor | np.ndarray) -> Tensor:
    """Apply `function` to blocks of 32 segments, which fit a processor's cache: twice as fast as all at once."""
    segments = torch.as_tensor(segments).detach()
    if segments.ndim != 2 or segments.shape[1] != RATE_HZ:
        raise ValueError(f"segments have the shape (N, {RATE_HZ}); these have {tuple(segments.shape)}")
    # MFCCs of silence hinge on float64's epsilon, and 80 dB below a peak float32 is 2e-3 dB off.
    dtype = torch.float32 if segments.device.type == "mps" else torch.float64
    size = 32 if segments.device.type == "cpu" else 4096
    return torch.cat([function(block.to(dtype)) for block in torch.split(segments, size)])


def _melgrams_of_block(segments: Tensor, rfft: RealFft | None = None) -> Tensor:
    frames = torch.nn.functional.pad(segments, (N_FFT // 2, N_FFT // 2)).reshape(
        segments.shape[0], RATE_HZ // N_FFT + 1, N_FFT
    )
    real, imaginary = (rfft or _rfft)(frames * _hann().to(segments))
    power = real.float().square_().add_(imaginary.float().square_())
    db = _filtered(power, _mel_filters()).clamp_(min=AMIN).log10_().mul_(10)
    return db.sub_(db.amax(dim=(1, 2), keepdim=True)).clamp_(min=-TOP_DB)


def _mfccs_of_block(segments: Tensor, rfft: RealFft | None = None) -> Tensor:
    centred = segments - segments.mean(dim=1, keepdim=True)
    scaled = centred / (centred.abs().amax(dim=1, keepdim=True) + 1e-10)
    half = N_FFT // 2
    real, imaginary = (
        part[..., :half] for part in (rfft or _rfft)(scaled.reshape(segments.shape[0], RATE_HZ // N_FFT, N_FFT))
    )
    # Not abs(), which guards complex numbers against overflow and takes five times as long.
    magnitude = real.square().add_(imaginary.square()).sqrt_().div_(half)
    filters, cosines = _mfcc_matrices()
    coefficients = _filtered(magnitude, filters).add_(np.finfo(np.float64).eps).log10_() @ cosines.to(segments)
    mean = coefficients.mean(dim=1)
    deviation = (coefficients - mean[:, None]).square().mean(dim=1).sqrt()
    return torch.cat([mean, deviation], dim=1)


def _rfft(frames: Tensor) -> tuple[Tensor, Tensor]:
    """torch.fft.rfft; on the CPU by pocketfft, with which librosa and pyAudioAnalysis were measured.

    In the empty bands of a pure tone nothing is left but the rounding noise of the FFT, and the logarithm shows it:
    MKL's FFT, which torch uses, gives MFCCs that are 1e-3 off there; pocketfft's are 1e-13 off.
    """
    on_cpu = frames.device.type == "cpu"
    spectrum: Tensor = torch.as_tensor(scipy.fft.rfft(frames.numpy())) if on_cpu else torch.fft.rfft(frames)
    return spectrum.real, spectrum.imag


def _rfft_by_products(frames: Tensor) -> tuple[Tensor, Tensor]:
    """torch.fft.rfft as products with 20 x 20 matrices, since 400 = 20 * 20 (Cooley and Tukey 1965).

    Sample n = 20 a + b contributes to bin k = c + 20 d by the angle kn / 400 = ac / 20 + bc / 400 + bd / 20 of a turn.
    """
    cos, sin, cos_between, sin_between = (each.to(frames) for each in _fourier_matrices())
    root = len(cos)
    columns = frames.reshape(*frames.shape[:-1], root, root).transpose(-1, -2)  # (..., b, a)
    # Real and imaginary parts of exp(-2 pi i ac / 20), summed over a, and turned by bc / 400.
    real, imaginary = columns @ cos, -(columns @ sin)  # (..., b, c)
    turned_real = real * cos_between + imaginary * sin_between
    turned_imaginary = imaginary * cos_between - real * sin_between
    rows_real, rows_imaginary = turned_real.transpose(-1, -2), turned_imaginary.transpose(-1, -2)  # (..., c, b)
    parts = rows_real @ cos + rows_imaginary @ sin, rows_imaginary @ cos - rows_real @ sin  # (..., c, d)
    real, imaginary = (part.transpose(-1, -2).flatten(-2)[..., : N_FFT // 2 + 1] for part in parts)
    return real, imaginary


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
def _fourier_matrices() -> tuple[Tensor, ...]:
    """Cosine and sine of ac / 20 of a turn, and of bc / 400: four matrices of 20 x 20."""
    root = math.isqrt(N_FFT)
    numbers = np.arange(root)
    products = np.outer(numbers, numbers)
    angles = [2 * np.pi * (products % n) / n for n in (root, N_FFT)]  # small angles are more precise
    return tuple(torch.tensor(function(each)) for each in angles for function in (np.cos, np.sin))


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
