import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import classification_report, log_loss

from genreline.train.metrics import compute_scores, per_class, score_by_track

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@given(pairs)
def test_figures_follow_from_the_confusion_matrix(pairs):
    truth, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    scores = compute_scores(truth, predicted, 4)
    matrix = np.zeros((4, 4), int)
    for t, p in pairs:
        matrix[t, p] += 1
    assert np.array_equal(scores.confusion_matrix, matrix)
    assert np.isclose(scores.accuracy, np.trace(matrix) / matrix.sum())
    occurring = (matrix.sum(axis=0) + matrix.sum(axis=1)) > 0
    f1 = 2 * np.diag(matrix)[occurring] / (matrix.sum(axis=0) + matrix.sum(axis=1))[occurring]
    assert np.isclose(scores.f1_macro, f1.mean())


@settings(max_examples=15)
@given(pairs)
def test_per_class_figures_are_scikit_learns(pairs):
    truth, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    ours = per_class(compute_scores(truth, predicted, 4).confusion_matrix, "abcd")
    theirs = classification_report(
        truth, predicted, labels=range(4), target_names=list("abcd"), output_dict=True, zero_division=0
    )
    for name in "abcd":
        for key, other in (
            ("precision", "precision"),
            ("recall", "recall"),
            ("f1", "f1-score"),
            ("support", "support"),
        ):
            assert np.isclose(ours[name][key], theirs[name][other])


def test_an_untrained_network_scores_as_the_spec_says():
    # published figures: all one class of the course's test set scores 0.235 / 0.095 where that class has 324.
    truth = np.repeat([0, 1, 2, 3], [324, 297, 356, 399])
    scores = compute_scores(truth, np.zeros(1376, int), 4)
    assert round(scores.accuracy, 3) == 0.235
    assert round(scores.f1_macro, 3) == 0.095


def test_a_track_is_its_mean_probability():
    # Two of three seconds of track b say class 0, but the third is surer.
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.55, 0.45], [0.55, 0.45], [0.1, 0.9]], np.float32)
    tracks = np.array(["a", "c", "b", "b", "b"])
    truth = np.array([0, 0, 1, 1, 1])
    scores = score_by_track(truth, probabilities, tracks)
    assert scores.confusion_matrix.tolist() == [[1, 1], [0, 1]]
    means = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    assert np.isclose(scores.loss, log_loss([0, 1, 0], means))
