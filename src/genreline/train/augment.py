"""What training does to melgrams so that a network hears the music and not the recording.

In public collections a genre often comes from one source, and a source has a sound of its own: one of genres7's is
dull, with next to nothing in the highest mel bands, and it brings all of the blues and most of the jazz. A network
that is given the melgrams as they are learns "dull is blues or jazz, bright is neither", and gets the blues of any
other record wrong. Here dull segments are given the treble of bright ones, and bright ones each other's, so that in
training every genre comes with both sounds.
"""

import torch
from torch import Tensor

from genreline.audio.features import TOP_DB

_TREBLE, _MIDDLE = slice(112, 124), slice(88, 104)  # mel bands, of 128
_DULL_DB, _BRIGHT_DB = -7.0, -6.0  # treble beside middle: below it is dull, above it is bright
_SHARE_DULL, _SHARE_OTHERS = 0.9, 0.3  # how many segments get another's treble
_FIRST_EDGE, _LAST_EDGE = 100, 108  # the band from which on
_MATCHED = 8  # the bands below the edge in which the levels of the two are made equal


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


def shift_bands(melgrams: Tensor) -> Tensor:
    """Each segment a mel band lower, higher or as it is: another tuning, or key. The edge band is repeated."""
    n, _, bands = melgrams.shape
    step = torch.randint(-1, 2, (n, 1), device=melgrams.device)
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
