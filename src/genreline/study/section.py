"""The section of a report on one study. Read `study_section` first.

The tables and figures of a study follow from what its variants change, not from its name. Every selection is made by
validation.
"""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from genreline.files import json_text
from genreline.study import plots
from genreline.study.page import Page, count_text
from genreline.study.records import RunRecord, digests_of
from genreline.study.spec import Study, Variant
from genreline.study.stats import (
    MIN_SEEDS,
    Metric,
    VariantResult,
    Verdict,
    accuracy_of,
    at_common_seeds,
    best_entry,
    compare,
    entries_of,
    epochs_of,
    f1_of,
    gap_of,
    mean_of,
    repeated,
    spearman,
    spread_text,
    timer_of,
    val_f1_of,
)
from genreline.train.metrics import per_class

Pairs = dict[str, tuple[float, float]]
"""For each variant by name: the published figure, and the one found here."""


_OF_TRAIN_LOSS = ("augment", "augmentation", "label_smoothing", "class_balance", "source_balance", "distillation")


def study_heading(study: Study) -> str:
    """The heading of a study's section, which the report's contents link to."""
    return f"{study.step} {study.name}"


def study_section(study: Study, runs: Sequence[RunRecord], flags: Iterable[str]) -> Page:
    """The section of a study, without its heading.

    Args:
        runs, flags: the runs that count, and warnings for the reader, from `records.select_runs`.
    """
    page = Page()
    page.text(f"Question: {study.question}")
    page.text(f"Starts from: {study.starts_from}")
    if study.peers:
        page.text(f"Published: {study.peers}")
    if not runs:
        page.text("No result is of this study as recorded.")
        return page
    page.text(f"Made of: {_made_of(runs)}.")
    for flag in flags:
        page.flag(flag)
    entries = entries_of(study, runs)
    if entries[0].setting:
        firsts = [entry for entry in entries if entry.setting == entries[0].setting]
        alike = at_common_seeds(entries)
        by_variant = [[entry for entry in alike if entry.variant_id == variant.id] for variant in study.variants]
        entries = [best_entry(same) for same in by_variant]
        page.heading(3, f"All at {firsts[0].setting}")
        _table(page, study, firsts, "at the same setting")
        page.heading(3, "Each at its own best setting")
        _grid(page, study, by_variant)
        _table(page, study, entries, "each at its best setting", published=False)
    else:
        _table(page, study, entries, "by variant")
    if study.repeats:
        _reproducibility(page, runs)
    best = best_entry(entries)
    if best.completed:
        _of_classes(page, study, best)
    curves = entries if entries[0].which == "best" else [VariantResult(study.variants[0].name, entries[0].runs)]
    _of_epochs(page, study, curves)
    _of_changes(page, study, entries)
    return page


def _made_of(runs: Sequence[RunRecord]) -> str:
    """How many runs, of which commits, on which data, in a line."""
    commits = ", ".join(sorted({run.versions.get("commit", "unknown") for run in runs}))
    data = "; ".join(f"{kind} {', '.join(found)}" for kind, found in digests_of(runs).items())
    return f"{count_text(len(runs), 'run')} at commit {commits} on {data}"


def _table(page: Page, study: Study, entries: list[VariantResult], caption: str, published: bool = True) -> None:
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
        "epochs": _epochs_text,
        "seconds": lambda entry: spread_text(entry.values(timer_of(study)).values(), 1),
        "timed": lambda entry: _clocks(study, entry),
        "at once": _side_by_side,
        "status": _status,
    }
    if len({entry.setting for entry in entries}) == 1:
        del columns["setting"]
    if not _changes_gap(entries):
        del columns["loss gap"]
    rows = [["variant", *columns], *([entry.name, *(cell(entry) for cell in columns.values())] for entry in entries)]
    if study.layout == "columns":
        rows = [list(row) for row in zip(*rows, strict=True)]
    page.table(f"{study.name}: test accuracy and macro F1, {caption}", rows)
    page.items(_comment(study, entries))
    if study.compares_devices:
        _devices(page, study, entries)
    if published:
        _published(page, study, entries)


def _clocks(study: Study, entry: VariantResult) -> str:
    """The clocks that measured the seconds of its runs (`timer_of`)."""
    wall = [study.compares_devices or math.isnan(run.processor_seconds) for run in entry.completed]
    clocks = sorted({"wall" if each else "processor" for each in wall})
    return ", ".join(clocks) or "-"


