import pytest
import torch

from genreline.train.augment import (
    augment,
    build_augmentation,
    equalise,
    fill_with_noise,
    hide,
    low_pass,
    mix_up,
    roll_time,
    shift_bands,
    transplant_treble,
)
from genreline.train.config import parse_config


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


def melgrams_again(before, after):
    """Whether they are what the features are: the same shape, the loudest point at 0 dB, nothing below -80 dB."""
    return after.shape == before.shape and bool((after.amax(dim=(1, 2)) == 0).all()) and after.min() >= -80


def test_the_equaliser_is_one_smooth_gain_for_all_frames_of_a_segment():
    torch.manual_seed(0)
    flat = torch.full((200, 21, 128), -40.0)
    equalised = equalise(flat, 5.0)
    assert melgrams_again(flat, equalised)
    gain = equalised[:, 0]
    assert torch.equal(equalised, gain[:, None].expand_as(equalised))
    assert gain.diff(n=2, dim=1).abs().gt(1e-3).sum(dim=1).max() <= 14, "linear between seven knots"
    knots = gain[:, [0, 127]] - gain.mean(dim=1, keepdim=True)
    assert 4 < float(knots.std()) < 6.5


def test_the_low_pass_lowers_the_treble_alone():
    torch.manual_seed(0)
    flat = torch.full((400, 21, 128), -10.0)
    filtered = low_pass(flat, 0.5)
    assert melgrams_again(flat, filtered)
    assert torch.equal(filtered[..., :60], torch.zeros(400, 21, 60))
    assert (filtered.diff(dim=2) <= 0).all()
    assert 0.4 < float((filtered[:, 0, -1] < 0).float().mean()) < 0.6


def test_noise_fills_what_is_quiet_and_leaves_what_is_loud():
    torch.manual_seed(0)
    quiet = torch.full((400, 21, 128), -80.0)
    quiet[:, :, 0] = 0.0
    noisy = fill_with_noise(quiet, 0.5)
    assert torch.equal(noisy[:, :, 0], quiet[:, :, 0])
    filled = noisy[:, :, 1:].mean(dim=(1, 2)) > -79.9
    assert 0.4 < float(filled.float().mean()) < 0.6
    assert noisy.max() <= 0


@pytest.mark.parametrize(("dim", "most"), [(1, 6), (2, 24)])
def test_a_mask_hides_one_stretch_of_the_axis(dim, most):
    torch.manual_seed(0)
    masked = hide(torch.zeros(300, 21, 128), most, dim)
    lines = (masked == -40).all(dim=3 - dim)
    assert torch.equal(lines, (masked == -40).any(dim=3 - dim))
    assert lines.sum(dim=1).max() == most
    assert lines.diff(dim=1).sum(dim=1).max() <= 2, "one stretch"


def test_mixup_mixes_inputs_and_targets_alike():
    torch.manual_seed(0)
    inputs = torch.eye(8)[:, None, :].repeat(1, 3, 1)
    mixed, targets = mix_up(inputs, torch.eye(8), 0.3)
    torch.testing.assert_close(mixed[:, 0], targets)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(8))
    assert (targets.diagonal() >= 0.5).all()


def test_a_configuration_says_what_is_done(batch):
    numbers = torch.arange(16) % 3
    inputs, targets = build_augmentation(parse_config({"features": "melgrams"}), 3)(batch, numbers)
    assert inputs is batch
    assert targets is numbers
    everything = {"roll": True, "shift_bands": 2, "equaliser_db": 5, "low_pass": 0.3, "noise": 0.2}
    everything |= {"time_mask": 4, "band_mask": 16, "mixup": 0.3}
    config = parse_config({"features": "melgrams", "augmentation": everything})
    inputs, targets = build_augmentation(config, 3)(batch, numbers)
    assert inputs.shape == batch.shape
    assert inputs.min() >= -80
    assert inputs.max() <= 0
    assert targets.shape == (16, 3)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(16))
