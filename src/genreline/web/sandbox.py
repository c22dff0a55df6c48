"""The limits that a process sets itself before it opens what strangers send."""

import contextlib
import ctypes
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # of Linux' prctl
_LOOK_S = 1.0


def limit_resources(memory_bytes: int, file_bytes: int = 0) -> None:
    """Bound this process's memory to `memory_bytes` beyond what it holds now (Linux), and the files it writes (Unix).

    Elsewhere than on Linux, RLIMIT_DATA does not count what is mapped, which is where large arrays are; `genreline
    serve` warns of it.
    """
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    with contextlib.suppress(OSError):  # no /proc
        status = Path("/proc/self/status").read_text()
        held = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))
        resource.setrlimit(resource.RLIMIT_DATA, (held + memory_bytes, held + memory_bytes))


def limit_processor_time(seconds: float) -> None:
    """Let the system end this process when it has taken so much processor time from now on (Unix)."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    limit = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))


def die_with_parent() -> None:
    """End this process when its parent has ended, even if that was killed and this one hangs in a decoder."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    elif sys.platform != "win32":
        threading.Thread(target=_end_without, args=(os.getppid(),), daemon=True).start()


def _end_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)
