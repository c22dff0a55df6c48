"""Mutate the corpus and read the result, again and again: `python -m fuzz.run SECONDS`, or `--files N`.

A find is a crash, more than 10 s of processor time, more than 500 MB of memory, or any exception but a GenrelineError.
It is kept in the corpus, which the tests read again, so a find is a failing test until it is mended, and ends the
command with 1. What behaves in a new way is mutated further within the run.
"""

import argparse
import hashlib
import json
import os
import random
import re
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fuzz.mutate import mutated
from fuzz.targets import TARGETS

from genreline.errors import GenrelineError
from genreline.files import json_text, write_text
from genreline.parallel import map_unordered
from genreline.provenance import versions
from genreline.web.sandbox import limit_resources

CORPUS = Path(__file__).parent / "corpus"
PROCESSOR_S, MEMORY_BYTES, FILE_BYTES = 10, 500_000_000, 100_000_000
SHARES = {"sound": 0.6, "model": 0.05}  # of all files; the other kinds get what is left, alike
JOBS = 2
MOST_BYTES = 200_000


@dataclass(frozen=True)
class Case:
    """A mutated file: its kind, the name of the file it comes from, its number and its bytes."""

    kind: str
    parent: str
    number: int
    data: bytes


@dataclass(frozen=True)
class Outcome:
    """What came of it: `behaviour` is the same for files that are read alike, `problem` is empty where all is well."""

    behaviour: str
    problem: str = ""
    seconds: float = 0.0


_folder: tempfile.TemporaryDirectory[str] | None = None
_printed: BinaryIO


def read(case: Case) -> Outcome:
    """Read a mutated file; in a worker, which limits its memory at its first."""
    global _folder, _printed
    if _folder is None:
        _folder = tempfile.TemporaryDirectory()
        _printed = tempfile.TemporaryFile()  # noqa: SIM115
        os.dup2(_printed.fileno(), 2)  # decoders must not print
        import genreline.predict.recognizer  # all that is heavy, before memory is limited
        import genreline.study.spec  # noqa: F401

        limit_resources(MEMORY_BYTES, FILE_BYTES)
    path = Path(_folder.name) / f"case{Path(case.parent).suffix}"
    path.write_bytes(case.data)
    begin = time.process_time()
    try:
        TARGETS[case.kind](path)
        outcome = Outcome("read")
    except GenrelineError as error:
        outcome = Outcome(re.sub(r"\d+", "0", str(error).replace(str(path.parent), ""))[:80])
    except BaseException as error:
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "genreline" in frame.filename]
        place = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
        outcome = Outcome(f"{type(error).__name__}{place}", "".join(traceback.format_exception(error)[-8:]))
    _printed.seek(0)
    if printed := _printed.read().decode("utf-8", "replace"):
        _printed.seek(0)
        _printed.truncate()
        outcome = Outcome("prints", f"{outcome.problem}\nprints {printed[:500]}")
    return Outcome(outcome.behaviour, outcome.problem, time.process_time() - begin)


def lost(case: Case, what: str) -> Outcome:
    """The outcome of a file whose worker died."""
    return Outcome("died", f"its process {what}")


class Fuzzer:
    """Mutated files, in an order that the seed decides, but for what new behaviour adds to it."""

    def __init__(self, kinds: list[str], seed: int) -> None:
        self.rng = random.Random(seed)
        self.pool: dict[str, list[tuple[str, bytes]]] = {
            kind: [(path.name, path.read_bytes()) for path in sorted((CORPUS / kind).iterdir())] for kind in kinds
        }
        rest = (1 - sum(SHARES.values())) / (len(TARGETS) - len(SHARES))
        self.weights = [SHARES.get(kind, rest) for kind in kinds]
        self.seen: set[tuple[str, str]] = set()

    def cases(self, n_files: int | None, until: float) -> Iterator[Case]:
        """Mutated files, until there are `n_files` or the clock (time.monotonic) says so."""
        number = 0
        while number != n_files and time.monotonic() < until:
            kind = self.rng.choices(list(self.pool), self.weights)[0]
            name, data = self.rng.choice(self.pool[kind])
            others = [other for _, other in self.rng.sample(self.pool[kind], min(4, len(self.pool[kind])))]
            yield Case(kind, name, number, mutated(data, others, self.rng.getrandbits(48))[:MOST_BYTES])
            number += 1

    def learn(self, case: Case, outcome: Outcome) -> None:
        """Keep what behaves in a new way, to be mutated further."""
        if (case.kind, outcome.behaviour) not in self.seen:
            self.seen.add((case.kind, outcome.behaviour))
            self.pool[case.kind].append((case.parent, case.data))


def keep(case: Case) -> Path:
    """Put a find into the corpus."""
    digest = hashlib.sha256(case.data).hexdigest()[:12]
    path = CORPUS / case.kind / f"found-{digest}{Path(case.parent).suffix}"
    path.write_bytes(case.data)
    return path


def main() -> None:
    """Fuzz, print what was found, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("seconds", type=float, nargs="?", default=float("inf"))
    parser.add_argument("--files", type=int, help="end after so many")
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="default: another one each time")
    parser.add_argument("--only", choices=list(TARGETS), action="append", help="a kind of file; repeatable")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    if options.files is None and options.seconds == float("inf"):
        parser.error("say how many SECONDS, or how many --files")
    fuzzer = Fuzzer(options.only or list(TARGETS), options.seed)
    counts: Counter[str] = Counter()
    found: Counter[str] = Counter()
    longest_s, begin = 0.0, time.monotonic()
    cases = fuzzer.cases(options.files, begin + options.seconds)
    running = map_unordered(read, cases, JOBS, processor_s=lambda _: PROCESSOR_S + 5, lost=lost)  # 5 s to start
    with closing(running):
        for case, outcome in running:
            counts[case.kind] += 1
            longest_s = max(longest_s, outcome.seconds)
            problem = outcome.problem or (f"took {outcome.seconds:.1f} s" if outcome.seconds > PROCESSOR_S else "")
            if problem:
                found[outcome.behaviour] += 1
                if found[outcome.behaviour] <= 2:  # the same fault again and again fills no corpus
                    print(f"{keep(case)}: {outcome.behaviour}\n{problem}", flush=True)
            else:
                fuzzer.learn(case, outcome)
            if counts.total() % 500 == 0:
                print(f"{counts.total()} files, {time.monotonic() - begin:.0f} s, {found.total()} found", flush=True)
    figures = {
        "seed": options.seed,
        "files": counts.total(),
        "files_by_kind": dict(counts),
        "behaviours": len(fuzzer.seen),
        "found": dict(found),
        "longest_s": round(longest_s, 2),
        "seconds": round(time.monotonic() - begin),
        "bounds": {"processor_s": PROCESSOR_S, "memory_bytes": MEMORY_BYTES},
        "versions": versions(),
    }
    print(json.dumps({key: figures[key] for key in ("files", "behaviours", "found", "longest_s", "seconds")}))
    if options.json:
        write_text(options.json, json_text(figures))
    os._exit(bool(found))  # what a hung worker left must not keep this waiting


if __name__ == "__main__":
    main()
