"""Write results/robustness.md from what fuzz/run.py and other benchmarks left in results/robustness/."""

import csv
import json
from pathlib import Path
from typing import Any

RESULTS = Path("results")
CASES = Path("tests/cases/cases.csv")


def table(columns: list[str], rows: list[list[Any]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(str(cell).replace('|', ' ') for cell in line)} |\n" for line in lines)


def case_rows(cases: dict[str, dict[str, str]]) -> list[list[str]]:
    """A row for each case: what it is, what it must give, and what it gave."""
    rows = []
    for row in csv.DictReader(CASES.read_text().splitlines()):
        expected = f"{row['rows']} s" if row["rows"] else "an error at once" if row["kind"] == "F" else "sound"
        rows.append([row["file"], row["note"], expected, *(outcomes[row["file"]] for outcomes in cases.values())])
    return rows


def main() -> None:
    """Write the page."""
    folder = RESULTS / "robustness"
    fuzz, cases, interruptions, decoding = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("fuzz", "cases", "interruptions", "decoding")
    )
    decoding_rows = [
        [suffix, f"{each['before_s']:.2f}", f"{each['now_s']:.2f}", f"{each['ratio']:.2f}"]
        for suffix, each in decoding["formats"].items()
    ]
    kills, disks = interruptions["kill_points"], interruptions["full_disk"]
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(fuzz["files_by_kind"].items(), key=lambda each: -each[1]))
    found = ", ".join(f"{what} ({n})" for what, n in fuzz["found"].items()) or "none"
    kill_rows = [[name, each["points"], each["killed"], each["same"]] for name, each in kills.items()]
    total = [sum(row[i] for row in kill_rows) for i in (1, 2, 3)]
    n_bad = sum(each["traceback"] or bool(each["half_written"]) or not each["errors"] for each in disks)
    disk_rows = [
        [
            each["command"],
            f"{each['share']:.0%}",
            each["code"],
            each["errors"],
            "yes" if each["traceback"] else "no",
            len(each["half_written"]),
        ]
        for each in disks
    ]
    versions = ", ".join(f"{name} {value}" for name, value in interruptions["versions"].items())
    text = f"""# Robustness

Made by `python benchmarks/robustness.py` from the files in [robustness/](robustness). {versions}.

## Mutated files

`python -m fuzz.run --files {fuzz["files"]} --seed {fuzz["seed"]}` (commit {fuzz["versions"]["commit"]}):
{fuzz["files"]:,} mutated files ({kinds}), in {fuzz["behaviours"]:,} distinct behaviours.
A failure is a crash, {fuzz["bounds"]["processor_s"]} s of processor time,
{fuzz["bounds"]["memory_bytes"] // 1_000_000} MB of memory, anything printed, or an exception other than GenrelineError.
Failures: {found}. The longest file took {fuzz["longest_s"]} s of processor time.

## Killed commands

Each command was started on a small input, killed with `kill -9` at a random moment, and run again. It must then leave
the bytes that an undisturbed run leaves, apart from measured times. {total[2]} of {total[0]} did.
Not measured in this run: {", ".join(sorted({"predict", "prepare", "study", "train"} - set(kills))) or "none"}.

{table(["command", "moments", "killed before its end", "same bytes after the second run"], kill_rows)}
## Full disks

Each command wrote to a disk with room for only part of its output: {len(disks)} disks, of which {n_bad} led to a
traceback, no error line, or a visible file that is not whole. `predict` prints a line for each song that fails.

{table(["command", "room", "exit code", "error lines", "traceback", "files not whole"], disk_rows)}
## Files as they occur

Every file of `tests/cases`, before (commit dee1e77) and after:

{table(["file", "what it is", "must give", *cases], case_rows(cases))}
## What it costs

Four minutes of stereo at 44.1 kHz, decoded in a process of its own by commit {decoding["before"]} and by
{decoding["versions"]["commit"]} in turn, {decoding["rounds"]} times each: medians, and the median of the ratios.

{table(["format", "before, s", "now, s", "now / before"], decoding_rows)}"""
    (RESULTS / "robustness.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
