"""Result files become a report: one HTML page and one Markdown file with the same content. Read `write_report` first.

Everything, the comments included, is computed from the runs' JSON files. A study's section is a list of blocks
(headings, texts, tables, figures), which two small renderers put into HTML and Markdown. Which tables and figures a
study gets follows from what its variants change, not from its name. Whatever is selected is selected by validation.
"""

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from genreline.data.layout import digest, load_split
from genreline.errors import DataError
from genreline.files import json_text, replacing, write_text
from genreline.learn.config import load_config
from genreline.learn.metrics import per_class
from genreline.study import figures
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
from genreline.study.results import (
    LEVEL,
    MIN_SEEDS,
    Entry,
    Metric,
    Run,
    Verdict,
    accuracy_of,
    best_entry,
    compare,
    epochs_of,
    f1_of,
    gap_of,
    load_run,
    load_studies,
    mean_of,
    seconds_of,
    spread_text,
    val_f1_of,
)
from genreline.study.studies import Study

HTML, MARKDOWN = "report.html", "report.md"


def write_report(folder: str | Path, data: str | Path | None = None) -> Path:
    """Write report.html, and report.md with its figures, into a folder of studies' results; returns the page's path.

    Args:
        folder: holds a folder for each study, as `genreline study --out` leaves it.
        data: a dataset in the course layout, to show a random melgram of each of its classes (spec 2.1).

    Raises:
        DataError: no results, a file that is none, two results of the same variant and seed; melgrams that are wrong.
    """
    folder = Path(folder)
    studies = [(study, *_checked(study, runs)) for study, runs in load_studies(folder)]
    everything = [run for _, runs, _ in studies for run in runs]
    sections = [] if data is None else [("2.1", "", _melgrams(Path(data), everything))]
    sections += [(study.step, study.name, _section(study, runs, flags)) for study, runs, flags in studies]
    sections.sort(key=lambda each: each[:2])
    title = "genreline: what the studies found"
    blocks: list[Block] = [
        Heading(1, title),
        *_provenance(everything),
        Heading(2, "Overview"),
        _overview([(study, runs) for study, runs, _ in studies]),
        Items(_HOW_TO_READ),
        Contents(
            [(x.text, x.anchor) for _, _, section in sections for x in section if isinstance(x, Heading) and x.anchor]
        ),
        *(block for _, _, section in sections for block in section),
    ]
    for block in blocks:
        if isinstance(block, Picture):
            with replacing(folder / FIGURES / block.name) as temporary:
                temporary.write_bytes(block.png)
    write_text(folder / MARKDOWN, render_markdown(blocks))
    write_text(folder / HTML, render_html(title, blocks))
    return folder / HTML


def study_section(study: Study, results: Iterable[Path]) -> list[Block]:
    """What the report says of a study, from some of its result files; without the heading.

    Raises:
        DataError: a file that is no result, two results of the same variant and seed.
    """
    return _section(study, *_checked(study, [load_run(path) for path in results]))[1:]


_HOW_TO_READ = [
    "Figures are those of the test set, as mean ± standard deviation over the seeds of completed runs, at the snapshot "
    "with the best validation macro F1. Whatever is called best was chosen by validation; among variants, those that "
    "most seeds completed come first.",
    f"A difference is claimed where a t-test, paired over common seeds, gives a p of at most {LEVEL} after Holm's "
    f"correction for the number of comparisons beside it. With fewer than {MIN_SEEDS} common seeds nothing is claimed. "
    "That no difference is claimed is no proof that there is none: few seeds find large differences only.",
    "Seeds change the initial weights and the order of the training data. They say nothing of how another choice of "
    "songs would change the figures.",
    "Seconds of training are of processor time, which other programs change little; on a GPU, and where a run recorded "
    "no processor time, those that passed.",
]


def _anchor(name: str) -> str:
    return re.sub(r"\W+", "-", name)


