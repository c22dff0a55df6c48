"""A model and a sound become a timeline. Read this first to follow a song through genreline.

An engine (engines.py) turns a sound's seconds into probabilities, and the Recognizer any sound into a Timeline. By
hand, an engine's work is two steps: `features()` of a waveform's segments (audio/features.py), and `infer` (infer.py).
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray

from genreline.audio.decode import AudioSource, blocks, bounded, resampled_blocks, source_name
from genreline.audio.names import title_of
from genreline.audio.seconds import RATE_HZ, SHORTEST_S, Waveform, are_silent, cut_seconds
from genreline.errors import AudioError, ConfigError, GenrelineError, TruncatedError
from genreline.predict.ahead import ahead
from genreline.predict.context import Context
from genreline.predict.engines import Engine, load_engine
from genreline.predict.timeline import Timeline

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import TypeIs

DEFAULT_MODEL = "genres8-resnet"

Array = Union[NDArray[Any], "Tensor"]
"""Samples that come from no file: one channel, (samples,) floats."""


class Recognizer:
    """Recognizes the genre of every second of a sound.

    >>> recognizer = Recognizer.load("genres8-resnet")
    >>> timeline = recognizer("song.mp3")
    >>> timeline.dominant

    Args:
        model: a `Model`, or what `load` loads, also by name; its calibration says whether a second's label depends on
            its neighbours (`context`).
        raw: predict each second alone, as `infer` does, whatever the model says.
    """

    def __init__(self, model: Engine | str | Path = DEFAULT_MODEL, raw: bool = False) -> None:
        self.model = load_engine(model) if isinstance(model, str | Path) else model
        calibration = self.model.calibration
        self.context = None
        self.thresholds = tuple(calibration.thresholds[name] for name in self.model.classes if calibration.thresholds)
        if calibration.stay is not None and not raw and not self.thresholds:
            self.context = Context(calibration.stay, calibration.evidence)

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_MODEL,
        raw: bool = False,
        engine: str | None = None,
        n_threads: int | None = None,
    ) -> "Recognizer":
        """The recognizer of a model folder, of a model that ships, by name, or of `hf://owner/name@revision`.

        Args:
            engine: what predicts, `onnx`, which needs no PyTorch, or `torch` (default: `onnx` if there is a graph).
            n_threads: that predicting may use (`load_engine`).

        Raises:
            CheckpointError: there is no such model, or it is damaged.
            GenrelineError: there is no such engine, or it is not installed; see also `genreline.fetch.hub.fetch_model`.
        """
        return cls(load_engine(model, engine, n_threads), raw)

    def __call__(
        self, source: AudioSource | Array, rate_hz: int | None = None, max_duration_s: float | None = None
    ) -> Timeline:
        """The timeline of a sound, with a row for each second.

        It decodes a block of a minute at a time, computes its features and predicts, so memory use does not grow with
        the duration.

        Args:
            source: a path, the bytes of a file, a binary stream of one, or an array: mono samples (samples,), floats
                in [-1, 1].
            rate_hz: the samples a second of an array, which is resampled to 8 kHz. Default: 8000. A file states its
                own rate.
            max_duration_s: of the sound; for untrusted files, which may last for days (default: no bound).

        Raises:
            TruncatedError: the sound ends early; its `timeline` is that of what could be read.
            AudioError: the sound cannot be decoded (see `genreline.audio.decode.decode`) or lasts longer than it may,
                or the array is not one channel of floats.
            ConfigError: `rate_hz` is given for a file.
        """
        waveforms, title = _decoded(source, rate_hz, max_duration_s)
        rows: list[NDArray[np.float32]] = []
        n_samples = 0
        try:
            with closing(ahead(waveforms)) as blocks:
                for waveform, probabilities in self.predict_blocks(blocks):
                    n_samples += len(waveform)
                    rows.append(probabilities)
        except TruncatedError as error:
            if rows:
                error.timeline = self.timeline(np.concatenate(rows), n_samples / RATE_HZ, title)
            raise
        return self.timeline(np.concatenate(rows), n_samples / RATE_HZ, title)

    def embed(
        self, source: AudioSource | Array, rate_hz: int | None = None, max_duration_s: float | None = None
    ) -> NDArray[np.float32]:
        """What the network makes of each second before it decides between classes: similar sounds are near each other.

        It takes what `__call__` takes, and raises what it raises; a sound that ends early has no embeddings.

        Returns:
            (seconds, d) float32; `genres8-resnet` has 896 numbers a second. NaN for a second without sound.
        """
        from genreline.predict.embeddings import EmbeddingEngine

        waveforms, _ = _decoded(source, rate_hz, max_duration_s)
        engine = Recognizer(EmbeddingEngine(self.model), raw=True)
        return np.concatenate([rows for _, rows in engine.predict_blocks(waveforms)])

    def many(
        self,
        paths: Iterable[str | Path],
        jobs: int = 1,
        on_error: Callable[[Path, GenrelineError], object] | None = None,
        progress: bool = True,
    ) -> Iterator[tuple[Path, Timeline]]:
        """The timelines of many files, each with its path, as they are done: `dict(recognizer.many(paths))` has all.

        Args:
            jobs: processes side by side; each takes seconds to start. A script that asks for several keeps what it
                runs below `if __name__ == "__main__":`, because each process imports it.
            on_error: gets the path and the error of a file that fails, and the others go on. Default: raise it.
            progress: show how far it is, on standard error.

        Raises:
            AudioError: as `__call__` does, for the first file that fails, without `on_error`.
        """
        from genreline.predict.many import recognize_many  # which sends recognizers to processes

        return recognize_many(self, map(Path, paths), jobs, on_error, progress)

    def follower(self) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
        """A function for one song's blocks in order: each second given those up to it (`Context.follower`)."""
        return self.context.follower() if self.context else lambda probabilities: probabilities

    def timeline(self, probabilities: NDArray[np.float32], duration_s: float, title: str = "") -> Timeline:
        """The timeline of a song from all its seconds' probabilities, (N, n_classes) float32 (`predict_blocks`)."""
        model = self.model
        timeline = Timeline(
            model.classes,
            probabilities,
            duration_s,
            title,
            model.name,
            is_silent=np.isnan(probabilities[:, 0]),
            thresholds=self.thresholds,
        )
        if self.context:
            timeline = timeline.smoothed(self.context.smooth(probabilities))
        margin = 0.0 if timeline.is_multi_label else model.calibration.margin_of(timeline.dominant)
        return replace(timeline, unsure_margin=margin)

    def predict_blocks(
        self, waveforms: Iterable[Array], rate_hz: int = RATE_HZ
    ) -> Iterator[tuple[Waveform, NDArray[np.float32]]]:
        """Each block of a sound with the probabilities of its seconds, as soon as the block arrives.

        At 8 kHz the blocks are used as they come: each must hold whole seconds, except the last. At another rate they
        may have any length, and are resampled to 8 kHz and cut into blocks of a minute.

        Args:
            waveforms: (samples,) float32 each, at `rate_hz`.
            rate_hz: samples a second of the waveforms.

        Yields:
            The block, (samples,) float32 at 8 kHz, and its probabilities, (seconds, n_classes) float32: of each second
            alone (`context` has what its neighbours say), NaN for a second without sound
            (`genreline.audio.seconds.are_silent`), and no row for a last part of a second that is shorter than 0.25 s,
            unless there is nothing else.

        Raises:
            AudioError: a block is not one channel of floats, or is not whole seconds although another one follows.
        """
        checked = map(_mono, waveforms)
        is_first = True
        for waveform in _whole_seconds(checked) if rate_hz == RATE_HZ else resampled_blocks(checked, rate_hz):
            n_rest = len(waveform) % RATE_HZ
            is_joined = n_rest < SHORTEST_S * RATE_HZ and (len(waveform) > n_rest or not is_first)
            yield waveform, self._predict(waveform[: len(waveform) - n_rest] if is_joined else waveform)
            is_first = False

    def _predict(self, waveform: Waveform) -> NDArray[np.float32]:
        """The probabilities of a waveform's seconds, (seconds, n_classes); NaN where there is no sound."""
        probabilities = np.full((-(-len(waveform) // RATE_HZ), len(self.model.classes)), np.nan, np.float32)
        has_sound = ~are_silent(waveform)
        if has_sound.any():
            probabilities[has_sound] = self.model.probabilities(cut_seconds(waveform)[has_sound])
        return probabilities


def _decoded(
    source: AudioSource | Array, rate_hz: int | None, max_duration_s: float | None
) -> tuple[Iterator[Waveform], str]:
    """The blocks of a sound at 8 kHz, and the title of its file; ConfigError for a rate that is given for a file."""
    if isinstance(source, np.ndarray) or _is_tensor(source):
        name, title = "waveform", ""
        waveforms = resampled_blocks([_mono(source)], RATE_HZ if rate_hz is None else rate_hz)
    elif rate_hz is not None:
        raise ConfigError("rate_hz: a file states its own rate; leave rate_hz out, or give an array")
    elif isinstance(source, str | Path | bytes) or hasattr(source, "read"):
        name = source_name(source)
        waveforms, title = blocks(source), "" if isinstance(source, bytes) else title_of(name)
    else:
        raise ConfigError(
            f"source: is of type {type(source).__name__}; give a path, bytes, a binary stream or an array"
        )
    return waveforms if max_duration_s is None else bounded(waveforms, max_duration_s, name), title


def _is_tensor(source: object) -> "TypeIs[Tensor]":
    """Whether it is a tensor, of which there can be none where PyTorch is not imported."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.Tensor)


def _mono(waveform: Array) -> Waveform:
    """The samples of an array as float32. Raises AudioError if it is not one channel of floats."""
    if _is_tensor(waveform):
        waveform = waveform.detach().cpu().numpy()
    if not isinstance(waveform, np.ndarray):
        raise AudioError(f"waveform: is of type {type(waveform).__name__}; give an array (samples,) of floats")
    if waveform.ndim != 1:
        raise AudioError(
            f"waveform: has shape {waveform.shape}, expected one channel (samples,); average the channels first"
        )
    if not np.issubdtype(waveform.dtype, np.floating):
        raise AudioError(
            f"waveform: holds {waveform.dtype}, expected floats in [-1, 1]; divide by the largest value of the type"
        )
    return waveform.astype(np.float32, copy=False)


def _whole_seconds(waveforms: Iterable[Waveform]) -> Iterator[Waveform]:
    """The blocks as they are; raises AudioError at a block that follows one which ends within a second."""
    n_last = 0
    for waveform in waveforms:
        if n_last % RATE_HZ:
            raise AudioError(
                f"waveform: a block of {n_last} samples is not whole seconds at {RATE_HZ} Hz; "
                "cut the sound at whole seconds, or give its rate as rate_hz"
            )
        n_last = len(waveform)
        yield waveform
