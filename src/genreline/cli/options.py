"""Arguments and options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Backend(StrEnum):
    """Where work in parallel is done."""

    processes = "processes"
    ray = "ray"


Data = Annotated[Path, typer.Argument(metavar="DATA", help="A dataset folder in the course layout.")]
ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model folder, the name of one that ships, or hf://OWNER/NAME.")
]
Where = Annotated[Backend, typer.Option("--backend", help="Processes of this machine, or a Ray cluster.")]
RayAddress = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="The cluster (default: this machine's, or a new one here).")
]