def _checked(study: Study, runs: list[Run]) -> tuple[list[Run], list[str]]:
    """One run for each variant and seed, and what a reader must be warned of."""
    epochs = {
        label: load_config(overrides=[*study.base, *study.variants[variant], *chosen]).epochs
        for label, variant, chosen in _labels(study)
    }
    by_identity: dict[tuple[str, int], list[Run]] = defaultdict(list)
    for run in runs:
        by_identity[run.variant, run.seed].append(run)
    kept, left_out = [], 0
    for (variant, seed), same in sorted(by_identity.items()):
        if len(same) > 1:  # beside the study's own runs there may be those of a quick look with fewer epochs
            left_out += len(same) - 1
            same = [run for run in same if run.config.get("epochs") == epochs.get(variant)]
        if len(same) != 1:
            raise DataError(
                f"{study.name}: holds several results of {variant}, seed {seed}, made with other data or devices; "
                "keep those of one in the folder"
            )
        kept += same
    flags = _mixed(kept, devices=not study.devices)
    if left_out:
        flags.append(f"{_count(left_out, 'run')} of another length than the study's own left out.")
    if others := sorted({run.variant for run in kept} - epochs.keys()):
        flags.append(f"The study as recorded has no variant {', '.join(others)}; their results are not shown.")
    kept = [run for run in kept if run.variant in epochs]
    shortened = {run.config.get("epochs") for run in kept if run.config.get("epochs") != epochs[run.variant]}
    if shortened:
        lengths = ", ".join(map(str, sorted(shortened, key=str)))
        flags.append(f"Runs were given {lengths} epochs, where the study says {max(epochs.values())}: a quick look.")
    return kept, flags


def _labels(study: Study) -> list[tuple[str, str, tuple[str, ...]]]:
    """Of every point of a study: what its runs are called, its variant, its settings of the grid."""
    points = [
        tuple(f"{key}={value}" for key, value in zip(study.grid, values, strict=True))
        for values in product(*study.grid.values())
    ]
    return [(", ".join([variant, *point]), variant, point) for variant in study.variants for point in points]


def _mixed(runs: Sequence[Run], devices: bool = False) -> list[str]:
    """What makes results hard to compare or to make again."""
    flags = []
    commits = sorted({run.versions.get("commit", "unknown") for run in runs})
    if len(commits) > 1:
        flags.append(f"These results come from {len(commits)} commits: {', '.join(commits)}.")
    for kind, digests in _digests(runs).items():
        if len(digests) > 1:
            flags.append(f"These results come from {len(digests)} versions of the {kind}: {', '.join(digests)}.")
    for name in sorted({name for run in runs for name in run.versions} - {"commit"}):
        if len(found := sorted({run.versions.get(name, "unknown") for run in runs})) > 1:
            flags.append(f"These results come from several versions of {name}: {', '.join(found)}.")
    if devices and len(found := sorted({run.device for run in runs})) > 1:
        flags.append(f"These results come from several devices: {', '.join(found)}.")
    return flags


def _digests(runs: Iterable[Run]) -> dict[str, list[str]]:
    """The first digits of the data's digests, by representation."""
    found = sorted({(str(run.config.get("features")), run.data_digest[:12]) for run in runs})
    return {kind: [each for other, each in found if other == kind] for kind in dict(found)}


def _provenance(runs: Sequence[Run]) -> list[Block]:
    """Where the results come from, and what is to be looked at."""
    versions = {name: Counter(run.versions.get(name, "unknown") for run in runs) for name in runs[0].versions}
    counts = {
        **{f"data digest, {kind}": dict.fromkeys(found, 0) for kind, found in _digests(runs).items()},
        "device": Counter(run.device for run in runs if run.history),
        "training time": dict.fromkeys([_hours_text(runs)], 0),
        **dict(sorted(versions.items())),
    }
    rows = [
        [
            name,
            ", ".join(
                f"{value} ({_count(n, 'run')})" if len(found) > 1 and n else value for value, n in sorted(found.items())
            ),
        ]
        for name, found in counts.items()
    ]
    flags = _mixed(runs)
    if dirty := sum(run.versions.get("commit", "").endswith("-dirty") for run in runs):
        flags.append(f"{dirty} of {len(runs)} runs come from source with uncommitted changes, which no commit holds.")
    if unknown := sum(run.versions.get("commit", "unknown") == "unknown" for run in runs):
        flags.append(f"{unknown} of {len(runs)} runs come from an installed package, whose commit is unknown.")
    return [
        *(Text(flag, flag=True) for flag in flags),
        Table(f"What the {len(runs)} runs were made of", [["made of", "value"], *rows]),
    ]


