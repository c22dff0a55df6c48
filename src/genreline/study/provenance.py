"""What results were made of, and what makes them hard to compare or to make again."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from genreline.errors import DataError
from genreline.files import json_text
from genreline.study.page import Block, Table, Text
from genreline.study.records import RunRecord, match, seconds_of
from genreline.study.spec import Study


def checked(study: Study, runs: list[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """One run for each variant and seed, and what a reader must be warned of."""
    points, others = match(study, runs)
    kept, left_out, shortened = [], 0, set()
    length = max(point.config(seed=0).epochs for point, _ in points)
    for point, found in points:
        epochs = point.config(seed=0).epochs
        by_seed: dict[int, list[RunRecord]] = defaultdict(list)
        for run in found:
            by_seed[run.seed].append(run)
        for seed, same in sorted(by_seed.items()):
            if len(same) > 1:  # beside the study's own runs there may be those of a quick look with fewer epochs
                left_out += len(same) - 1
                same = [run for run in same if run.config.get("epochs") == epochs]
            if len(same) != 1:
                raise DataError(
                    f"{study.name}: holds several results of {point.name}, seed {seed}, made with other data or "
                    "devices; keep those of one in the folder"
                )
            kept += same
            shortened |= {run.config.get("epochs") for run in same} - {epochs}
    flags = what_differs(kept, devices=not study.compares_devices)
    if left_out:
        flags.append(f"{count_text(left_out, 'run')} of another length than the study's own left out.")
    if others:
        flags.append(f"{count_text(len(others), 'result')} of no variant of the study as recorded, not shown.")
    if shortened:
        lengths = ", ".join(map(str, sorted(shortened, key=str)))
        flags.append(f"Runs were given {lengths} epochs, where the study says {length}: a quick look.")
    return kept, flags


def provenance(runs: Sequence[RunRecord]) -> list[Block]:
    """Where the results come from, and what is to be looked at."""
    versions = {name: Counter(run.versions.get(name, "unknown") for run in runs) for name in runs[0].versions}
    counts = {
        **{f"data digest, {kind}": dict.fromkeys(found, 0) for kind, found in digests_of(runs).items()},
        "device": Counter(run.device for run in runs if run.history),
        "training time": dict.fromkeys([_hours_text(runs)], 0),
        **dict(sorted(versions.items())),
    }
    rows = [
        [
            name,
            ", ".join(
                f"{value} ({count_text(n, 'run')})" if len(found) > 1 and n else value
                for value, n in sorted(found.items())
            ),
        ]
        for name, found in counts.items()
    ]
    flags = what_differs(runs)
    if dirty := sum(run.versions.get("commit", "").endswith("-dirty") for run in runs):
        flags.append(f"{dirty} of {len(runs)} runs come from source with uncommitted changes, which no commit holds.")
    if unknown := sum(run.versions.get("commit", "unknown") == "unknown" for run in runs):
        flags.append(f"{unknown} of {len(runs)} runs come from an installed package, whose commit is unknown.")
    return [
        *(Text(flag, flag=True) for flag in flags),
        Table(f"What the {len(runs)} runs were made of", [["made of", "value"], *rows]),
    ]


def made_of(runs: Sequence[RunRecord]) -> str:
    """How many runs, of which commits, on which data, in a line."""
    commits = ", ".join(sorted({run.versions.get("commit", "unknown") for run in runs}))
    data = "; ".join(f"{kind} {', '.join(found)}" for kind, found in digests_of(runs).items())
    return f"{count_text(len(runs), 'run')} at commit {commits} on {data}"


def what_differs(runs: Sequence[RunRecord], devices: bool = False) -> list[str]:
    """What makes results hard to compare or to make again."""
    flags = []
    commits = sorted({run.versions.get("commit", "unknown") for run in runs})
    if len(commits) > 1:
        flags.append(f"These results come from {len(commits)} commits: {', '.join(commits)}.")
    for kind, digests in digests_of(runs).items():
        if len(digests) > 1:
            flags.append(f"These results come from {len(digests)} versions of the {kind}: {', '.join(digests)}.")
    for name in sorted({name for run in runs for name in run.versions} - {"commit"}):
        if len(found := sorted({run.versions.get(name, "unknown") for run in runs})) > 1:
            flags.append(f"These results come from several versions of {name}: {', '.join(found)}.")
    if devices and len(found := sorted({run.device for run in runs})) > 1:
        flags.append(f"These results come from several devices: {', '.join(found)}.")
    return flags


def digests_of(runs: Iterable[RunRecord]) -> dict[str, list[str]]:
    """The first digits of the data's digests, by representation."""
    found = sorted({(str(run.config.get("features")), run.data_digest[:12]) for run in runs})
    return {kind: [each for other, each in found if other == kind] for kind in dict(found)}


def _hours_text(runs: Sequence[RunRecord]) -> str:
    """How long all of it took; a run that several studies share counts once."""
    seconds = {json_text([run.config, run.device, run.seconds]): seconds_of(run, "last") for run in runs if run.history}
    return f"{sum(seconds.values()) / 3600:.1f} hours, the sum over {count_text(len(seconds), 'different run')}"


def count_text(n: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{n} {noun}{'s' * (n != 1)}"
