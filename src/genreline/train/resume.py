"""A run's state after an epoch, in one file, so that training goes on after a kill as if nothing had happened.

The tensors are stored as safetensors, everything else as JSON in its header: nothing is ever unpickled.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer

from genreline.data.layout import Dataset
from genreline.data.loaders import Loader
from genreline.errors import CheckpointError, first_line
from genreline.files import replacing
from genreline.train.config import Config
from genreline.train.optim import AveragedWeights, Schedule

STATE = "unfinished.safetensors"
"""The name of the file in a model's folder."""


@dataclass
class RunState:
    """Everything that the epochs of a run change: it is kept in a file after each, and restored from there."""

    config: Config
    dataset: Dataset
    device: str
    network: nn.Module
    average: AveragedWeights
    optimizer: Optimizer
    schedule: Schedule
    loaders: Sequence[Loader]

    def keep(self, path: Path, progress: Mapping[str, Any]) -> None:
        """Write the state, and the run's progress beside it: numbers, texts and tensors, nested in lists and mappings.

        The file is complete or the one before it.
        """
        scheduler = self.schedule.scheduler
        tensors: dict[str, Tensor] = {}
        state = {
            "identity": self._identity(),
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "n_updates": self.average.n_updates,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": scheduler.state_dict() if scheduler else None,
            "generators": [generator.get_state() for generator in self._generators()],
            "progress": progress,
        }
        outline = json.dumps(_outline(state, tensors))
        with replacing(path) as temporary:
            temporary.write_bytes(safetensors.torch.save(tensors, {"state": outline}))

    def restore(self, path: Path) -> dict[str, Any]:
        """Bring everything to the state in the file; returns the progress that was kept with it.

        Raises:
            CheckpointError: the file is damaged, or that of another run.
        """
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                state = _filled(json.loads(file.metadata()["state"]), file)
            if state["identity"] != self._identity():
                raise CheckpointError(
                    f"{path}: is of a run with other settings, data or device; give those, or start anew with --force"
                )
            self.network.load_state_dict(state["network"])
            self.average.network.load_state_dict(state["average"])
            self.average.n_updates = state["n_updates"]
            self.optimizer.load_state_dict(state["optimizer"])
            if self.schedule.scheduler:
                self.schedule.scheduler.load_state_dict(state["scheduler"])
            for generator, generator_state in zip(self._generators(), state["generators"], strict=True):
                generator.set_state(generator_state)
            progress: dict[str, Any] = state["progress"]
        except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"{path}: cannot be read ({first_line(error)}); start anew with --force") from error
        return progress

    def _generators(self) -> Iterator[torch.Generator]:
        """Those of the data's order, and torch's own, which draw dropout and augmentation."""
        for loader in self.loaders:
            yield loader.generator
        yield torch.default_generator
        if self.device.startswith("cuda"):
            yield torch.cuda.default_generators[torch.device(self.device).index or 0]

    def _identity(self) -> list[str]:
        return [self.config.digest(), self.dataset.digest, self.device]


def _outline(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON has it: tensors go to `tensors` and leave their name; keys and tuples keep their types."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().clone().contiguous()  # a copy: views of one memory are refused
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"items": [[key, _outline(each, tensors)] for key, each in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_outline(each, tensors) for each in value]}
    if isinstance(value, list):
        return [_outline(each, tensors) for each in value]
    return value


def _filled(outline: Any, file: Any) -> Any:
    if isinstance(outline, list):
        return [_filled(each, file) for each in outline]
    if not isinstance(outline, dict):
        return outline
    ((kind, content),) = outline.items()
    if kind == "tensor":
        return file.get_tensor(content)
    if kind == "tuple":
        return tuple(_filled(each, file) for each in content)
    return {key: _filled(each, file) for key, each in content}