def _hours_text(runs: Sequence[Run]) -> str:
    """How long all of it took; a run that several studies share counts once."""
    seconds = {json_text([run.config, run.device, run.seconds]): seconds_of(run, "last") for run in runs if run.history}
    return f"{sum(seconds.values()) / 3600:.1f} hours, the sum over {_count(len(seconds), 'different run')}"


def _made_of(runs: Sequence[Run]) -> str:
    commits = ", ".join(sorted({run.versions.get("commit", "unknown") for run in runs}))
    data = "; ".join(f"{kind} {', '.join(found)}" for kind, found in _digests(runs).items())
    return f"{_count(len(runs), 'run')} at commit {commits} on {data}"


def _overview(studies: Sequence[tuple[Study, list[Run]]]) -> Table:
    rows = [["step", "study", "best by validation", "macro F1", "accuracy", "runs"]]
    for study, runs in studies:
        best = best_entry(_entries(study, runs))
        statuses = Counter(run.status for run in runs)
        shown = ", ".join(part for part in (best.name, best.setting) if part) if best.completed else "-"
        figures = [spread_text(best.values(metric).values()) for metric in (f1_of, accuracy_of)]
        rows.append([study.step, study.name, shown, *figures, ", ".join(f"{n} {s}" for s, n in statuses.items())])
    return Table("The best variant of each study, on the test set", rows)


def _entries(study: Study, runs: Sequence[Run]) -> list[Entry]:
    """All points of a study; a study of a single point is judged after its last epoch and at its best snapshot."""
    found = [
        Entry(variant, tuple(sorted((r for r in runs if r.variant == label), key=lambda r: r.seed)), "best", setting)
        for label, variant, point in _labels(study)
        for setting in [", ".join(point)]
    ]
    if len(found) == 1:
        return [Entry("last epoch", found[0].runs, "last"), Entry("best snapshot", found[0].runs)]
    if len(study.variants) == 1:
        return [Entry(entry.setting, entry.runs) for entry in found]
    return found


def _section(study: Study, runs: list[Run], flags: list[str]) -> list[Block]:
    """Everything that a study has to say."""
    entries = _entries(study, runs)
    blocks: list[Block] = [
        Heading(2, f"{study.step} {study.name}", _anchor(study.name)),
        Text(f"Question: {study.question}"),
        Text(f"Starts from: {study.starts_from}"),
        *([Text(f"Peers: {study.peers}")] if study.peers else []),
        Text(f"Made of: {_made_of(runs)}."),
        *(Text(flag, flag=True) for flag in flags),
    ]
    if entries[0].setting:
        by_variant = [[entry for entry in entries if entry.name == name] for name in study.variants]
        firsts, entries = [same[0] for same in by_variant], [best_entry(same) for same in by_variant]
        blocks += [Heading(3, f"All at {firsts[0].setting}"), *_table(study, firsts, "at the same setting")]
        blocks += [Heading(3, "Each at its own best setting"), _grid(study, by_variant)]
        blocks += _table(study, entries, "each at its best setting")
    else:
        blocks += _table(study, entries, "by variant")
    if study.repeats:
        blocks += _reproducibility(runs)
    if study.devices:
        blocks += _devices(entries)
    best = best_entry(entries)
    if best.completed:
        blocks += _of_classes(study, best)
    curves = entries if entries[0].which == "best" else [Entry(next(iter(study.variants)), entries[0].runs)]
    return blocks + _of_epochs(study, curves) + _of_changes(study, entries)


