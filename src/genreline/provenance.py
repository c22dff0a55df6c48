"""Where a result comes from: the commit of the code that made it, and the versions that it ran on."""

import platform
import subprocess
from functools import cache
from importlib import resources
from importlib.metadata import version
from pathlib import Path


def versions() -> dict[str, str]:
    """The versions that a result depends on to the last bit, besides its configuration, data and device."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("genreline", "torch", "numpy")},
        "machine": platform.machine(),
        "commit": _commit(),
    }


@cache
def _commit() -> str:
    """The commit of the source that runs, with "-dirty" if it was changed since; "unknown" where it is no checkout."""
    checkout = Path(str(resources.files("genreline"))).parents[1]
    if not (checkout / "pyproject.toml").is_file():  # installed: a git checkout around it would be somebody else's
        return "unknown"
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
