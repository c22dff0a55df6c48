"""Result files become a report: one HTML page and one Markdown file with the same content. Read `write_report` first.

Everything, the comments included, is computed from the runs' JSON files.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genreline.data.layout import digest, load_split
from genreline.files import json_text, replacing, write_text
from genreline.study import plots
from genreline.study.page import FIGURES, Page, count_text
from genreline.study.records import RunRecord, digests_of, load_studies, select_runs
from genreline.study.section import study_heading, study_section
from genreline.study.spec import Study
from genreline.study.stats import (
    ALPHA,
    MIN_SEEDS,
    accuracy_of,
    at_common_seeds,
    best_entry,
    entries_of,
    epochs_of,
    f1_of,
    seconds_of,
    spread_text,
)

HTML, MARKDOWN = "report.html", "report.md"
_TITLE = "genreline: what the studies found"
_ORIGIN = "Where the results come from"


def write_report(folder: str | Path, data: str | Path | None = None) -> Path:
    """Write report.html, and report.md with its figures, into a folder of studies' results; returns the page's path.

    Args:
        folder: holds a folder for each study, as `genreline study --out` leaves it.
        data: a dataset in the course layout, to show a random melgram of each of its classes (assignment, step 2.1).

    Raises:
        DataError: no results, an invalid file, two results of the same variant and seed, or invalid melgrams.
    """
    folder = Path(folder)
    studies = [(study, *select_runs(study, runs)) for study, runs in load_studies(folder)]
    everything = [run for _, runs, _ in studies for run in runs]
    sections = []
    if data is not None:
        sections.append(("2.1", "", "2.1 melgrams", _melgrams(Path(data), everything)))
    for study, runs, flags in studies:
        devices = [] if study.compares_devices else _devices_that_differ(runs)
        section = study_section(study, runs, [*flags, *_what_differs(runs), *devices])
        sections.append((study.step, study.name, study_heading(study), section))
    sections.sort(key=lambda each: each[:2])
    page = Page()
    page.heading(1, _TITLE)
    page.heading(2, "Overview")
    _overview(page, [(study, runs) for study, runs, _ in studies])
    page.items(_HOW_TO_READ)
    page.text("The studies, one by one:")
    page.links([*(heading for _, _, heading, _ in sections), _ORIGIN])
    for _, _, heading, section in sections:
        page.heading(2, heading)
        page.extend(section)
    page.heading(2, _ORIGIN)
    _provenance(page, everything)
    for name, png in page.pictures.items():
        with replacing(folder / FIGURES / name) as temporary:
            temporary.write_bytes(png)
    write_text(folder / MARKDOWN, page.markdown())
    write_text(folder / HTML, page.html_file(_TITLE))
    return folder / HTML


_HOW_TO_READ = [
    "Figures are those of the test set, as mean ± standard deviation over the seeds of completed runs, at the snapshot "
    "with the best validation macro F1. Whatever is called best was chosen by validation; among variants, those that "
    "most seeds completed come first.",
    f"A difference is claimed where a t-test, paired over common seeds, gives a p of at most {ALPHA} after Holm's "
    f"correction for the number of comparisons beside it. With fewer than {MIN_SEEDS} common seeds nothing is claimed. "
    "That no difference is claimed is no proof that there is none: few seeds find large differences only.",
    "Seeds change the initial weights and the order of the training data. They say nothing of how another choice of "
    "songs would change the figures.",
    "Seconds of training are of processor time, which other programs change little; on a GPU, and where a run recorded "
    'no processor time, those that passed (wall). How many runs were at work side by side is in the column "at once"; '
    "unknown where the runs do not record it.",
]


def _overview(page: Page, studies: Sequence[tuple[Study, list[RunRecord]]]) -> None:
    rows = [["step", "study", "best by validation", "macro F1", "accuracy", "seeds", "epochs", "runs"]]
    for study, runs in studies:
        if not runs:
            continue
        entries = entries_of(study, runs)
        best = best_entry(at_common_seeds(entries) if entries[0].setting else entries)
        statuses = Counter(run.status for run in runs)
        shown = ", ".join(part for part in (best.name, best.setting) if part) if best.completed else "-"
        figures = [spread_text(best.values(metric).values()) for metric in (f1_of, accuracy_of)]
        seeds = _range_text([len(entry.completed) for entry in entries if entry.completed])
        epochs = _range_text([int(epochs_of(run, "best")) for run in runs if run.status == "completed"])
        counts = ", ".join(f"{n} {status}" for status, n in statuses.most_common())
        rows.append([study.step, study.name, shown, *figures, seeds, epochs, counts])
    page.table("The best variant of each study, on the test set; seeds and epochs of its completed runs", rows)


def _range_text(numbers: Sequence[int]) -> str:
    """`3`, or `1 to 3`."""
    low, high = min(numbers, default=0), max(numbers, default=0)
    return str(low) if low == high else f"{low} to {high}"


def _melgrams(data: Path, runs: Sequence[RunRecord]) -> Page:
    """A random melgram of each class of the training set (assignment, step 2.1)."""
    train = load_split(data, "train", "melgrams")
    rng = np.random.default_rng(0)
    samples = {str(name): train.X[rng.choice(np.flatnonzero(train.labels == name))] for name in np.unique(train.labels)}
    found = digest(data, "melgrams")[:12]
    known = digests_of(runs).get("melgrams", [])
    page = Page()
    if known and found not in known:
        page.flag(f"These are other data ({found}) than the results' ({', '.join(known)}).")
    page.picture(
        "melgrams.png",
        plots.melgrams(samples),
        f"A random melgram of each class from the training set (data digest {found}): one second, 21 steps of time by "
        "128 mel bands, in dB below its loudest.",
        f"A melgram of each class: {', '.join(samples)}.",
    )
    return page


def _provenance(page: Page, runs: Sequence[RunRecord]) -> None:
    """Data, machines and versions of all runs, with warnings where these differ."""
    if not runs:
        page.text("No result is of any study as recorded.")
        return
    versions = {name: Counter(run.versions.get(name, "unknown") for run in runs) for name in runs[0].versions}
    counts = {
        **{f"data digest, {kind}": dict.fromkeys(found, 0) for kind, found in digests_of(runs).items()},
        "device": Counter(run.device for run in runs if run.history),
        "training time": dict.fromkeys([_hours_text(runs)], 0),
        **dict(sorted(versions.items())),
    }
    flags = _what_differs(runs)
    if dirty := sum(run.versions.get("commit", "").endswith("-dirty") for run in runs):
        flags.append(f"{dirty} of {len(runs)} runs come from source with uncommitted changes, which no commit holds.")
    if unknown := sum(run.versions.get("commit", "unknown") == "unknown" for run in runs):
        flags.append(f"{unknown} of {len(runs)} runs come from an installed package, whose commit is unknown.")
    for flag in flags:
        page.flag(flag)
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
    page.table(f"What the {len(runs)} runs were made of", [["made of", "value"], *rows])


def _what_differs(runs: Sequence[RunRecord]) -> list[str]:
    """Differences that make results hard to compare or to reproduce."""
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
    return flags


def _devices_that_differ(runs: Sequence[RunRecord]) -> list[str]:
    found = sorted({run.device for run in runs})
    return [f"These results come from several devices: {', '.join(found)}."] if len(found) > 1 else []


def _hours_text(runs: Sequence[RunRecord]) -> str:
    """How long all of it took; a run that several studies share counts once."""
    seconds = {json_text([run.config, run.device, run.seconds]): seconds_of(run, "last") for run in runs if run.history}
    return f"{sum(seconds.values()) / 3600:.1f} hours, the sum over {count_text(len(seconds), 'different run')}"