def _table(study: Study, entries: list[Entry], caption: str) -> list[Block]:
    """The figures of the entries in the study's orientation, and the comment on them."""
    columns: dict[str, Callable[[Entry], str]] = {
        "setting": lambda entry: entry.setting if entry.completed else "-",
        "seeds": lambda e: (
            str(len(e.runs)) if len(e.completed) == len(e.runs) else f"{len(e.completed)} of {len(e.runs)}"
        ),
        "accuracy": lambda entry: spread_text(entry.values(accuracy_of).values()),
        "macro F1": lambda entry: spread_text(entry.values(f1_of).values()),
        "validation macro F1": lambda entry: spread_text(entry.values(val_f1_of).values()),
        "loss gap": lambda entry: spread_text(entry.values(gap_of).values()),
        "epochs": lambda entry: spread_text(entry.values(epochs_of).values(), 1).replace(".0", ""),
        "seconds": lambda entry: spread_text(entry.values(seconds_of).values(), 1),
        "status": _status,
    }
    if len({entry.setting for entry in entries}) == 1:
        del columns["setting"]
    if not _changes_gap(entries):
        del columns["loss gap"]
    rows = [["variant", *columns], *([entry.name, *(cell(entry) for cell in columns.values())] for entry in entries)]
    if study.layout == "columns":
        rows = [list(row) for row in zip(*rows, strict=True)]
    return [Table(f"{study.name}: test accuracy and macro F1, {caption}", rows), *_comment(study, entries)]


def _status(entry: Entry) -> str:
    if not entry.runs:
        return "not run"
    parts = []
    for status, n in Counter(run.status for run in entry.runs).items():
        part = status if n == len(entry.runs) else f"{n} {status}"
        if status == "diverged":
            epochs = sorted({len(run.history) for run in entry.runs if run.status == status})
            part += f" in epoch {', '.join(map(str, epochs))}"
        parts.append(part)
    return "; ".join(parts)


def _comment(study: Study, entries: list[Entry]) -> list[Block]:
    """What the figures say, in words."""
    best = best_entry(entries)
    if not best.completed:
        return [Text("No run completed, so there is nothing to compare.")]
    size = sum(map(sum, best.completed[0].test[best.which].confusion_matrix))
    share = mean_of(best, accuracy_of)
    items = [
        f"Best by validation: {best.name}{f' ({best.setting})' if best.setting else ''}, test macro F1 "
        f"{spread_text(best.values(f1_of).values())}, accuracy {spread_text(best.values(accuracy_of).values())}. "
        f"{size} test samples alone make such an accuracy uncertain by "
        f"±{1.96 * math.sqrt(share * (1 - share) / size):.3f} (95%)."
    ]
    baseline = entries[next((i for i, settings in enumerate(study.variants.values()) if not settings), 0)]
    reference, role = (baseline, "the baseline") if baseline.completed else (best, "the best by validation")
    if not study.repeats:
        items += _judged(entries, reference, role, f1_of, "Macro F1")
    if _changes_gap(entries):
        items += _judged(entries, reference, role, gap_of, "The gap between validation and train loss")
    if _changes_time(entries):
        items += _judged(entries, reference, role, seconds_of, "Time", " s", 1)
        fast, slow = (pick(filter(_done, entries), key=lambda e: mean_of(e, seconds_of)) for pick in (min, max))
        ratio = mean_of(slow, seconds_of) / mean_of(fast, seconds_of)
        items.append(f"Fastest: {fast.name}; slowest: {slow.name}, which took {ratio:.1f} times as long.")
    if mute := [entry.name for entry in entries if entry.completed and _says_one_class(entry)]:
        items.append(f"Learned nothing, one class for every sample in every completed run: {', '.join(mute)}.")
    if bad := [entry for entry in entries if any(run.status != "completed" for run in entry.runs)]:
        reasons = [", ".join([_status(e), *sorted({run.reason for run in e.runs if run.reason})]) for e in bad]
        why = "; ".join(f"{entry.name} ({reason})" for entry, reason in zip(bad, reasons, strict=True))
        items.append(f"Did not complete every run: {why}.")
    return [Items(items)]


