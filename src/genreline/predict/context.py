"""Seconds in the context of their neighbours: a song's genre seldom changes from one second to the next.

A hidden Markov model: with some probability the label stays, and it changes to every other label equally often. The
network's probabilities are the evidence for each second, weakened by an exponent, because neighbouring seconds share
their errors. Both numbers are
fitted on whole songs of the validation set (scripts/ship_models.py) and kept with the model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]

_STAYS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998)
_EVIDENCES = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Context:
    """How a second's label depends on the neighbouring seconds.

    Attributes:
        stay: the probability that the next second has the same label, between 1 / n_classes and 1.
        evidence: the exponent of the network's probabilities, from 0 (they are ignored) to 1.
    """

    stay: float
    evidence: float

    def smooth(self, probabilities: Rows) -> Rows:
        """Each second's probabilities given all of the song, by the forward-backward algorithm (Rabiner 1989).

        Shape:
            (N, n_classes) float32 -> the same; rows sum to 1. Rows of NaN, seconds without sound, stay NaN.
        """
        evidence = self._evidence(probabilities)
        # Forwards and backwards at once: a change is as likely in either direction.
        both = np.array(list(self._filtered(np.stack([evidence, evidence[::-1]], axis=1))))
        before, after = both[:, 0], both[::-1, 1]
        later = np.ones_like(after)
        later[:-1] = self._moved(after[1:])
        return _normalised(before * later, probabilities)

    def follower(self) -> "Follower":
        """For a song that has not ended: each second's probabilities given those up to it (filtering)."""
        return Follower(self)

    def follow(self, probabilities: Rows, before: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Each second's probabilities given it and all before it; `before` are those of the second before the first."""
        return np.array(list(self._filtered(self._evidence(probabilities), before)))

    def _filtered(
        self, evidence: NDArray[np.float64], before: NDArray[np.float64] | None = None
    ) -> Iterator[NDArray[np.float64]]:
        """`follow` for the evidence of one song, (N, n_classes), or of several side by side, (N, songs, n_classes)."""
        now = np.ones(evidence.shape[1:]) if before is None else self._moved(before)
        for row in evidence:
            now = now * row
            now /= now.sum(axis=-1, keepdims=True)
            yield now
            now = self._moved(now)

    def _evidence(self, probabilities: Rows) -> NDArray[np.float64]:
        # Never quite 0, or one confident second would rule a label out for the whole song.
        evidence: NDArray[np.float64] = np.maximum(probabilities.astype(np.float64), 1e-6) ** self.evidence
        return np.where(np.isnan(evidence), 1.0, evidence)

    def _moved(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """The next second's probabilities, before its evidence is known."""
        change = (1 - self.stay) / max(1, probabilities.shape[-1] - 1)
        total = probabilities.sum(axis=-1, keepdims=True)
        moved: NDArray[np.float64] = change * total + (self.stay - change) * probabilities
        return moved


class Follower:
    """Takes a song's blocks of consecutive seconds in order, and keeps the state between them.

    Shape:
        (n, n_classes) float32 -> the same; rows sum to 1. Rows of NaN, seconds without sound, stay NaN.
    """

    def __init__(self, context: Context, before: NDArray[np.float64] | None = None) -> None:
        self._context = context
        self.before = before

    def __call__(self, probabilities: Rows) -> Rows:
        if not len(probabilities):
            return probabilities
        rows = self._context.follow(probabilities, self.before)
        self.before = rows[-1]
        return _normalised(rows, probabilities)


def fit_context(songs: Sequence[tuple[Rows, NDArray[np.int64]]]) -> Context:
    """The context under which songs' true labels are most probable, of a grid of both numbers.

    Args:
        songs: each song's probabilities, (N, n_classes), and its seconds' class numbers, (N,). From songs of
            one genre alone it would learn that labels never change: include medleys (`medleys`).
    """

    def loss(context: Context) -> float:
        likelihoods = [context.smooth(rows)[np.arange(len(rows)), labels] for rows, labels in songs]
        return -float(np.log(np.maximum(np.concatenate(likelihoods), 1e-9)).mean())

    return min((Context(stay, evidence) for stay in _STAYS for evidence in _EVIDENCES), key=loss)


def medleys(
    songs: Sequence[tuple[Rows, NDArray[np.int64]]], seed: int, shortest_s: int = 8, longest_s: int = 30
) -> list[tuple[Rows, NDArray[np.int64]]]:
    """Excerpts of songs of random lengths, joined in groups of four, so that genres change within each medley."""
    chance = np.random.default_rng(seed)
    pieces = []
    for i in chance.permutation(len(songs)):
        rows, labels = songs[i]
        length = min(len(rows), int(chance.integers(shortest_s, longest_s + 1)))
        start = int(chance.integers(0, len(rows) - length + 1))
        pieces.append((rows[start : start + length], labels[start : start + length]))
    fours = [pieces[i : i + 4] for i in range(0, len(pieces), 4)]
    return [(np.concatenate([r for r, _ in four]), np.concatenate([n for _, n in four])) for four in fours]


def _normalised(rows: NDArray[np.float64], alone: Rows) -> Rows:
    """Rows that sum to 1, and NaN where those of the seconds alone are."""
    normalised: Rows = (rows / rows.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.where(np.isnan(alone), np.float32(np.nan), normalised)
