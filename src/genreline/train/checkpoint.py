"""A model in memory, and how it gets into a folder and out again. No pickle: loading one runs no code of its maker."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import safetensors
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genreline.audio.features import FEATURE_SHAPES, N_FFT, N_MELS, N_MFCC, features
from genreline.audio.seconds import RATE_HZ
from genreline.data.layout import Dataset
from genreline.errors import CheckpointError, ConfigError
from genreline.files import replacing
from genreline.provenance import versions
from genreline.train.config import Config, parse_config
from genreline.train.folder import (
    DESCRIPTION,
    FORMAT,
    PROBLEMS,
    Calibration,
    read_description,
    unreadable,
    weights_file,
    write_description,
)
from genreline.train.models import build_network, evaluating

if TYPE_CHECKING:  # training loads models to learn from
    from genreline.train.loop import FitResult


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with everything that is needed to use it and to trace its origin.

    Attributes:
        network: in evaluation mode, on the CPU; takes features (N, *shape) float32, gives logits (N, n_classes). Its
            normaliser, if any, is part of it.
        classes: the name of each logit.
        metrics: loss, macro F1 and accuracy by set.
        data_digest: which data it was trained on (`Dataset.digest`).
        training: how it came to be: status, best epoch, the history of its epochs.
        name: what timelines and tables call it.
        calibration: how its logits become the probabilities of a second, and those of a song.
    """

    network: nn.Module
    config: Config
    classes: tuple[str, ...]
    data_digest: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    calibration: Calibration = field(default_factory=Calibration)

    @property
    def features(self) -> str:
        """The kind of features that the network takes, `mfccs` or `melgrams`."""
        return self.config.features

    @torch.no_grad()
    def probabilities(self, seconds: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predict each second alone, by PyTorch.

        Shape:
            seconds: (N, 8000), mono, 8 kHz -> (N, n_classes), rows sum to 1, unless the model is multi-label
        """
        inputs = features(seconds, self.features).float()
        with evaluating(self.network):
            logits = torch.cat([self.network(batch) for batch in torch.split(inputs, 64)])
        rows: NDArray[np.float32] = probabilities_of(logits, self.calibration).numpy()
        return rows

    @classmethod
    def from_fit(cls, run: "FitResult", dataset: Dataset) -> Self:
        """The best snapshot of a run of `fit` on a dataset."""
        best = run.history[max(0, run.best_epoch - 1)]
        return cls(
            network=run.network,
            config=run.config,
            classes=dataset.classes,
            data_digest=dataset.digest,
            metrics={"val": {"loss": best.val_loss, "f1_macro": best.val_f1_macro, "accuracy": best.val_accuracy}},
            training={
                "status": run.status,
                "best_epoch": run.best_epoch,
                "history": [asdict(epoch) for epoch in run.history],
            },
            calibration=Calibration(thresholds=run.thresholds),
        )


def probabilities_of(logits: Tensor, calibration: Calibration) -> Tensor:
    """A network's logits (N, n_classes) as probabilities: of one label a second, or of each label by itself."""
    scaled = logits / calibration.temperature
    return torch.sigmoid(scaled) if calibration.is_multi_label else torch.softmax(scaled, dim=1)


def save_model(model: Model, folder: str | Path) -> None:
    """Write a model folder, created if needed; replaces the model in it."""
    folder = Path(folder)
    weights = weights_of(model.network)
    digest = hashlib.sha256(weights).hexdigest()
    with replacing(folder / weights_file(digest)) as temporary:
        temporary.write_bytes(weights)
    description = {
        "format": FORMAT,
        "classes": model.classes,
        "features": _feature_definition(model.config.features),
        "config": model.config.model_dump(mode="json"),
        "config_digest": model.config.digest(),
        "data_digest": model.data_digest,
        "weights_digest": digest,
        "metrics": model.metrics,
        "training": model.training,
        "calibration": asdict(model.calibration),
        "versions": versions(),
    }
    write_description(folder, description)


def weights_of(network: nn.Module) -> bytes:
    """A network's weights and buffers as the bytes of a safetensors file."""
    return safetensors.torch.save({name: each.contiguous() for name, each in network.state_dict().items()})


def load_model(name_or_folder: str | Path) -> Model:
    """Load a model folder, or one of the models that ship by its name (`shipped_models()`).

    Raises:
        CheckpointError: no such model, an incomplete or damaged folder, features that this version does not compute.
    """
    described = read_description(name_or_folder)
    folder, content = described.folder, described.content
    try:
        weights = safetensors.torch.load_file(described.weights())
        config = parse_config(content["config"], f"{folder / DESCRIPTION}")
        if content["features"] != _feature_definition(config.features):
            raise CheckpointError(f"{folder}: was trained on other features than this version computes; train it again")
        shapes = FEATURE_SHAPES[config.features], len(described.classes)
        with torch.device("meta"):  # takes no memory: a stranger's folder may describe a network that takes terabytes
            build_network(config, *shapes).load_state_dict(weights, assign=True)
        network = build_network(config, *shapes)
        network.load_state_dict(weights)
        return Model(
            network=network.eval(),
            config=config,
            classes=described.classes,
            data_digest=str(content["data_digest"]),
            metrics=described.metrics,
            training=content["training"],
            name=described.name,
            calibration=described.calibration,
        )
    except (*PROBLEMS, ConfigError, safetensors.SafetensorError) as error:
        raise unreadable(folder, error) from error


def _feature_definition(kind: str) -> dict[str, Any]:
    return {
        "name": kind,
        "shape": list(FEATURE_SHAPES[kind]),
        "rate_hz": RATE_HZ,
        "segment_s": 1,
        "n_fft": N_FFT,
        **({"n_mels": N_MELS} if kind == "melgrams" else {"n_mfcc": N_MFCC}),
    }