def _done(entry: Entry) -> bool:
    return bool(entry.completed)


def _judged(
    entries: list[Entry], reference: Entry, role: str, metric: Metric, noun: str, unit: str = "", digits: int = 3
) -> list[str]:
    """Which differences from the reference exceed the spread between seeds, which do not, which cannot be judged."""
    verdicts = compare(entries, reference, metric)
    tested = [verdict for verdict in verdicts if verdict.n >= MIN_SEEDS]
    against = f"{noun} against {reference.name} ({role})"
    if not verdicts:
        return []
    if not tested:
        return [f"{against}: with fewer than {MIN_SEEDS} common seeds no difference can be claimed."]

    def named(chosen: Iterable[Verdict]) -> str:
        shown = sorted(chosen, key=lambda verdict: -verdict.difference)
        return ", ".join(f"{v.name} ({v.difference:+.{digits}f}{unit}, {_p_text(v.p)})" for v in shown)

    groups = {
        "higher, beyond the spread between seeds": [v for v in tested if v.claimed and v.difference > 0],
        "lower, beyond the spread between seeds": [v for v in tested if v.claimed and v.difference < 0],
        "no difference beyond the spread between seeds": [v for v in tested if not v.claimed],
    }
    test = f"paired t-test, Holm's correction for {_count(len(tested), 'comparison')}"
    found = "; ".join(f"{words}: {named(chosen)}" for words, chosen in groups.items() if chosen)
    few = [verdict.name for verdict in verdicts if verdict.n < MIN_SEEDS]
    unclear = f"; fewer than {MIN_SEEDS} common seeds, so nothing can be claimed: {', '.join(few)}" if few else ""
    return [f"{against}, {test}: {found}{unclear}."]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def _p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _says_one_class(entry: Entry) -> bool:
    matrices = [np.array(run.test[entry.which].confusion_matrix) for run in entry.completed]
    return all(np.count_nonzero(matrix.sum(axis=0)) == 1 for matrix in matrices)


def _grid(study: Study, by_variant: list[list[Entry]]) -> Table:
    """The validation figures by which each variant's setting is chosen."""
    rows = [["variant", *(entry.setting for entry in by_variant[0])]]
    rows += [[same[0].name, *(spread_text(entry.values(val_f1_of).values()) for entry in same)] for same in by_variant]
    return Table(f"{study.name}: validation macro F1 of each setting, by which the best is chosen", rows)


def _reproducibility(runs: Sequence[Run]) -> list[Block]:
    """Whether runs of the same settings and seed are equal to the last bit, and those of other seeds are not."""
    groups: dict[str, list[str]] = defaultdict(list)
    seeds: dict[str, set[int]] = defaultdict(set)
    for run in runs:
        if run.status == "completed":
            epochs = [epoch.model_dump(exclude={"seconds"}) for epoch in run.history]
            found = json_text([epochs, {which: record.model_dump() for which, record in run.test.items()}])
            groups[json_text([run.config, run.device, run.data_digest])].append(found)
            seeds[found].add(run.seed)
    pairs = [same for same in groups.values() if len(same) > 1]
    if not pairs:
        return [Text("No seed has two completed runs, so nothing can be said of reproducibility.")]
    equal = sum(len(set(same)) == 1 for same in pairs)
    what = "in the losses and figures of every epoch and on the test set"
    verdict = f"Repeated with the same seed: {equal} of {len(pairs)} equal to the last bit, {what}"
    shared = [found for found in seeds.values() if len(found) > 1]
    n_seeds = len({run.seed for run in runs if run.status == "completed"})
    others = "one seed only, so nothing is compared" if n_seeds == 1 else "all of them differ"
    if shared:
        others = "; ".join(f"seeds {', '.join(map(str, sorted(same)))} give the same" for same in shared)
    return [Text(f"{verdict}. Other seeds: {others}."), *([] if equal == len(pairs) else [_UNEQUAL])]


