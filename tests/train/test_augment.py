import pytest
import torch

from genreline.train.augment import augment, roll_time, shift_bands, transplant_treble


@pytest.fixture
def batch():
    """Sixteen segments, the first half of them dull: 30 dB down from band 108 on."""
    torch.manual_seed(0)
    melgrams = -40 + 8 * torch.randn(16, 21, 128)
    melgrams[:8, :, 108:] -= 30
    return melgrams.clamp(-80, 0)


def test_rolling_keeps_every_frame(batch):
    rolled = roll_time(batch)
    starts = []
    for before, after in zip(batch, rolled, strict=True):
        start = next(s for s in range(21) if torch.equal(after, before.roll(-s, dims=0)))
        starts.append(start)
    assert len(set(starts)) > 5


def test_shifting_moves_bands_by_one_at_most(batch):
    steps = []
    for before, after in zip(batch, shift_bands(batch), strict=True):
        inner = slice(1, 127)
        step = next(s for s in (-1, 0, 1) if torch.equal(after[:, inner], before[:, 1 + s : 127 + s]))
        steps.append(step)
    assert set(steps) == {-1, 0, 1}


def test_the_dull_get_the_treble_of_the_bright(batch):
    changed = transplant_treble(batch)
    assert torch.equal(changed[:, :, :100], batch[:, :, :100])
    brightness = changed[..., 112:124].mean(dim=(1, 2)) - changed[..., 88:100].mean(dim=(1, 2))
    assert (brightness[:8] > -10).sum() >= 4, "about 0.9 of eight"
    for i in range(8):  # what a dull segment got is a bright one's, moved in level
        if brightness[i] > -10:
            got = changed[i, :, 108:]
            offsets = [got - donor[:, 108:] for donor in batch[8:]]
            assert min(float(each.std()) for each in offsets) < 1e-3


def test_without_a_bright_segment_nothing_changes(batch):
    assert torch.equal(transplant_treble(batch[:8]), batch[:8])


def test_melgrams_stay_melgrams(batch):
    changed = augment(batch)
    assert changed.shape == batch.shape
    assert changed.dtype == batch.dtype
    assert changed.min() >= -80
    assert changed.max() <= 0
    assert augment(batch[:1]).shape == (1, 21, 128)


def test_the_seed_decides(batch):
    torch.manual_seed(3)
    first = augment(batch)
    torch.manual_seed(3)
    assert torch.equal(augment(batch), first)
    assert not torch.equal(augment(batch), first)
