"""A terminal session from nothing to a classifier of one's own, as a picture for the docs, with each command's time.

    python scripts/record_session.py docs/session.svg

Works in a temporary folder: a new virtual environment, the checkout installed into it, 120 clips of twelve everyday
sounds (benchmarks/small_sounds.py), and the commands of the docs. Where pip finds its packages is its own
configuration, and what it prints is left out.
"""

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
WIDTH = 120
SOUNDS = """
from pathlib import Path
from small_sounds import ENVIRONMENT, environment, write_clips
write_clips(environment, tuple(ENVIRONMENT), 10, Path("sounds"))
"""
SESSION = (
    "python3 -m venv env && source env/bin/activate",
    "pip install './genreline[train]'",
    "ls -C sounds",
    "genreline prepare sounds dataset",
    "genreline train dataset --out mine",
    "genreline evaluate mine dataset",
    "genreline predict sounds/rain/000.flac sounds/bell/001.flac --model mine",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "COLUMNS": str(WIDTH), "PYTHONPATH": "", "PIP_QUIET": "3"}
        subprocess.run(["git", "clone", "--quiet", str(ROOT), f"{folder}/genreline"], check=True)
        paths = os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT / "src")])
        subprocess.run([sys.executable, "-c", SOUNDS], cwd=folder, env={**os.environ, "PYTHONPATH": paths}, check=True)
        start = time.perf_counter()
        for command in SESSION:
            begin = time.perf_counter()
            done = subprocess.run(
                ["bash", "-c", f"test -d env && source env/bin/activate; {command}"],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=True,
            )
            console.print(Text(f"$ {command}", "bold"))
            console.print(Text.from_ansi(done.stdout.strip()), end="\n" if done.stdout.strip() else "")
            console.print(Text(f"  {time.perf_counter() - begin:.1f} s", "dim"))
    console.print(Text(f"All of it: {time.perf_counter() - start:.0f} s", "bold"))
    picture = console.export_svg(title="From nothing to a classifier of one's own")
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)  # whoever sees it need not fetch a font
    arguments.out.write_text(picture)


if __name__ == "__main__":
    main()