_UNEQUAL = Text("The same settings, data, device and seed gave different figures: training is not reproducible.", True)


def _devices(entries: list[Entry]) -> list[Block]:
    """The times of the devices, or that there was none to compare."""
    done = [entry for entry in entries if entry.completed]
    missing = [entry for entry in entries if not entry.completed and entry.runs]
    texts = [
        f"{entry.name}: device {entry.runs[0].device} could not be used here, so no time is compared. "
        f"The reason: {entry.runs[0].reason or entry.runs[0].status}."
        for entry in missing
    ]
    for other in done[1:]:
        first, second = done[0].values(seconds_of), other.values(seconds_of)
        if common := sorted(first.keys() & second.keys()):
            means = [statistics.fmean(values[seed] for seed in common) for values in (first, second)]
            texts.append(
                f"{done[0].name} {means[0]:.1f} s, {other.name} {means[1]:.1f} s, over "
                f"{_count(len(common), 'common seed')}: {other.name} takes {means[1] - means[0]:+.1f} s, "
                f"{means[1] / means[0]:.2f} times as long."
            )
    return [Text(text) for text in texts]


def _of_classes(study: Study, best: Entry) -> list[Block]:
    """Per-class figures and confusion matrix of the best entry."""
    classes = best.completed[0].classes
    matrices = [np.array(run.test[best.which].confusion_matrix) for run in best.completed if run.classes == classes]
    scores = [per_class(matrix, classes) for matrix in matrices]
    rows = [["class", "precision", "recall", "F1", "support"]]
    for name in classes:
        rows.append(
            [
                name,
                spread_text([each[name]["precision"] for each in scores]),
                spread_text([each[name]["recall"] for each in scores]),
                spread_text([each[name]["f1"] for each in scores]),
                str(scores[0][name]["support"]),
            ]
        )
    total: Any = sum(matrices)
    pairs = [(i, j) for i in range(len(classes)) for j in range(len(classes)) if i != j]
    said = max(pairs, key=lambda pair: total[pair] / max(1, total[pair[0]].sum()), default=(0, 0))
    share = total[said] / max(1, total[said[0]].sum())
    most = f"The most frequent error: {share:.0%} of {classes[said[0]]} is taken for {classes[said[1]]}."
    return [
        Heading(3, f"By class: {best.name}, the best by validation"),
        Table(f"{study.name}: test figures by class, {best.name}", rows),
        Picture(
            f"{study.name}-confusion.png",
            figures.confusion(total, classes),
            f"Confusion matrix of {best.name} on the test set, over {_count(len(matrices), 'seed')}: counts, and "
            f"shares of the row. {most}",
            f"Confusion matrix of {best.name}. {most}",
        ),
    ]


def _of_epochs(study: Study, entries: list[Entry]) -> list[Block]:
    """Loss curves, and the learning rate's traces where a scheduler moves it."""
    shown = {
        entry.name + (" (diverged)" if any(run.status == "diverged" for run in entry.runs) else ""): [
            ([epoch.train_loss for epoch in run.history], [epoch.val_loss for epoch in run.history])
            for run in entry.runs
            if run.history
        ]
        for entry in entries
    }
    shown = {name: curves for name, curves in shown.items() if curves}
    if not shown:
        return []
    blocks: list[Block] = [
        Heading(3, "By epoch"),
        Picture(
            f"{study.name}-losses.png",
            figures.loss_curves(shown),
            "Loss of train (solid) and validation (dashed) by epoch, a line for each seed. The train loss is the mean "
            "during the epoch, with dropout on, the validation loss that after it. The axis need not begin at zero, "
            "and may end below the highest losses.",
            f"Curves of train and validation loss over the epochs: {', '.join(shown)}.",
        ),
    ]
    if any(run.config.get("scheduler") for entry in entries for run in entry.runs):
        rates = {e.name: [epoch.lr for epoch in e.runs[0].history] for e in entries if e.runs and e.runs[0].history}
        blocks.append(
            Picture(
                f"{study.name}-rates.png",
                figures.rate_traces(rates),
                "The learning rate that each epoch began with, of the first seed. OneCycleLR and CyclicLR change it "
                "with every batch.",
                "Learning rate over the epochs, from the first to the last: "
                + ", ".join(f"{name} {trace[0]:.2g} to {trace[-1]:.2g}" for name, trace in rates.items()),
            )
        )
    return blocks