def _side_by_side(entry: VariantResult) -> str:
    """How many runs were made at the same time."""
    numbers = sorted({run.n_parallel or 0 for run in entry.completed})
    return ", ".join(str(number) if number else "unknown" for number in numbers) or "-"


def _epochs_text(entry: VariantResult) -> str:
    numbers = entry.values(epochs_of).values()
    return f"{min(numbers):.0f}" if len(set(numbers)) == 1 else spread_text(numbers, 1)


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


def _comment(study: Study, entries: list[VariantResult]) -> list[str]:
    """The findings in words."""
    best = best_entry(entries)
    if not best.completed:
        return ["No run completed, so there is nothing to compare."]
    items = [_of_best(entries, best)]
    baseline = entries[next((i for i, variant in enumerate(study.variants) if not variant.settings), 0)]
    reference, role = (baseline, "the baseline") if baseline.completed else (best, "the best by validation")
    if not study.repeats:
        items += _differences(entries, reference, role, f1_of, "Macro F1")
    if _changes_gap(entries):
        items += _differences(entries, reference, role, gap_of, "The gap between validation and train loss")
    if _changes_time(entries):
        seconds = timer_of(study)
        items += _differences(entries, reference, role, seconds, "Time", " s", 1)
        fast, slow = (pick(filter(_done, entries), key=lambda e: mean_of(e, seconds)) for pick in (min, max))
        ratio = mean_of(slow, seconds) / mean_of(fast, seconds)
        in_one_run = min(len(fast.completed), len(slow.completed)) == 1
        if not study.compares_devices:  # `_devices` says it of their common seeds
            items.append(
                f"Fastest{' in this run' if in_one_run else ''}: {fast.name}; slowest: {slow.name}, which took "
                f"{ratio:.1f} times as long."
            )
    if degenerate := [entry.name for entry in entries if entry.completed and _predicts_one_class(entry)]:
        items.append(f"Learned nothing, one class for every sample in every completed run: {', '.join(degenerate)}.")
    if bad := [entry for entry in entries if any(run.status != "completed" for run in entry.runs)]:
        reasons = [", ".join([_status(e), *sorted({run.reason for run in e.runs if run.reason})]) for e in bad]
        why = "; ".join(f"{_full_name(entry)} ({reason})" for entry, reason in zip(bad, reasons, strict=True))
        items.append(f"Did not complete every run: {why}.")
    return items


def _of_best(entries: list[VariantResult], best: VariantResult) -> str:
    """The best variant, the uncertainty of its figure, and the distance to the second best."""
    size = sum(map(sum, best.completed[0].test[best.which].confusion_matrix))
    share = mean_of(best, accuracy_of)
    text = (
        f"Best by validation: {_full_name(best)}, test macro F1 {spread_text(best.values(f1_of).values())}, accuracy "
        f"{spread_text(best.values(accuracy_of).values())}. {size} independent test samples leave such an accuracy "
        f"uncertain by ±{1.96 * math.sqrt(share * (1 - share) / size):.3f} (95%); seconds of one track are not "
        "independent, so it is more."
    )
    others = [entry for entry in entries if entry is not best and entry.completed]
    if not others:
        return text
    second = best_entry(others)
    if second.which != best.which:  # of one run, the best snapshot is chosen by these very figures
        return text
    (verdict,) = compare([best], second, val_f1_of)
    behind = f"{_full_name(second)} is second, {abs(verdict.difference):.3f} of validation macro F1 behind"
    if verdict.difference < 0:
        behind = f"{_full_name(second)} is {-verdict.difference:.3f} of validation macro F1 ahead, but of fewer seeds"
    if not verdict.n:
        return f"{text} {_full_name(second)} is second; they have no seed in common."
    if verdict.difference == 0:
        return f"{text} {_full_name(second)} has the same validation macro F1."
    if verdict.n < MIN_SEEDS:
        return f"{text} {behind} {_over(verdict.n)}."
    beyond = "more than" if verdict.claimed else "no more than"
    return f"{text} {behind}: {beyond} the spread between seeds explains ({_p_text(verdict.p)})."


