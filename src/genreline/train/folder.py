"""A model folder, as what reads and writes it needs to know without PyTorch.

It holds `model.json`, `weights-DIGEST.safetensors` and, once it is exported, `graph-DIGEST.onnx`. model.json is written
last and names the others by their digests, so a folder that loads is complete, and a model that is replaced is there
until the new one is.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from genreline.errors import CheckpointError
from genreline.fetch.hub import fetch_model, is_hub_address
from genreline.files import digest_file, json_text, write_text

FORMAT = 1
DESCRIPTION = "model.json"
EMBEDDINGS = "embeddings"
"""The key in a graph's metadata that says that its output of that name is `embed`'s; earlier graphs do not have it."""
PROBLEMS = (KeyError, TypeError, ValueError, RuntimeError, OSError)
"""What reading a damaged folder may raise; a CheckpointError is made of it."""


@dataclass(frozen=True)
class Calibration:
    """What a model's answers are made of besides its network; kept in the model's folder.

    Attributes:
        temperature: the logits are divided by it before the softmax; 1 leaves them as they are.
        stay: the probability that the next second of a song has the same label; None predicts each second alone.
        evidence: how much a second tells beside its neighbours, from 0 to 1 (`predict.context.Context`).
        unsure_margin: a song whose two most probable classes are nearer than this is called unsure.
        unsure_margins: by class, where another margin holds for the songs that it is the most probable class of.
        thresholds: by class, of a multi-label model: a second has each label that is at least so probable. Without
            them each second has one label, the most probable class.
    """

    temperature: float = 1.0
    stay: float | None = None
    evidence: float = 1.0
    unsure_margin: float = 0.0
    unsure_margins: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_multi_label(self) -> bool:
        """Whether a second may have several labels, or none."""
        return bool(self.thresholds)

    def margin_of(self, dominant: str) -> float:
        """The margin for a song with this most probable class."""
        return self.unsure_margins.get(dominant, self.unsure_margin)


@dataclass(frozen=True)
class Description:
    """What a folder's model.json says, checked as far as every reader needs it.

    Attributes:
        name: the folder's.
        classes: different names, in the order of the network's outputs.
        features: the kind of features, `mfccs` or `melgrams`.
        metrics: loss, macro F1 and accuracy by set.
        weights_digest, graph_digest: of the two other files; no graph, as in folders of earlier versions, is None.
        content: all of model.json.
    """

    folder: Path
    name: str
    classes: tuple[str, ...]
    features: str
    metrics: Mapping[str, Any]
    calibration: Calibration
    weights_digest: str
    graph_digest: str | None
    content: Mapping[str, Any]

    def weights(self) -> Path:
        """The safetensors file. Raises CheckpointError if it is not what model.json says."""
        return self._checked(weights_file(self.weights_digest), self.weights_digest)

    def graph(self) -> Path:
        """The ONNX file, beside the weights that it needs. Raises CheckpointError, as `weights`."""
        if self.graph_digest is None:
            raise CheckpointError(f"{self.folder}: has no ONNX graph; add it by genreline export {self.folder}")
        self.weights()
        return self._checked(graph_file(self.graph_digest), self.graph_digest)

    def _checked(self, name: str, digest: str) -> Path:
        path = self.folder / name
        if not path.is_file() or digest_file(path) != digest:
            raise CheckpointError(f"{path}: is missing or not as {DESCRIPTION} says; train or copy it again")
        return path


def read_description(name_or_folder: str | Path) -> Description:
    """Read what a model folder, or one of the models that ship by its name (`shipped_models()`), says of itself.

    Raises:
        CheckpointError: no such model, or an incomplete or damaged folder.
    """
    folder = find_folder(name_or_folder)
    try:
        content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise CheckpointError(f"{folder}: has format {content['format']!r}, this version reads {FORMAT}")
        classes = tuple(content["classes"])
        if len(set(classes)) < len(classes) or not all(isinstance(name, str) and name for name in classes):
            raise CheckpointError(f"{folder / DESCRIPTION}: its classes are not different names; train it again")
        return Description(
            folder=folder,
            name=folder.resolve().name,
            classes=classes,
            features=str(content["features"]["name"]),
            metrics=content["metrics"],
            calibration=_calibration(content.get("calibration", {}), classes),
            weights_digest=str(content["weights_digest"]),
            graph_digest=None if content.get("graph_digest") is None else str(content["graph_digest"]),
            content=content,
        )
    except PROBLEMS as error:
        raise unreadable(folder, error) from error


def find_folder(name_or_folder: str | Path) -> Path:
    """The folder of a model, which may be one that ships, by name, or one on the hub (`fetch_model`).

    Raises CheckpointError if there is none.
    """
    if is_hub_address(str(name_or_folder)):
        return fetch_model(str(name_or_folder))
    folder = Path(name_or_folder)
    if not folder.is_dir() and str(name_or_folder) in shipped_models():
        folder = shipped_folder() / str(name_or_folder)
    if not folder.is_dir():
        raise CheckpointError(
            f"{name_or_folder}: no such model folder, nor one that ships ({', '.join(shipped_models())})"
        )
    if not (folder / DESCRIPTION).is_file():
        raise CheckpointError(f"{folder}: has no {DESCRIPTION}, so it is not a complete model folder; train it again")
    return folder


def write_description(folder: Path, content: Mapping[str, Any]) -> None:
    """Write model.json, and then remove the weights and graphs of earlier models that it does not name."""
    write_text(folder / DESCRIPTION, json_text(content))
    named = {weights_file(content["weights_digest"]), graph_file(content.get("graph_digest") or "")}
    for path in (*folder.glob("weights-*.safetensors"), *folder.glob("graph-*.onnx")):
        if path.name not in named:
            path.unlink()


def shipped_models() -> list[str]:
    """The names of the models inside the package."""
    folder = shipped_folder()
    return sorted(path.name for path in folder.iterdir() if (path / DESCRIPTION).is_file()) if folder.is_dir() else []


def weights_file(digest: str) -> str:
    """The name of the file of weights with this digest."""
    return f"weights-{_short(digest)}.safetensors"


def graph_file(digest: str) -> str:
    """The name of the file of the graph with this digest."""
    return f"graph-{_short(digest)}.onnx"


def unreadable(folder: Path, error: Exception) -> CheckpointError:
    """What to raise of a folder whose reading raised `error`."""
    return CheckpointError(f"{folder}: is not a model that can be read ({str(error).splitlines()[0]})")


def _calibration(values: Mapping[str, Any], classes: tuple[str, ...]) -> Calibration:
    """Checked numbers; ValueError or TypeError for what they may not be. Folders of earlier versions have none."""
    found = Calibration(**values)
    stay = 1.0 if found.stay is None else found.stay
    shares = (found.evidence, found.unsure_margin, *dict(found.unsure_margins).values())
    shares += tuple(dict(found.thresholds).values())
    is_right = 0 < found.temperature < math.inf and 1 / len(classes) <= stay <= 1
    if not (is_right and all(0 <= each <= 1 for each in shares) and set(found.thresholds) in (set(), set(classes))):
        raise ValueError(f"calibration: {dict(values)} is out of bounds")
    return found


def _short(digest: str) -> str:
    """The start of a digest, without anything that could lead out of the folder."""
    return re.sub("[^0-9a-f]", "", digest)[:16]


def shipped_folder() -> Path:
    """The folder of the models inside the package."""
    return Path(str(resources.files("genreline"))) / "models"
