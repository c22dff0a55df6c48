"""genreline recognizes the genre of music one second at a time.

The public names are flat, `from genreline import Recognizer`, and listed once, in `__init__.pyi`. Each is imported when
it is first used, so that `import genreline` and `genreline --help` answer at once.
"""

import os
from importlib.metadata import version

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = version("genreline")

# cuBLAS reads it once, before its first product, and is deterministic with it alone (assignment, step 3.1).
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

# ONNX Runtime from 1.29 on reports its use to its makers, and keeps a number of the device on disk, unless this is set
# before it is imported. Whoever wants its reports sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
