"""A model folder: `weights.safetensors` and `model.json`. No pickle, so loading one runs no code of its maker.

model.json is written last and names the digest of the weights, so a folder that loads is complete.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import safetensors
import safetensors.torch
from torch import nn

from genreline.audio.decode import RATE_HZ
from genreline.audio.features import FEATURE_SHAPES, N_FFT, N_MELS, N_MFCC
from genreline.data.layout import Dataset
from genreline.errors import CheckpointError, ConfigError
from genreline.files import digest_file, json_text, replacing, write_text
from genreline.learn.config import Config, parse_config
from genreline.learn.models import build_network
from genreline.learn.training import Run

FORMAT = 1
WEIGHTS, DESCRIPTION = "weights.safetensors", "model.json"


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
    """

    network: nn.Module
    config: Config
    classes: tuple[str, ...]
    data_digest: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    @classmethod
    def from_run(cls, run: Run, dataset: Dataset) -> Self:
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
    with replacing(folder / WEIGHTS) as temporary:
        safetensors.torch.save_file(model.network.state_dict(), temporary)
    description = {
        "format": FORMAT,
        "classes": model.classes,
        "features": _feature_definition(model.config.features),
        "config": model.config.model_dump(mode="json"),
        "config_digest": model.config.digest(),
        "data_digest": model.data_digest,
        "weights_digest": digest_file(folder / WEIGHTS),
        "metrics": model.metrics,
        "training": model.training,
        "versions": versions(),
    }
    write_text(folder / DESCRIPTION, json_text(description))


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
    for file in (DESCRIPTION, WEIGHTS):
        if not (folder / file).is_file():
            raise CheckpointError(f"{folder / file}: is missing, so this is no complete model folder; train it again")
    try:
        description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        weights = safetensors.torch.load_file(folder / WEIGHTS)
        if description["format"] != FORMAT:
            raise CheckpointError(
                f"{folder}: has format {description['format']}, this version reads {FORMAT}; update it"
            )
        if description["weights_digest"] != digest_file(folder / WEIGHTS):
            raise CheckpointError(
                f"{folder}: {WEIGHTS} is not the file that {DESCRIPTION} describes; train or copy again"
            )
        config = parse_config(description["config"], f"{folder / DESCRIPTION}")
        if description["features"] != _feature_definition(config.features):
            raise CheckpointError(f"{folder}: was trained on other features than this version computes; train it again")
        classes = tuple(map(str, description["classes"]))
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
        )
    except (KeyError, TypeError, ValueError, RuntimeError, OSError, ConfigError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{folder}: is not a model that can be read ({str(error).splitlines()[0]})") from error


def shipped_models() -> list[str]:
    """The names of the models inside the package."""
    folder = _shipped_folder()
    return sorted(path.name for path in folder.iterdir() if (path / DESCRIPTION).is_file()) if folder.is_dir() else []


def versions() -> dict[str, str]:
    """The versions of all that decides a result to the last bit."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("genreline", "torch", "numpy")},
        "machine": platform.machine(),
    }


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
