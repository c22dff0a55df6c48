"""The commands of study/: many models become an answer."""

import math
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genreline.cli.options import Backend, RayAddress, Where
from genreline.cli.terminal import print_table, progress_bar
from genreline.errors import ConfigError

if TYPE_CHECKING:
    from genreline.study.search import SearchFile


def study(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME|FILE...", help="Studies that ship, or files.")
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="A dataset in the course layout.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where results are kept.")] = Path("studies"),
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Runs of each variant, each with its own seed (default: the study's).")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes side by side, one thread each.")] = 2,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each run (default: the study's).")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    backend: Where = Backend.processes,
    ray_address: RayAddress = None,
    show: Annotated[bool, typer.Option("--list", help="Print the studies that ship.")] = False,
    missing: Annotated[bool, typer.Option("--missing", help="Only print how many runs are missing.")] = False,
) -> None:
    """Run what is missing from a study and print its table; an interrupted study continues where it stopped."""
    from genreline.study.spec import load_study, shipped_studies

    if show:
        shipped = [load_study(path) for path in shipped_studies().values()]
        print_table(
            ["study", "step", "runs", "seeds", "question"],
            [[s.name, s.step, s.n_runs, s.seeds, s.question] for s in shipped],
        )
        return
    if not names or not data:
        raise ConfigError(
            "study: name a study (NAME or FILE) and a dataset (--data DIR); `genreline study --list` prints the studies"
        )
    from rich.markup import escape

    from genreline.study.records import progress_of
    from genreline.study.runner import COLUMNS, jobs_of, run_study, without_device, write_study, write_table
    from genreline.study.search import SearchFile, load_search
    from genreline.train.loop import check_device

    check_device(device)
    n_usable = 0
    table: list[list[object]] = []
    plans = [load_search(name) or load_study(name) for name in names]
    for name, plan in zip(names, plans, strict=True):
        if [each.name for each in plans].count(plan.name) > 1:
            raise ConfigError(f"{name}: there are two of this name, whose results would share a folder; rename one")
        if missing and isinstance(plan, SearchFile):
            raise ConfigError(f"{name}: --missing counts the runs of studies; a search says it while it is at work")
    for plan in plans:
        if isinstance(plan, SearchFile):
            search = plan
            if seeds:
                search = search.model_copy(update={"search": search.search.model_copy(update={"seeds": seeds})})
            _search(search, data, out, jobs, epochs, device, backend, ray_address)
            n_usable += 1
            continue
        todo = jobs_of(plan, data, out, seeds, epochs, device)
        absent = without_device(todo)
        for variant in dict.fromkeys(job.point.variant.name for job in absent):
            typer.echo(f"{plan.name}: {variant} is left out, because torch has no such device here")
        todo = [job for job in todo if job not in absent]
        if not todo:
            continue
        if missing:
            found = progress_of(todo)
            hours = "unknown" if math.isnan(found.hours) else f"{found.hours:.1f}"
            table.append([plan.name, *found[:4], hours])
            continue
        write_study(plan, out)
        left = sum(not job.done for job in todo)
        at_once = None if backend is not Backend.processes else 1 if plan.compares_devices else jobs
        with progress_bar() as bar:
            text = _study_text(plan.name, left, at_once)
            task = bar.add_task(text, total=len(todo), completed=len(todo) - left)
            bar.advance(task, 0)  # the time left counts from now, not from the end of the first run
            with closing(run_study(todo, jobs, backend.value, ray_address)) as running:
                for job in running:
                    left -= 1
                    text = _study_text(plan.name, left, at_once)
                    text += f", done: {escape(job.point.name)}, seed {job.config.seed}"
                    bar.update(task, advance=1, description=text)
                    if not bar.console.is_terminal:  # a log file gets a line a run instead of a display
                        bar.console.print(f"{text}, {len(todo) - left} of {len(todo)} runs", soft_wrap=True)
        rows = write_table(todo)
        columns = COLUMNS[: COLUMNS.index("test_accuracy") + 1]
        print_table(columns, [[f"{r[c]:.3f}" if isinstance(r[c], float) else r[c] for c in columns] for r in rows])
        for reason in sorted({row["reason"] for row in rows} - {""}):
            typer.echo(f"failed: {reason}")
        n_usable += sum(row["status"] != "failed" for row in rows)
    if missing:
        print_table(["study", "runs", "done", "failed", "missing", "hours"], table)
        return
    if not n_usable:  # a variant that cannot run is a result; a study in which nothing ran is a failure
        raise typer.Exit(1)


def _search(
    search: "SearchFile",
    data: Path,
    out: Path,
    jobs: int,
    epochs: int | None,
    device: str,
    backend: Backend,
    ray_address: str | None,
) -> None:
    """Do a search's trials, print them from the best to the worst, and say how to train with the best settings."""
    from genreline.study.search import BEST, Trial, run_search

    def text_of(trial: Trial) -> str:
        if trial.f1_macro is None:
            return "failed"
        return f"{trial.f1_macro:.3f}" + (f" ± {trial.deviation:.3f}" if search.search.seeds > 1 else "")

    with progress_bar() as bar:
        task = bar.add_task(search.name, total=None)

        def follow(n_done: int, n: int) -> None:
            bar.update(task, completed=n_done, total=n)
            if not bar.console.is_terminal:  # a log file gets a line a run instead of a display
                bar.console.print(f"{search.name}: {n_done} of {n} runs", soft_wrap=True)

        trials = run_search(search, data, out, jobs, epochs, device, backend.value, ray_address, follow)
    trials.sort(key=lambda trial: -1.0 if trial.f1_macro is None else trial.f1_macro, reverse=True)
    keys = list(search.search.space)
    rows = [
        [i, *(_short(trial.chosen[key]) for key in keys), text_of(trial)] for i, trial in enumerate(trials, start=1)
    ]
    print_table(["", *keys, "validation macro F1"], rows)
    for reason in sorted({trial.reason for trial in trials} - {""}):
        typer.echo(f"failed: {reason}")
    typer.echo(f"next: genreline train {data} --config {out / search.name / BEST} --out MODEL")


def _short(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results, as `genreline study --out DIR` leaves them.")],
    data: Annotated[Path | None, typer.Option(metavar="DATA", help="Show a melgram of each class of it.")] = None,
) -> None:
    """Write report.html and report.md into DIR: tables, figures and comments, from the results alone."""
    from genreline.study.report import write_report

    typer.echo(f"{write_report(folder, data)}: open it in a browser; report.md has the same content")


def _study_text(study: str, left: int, at_once: int | None) -> str:
    """The progress of a study; how many runs a cluster does at once is unknown (None)."""
    return f"{study}: {left} left" if at_once is None else f"{study}: {min(at_once, left)} running"