def _full_name(entry: VariantResult) -> str:
    return f"{entry.name} ({entry.setting})" if entry.setting else entry.name


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
    """Which differences from the reference exceed the spread between seeds, and how large those are that few seeds
    leave open."""
    verdicts = compare(entries, reference, metric)
    tested = [verdict for verdict in verdicts if verdict.n >= MIN_SEEDS]
    few = sorted((v for v in verdicts if 0 < v.n < MIN_SEEDS), key=lambda v: -v.difference)
    against = f"{noun} against {reference.name} ({role})"

    def named(chosen: Iterable[Verdict]) -> str:
        shown = sorted(chosen, key=lambda verdict: -verdict.difference)
        return ", ".join(f"{v.name} ({v.difference:+.{digits}f}{unit}, {_p_text(v.p)})" for v in shown)

    items = []
    if tested:
        groups = {
            "higher, beyond the spread between seeds": [v for v in tested if v.claimed and v.difference > 0],
            "lower, beyond the spread between seeds": [v for v in tested if v.claimed and v.difference < 0],
            "no difference beyond the spread between seeds": [v for v in tested if not v.claimed],
        }
        test = f"paired t-test, Holm's correction for {count_text(len(tested), 'comparison')}"
        found = "; ".join(f"{words}: {named(chosen)}" for words, chosen in groups.items() if chosen)
        items.append(f"{against}, {test}: {found}.")
    if few:
        n = max(verdict.n for verdict in few)
        parts = [f"{v.name} ({v.difference:+.{digits}f}{unit})" for v in few]
        if len(parts) > 6:
            parts = [*parts[:3], "...", *parts[-3:]]
        items.append(f"{against}, {_over(n)}, from the highest to the lowest: {', '.join(parts)}.")
    return items


def _over(n_seeds: int) -> str:
    return "in this run" if n_seeds == 1 else f"over {n_seeds} seeds, too few for a test"


