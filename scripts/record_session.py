"""A terminal session from nothing to a classifier of one's own, as a picture for the docs: what was typed, and how long it took.

    python scripts/record_session.py [--extra-index URL] docs/session.svg

Works in a temporary folder: a new virtual environment, the checkout installed into it, a hundred and twenty clips of twelve
everyday sounds (benchmarks/small_sounds.py), and the commands of the quick start.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
WIDTH = 100
SOUNDS = """
from pathlib import Path
from small_sounds import ENVIRONMENT, environment, write_clips
write_clips(environment, tuple(ENVIRONMENT), 10, Path("sounds"))
"""
SESSION = (
    "python3 -m venv env && source env/bin/activate",
    "pip install --quiet './genreline[train]'",
    "ls sounds",
    "genreline prepare sounds dataset",
    "genreline train dataset --out mine",
    "genreline evaluate mine dataset",
    "genreline predict sounds/rain/000.flac sounds/bell/001.flac --model mine",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra-index", metavar="URL", help="where pip finds torch's build for the CPU")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w"), force_terminal=True, highlight=False)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "COLUMNS": str(WIDTH), "PYTHONPATH": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        if arguments.extra_index:
            environment["PIP_EXTRA_INDEX_URL"] = arguments.extra_index
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
        shutil.rmtree(f"{folder}/env")
    console.print(Text(f"All of it: {time.perf_counter() - start:.0f} s", "bold"))
    picture = console.export_svg(title="From nothing to a classifier of one's own")
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)  # whoever sees it need not fetch a font
    arguments.out.write_text(picture)


if __name__ == "__main__":
    main()
