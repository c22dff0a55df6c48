"""What training does to melgrams so that a network hears the music and not the recording.

In public collections a genre often comes from one source, and a source has a sound of its own: one of genres7's is
dull, with next to nothing in the highest mel bands, and it brings all of the blues and most of the jazz. A network
that is given the melgrams as they are learns "dull is blues or jazz, bright is neither", and gets the blues of any
other record wrong. Here dull segments are given the treble of bright ones, and bright ones each other's, so that in
training every genre comes with both sounds.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from genreline.audio.features import TOP_DB
from genreline.train.config import Config

_TREBLE, _MIDDLE = slice(112, 124), slice(88, 104)  # mel bands, of 128
_DULL_DB, _BRIGHT_DB = -7.0, -6.0  # treble relative to middle: dull below, bright above
_SHARE_DULL, _SHARE_OTHERS = 0.9, 0.3  # how many segments get another's treble
_FIRST_EDGE, _LAST_EDGE = 100, 108  # the band from which on
_MATCHED = 8  # the bands below the edge in which the levels of the two are made equal

_KNOTS = 7  # of the equaliser's curve, evenly spaced over the mel bands
_LOWEST_CUTOFF = 60  # mel band, of 128: about 1.1 kHz
_SLOPES_DB = (0.5, 4.5)  # a band, beyond the cutoff
_NOISE_DB = (-TOP_DB, -40.0)  # below the segment's loudest point
_NOISE_DEVIATION_DB = 3.0
_HIDDEN_DB = -TOP_DB / 2  # near the mean of melgrams, so that a hidden part says nothing


def build_augmentation(config: Config, n_classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """What training does to a batch and its targets, as a configuration asks: (inputs, targets) -> the same.

    The targets are class numbers (N,), or probabilities (N, n_classes); with mixup they come out as probabilities.
    """
    chosen = config.augmentation

    def transform(inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if config.augment:
            inputs = augment(inputs)
        if chosen.roll:
            inputs = roll_time(inputs)
        if chosen.shift_bands:
            inputs = shift_bands(inputs, chosen.shift_bands)
        if chosen.equaliser_db:
            inputs = equalise(inputs, chosen.equaliser_db)
        if chosen.low_pass:
            inputs = low_pass(inputs, chosen.low_pass)
        if chosen.noise:
            inputs = fill_with_noise(inputs, chosen.noise)
        if chosen.time_mask:
            inputs = hide(inputs, chosen.time_mask, dim=1)
        if chosen.band_mask:
            inputs = hide(inputs, chosen.band_mask, dim=2)
        if chosen.mixup:
            if targets.ndim == 1:
                targets = functional.one_hot(targets, n_classes).to(inputs)
            inputs, targets = mix_up(inputs, targets, chosen.mixup)
        return inputs, targets

    return transform


def augment(melgrams: Tensor) -> Tensor:
    """A batch of melgrams as it might have sounded: rolled in time, shifted by a band, with another's treble.

    Randomness is torch's global generator.

    Shape:
        (N, 21, 128) dB from -80 to 0 -> the same.
    """
    return transplant_treble(shift_bands(roll_time(melgrams)))


def roll_time(melgrams: Tensor) -> Tensor:
    """Each segment rolled in time, by any number of frames: the second begins elsewhere in the bar."""
    n, frames, _ = melgrams.shape
    start = torch.randint(frames, (n, 1), device=melgrams.device)
    order = (torch.arange(frames, device=melgrams.device) + start) % frames
    return melgrams[torch.arange(n, device=melgrams.device)[:, None], order]


def shift_bands(melgrams: Tensor, most: int = 1) -> Tensor:
    """Each segment up to `most` mel bands lower or higher: another tuning, or key. The edge band is repeated."""
    n, _, bands = melgrams.shape
    step = torch.randint(-most, most + 1, (n, 1), device=melgrams.device)
    order = (torch.arange(bands, device=melgrams.device) + step).clamp(0, bands - 1)
    return melgrams.gather(2, order[:, None, :].expand_as(melgrams))


def transplant_treble(melgrams: Tensor) -> Tensor:
    """Most dull segments, and a few others, with the highest bands of a bright segment of the batch.

    The donor's treble is moved in level, so that the two agree in the eight bands below the edge.
    """
    n, _, bands = melgrams.shape
    device = melgrams.device
    brightness = melgrams[..., _TREBLE].mean(dim=(1, 2)) - melgrams[..., _MIDDLE].mean(dim=(1, 2))
    bright = torch.nonzero(brightness > _BRIGHT_DB).flatten()
    if len(bright) == 0:
        return melgrams
    donors = melgrams[bright[torch.randint(len(bright), (n,), device=device)]]
    share = torch.where(brightness < _DULL_DB, _SHARE_DULL, _SHARE_OTHERS)
    chosen = torch.rand(n, device=device) < share
    edge = torch.randint(_FIRST_EDGE, _LAST_EDGE + 1, (n, 1), device=device)
    band = torch.arange(bands, device=device)
    matched = ((band >= edge - _MATCHED) & (band < edge))[:, None, :]
    level = ((melgrams - donors) * matched).sum(dim=(1, 2), keepdim=True) / (_MATCHED * melgrams.shape[1])
    replaced = (chosen[:, None] & (band >= edge))[:, None, :]
    return torch.where(replaced, donors + level, melgrams).clamp(-TOP_DB, 0)


def equalise(melgrams: Tensor, deviation_db: float) -> Tensor:
    """Each segment with a gain of its own for each band, smooth over the bands: another microphone, room or master.

    The gain is drawn at seven knots from a normal distribution and is linear between them.
    """
    n, _, bands = melgrams.shape
    knots = deviation_db * torch.randn(n, 1, _KNOTS, device=melgrams.device)
    gain = functional.interpolate(knots, size=bands, mode="linear", align_corners=True)
    return _loudest_at_zero(melgrams + gain)


def low_pass(melgrams: Tensor, share: float) -> Tensor:
    """A share of the segments with less and less treble from a random band on: another codec, or an old record."""
    n, _, bands = melgrams.shape
    device = melgrams.device
    cutoff = _LOWEST_CUTOFF + torch.rand(n, 1, device=device) * (bands - _LOWEST_CUTOFF)
    slope_db = _between(_SLOPES_DB, (n, 1), melgrams)
    loss_db = (torch.arange(bands, device=device) - cutoff).clamp(min=0) * slope_db
    chosen = torch.rand(n, 1, device=device) < share
    return _loudest_at_zero(melgrams - (loss_db * chosen)[:, None])


def fill_with_noise(melgrams: Tensor, share: float) -> Tensor:
    """A share of the segments on a floor of noise, which hides what is quieter: tape, vinyl, a crowd."""
    n = len(melgrams)
    floor = _between(_NOISE_DB, (n, 1, 1), melgrams) + _NOISE_DEVIATION_DB * torch.randn_like(melgrams)
    chosen = torch.rand(n, 1, 1, device=melgrams.device) < share
    return torch.where(chosen, torch.maximum(melgrams, floor), melgrams).clamp(-TOP_DB, 0)


def hide(melgrams: Tensor, most: int, dim: int) -> Tensor:
    """Up to `most` rows in a row of each segment set to one value: frames (dim 1) or bands (dim 2). SpecAugment's
    masks (Park et al. 2019)."""
    n, size = len(melgrams), melgrams.shape[dim]
    device = melgrams.device
    first = torch.randint(size, (n, 1), device=device)
    end = first + torch.randint(most + 1, (n, 1), device=device)
    place = torch.arange(size, device=device)
    hidden = (place >= first) & (place < end)
    return melgrams.masked_fill(hidden.unsqueeze(2 if dim == 1 else 1), _HIDDEN_DB)


def mix_up(inputs: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Each sample mixed with another of the batch, and their targets with them (Zhang et al. 2018).

    Shape:
        inputs (N, *shape), targets (N, n_classes) probabilities -> the same. The larger share, from
        Beta(alpha, alpha), is the sample's own.
    """
    n = len(inputs)
    share = torch.distributions.Beta(alpha, alpha).sample((n,)).to(inputs)
    share = torch.maximum(share, 1 - share)
    other = torch.randperm(n, device=inputs.device)

    def mixed(values: Tensor) -> Tensor:
        own = share.reshape(n, *[1] * (values.ndim - 1))
        return own * values + (1 - own) * values[other]

    return mixed(inputs), mixed(targets)


def _between(bounds: tuple[float, float], shape: tuple[int, ...], like: Tensor) -> Tensor:
    low, high = bounds
    return low + (high - low) * torch.rand(shape, device=like.device)


def _loudest_at_zero(melgrams: Tensor) -> Tensor:
    """As features are made: each segment's loudest point at 0 dB, and nothing below -80 dB."""
    return (melgrams - melgrams.amax(dim=(1, 2), keepdim=True)).clamp(-TOP_DB, 0)
