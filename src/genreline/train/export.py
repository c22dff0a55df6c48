"""A model as one ONNX graph, from the waveform of a second to probabilities, which needs no PyTorch.

The graph holds the features, the normaliser, the network, the temperature and the softmax (of a multi-label model the
sigmoid). Its metadata says what else a program has to know to make a timeline of the probabilities. It has two outputs:
the probabilities, and the embeddings that `embed` gives.
"""

import hashlib
import json
import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxscript.optimizer
import torch
from onnx.external_data_helper import set_external_data
from onnxruntime import InferenceSession, SessionOptions
from torch import Tensor, nn

from genreline.audio.features import traceable_features
from genreline.audio.seconds import RATE_HZ, SHORTEST_S, SILENCE_RMS, SMEAR
from genreline.errors import GenrelineError, first_line
from genreline.files import replacing
from genreline.provenance import versions
from genreline.train.checkpoint import Model, load_model, probabilities_of, weights_of
from genreline.train.folder import EMBEDDINGS, graph_file, read_description, write_description
from genreline.train.models import Embedder, evaluating, last_layer

_LIMITS = (
    "Predicts the label of a second of 8 kHz mono audio, or, where `calibration` has thresholds, all labels that "
    "reach theirs; what sounds above 4 kHz is lost. Feed it whole seconds only, and call seconds below silence_rms "
    "silence without asking it. Each row stands alone: `calibration` says how a song's rows go together. How right it "
    "is, the model's card says."
)
_NETWORK = "network"  # what the graph's tensors are named after, before their names in the network
_SHARED_FROM_BYTES = 1024
_TOLERANCE = 1e-4  # of probabilities
_QUIET = SessionOptions()
_QUIET.log_severity_level = 3  # errors alone


def save_graph(model: Model, path: str | Path) -> None:
    """Write `to_graph(model)` as one file, atomically.

    Raises:
        GenrelineError: as `to_graph`, or the file cannot be written.
    """
    _write(to_graph(model), Path(path))


def add_graph(folder: str | Path) -> Path:
    """Put the graph of a model folder into it, in place of one that it has, and give the graph's path.

    The graph takes its weights out of the folder's safetensors file, so it works there alone.

    Raises:
        CheckpointError: the folder is no model that can be read.
        GenrelineError: as `save_graph`.
    """
    described = read_description(folder)
    graph = to_graph(load_model(folder))
    _share_weights(graph, described.weights())
    digest = hashlib.sha256(graph.SerializeToString()).hexdigest()
    path = described.folder / graph_file(digest)
    _write(graph, path)
    write_description(described.folder, {**described.content, "graph_digest": digest})
    return path


def to_graph(model: Model) -> onnx.ModelProto:
    """The model's graph, as ONNX's checker accepts it.

    Shape:
        waveform (N, 8000) float32, at 8 kHz, in [-1, 1] -> probabilities (N, n_classes) float32, embeddings
        (N, d) float32.

    Raises:
        GenrelineError: PyTorch has no ONNX for a part of the network, or the graph predicts something else.
    """
    listener, noise = _Listener(model), 0.1 * torch.randn(3, RATE_HZ, generator=torch.Generator().manual_seed(0))
    with evaluating(model.network), torch.no_grad(), _quiet_exporter():
        expected = listener(noise)  # before tracing, or the filters would be made as placeholders, and kept
        try:
            program = torch.onnx.export(
                listener.eval(),
                (noise,),
                dynamo=True,
                dynamic_shapes={"waveform": {0: torch.export.Dim("seconds")}},
                input_names=["waveform"],
                output_names=["probabilities", "embeddings"],
                optimize=False,  # it would change convolutions before batch normalisation: no weights left to share
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise GenrelineError(f"{_name(model)}: PyTorch cannot export it to ONNX ({first_line(error)})") from error
        assert program is not None
        onnxscript.optimizer.fold_constants_ir(program.model)
        onnxscript.optimizer.remove_unused_nodes(program.model)
    graph: onnx.ModelProto = program.model_proto
    for part in (graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.graph.initializer):
        part.ClearField("metadata_props")  # where in whose files the exporter found it
    graph.producer_name, graph.producer_version = "genreline", versions()["genreline"]
    onnx.helper.set_model_props(graph, {name: _text(value) for name, value in _metadata(model).items()})
    onnx.checker.check_model(graph, full_check=True)
    found = InferenceSession(graph.SerializeToString(), _QUIET).run(None, {"waveform": noise.numpy()})
    if not np.allclose(found[0], expected[0].numpy(), rtol=0, atol=_TOLERANCE):
        raise GenrelineError(f"{_name(model)}: its ONNX graph and PyTorch differ; report this as a bug")
    return graph


def _write(graph: onnx.ModelProto, path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(graph.SerializeToString())


def _share_weights(graph: onnx.ModelProto, file: Path) -> None:
    """Let the graph take its network's tensors out of the safetensors file beside it, so that a folder holds them once.

    The file begins with the size of its header and the header, JSON with each tensor's place in what follows.
    """
    weights = file.read_bytes()
    header_size = struct.unpack("<Q", weights[:8])[0]
    header = json.loads(weights[8 : 8 + header_size])
    for tensor in graph.graph.initializer:
        entry = header.get(tensor.name.removeprefix(f"{_NETWORK}."))
        if entry is None or len(tensor.raw_data) < _SHARED_FROM_BYTES:
            continue
        start, end = (8 + header_size + offset for offset in entry["data_offsets"])
        if tensor.raw_data == weights[start:end]:
            set_external_data(tensor, file.name, start, end - start)
            tensor.ClearField("raw_data")


class _Listener(nn.Module):
    """A model from the waveform on: what the graph computes."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network = model.network
        self._kind, self._calibration = model.config.features, model.calibration
        # In a list, where its modules are not registered a second time.
        self._embedder = [Embedder(model.network)]

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        embeddings = self._embedder[0](traceable_features(waveform, self._kind))
        last = self.network.get_submodule(last_layer(self.network))
        assert isinstance(last, nn.Linear)
        logits = last(embeddings[:, -last.in_features :])  # the last block's, or all
        return probabilities_of(logits, self._calibration), embeddings


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Without the exporter's words on packages that are not installed, and on what it will change in itself."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        log.setLevel(level)


def _metadata(model: Model) -> dict[str, Any]:
    """What a program must know to use the graph, and where it came from: text, or JSON."""
    return {
        "name": model.name,
        "classes": list(model.classes),
        "version": versions()["genreline"],
        "config_digest": model.config.digest(),
        "data_digest": model.data_digest,
        "weights_digest": hashlib.sha256(weights_of(model.network)).hexdigest(),
        "rate_hz": RATE_HZ,
        "silence_rms": SILENCE_RMS,
        "silence_ignores_samples": SMEAR,
        "shortest_s": SHORTEST_S,
        "calibration": asdict(model.calibration),
        "limits": _LIMITS,
        EMBEDDINGS: "of every block",
    }


def _name(model: Model) -> str:
    return model.name or "model"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
