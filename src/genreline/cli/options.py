"""Arguments and options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Backend(StrEnum):
    """Where work in parallel is done."""

    processes = "processes"
    ray = "ray"


class Engine(StrEnum):
    """What predicts."""

    onnx = "onnx"
    torch = "torch"


Data = Annotated[Path, typer.Argument(metavar="DATA", help="A dataset folder in the course layout.")]
ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model folder, the name of one that ships, or hf://OWNER/NAME.")
]
EngineName = Annotated[
    Engine | None, typer.Option("--engine", help="What predicts (default: onnx if the model has a graph).")
]
Where = Annotated[Backend, typer.Option("--backend", help="Processes of this machine, or a Ray cluster.")]
RayAddress = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="The cluster (default: this machine's, or a new one here).")
]
