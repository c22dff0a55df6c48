"""A model folder: `model.json` and `weights-DIGEST.safetensors`. No pickle: loading one runs no code of its maker.

model.json is written last and names the weights by their digest, so a folder that loads is complete, and a model that
is replaced is there until the new one is.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import safetensors
import safetensors.torch
from torch import nn

from genreline.audio.decode import RATE_HZ
from genreline.audio.features import FEATURE_SHAPES, N_FFT, N_MELS, N_MFCC
from genreline.data.layout import Dataset
from genreline.errors import CheckpointError, ConfigError
from genreline.files import digest_file, json_text, replacing, write_text
from genreline.provenance import versions
from genreline.train.calibrate import Calibration
from genreline.train.config import Config, parse_config
from genreline.train.models import build_network

if TYPE_CHECKING:  # training loads models to learn from
    from genreline.train.loop import FitResult

FORMAT = 1
DESCRIPTION = "model.json"


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network and all that is needed to use it and to know where it came from.

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
        )


def save_model(model: Model, folder: str | Path) -> None:
    """Write a model folder (made if need be); a model that was there before is replaced."""
    folder = Path(folder)
    weights = safetensors.torch.save({name: each.contiguous() for name, each in model.network.state_dict().items()})
    weights_digest = hashlib.sha256(weights).hexdigest()
    with replacing(folder / _weights_file(weights_digest)) as temporary:
        temporary.write_bytes(weights)
    description = {
        "format": FORMAT,
        "classes": model.classes,
        "features": _feature_definition(model.config.features),
        "config": model.config.model_dump(mode="json"),
        "config_digest": model.config.digest(),
        "data_digest": model.data_digest,
        "weights_digest": weights_digest,
        "metrics": model.metrics,
        "training": model.training,
        "calibration": asdict(model.calibration),
        "versions": versions(),
    }
    write_text(folder / DESCRIPTION, json_text(description))
    for other in folder.glob(_weights_file("*")):
        if other.name != _weights_file(weights_digest):
            other.unlink()


def load_model(name_or_folder: str | Path) -> Model:
    """Load a model folder, or one of the models that ship by its name (`shipped_models()`).

    Raises:
        CheckpointError: no such model, an incomplete or damaged folder, features that this version does not compute.
    """
    folder = Path(name_or_folder)
    if not folder.is_dir() and str(name_or_folder) in shipped_models():
        folder = _shipped_folder() / str(name_or_folder)
    if not folder.is_dir():
        raise CheckpointError(
            f"{name_or_folder}: no such model folder, nor one that ships ({', '.join(shipped_models())})"
        )
    if not (folder / DESCRIPTION).is_file():
        raise CheckpointError(f"{folder}: has no {DESCRIPTION}, so it is not a complete model folder; train it again")
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if description["format"] != FORMAT:
            raise CheckpointError(f"{folder}: has format {description['format']!r}, this version reads {FORMAT}")
        weights_file = folder / _weights_file(re.sub("[^0-9a-f]", "", description["weights_digest"]))
        if not weights_file.is_file() or digest_file(weights_file) != description["weights_digest"]:
            raise CheckpointError(f"{weights_file}: is missing or not as {DESCRIPTION} says; train or copy it again")
        weights = safetensors.torch.load_file(weights_file)
        config = parse_config(description["config"], f"{folder / DESCRIPTION}")
        if description["features"] != _feature_definition(config.features):
            raise CheckpointError(f"{folder}: was trained on other features than this version computes; train it again")
        classes = tuple(description["classes"])
        if len(set(classes)) < len(classes) or not all(isinstance(name, str) and name for name in classes):
            raise CheckpointError(f"{folder / DESCRIPTION}: its classes are not different names; train it again")
        network = build_network(config, FEATURE_SHAPES[config.features], len(classes))
        network.load_state_dict(weights)
        return Model(
            network=network.eval(),
            config=config,
            classes=classes,
            data_digest=str(description["data_digest"]),
            metrics=description["metrics"],
            training=description["training"],
            name=folder.resolve().name,
            calibration=_calibration(description.get("calibration", {}), len(classes)),
        )
    except (KeyError, TypeError, ValueError, RuntimeError, OSError, ConfigError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{folder}: is not a model that can be read ({str(error).splitlines()[0]})") from error


def shipped_models() -> list[str]:
    """The names of the models inside the package."""
    folder = _shipped_folder()
    return sorted(path.name for path in folder.iterdir() if (path / DESCRIPTION).is_file()) if folder.is_dir() else []


def _calibration(values: Mapping[str, Any], n_classes: int) -> Calibration:
    """Checked numbers; ValueError or TypeError for what they may not be. Folders of earlier versions have none."""
    found = Calibration(**values)
    stay = 1.0 if found.stay is None else found.stay
    shares = (found.evidence, found.unsure_margin)
    if not (0 < found.temperature < math.inf and 1 / n_classes <= stay <= 1 and all(0 <= each <= 1 for each in shares)):
        raise ValueError(f"calibration: {dict(values)} is out of bounds")
    return found


def _weights_file(weights_digest: str) -> str:
    return f"weights-{weights_digest[:16]}.safetensors"


def _shipped_folder() -> Path:
    return Path(str(resources.files("genreline"))) / "models"


def _feature_definition(kind: str) -> dict[str, Any]:
    return {
        "name": kind,
        "shape": list(FEATURE_SHAPES[kind]),
        "rate_hz": RATE_HZ,
        "segment_s": 1,
        "n_fft": N_FFT,
        **({"n_mels": N_MELS} if kind == "melgrams" else {"n_mfcc": N_MFCC}),
    }
