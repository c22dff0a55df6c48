"""genreline recognizes the genre of music one second at a time.

The public names are flat, `from genreline import Recognizer`, and listed once, in `__init__.pyi`. Each is imported when
it is first used, so that `import genreline` and `genreline --help` answer at once.
"""

import os
from importlib.metadata import version
from typing import Any

import lazy_loader

from genreline.errors import MissingError

_import_name, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """A public name, imported. Raises MissingError if it needs a package that is not installed."""
    try:
        return _import_name(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("genreline"):
            raise
        raise MissingError.of(f"genreline.{name}", error) from error


__version__ = version("genreline")

# cuBLAS reads it once, before its first product, and is deterministic with it alone (assignment, step 3.1).
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

# ONNX Runtime from 1.29 on reports its use to its makers, and keeps a number of the device on disk, unless this is set
# before it is imported. Whoever wants its reports sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