def _of_changes(study: Study, entries: list[Entry]) -> list[Block]:
    """Time against performance, and the gap between the losses, where the variants change these."""
    done = [entry for entry in entries if entry.completed]
    blocks: list[Block] = []
    if _changes_time(entries):
        points = {e.name: (list(e.values(seconds_of).values()), list(e.values(f1_of).values())) for e in done}
        blocks += [
            Heading(3, "Time and performance"),
            Picture(
                f"{study.name}-time.png",
                figures.time_performance(points),
                "Macro F1 on the test set over the seconds of training: each seed (hollow) and their mean (filled).",
                "Time and macro F1, mean over seeds: "
                + ", ".join(f"{e.name} {mean_of(e, seconds_of):.1f} s, {mean_of(e, f1_of):.3f}" for e in done),
            ),
        ]
    if _changes_gap(entries) and done:
        last = [(e.name, [run.history[-1] for run in e.completed]) for e in done]
        losses = {
            name: (statistics.fmean(x.train_loss for x in epochs), statistics.fmean(x.val_loss for x in epochs))
            for name, epochs in last
        }
        blocks += [
            Heading(3, "The gap between train and validation loss"),
            Picture(
                f"{study.name}-gap.png",
                figures.gaps(losses),
                "Train and validation loss of the last epoch, mean over seeds; the bar is the gap. Dropout is on while "
                "the train loss is taken, which raises it.",
                "Train and validation loss: "
                + ", ".join(f"{name} {train:.3f} and {val:.3f}" for name, (train, val) in losses.items()),
            ),
        ]
    return blocks


def _changes_time(entries: Iterable[Entry]) -> bool:
    """Whether batch size, patience or device set the entries apart, two of which completed."""
    done = [(entry, run) for entry in entries for run in entry.completed]
    apart = {(run.config.get("batch_size"), run.config.get("patience"), run.device) for _, run in done}
    return len(apart) > 1


def _changes_gap(entries: Iterable[Entry]) -> bool:
    """Whether weight decay or dropout set the entries apart."""
    configs = [run.config for entry in entries for run in entry.runs]
    apart = {(c.get("model", {}).get("dropout"), c.get("optimizer", {}).get("weight_decay")) for c in configs}
    return len(apart) > 1


def _melgrams(data: Path, runs: Sequence[Run]) -> list[Block]:
    """A random melgram of each class of the training set (spec 2.1)."""
    train = load_split(data, "train", "melgrams")
    rng = np.random.default_rng(0)
    samples = {str(name): train.X[rng.choice(np.flatnonzero(train.labels == name))] for name in np.unique(train.labels)}
    found = digest(data, "melgrams")[:12]
    known = _digests(runs).get("melgrams", [])
    flags = [Text(f"These are other data ({found}) than the results' ({', '.join(known)}).", flag=True)]
    return [
        Heading(2, "2.1 melgrams", "2-1"),
        *(flags if known and found not in known else []),
        Picture(
            "melgrams.png",
            figures.melgrams(samples),
            f"A random melgram of each class from the training set (data digest {found}): one second, 21 steps of time "
            "by 128 mel bands, in dB below its loudest.",
            f"A melgram of each class: {', '.join(samples)}.",
        ),
    ]
