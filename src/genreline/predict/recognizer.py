"""A model and a sound become a timeline. Read this first to follow a song through genreline.

Three rungs, each usable alone: `features()` of a waveform's segments (audio/features.py), `infer` from features to
predictions, and the Recognizer from any sound to a Timeline.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genreline.audio.decode import RATE_HZ, Source, Waveform, blocks, source_name
from genreline.audio.features import features, segments
from genreline.data.loaders import Loader, make_loader
from genreline.predict.timeline import Timeline
from genreline.train.checkpoint import Model, load_model
from genreline.train.loop import evaluating

DEFAULT_MODEL = "genres7-cnn"


@torch.no_grad()
def infer(loader: Iterable[tuple[Tensor, ...]] | Loader, model: nn.Module) -> list[int]:
    """The model's predictions, as class numbers in the loader's order (spec 4.1; its loader has shuffle=False).

    Batches are (inputs,) or (inputs, anything else), on the model's device.
    """
    return [number for batch in loader for number in _probabilities(model, batch[0]).argmax(dim=1).tolist()]


class Recognizer:
    """Tells the genre of every second of a sound.

    >>> recognizer = Recognizer.load("genres7-cnn")
    >>> timeline = recognizer("song.mp3")
    >>> timeline.dominant
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    @classmethod
    def load(cls, model: str | Path = DEFAULT_MODEL) -> "Recognizer":
        """The recognizer of a model folder, or of a model that ships, by name. Raises CheckpointError."""
        return cls(load_model(model))

    def __call__(self, source: Source) -> Timeline:
        """The timeline of a file, bytes or a binary stream, a row a second.

        A block of a minute is decoded, featured and predicted at a time: memory does not grow with the duration.

        Raises:
            AudioError: see `genreline.audio.decode.decode`.
        """
        rows: list[NDArray[np.float32]] = []
        samples = 0
        for waveform, probabilities in self.predict_blocks(blocks(source)):
            samples += len(waveform)
            rows.append(probabilities)
        return Timeline(
            classes=self.model.classes,
            probabilities=np.concatenate(rows),
            duration_s=samples / RATE_HZ,
            title=Path(source_name(source)).stem,
            model=self.model.name,
        )

    def predict_blocks(self, waveforms: Iterable[Waveform]) -> Iterator[tuple[Waveform, NDArray[np.float32]]]:
        """Each block of a sound (whole seconds; the last may be shorter) with its probabilities, as soon as it comes.

        Shape:
            (samples,) float32 at 8 kHz each -> (seconds, n_classes) float32 each
        """
        for waveform in waveforms:
            inputs = features(segments(waveform), self.model.config.features).float()
            rows = [_probabilities(self.model.network, batch) for (batch,) in make_loader(inputs, batch_size=64)]
            yield waveform, torch.cat(rows).numpy().astype(np.float32)


@torch.no_grad()
def _probabilities(model: nn.Module, inputs: Tensor) -> Tensor:
    """(N, *shape) -> (N, n_classes) that sum to 1, the model in evaluation mode meanwhile."""
    with evaluating(model):
        return torch.softmax(model(inputs), dim=1)
