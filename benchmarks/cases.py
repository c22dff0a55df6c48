"""What each file of tests/cases decodes to: `python benchmarks/cases.py NAME [OUT]`.

Run it against another commit by PYTHONPATH. Adds the outcomes as NAME to cases.json in OUT (results/robustness/ if not
given). Each file is decoded in a process of its own, which is ended after 20 s of processor time. Needs Unix.
"""

import csv
import json
import os
import resource
import sys
from pathlib import Path

from genreline.audio.decode import decode

CASES = Path(__file__).parents[1] / "tests" / "cases"
LIMIT_S = 20


def outcome(path: Path) -> str:
    """The seconds of its sound, the error, or how its process ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            text = f"{len(decode(path)) / 8000:.2f} s"
        except Exception as error:
            text = f"{type(error).__name__}: {str(error).replace(str(path), path.name)}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        text = file.read().decode()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return text or f"ended after {LIMIT_S} s of processor time (signal {-code})"


def main() -> None:
    """Decode all, and write."""
    name, out = sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else "results/robustness")
    rows = list(csv.DictReader((CASES / "cases.csv").read_text().splitlines()))
    path = out / "cases.json"
    figures = json.loads(path.read_text()) if path.exists() else {}
    figures[name] = {row["file"]: outcome(CASES / row["file"]) for row in rows}
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures[name], indent=1))


if __name__ == "__main__":
    main()