def _p_text(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _published(page: Page, study: Study, entries: list[VariantResult]) -> None:
    """The figures found here next to published ones, and the study's explanation of the differences."""

    def pairs(published: Callable[[Variant], Sequence[float]], metric: Metric, which: str = "best") -> Pairs:
        found = {}
        for variant in study.variants:
            same = [e for e in entries if e.variant_id == variant.id and e.which == which and e.completed]
            if published(variant) and same:
                found[variant.name] = (statistics.fmean(published(variant)), mean_of(best_entry(same), metric))
        return found

    figures, items = Page(), []
    for noun, found in (
        ("Macro F1", pairs(lambda variant: variant.published_f1, f1_of)),
        ("Macro F1 after the last epoch", pairs(lambda variant: variant.published_last_f1, f1_of, "last")),
        ("Accuracy", pairs(lambda variant: variant.published_accuracy, accuracy_of)),
    ):
        if len(found) > 3:
            rows = [
                [name, f"{theirs:.3f}", f"{ours:.3f}", f"{ours - theirs:+.3f}"]
                for name, (theirs, ours) in found.items()
            ]
            caption = f"{study.name}: {noun} as published (the mean, where there are several) and here"
            figures.table(caption, [["variant", "published", "here", "difference"], *rows])
        items += _contrast(noun, found)
    items += _contrast_of_times(pairs(lambda variant: variant.published_seconds, timer_of(study)))
    items += _contrast_of_ranges(study, entries)
    if items:
        page.heading(3, "Beside the published figures")
        page.extend(figures)
        page.items([*items, *([f"Why they differ: {study.differs}"] if study.differs else [])])


def _contrast(noun: str, pairs: Pairs) -> list[str]:
    """How figures from 0 to 1 compare with the published ones: their level, and their differences or their order."""
    if not pairs:
        return []
    changes = [ours - theirs for theirs, ours in pairs.values()]
    if len(pairs) > 3:
        order = spearman(*zip(*pairs.values(), strict=True))
        return [
            f"{noun} here is {_by(statistics.fmean(changes))} than published on average over {len(pairs)} variants "
            f"({min(changes):+.3f} to {max(changes):+.3f}). Spearman's rank correlation of the two orders is "
            f"{order:.2f}: 1 would be the same order, 0 unrelated ones."
        ]
    listed = ", ".join(f"{name} {theirs:.3f} and {ours:.3f}" for name, (theirs, ours) in pairs.items())
    text = f"{noun} as published (the mean, where there are several) and here: {listed}."
    if len(pairs) == 1:
        return [f"{text} Here it is {_by(changes[0])}."]
    (first, (their_base, our_base)), *others = pairs.items()
    effects = "; ".join(
        f"{name} {theirs - their_base:+.3f} and {ours - our_base:+.3f}" for name, (theirs, ours) in others
    )
    return [
        f"{text} Here they are {_by(statistics.fmean(changes))} on average ({min(changes):+.3f} to "
        f"{max(changes):+.3f}). Against {first}, published and here: {effects}."
    ]


def _contrast_of_times(pairs: Pairs) -> list[str]:
    """How times compare with the published ones: by their ratios, since machines differ."""
    if not pairs:
        return []
    listed = ", ".join(f"{name} {theirs:.1f} and {ours:.1f}" for name, (theirs, ours) in pairs.items())
    text = f"Seconds as published (the mean, where there are several) and here: {listed}."
    slow, fast = (pick(pairs, key=lambda name: pairs[name][0]) for pick in (max, min))
    theirs, ours = (pairs[slow][i] / pairs[fast][i] for i in (0, 1))
    return [f"{text} {slow} takes {theirs:.1f} times as long as {fast} as published, {ours:.1f} times here."]


def _contrast_of_ranges(study: Study, entries: list[VariantResult]) -> list[str]:
    """The range over the variants, where only that was published."""
    done = [entry for entry in entries if entry.completed]
    if not study.published_f1_ranges or len(done) < 2:
        return []
    theirs = " and ".join(f"{high - low:.3f}" for low, high in study.published_f1_ranges)
    means = [mean_of(entry, f1_of) for entry in done]
    n_seeds = min(len(entry.completed) for entry in done)
    return [
        f"From the lowest to the highest of the variants, macro F1 differs by {theirs} as published, by "
        f"{max(means) - min(means):.3f} here ({'one run each' if n_seeds == 1 else 'means over seeds'})."
    ]


def _by(difference: float) -> str:
    return f"{abs(difference):.3f} {'higher' if difference > 0 else 'lower'}"


def _predicts_one_class(entry: VariantResult) -> bool:
    matrices = [np.array(run.test[entry.which].confusion_matrix) for run in entry.completed]
    return all(np.count_nonzero(matrix.sum(axis=0)) == 1 for matrix in matrices)


def _grid(page: Page, study: Study, by_variant: list[list[VariantResult]]) -> None:
    """The validation figures by which each variant's setting is chosen."""
    rows = [["variant", *(entry.setting for entry in by_variant[0])]]
    rows += [[same[0].name, *(spread_text(entry.values(val_f1_of).values()) for entry in same)] for same in by_variant]
    page.table(f"{study.name}: validation macro F1 of each setting, by which the best is chosen", rows)


def _reproducibility(page: Page, runs: Sequence[RunRecord]) -> None:
    """Whether runs of the same settings and seed are equal to the last bit, and those of other seeds are not."""
    found = repeated(runs)
    if not found.n_pairs:
        page.text("No seed has two completed runs, so nothing can be said of reproducibility.")
        return
    others = "one seed only, so nothing is compared" if found.n_seeds == 1 else "all of them differ"
    if found.alike:
        others = "; ".join(f"seeds {', '.join(map(str, seeds))} give the same" for seeds in found.alike)
    page.text(
        f"Repeated with the same seed: {found.n_equal} of {found.n_pairs} equal to the last bit, in the losses and "
        f"figures of every epoch and on the test set. Other seeds: {others}."
    )
    if found.n_equal < found.n_pairs:
        page.flag("The same settings, data, device and seed gave different figures: training is not reproducible.")


def _devices(page: Page, study: Study, entries: list[VariantResult]) -> None:
    """The times of the devices, or the note that a device was missing."""
    for entry in entries:
        if not entry.completed:
            page.text(
                f"{entry.name}: not measured, because there was no such device; the same command fills it in on a "
                "machine that has one."
            )
    done = [entry for entry in entries if entry.completed]
    for other in done[1:]:
        first, second = done[0].values(timer_of(study)), other.values(timer_of(study))
        if common := sorted(first.keys() & second.keys()):
            means = [statistics.fmean(values[seed] for seed in common) for values in (first, second)]
            page.text(
                f"{done[0].name} {means[0]:.1f} s, {other.name} {means[1]:.1f} s, over "
                f"{count_text(len(common), 'common seed')}: {other.name} takes {abs(means[1] - means[0]):.1f} s "
                f"{'more' if means[1] > means[0] else 'less'}, {means[1] / means[0]:.2f} times as long."
            )


def _of_classes(page: Page, study: Study, best: VariantResult) -> None:
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
    page.heading(3, f"By class: {best.name}, the best by validation")
    page.table(f"{study.name}: test figures by class, {best.name}", rows)
    page.picture(
        f"{study.name}-confusion.png",
        plots.confusion(total, classes),
        f"Confusion matrix of {best.name} on the test set, over {count_text(len(matrices), 'seed')}: counts, and "
        f"shares of the row. {most}",
        f"Confusion matrix of {best.name}. {most}",
    )


def _of_epochs(page: Page, study: Study, entries: list[VariantResult]) -> None:
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
        return
    page.heading(3, "By epoch")
    page.picture(
        f"{study.name}-losses.png",
        plots.loss_curves(shown),
        "Loss of train (solid) and validation (dashed) by epoch, a line for each seed. The train loss is the mean "
        "during the epoch, with dropout on, the validation loss that after it. The axis need not begin at zero, and "
        "may end below the highest losses.",
        f"Curves of train and validation loss over the epochs: {', '.join(shown)}.",
    )
    if any(run.config.get("scheduler") for entry in entries for run in entry.runs):
        rates = {e.name: [epoch.lr for epoch in e.runs[0].history] for e in entries if e.runs and e.runs[0].history}
        page.picture(
            f"{study.name}-rates.png",
            plots.rate_traces(rates),
            "The learning rate that each epoch began with, of the first seed. OneCycleLR and CyclicLR change it with "
            "every batch.",
            "Learning rate over the epochs, from the first to the last: "
            + ", ".join(f"{name} {trace[0]:.2g} to {trace[-1]:.2g}" for name, trace in rates.items()),
        )


def _of_changes(page: Page, study: Study, entries: list[VariantResult]) -> None:
    """Time against performance, and the gap between the losses, where the variants change these."""
    done = [entry for entry in entries if entry.completed]
    if _changes_time(entries):
        seconds = timer_of(study)
        points = {e.name: (list(e.values(seconds).values()), list(e.values(f1_of).values())) for e in done}
        page.heading(3, "Time and performance")
        page.picture(
            f"{study.name}-time.png",
            plots.time_performance(points),
            "Macro F1 on the test set over the seconds of training: each seed (hollow) and their mean (filled).",
            "Time and macro F1, mean over seeds: "
            + ", ".join(f"{e.name} {mean_of(e, seconds):.1f} s, {mean_of(e, f1_of):.3f}" for e in done),
        )
    if _changes_gap(entries) and done:
        last = [(e.name, [run.history[-1] for run in e.completed]) for e in done]
        losses = {
            name: (statistics.fmean(x.train_loss for x in epochs), statistics.fmean(x.val_loss for x in epochs))
            for name, epochs in last
        }
        page.heading(3, "The gap between train and validation loss")
        page.picture(
            f"{study.name}-gap.png",
            plots.gaps(losses),
            "Train and validation loss of the last epoch, mean over seeds; the bar is the gap. Dropout is on while the "
            "train loss is taken, which raises it.",
            "Train and validation loss: "
            + ", ".join(f"{name} {train:.3f} and {val:.3f}" for name, (train, val) in losses.items()),
        )


def _changes_time(entries: Iterable[VariantResult]) -> bool:
    """Whether batch size, patience or device set the entries apart, two of which completed."""
    done = [(entry, run) for entry in entries for run in entry.completed]
    apart = {(run.config.get("batch_size"), run.config.get("patience"), run.device) for _, run in done}
    return len(apart) > 1


def _changes_gap(entries: Iterable[VariantResult]) -> bool:
    """Whether weight decay or dropout set the entries apart, and nothing that makes their train losses two things."""
    configs = [run.config for entry in entries for run in entry.runs]
    apart = {(c.get("model", {}).get("dropout"), c.get("optimizer", {}).get("weight_decay")) for c in configs}
    objectives = {json_text([c.get(key) for key in _OF_TRAIN_LOSS]) for c in configs}
    return len(apart) > 1 and len(objectives) == 1
