"""What a report says of one study: a list of blocks (headings, texts, tables, figures). Read `section` first.

Which tables and figures a study gets follows from what its variants change, not from its name. Whatever is selected is
selected by validation.
"""

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genreline.files import json_text
from genreline.study import plots
from genreline.study.page import Block, Heading, Items, Picture, Table, Text
from genreline.study.provenance import checked, count_text, made_of
from genreline.study.records import (
    MIN_SEEDS,
    Metric,
    RunRecord,
    VariantResult,
    Verdict,
    accuracy_of,
    best_entry,
    compare,
    entries_of,
    epochs_of,
    f1_of,
    gap_of,
    load_run,
    mean_of,
    seconds_of,
    spread_text,
    val_f1_of,
)
from genreline.study.spec import Study
from genreline.train.metrics import per_class


def study_section(study: Study, results: Iterable[Path]) -> list[Block]:
    """What the report says of a study, from some of its result files; without the heading.

    Raises:
        DataError: a file that is no result, two results of the same variant and seed.
    """
    return section(study, *checked(study, [load_run(path) for path in results]))[1:]


def _anchor(name: str) -> str:
    return re.sub(r"\W+", "-", name)


def section(study: Study, runs: list[RunRecord], flags: list[str]) -> list[Block]:
    """Everything that a study has to say: its runs and what a reader must be warned of, as `checked` gives them."""
    entries = entries_of(study, runs)
    blocks: list[Block] = [
        Heading(2, f"{study.step} {study.name}", _anchor(study.name)),
        Text(f"Question: {study.question}"),
        Text(f"Starts from: {study.starts_from}"),
        *([Text(f"Peers: {study.peers}")] if study.peers else []),
        Text(f"Made of: {made_of(runs)}."),
        *(Text(flag, flag=True) for flag in flags),
    ]
    if entries[0].setting:
        by_variant = [[entry for entry in entries if entry.variant_id == variant.id] for variant in study.variants]
        firsts, entries = [same[0] for same in by_variant], [best_entry(same) for same in by_variant]
        blocks += [Heading(3, f"All at {firsts[0].setting}"), *_table(study, firsts, "at the same setting")]
        blocks += [Heading(3, "Each at its own best setting"), _grid(study, by_variant)]
        blocks += _table(study, entries, "each at its best setting")
    else:
        blocks += _table(study, entries, "by variant")
    if _repeats(study):
        blocks += _reproducibility(runs)
    if study.compares_devices:
        blocks += _devices(entries)
    best = best_entry(entries)
    if best.completed:
        blocks += _of_classes(study, best)
    curves = entries if entries[0].which == "best" else [VariantResult(study.variants[0].name, entries[0].runs)]
    return blocks + _of_epochs(study, curves) + _of_changes(study, entries)


