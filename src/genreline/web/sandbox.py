"""The limits that a process sets itself before it opens what strangers send."""

import contextlib
from pathlib import Path


def limit_resources(memory_bytes: int, file_bytes: int = 0) -> None:
    """Bound this process's memory to `memory_bytes` beyond what it holds now (Linux), and the files it writes (Unix).

    Elsewhere than on Linux, RLIMIT_DATA does not count what is mapped, which is where large arrays are; `genreline
    serve` warns of it.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    with contextlib.suppress(OSError):  # no /proc
        status = Path("/proc/self/status").read_text()
        held = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))
        resource.setrlimit(resource.RLIMIT_DATA, (held + memory_bytes, held + memory_bytes))
