"""What predicts a second: a model's graph by ONNX Runtime, or its network by PyTorch, which may not be installed."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from genreline.errors import CheckpointError, ConfigError, MissingError, first_line
from genreline.parallel import n_cores
from genreline.train.folder import EMBEDDINGS, Calibration, Description, read_description

ENGINES = ("onnx", "torch")
_BATCH = 8  # seconds; more bring nothing, and take memory


class Engine(Protocol):
    """A model that predicts seconds. A `Model` is one, by PyTorch, and a `Graph` another."""

    @property
    def name(self) -> str:
        """What timelines and tables call the model."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The name of each probability."""

    @property
    def features(self) -> str:
        """The kind of features that it computes, `mfccs` or `melgrams`."""

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Loss, macro F1 and accuracy by set."""

    @property
    def calibration(self) -> Calibration:
        """What a song's probabilities are made of besides those of its seconds."""

    def probabilities(self, seconds: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predict each second alone.

        Shape:
            seconds: (N, 8000), mono, 8 kHz -> (N, n_classes), rows sum to 1
        """


class Graph:
    """A model folder's ONNX graph, run by ONNX Runtime: an engine that needs no PyTorch.

    Args:
        n_threads: that it may use (default: one for each core but one, which decodes meanwhile).

    Raises:
        CheckpointError: the folder has no graph, or it cannot be run.
    """

    def __init__(self, description: Description, n_threads: int | None = None) -> None:
        try:
            from onnxruntime import InferenceSession, SessionOptions
        except ModuleNotFoundError as error:
            raise MissingError.of(f"{description.name}, by ONNX Runtime", error) from error
        self.folder = description.folder
        self.name, self.classes, self.features = description.name, description.classes, description.features
        self.metrics, self.calibration = description.metrics, description.calibration
        options = SessionOptions()
        options.log_severity_level = 4  # its errors are raised, too
        options.intra_op_num_threads = n_threads or max(1, n_cores() - 1)
        options.inter_op_num_threads = 1
        # A thread that waits must not spin: the decoder, or another worker, has use for its core.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = description.graph()
        try:
            self._session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
            n_outputs = self._session.get_outputs()[0].shape[1]
        except Exception as error:  # ONNX Runtime's exceptions share no other class
            raise CheckpointError(f"{path}: is not a graph that can be run ({first_line(error)})") from error
        if n_outputs != len(self.classes):
            raise CheckpointError(f"{path}: predicts {n_outputs} classes, not the model's {len(self.classes)}")

    def probabilities(self, seconds: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Engine.probabilities`."""
        return self._run("probabilities", seconds)

    @property
    def has_embeddings(self) -> bool:
        """Whether `embeddings` gives what PyTorch would: graphs of earlier versions have the last block's alone."""
        return EMBEDDINGS in self._session.get_modelmeta().custom_metadata_map

    def embeddings(self, seconds: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the network makes of seconds (N, 8000) before it decides between classes: (N, d)."""
        return self._run("embeddings", seconds)

    def _run(self, output: str, seconds: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = [
            self._session.run([output], {"waveform": seconds[i : i + _BATCH]})[0]
            for i in range(0, len(seconds), _BATCH)
        ]
        return np.concatenate(rows)


def load_engine(model: str | Path, engine: str | None = None, n_threads: int | None = None) -> Engine:
    """Load a model folder, or a model that ships by its name.

    Args:
        engine: `onnx` or `torch`. Default: `onnx` if the folder has a graph, else `torch`.
        n_threads: that predicting may use, of PyTorch all of the process. Default: one for each core; ONNX Runtime
            leaves one core to the decoder.

    Raises:
        CheckpointError: there is no such model, or it is damaged.
        ConfigError: there is no such engine.
        MissingError: the engine is not installed.
    """
    description = read_description(model)
    if engine not in (None, *ENGINES):
        raise ConfigError(f"engine {engine!r}: there is no such engine; choose from {', '.join(ENGINES)}")
    if engine is None:
        engine = "onnx" if description.graph_digest is not None and find_spec("onnxruntime") else "torch"
    if engine == "onnx":
        return Graph(description, n_threads)
    try:
        import torch

        from genreline.train.checkpoint import load_model
    except ModuleNotFoundError as error:
        raise MissingError.of(f"{model}, by PyTorch", error) from error
    if n_threads:
        torch.set_num_threads(n_threads)
    return load_model(description.folder)
