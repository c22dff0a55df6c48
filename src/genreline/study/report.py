"""Result files become a report: one HTML page and one Markdown file with the same content. Read `write_report` first.

Everything, the comments included, is computed from the runs' JSON files. A study's section is a list of blocks
(`section`), which two small renderers put into HTML and Markdown (`page`).
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genreline.data.layout import digest, load_split
from genreline.files import replacing, write_text
from genreline.study import plots
from genreline.study.page import (
    FIGURES,
    Block,
    Contents,
    Heading,
    Items,
    Picture,
    Table,
    Text,
    render_html,
    render_markdown,
)
from genreline.study.provenance import checked, digests_of, provenance
from genreline.study.records import (
    ALPHA,
    MIN_SEEDS,
    RunRecord,
    accuracy_of,
    best_entry,
    entries_of,
    f1_of,
    load_studies,
    spread_text,
)
from genreline.study.section import section
from genreline.study.spec import Study

HTML, MARKDOWN = "report.html", "report.md"


def write_report(folder: str | Path, data: str | Path | None = None) -> Path:
    """Write report.html, and report.md with its figures, into a folder of studies' results; returns the page's path.

    Args:
        folder: holds a folder for each study, as `genreline study --out` leaves it.
        data: a dataset in the course layout, to show a random melgram of each of its classes (assignment, step 2.1).

    Raises:
        DataError: no results, a file that is none, two results of the same variant and seed; melgrams that are wrong.
    """
    folder = Path(folder)
    studies = [(study, *checked(study, runs)) for study, runs in load_studies(folder)]
    everything = [run for _, runs, _ in studies for run in runs]
    sections = [] if data is None else [("2.1", "", _melgrams(Path(data), everything))]
    sections += [(study.step, study.name, section(study, runs, flags)) for study, runs, flags in studies]
    sections.sort(key=lambda each: each[:2])
    title = "genreline: what the studies found"
    blocks: list[Block] = [
        Heading(1, title),
        *provenance(everything),
        Heading(2, "Overview"),
        _overview([(study, runs) for study, runs, _ in studies]),
        Items(_HOW_TO_READ),
        Contents([(x.text, x.anchor) for _, _, part in sections for x in part if isinstance(x, Heading) and x.anchor]),
        *(block for _, _, part in sections for block in part),
    ]
    for block in blocks:
        if isinstance(block, Picture):
            with replacing(folder / FIGURES / block.name) as temporary:
                temporary.write_bytes(block.png)
    write_text(folder / MARKDOWN, render_markdown(blocks))
    write_text(folder / HTML, render_html(title, blocks))
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
    "no processor time, those that passed.",
]


def _overview(studies: Sequence[tuple[Study, list[RunRecord]]]) -> Table:
    rows = [["step", "study", "best by validation", "macro F1", "accuracy", "runs"]]
    for study, runs in studies:
        best = best_entry(entries_of(study, runs))
        statuses = Counter(run.status for run in runs)
        shown = ", ".join(part for part in (best.name, best.setting) if part) if best.completed else "-"
        figures = [spread_text(best.values(metric).values()) for metric in (f1_of, accuracy_of)]
        rows.append([study.step, study.name, shown, *figures, ", ".join(f"{n} {s}" for s, n in statuses.most_common())])
    return Table("The best variant of each study, on the test set", rows)


def _melgrams(data: Path, runs: Sequence[RunRecord]) -> list[Block]:
    """A random melgram of each class of the training set (assignment, step 2.1)."""
    train = load_split(data, "train", "melgrams")
    rng = np.random.default_rng(0)
    samples = {str(name): train.X[rng.choice(np.flatnonzero(train.labels == name))] for name in np.unique(train.labels)}
    found = digest(data, "melgrams")[:12]
    known = digests_of(runs).get("melgrams", [])
    flags = [Text(f"These are other data ({found}) than the results' ({', '.join(known)}).", flag=True)]
    return [
        Heading(2, "2.1 melgrams", "2-1"),
        *(flags if known and found not in known else []),
        Picture(
            "melgrams.png",
            plots.melgrams(samples),
            f"A random melgram of each class from the training set (data digest {found}): one second, 21 steps of time "
            "by 128 mel bands, in dB below its loudest.",
            f"A melgram of each class: {', '.join(samples)}.",
        ),
    ]
