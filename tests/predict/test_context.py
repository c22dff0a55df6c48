"""Smoothing against the sum over all paths, which a few seconds and classes have few enough of."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genreline.predict.context import Context, fit_context, medleys


def by_hand(probabilities, stay, evidence, until=None):
    """P(label of each second | all seconds, or those up to it), over every path."""
    n, n_classes = probabilities.shape
    change = (1 - stay) / (n_classes - 1)
    result = np.zeros((n, n_classes))
    for i in range(n):
        known = n if until is None else i + 1
        for path in itertools.product(range(n_classes), repeat=known):
            weight = 1.0
            for second, label in enumerate(path):
                weight *= probabilities[second, label] ** evidence
                if second:
                    weight *= stay if label == path[second - 1] else change
            result[i, path[i]] += weight
    return result / result.sum(axis=1, keepdims=True)


@pytest.fixture
def rows():
    weights = np.random.default_rng(0).random((5, 3)) + 0.05
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("stay", "evidence"), [(0.9, 1.0), (0.99, 0.3), (1 / 3, 1.0)])
def test_smoothing_is_the_sum_over_all_paths(rows, stay, evidence):
    context = Context(stay, evidence)
    np.testing.assert_allclose(context.smooth(rows), by_hand(rows, stay, evidence), atol=1e-6)
    follow = context.follower()
    followed = np.concatenate([follow(block) for block in (rows[:2], rows[2:3], rows[3:])])
    np.testing.assert_allclose(followed, by_hand(rows, stay, evidence, until=True), atol=1e-6)


def test_labels_that_change_freely_are_the_seconds_alone(rows):
    np.testing.assert_allclose(Context(1 / 3, 1.0).smooth(rows), rows, atol=1e-6)


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=300))
def test_sure_seconds_are_never_numbers_out_of_bounds(winners):
    rows = np.eye(3, dtype=np.float32)[winners]
    smoothed = Context(0.999, 1.0).smooth(rows)
    assert np.isfinite(smoothed).all()
    np.testing.assert_allclose(smoothed.sum(axis=1), 1, atol=1e-5)
    followed = Context(0.999, 1.0).follower()(rows)
    np.testing.assert_allclose(followed[-1], smoothed[-1], atol=1e-5)


def test_a_second_that_stands_alone_gives_way_to_its_neighbours():
    rows = np.tile(np.array([0.6, 0.4], np.float32), (20, 1))
    rows[10] = 0.3, 0.7
    assert (Context(0.95, 0.5).smooth(rows)[:, 0] > 0.5).all()


@pytest.mark.slow
def test_the_context_that_made_the_songs_is_found():
    """Labels that stay for 20 seconds on average, and evidence that is right as often as it says."""
    chance = np.random.default_rng(0)
    songs = []
    for _ in range(30):
        labels = [int(chance.integers(3))]
        while len(labels) < 60:
            changes = chance.random() < 0.05
            labels.append(int((labels[-1] + chance.integers(1, 3)) % 3) if changes else labels[-1])
        shown = [label if chance.random() < 0.7 else int((label + chance.integers(1, 3)) % 3) for label in labels]
        songs.append((np.where(np.eye(3)[shown] == 1, 0.7, 0.15).astype(np.float32), np.array(labels)))
    found = fit_context(songs)
    assert found.stay == 0.95
    assert found.evidence >= 0.8


def test_medleys_hold_pieces_of_songs():
    rows = [np.full((40, 2), i / 10, np.float32) for i in range(8)]
    made = medleys([(each, np.full(40, i)) for i, each in enumerate(rows)], seed=0)
    assert len(made) == 2
    for probabilities, labels in made:
        assert len(np.unique(labels)) == 4
        assert 32 <= len(labels) <= 120
        np.testing.assert_allclose(probabilities[:, 0], labels / 10, atol=1e-6)


def test_silence_is_no_evidence_and_stays_silence():
    rows = np.array([[0.9, 0.1], [np.nan, np.nan], [0.6, 0.4]], np.float32)
    context = Context(0.9, 1.0)
    smoothed = context.smooth(rows)
    assert np.isnan(smoothed[1]).all()
    # Two steps of the chain at once: the label stays, or changes twice.
    expected = Context(0.9**2 + 0.1**2, 1.0).smooth(rows[[0, 2]])
    np.testing.assert_allclose(smoothed[[0, 2]], expected, atol=1e-6)
    follow = context.follower()
    followed = np.concatenate([follow(rows[:2]), follow(rows[2:]), follow(rows[:0])])
    assert np.isnan(followed[1]).all()
    np.testing.assert_allclose(followed[2], expected[1], atol=1e-6)
