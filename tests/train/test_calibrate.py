import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve

from genreline.train.calibrate import calibration_error, fit_temperature, fit_unsure_margin, reliability


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_spoiled_the_logits_is_found(temperature):
    torch.manual_seed(0)
    logits = 2 * torch.randn(20_000, 4)
    targets = torch.multinomial(logits.softmax(dim=1), 1).flatten()
    assert fit_temperature(logits * temperature, targets) == pytest.approx(temperature, rel=0.05)


def test_the_calibration_error_by_hand():
    probabilities = np.array([[0.9, 0.1]] * 10 + [[0.4, 0.6]] * 10)
    targets = np.array([0] * 7 + [1] * 3 + [1] * 9 + [0])
    assert calibration_error(probabilities, targets) == pytest.approx(0.5 * 0.2 + 0.5 * 0.3)


def test_reliability_is_scikit_learns():
    chance = np.random.default_rng(0)
    confidence = chance.random(500)
    is_right = chance.random(500) < confidence**2
    shares, means = calibration_curve(is_right, confidence, n_bins=10)
    bins = reliability(confidence, is_right)
    assert [each.accuracy for each in bins] == pytest.approx(list(shares))
    assert [each.confidence for each in bins] == pytest.approx(list(means))
    assert sum(each.n for each in bins) == 500
    assert [each.n for each in reliability(np.array([0.0, 1.0]), np.array([True, True]), n_bins=5)] == [1, 1]


def test_calibrated_probabilities_have_no_error():
    chance = np.random.default_rng(0)
    probabilities = chance.dirichlet([1, 1, 1], 50_000)
    targets = np.array([chance.choice(3, p=row) for row in probabilities[:20_000]])
    assert calibration_error(probabilities[:20_000], targets) < 0.015


def test_songs_at_the_margin_are_wrong_as_often_as_right():
    chance = np.random.default_rng(0)
    margins = chance.uniform(0, 1, 4000)
    is_right = chance.random(4000) < 1 / (1 + np.exp(-8 * (margins - 0.25)))
    songs = [np.array([0.5 + margin / 2, 0.5 - margin / 2]) for margin in margins]
    assert fit_unsure_margin(songs, [0 if right else 1 for right in is_right]) == pytest.approx(0.25, abs=0.03)
    assert fit_unsure_margin(songs, [0] * 4000) == 0
    assert fit_unsure_margin(songs, [1] * 4000) == 1