def _table(study: Study, entries: list[VariantResult], caption: str) -> list[Block]:
    """The figures of the entries in the study's orientation, and the comment on them."""
    columns: dict[str, Callable[[VariantResult], str]] = {
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


def _status(entry: VariantResult) -> str:
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


def _comment(study: Study, entries: list[VariantResult]) -> list[Block]:
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
    baseline = entries[next((i for i, variant in enumerate(study.variants) if not variant.settings), 0)]
    reference, role = (baseline, "the baseline") if baseline.completed else (best, "the best by validation")
    if not _repeats(study):
        items += _differences(entries, reference, role, f1_of, "Macro F1")
    if _changes_gap(entries):
        items += _differences(entries, reference, role, gap_of, "The gap between validation and train loss")
    if _changes_time(entries):
        items += _differences(entries, reference, role, seconds_of, "Time", " s", 1)
        fast, slow = (pick(filter(_done, entries), key=lambda e: mean_of(e, seconds_of)) for pick in (min, max))
        ratio = mean_of(slow, seconds_of) / mean_of(fast, seconds_of)
        items.append(f"Fastest: {fast.name}; slowest: {slow.name}, which took {ratio:.1f} times as long.")
    if degenerate := [entry.name for entry in entries if entry.completed and _says_one_class(entry)]:
        items.append(f"Learned nothing, one class for every sample in every completed run: {', '.join(degenerate)}.")
    if bad := [entry for entry in entries if any(run.status != "completed" for run in entry.runs)]:
        reasons = [", ".join([_status(e), *sorted({run.reason for run in e.runs if run.reason})]) for e in bad]
        why = "; ".join(f"{entry.name} ({reason})" for entry, reason in zip(bad, reasons, strict=True))
        items.append(f"Did not complete every run: {why}.")
    return [Items(items)]


def _repeats(study: Study) -> bool:
    return any(variant.repeat for variant in study.variants)


def _done(entry: VariantResult) -> bool:
    return bool(entry.completed)


def _differences(
    entries: list[VariantResult],
    reference: VariantResult,
    role: str,
    metric: Metric,
    noun: str,
    unit: str = "",
    digits: int = 3,
) -> list[str]:
    """Which differences from the reference exceed the spread between seeds, which do not, which cannot be tested."""
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
    test = f"paired t-test, Holm's correction for {count_text(len(tested), 'comparison')}"
    found = "; ".join(f"{words}: {named(chosen)}" for words, chosen in groups.items() if chosen)
    few = [verdict.name for verdict in verdicts if verdict.n < MIN_SEEDS]
    unclear = f"; fewer than {MIN_SEEDS} common seeds, so nothing can be claimed: {', '.join(few)}" if few else ""
    return [f"{against}, {test}: {found}{unclear}."]


def _p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _says_one_class(entry: VariantResult) -> bool:
    matrices = [np.array(run.test[entry.which].confusion_matrix) for run in entry.completed]
    return all(np.count_nonzero(matrix.sum(axis=0)) == 1 for matrix in matrices)


def _grid(study: Study, by_variant: list[list[VariantResult]]) -> Table:
    """The validation figures by which each variant's setting is chosen."""
    rows = [["variant", *(entry.setting for entry in by_variant[0])]]
    rows += [[same[0].name, *(spread_text(entry.values(val_f1_of).values()) for entry in same)] for same in by_variant]
    return Table(f"{study.name}: validation macro F1 of each setting, by which the best is chosen", rows)


def _reproducibility(runs: Sequence[RunRecord]) -> list[Block]:
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


def _devices(entries: list[VariantResult]) -> list[Block]:
    """The times of the devices, or that there was none to compare."""
    done = [entry for entry in entries if entry.completed]
    texts = [
        f"{entry.name}: not measured, because there was no such device; the same command fills it in on a machine "
        "that has one."
        for entry in entries
        if not entry.completed
    ]
    for other in done[1:]:
        first, second = done[0].values(seconds_of), other.values(seconds_of)
        if common := sorted(first.keys() & second.keys()):
            means = [statistics.fmean(values[seed] for seed in common) for values in (first, second)]
            texts.append(
                f"{done[0].name} {means[0]:.1f} s, {other.name} {means[1]:.1f} s, over "
                f"{count_text(len(common), 'common seed')}: {other.name} takes {means[1] - means[0]:+.1f} s, "
                f"{means[1] / means[0]:.2f} times as long."
            )
    return [Text(text) for text in texts]


def _of_classes(study: Study, best: VariantResult) -> list[Block]:
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
            plots.confusion(total, classes),
            f"Confusion matrix of {best.name} on the test set, over {count_text(len(matrices), 'seed')}: counts, and "
            f"shares of the row. {most}",
            f"Confusion matrix of {best.name}. {most}",
        ),
    ]


def _of_epochs(study: Study, entries: list[VariantResult]) -> list[Block]:
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
            plots.loss_curves(shown),
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
                plots.rate_traces(rates),
                "The learning rate that each epoch began with, of the first seed. OneCycleLR and CyclicLR change it "
                "with every batch.",
                "Learning rate over the epochs, from the first to the last: "
                + ", ".join(f"{name} {trace[0]:.2g} to {trace[-1]:.2g}" for name, trace in rates.items()),
            )
        )
    return blocks


def _of_changes(study: Study, entries: list[VariantResult]) -> list[Block]:
    """Time against performance, and the gap between the losses, where the variants change these."""
    done = [entry for entry in entries if entry.completed]
    blocks: list[Block] = []
    if _changes_time(entries):
        points = {e.name: (list(e.values(seconds_of).values()), list(e.values(f1_of).values())) for e in done}
        blocks += [
            Heading(3, "Time and performance"),
            Picture(
                f"{study.name}-time.png",
                plots.time_performance(points),
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
                plots.gaps(losses),
                "Train and validation loss of the last epoch, mean over seeds; the bar is the gap. Dropout is on while "
                "the train loss is taken, which raises it.",
                "Train and validation loss: "
                + ", ".join(f"{name} {train:.3f} and {val:.3f}" for name, (train, val) in losses.items()),
            ),
        ]
    return blocks


def _changes_time(entries: Iterable[VariantResult]) -> bool:
    """Whether batch size, patience or device set the entries apart, two of which completed."""
    done = [(entry, run) for entry in entries for run in entry.completed]
    apart = {(run.config.get("batch_size"), run.config.get("patience"), run.device) for _, run in done}
    return len(apart) > 1


def _changes_gap(entries: Iterable[VariantResult]) -> bool:
    """Whether weight decay or dropout set the entries apart."""
    configs = [run.config for entry in entries for run in entry.runs]
    apart = {(c.get("model", {}).get("dropout"), c.get("optimizer", {}).get("weight_decay")) for c in configs}
    return len(apart) > 1
