"""The commands of a study's journey: recordings become a dataset, a dataset a model, many models an answer."""

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genreline.cli.terminal import AsJson, complain, print_json, print_table, progress_bar
from genreline.errors import ConfigError, GenrelineError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from genreline.data.prepare import Step
    from genreline.train.loop import Epoch


class Features(StrEnum):
    """The representations of a second (assignment, Data)."""

    mfccs = "mfccs"
    melgrams = "melgrams"


class Network(StrEnum):
    """The networks of steps 1.2 and 2.4."""

    fnn = "fnn"
    cnn = "cnn"


class Backend(StrEnum):
    """Where work in parallel is done."""

    processes = "processes"
    ray = "ray"


class SetName(StrEnum):
    """The sets of a dataset."""

    train = "train"
    val = "val"
    test = "test"


Data = Annotated[Path, typer.Argument(metavar="DATA", help="A dataset folder in the course layout.")]
Where = Annotated[Backend, typer.Option("--backend", help="Processes of this machine, or a Ray cluster.")]
RayAddress = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="The cluster (default: this machine's, or a new one here).")
]


def check(data: Data, as_json: AsJson = False) -> None:
    """Print what a dataset holds and all that is wrong with it; exit 1 if anything is."""
    from genreline.data.check import check_dataset

    report = check_dataset(data)
    if as_json:
        print_json(report.to_dict())
    else:
        for kind, sets in report.sets.items():
            typer.echo(f"{kind}  (sha256 {report.digests[kind][:16]})")
            names = sorted({label for each in sets for label in each.counts})
            columns = ["set", "shape", "type", "tracks", "min", "max", "silent", "duplicates", *names]
            rows = [
                [
                    each.name,
                    " x ".join(map(str, each.shape)),
                    each.dtype,
                    "-" if each.n_tracks is None else each.n_tracks,
                ]
                + [f"{each.minimum:.4g}", f"{each.maximum:.4g}", each.silent_rows, each.duplicate_rows]
                + [each.counts.get(name, 0) for name in names]
                for each in sets
            ]
            print_table(columns, rows)
        for warning in report.warnings:
            typer.echo(f"warning: {warning}")
        for problem in report.problems:
            typer.echo(f"error: {problem}")
        typer.echo("no problems found" if not report.problems else f"{len(report.problems)} problem(s)")
    if report.problems:
        raise typer.Exit(1)


def prepare(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Folders CLASS/... or {train,val,test}/CLASS/..., or a CSV file.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The dataset folder to write.")],
    features: Annotated[str, typer.Option(metavar="KINDS", help="Separated by commas.")] = "mfccs,melgrams",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split.")] = 0,
    split: Annotated[
        str | None,
        typer.Option(metavar="N/N/N|FILE", help="Percent of train/val/test, or a file like OUT/split.csv."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad file.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes (default: one for every CPU).")] = None,
    backend: Where = Backend.processes,
    ray_address: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """Turn labelled audio into a dataset, split by artist or track; an interrupted call continues where it stopped.

    A CSV file has the columns path,label and may have artist and split; its paths are relative to it. Bad files are
    passed over and listed, and the exit code is then 1.
    """
    import os

    from genreline.data.prepare import MANIFEST, SPLIT_FILE
    from genreline.data.prepare import prepare as prepare_dataset

    kinds = [kind.strip() for kind in features.split(",") if kind.strip()]
    n_jobs = jobs or os.cpu_count() or 1
    with progress_bar() as progress:
        show = _PrepareProgress(progress)
        manifest = prepare_dataset(source, out, kinds, seed, split, strict, n_jobs, backend.value, ray_address, show)
    if as_json:
        print_json(manifest)
    else:
        names = sorted({label for each in manifest["sets"].values() for label in each["rows_by_class"]})
        rows = [
            [name, each["recordings"], each["rows"], *(each["rows_by_class"].get(label, 0) for label in names)]
            for name, each in manifest["sets"].items()
        ]
        print_table(["set", "recordings", "seconds", *names], rows)
        for same in manifest["duplicates"]:
            typer.echo(f"warning: the same recording, byte by byte: {', '.join(same)}")
        for skipped in manifest["skipped"]:
            typer.echo(f"left out: {skipped['file']}: {skipped['reason']}")
        typer.echo(f"{out}: complete, see {MANIFEST}; the split: {SPLIT_FILE}\nnext: genreline check {out}")
    if manifest["skipped"]:
        raise typer.Exit(1)


def train(
    data: Data,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The model folder to write.")],
    features: Annotated[Features | None, typer.Option(help="Input of the network (default: mfccs).")] = None,
    model: Annotated[Network | None, typer.Option(help="The assignment's fnn (default) or cnn.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="A TOML file of settings.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting, as optimizer.lr=0.01; repeatable."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the model that is in --out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train a network and keep the snapshot with the best validation macro F1.

    Options override the settings of the file, and --set overrides both. The defaults are the assignment's: SGD at
    0.002, cross-entropy, 30 epochs, batches of 16; --model cnn is the pooled and padded network of step 2.4.
    """
    from genreline.train.config import load_config

    options = [f"features={features}"] * bool(features) + [f"model.name={model}"] * bool(model)
    settings = load_config(config, [*options, *(set_ or [])])

    from genreline.data.layout import load_dataset
    from genreline.files import check_writable
    from genreline.train.checkpoint import DESCRIPTION, Model, save_model
    from genreline.train.loop import fit

    if (out / DESCRIPTION).exists() and not force:
        raise ConfigError(f"{out}: already holds a model; choose another --out, or overwrite it with --force")
    dataset = load_dataset(data, settings.features)
    check_writable(out)
    with progress_bar() as progress:
        task = progress.add_task("training", total=settings.epochs)
        progress.advance(task, 0)  # the time left counts from now, not from the end of the first epoch
        run = fit(settings, dataset, device, lambda epoch: _show_epoch(progress, task, epoch))
    trained = Model.from_fit(run, dataset)
    if run.best_epoch:
        save_model(trained, out)
    if as_json:
        print_json({"model": str(out) if run.best_epoch else None, **trained.metrics, **trained.training})
    elif run.status != "completed":
        reason = "diverged (its loss is no number)" if run.status == "diverged" else "was interrupted"
        typer.echo(f"the run {reason} after {len(run.history)} of {settings.epochs} epochs")
    if not run.best_epoch:
        complain(GenrelineError(f"{out}: no epoch had a finite loss, so no model is kept; lower optimizer.lr"))
        raise typer.Exit(1)
    val = trained.metrics["val"]
    if not as_json:
        typer.echo(
            f"{out}: the snapshot of epoch {run.best_epoch}, validation macro F1 {val['f1_macro']:.3f}, accuracy "
            f"{val['accuracy']:.3f}, loss {val['loss']:.3f}\nnext: genreline evaluate {out} {data}"
        )
    if run.status == "interrupted":
        raise typer.Exit(130)


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, or the name of one that ships.")],
    data: Data,
    split: Annotated[SetName, typer.Option(help="The set to evaluate on.")] = SetName.test,
    as_json: AsJson = False,
) -> None:
    """Print loss, macro F1, accuracy, per-class figures and the confusion matrix on a set."""
    from genreline.data.layout import load_split
    from genreline.train.checkpoint import load_model
    from genreline.train.evaluate import evaluate_model

    loaded = load_model(model)
    figures = evaluate_model(loaded, load_split(data, split.value, loaded.config.features), f"{data / split.value}")
    if as_json:
        print_json(figures)
        return
    typer.echo(f"{model} on {data / split.value}: {figures['n']} seconds")
    rows = [["by second", *(f"{figures[key]:.4f}" for key in ("loss", "f1_macro", "accuracy"))]]
    if by_track := figures.get("by_track"):
        rows.append(
            [f"by track ({by_track['n']})", *(f"{by_track[key]:.4f}" for key in ("loss", "f1_macro", "accuracy"))]
        )
    print_table(["", "loss", "macro F1", "accuracy"], rows)
    print_table(
        ["class", "precision", "recall", "F1", "support"],
        [
            [name, f"{each['precision']:.3f}", f"{each['recall']:.3f}", f"{each['f1']:.3f}", each["support"]]
            for name, each in figures["per_class"].items()
        ],
    )
    matrix = [[name, *row] for name, row in zip(loaded.classes, figures["confusion_matrix"].tolist(), strict=True)]
    print_table(["truth \\ predicted", *loaded.classes], matrix)


def study(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME|FILE...", help="Studies that ship, or files.")
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="A dataset in the course layout.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where results are kept.")] = Path("studies"),
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each variant, each with its own seed.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Processes side by side, one thread each.")] = 2,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each run (default: the study's).")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    backend: Where = Backend.processes,
    ray_address: RayAddress = None,
    show: Annotated[bool, typer.Option("--list", help="Print the studies that ship.")] = False,
) -> None:
    """Do the missing runs of a study and print its table; an interrupted study continues where it stopped."""
    from rich.markup import escape

    from genreline.study.runner import (
        COLUMNS,
        jobs_of,
        load_study,
        run_study,
        shipped_studies,
        write_study,
        write_table,
    )

    if show:
        shipped = [load_study(path) for path in shipped_studies().values()]
        print_table(["study", "step", "runs", "question"], [[s.name, s.step, s.n_runs, s.question] for s in shipped])
        return
    if not names or not data:
        raise ConfigError(
            "study: name a study (NAME or FILE) and a dataset (--data DIR); `genreline study --list` prints the studies"
        )
    n_usable = 0
    for name in names:
        chosen = load_study(name)
        todo = jobs_of(chosen, data, out, seeds, epochs, device)
        write_study(chosen, out)
        left = sum(not job.path.exists() for job in todo)
        at_once = jobs if backend is Backend.processes else None
        with progress_bar() as progress:
            text = _study_text(chosen.name, left, at_once)
            task = progress.add_task(text, total=len(todo), completed=len(todo) - left)
            progress.advance(task, 0)  # the time left counts from now, not from the end of the first run
            for job in run_study(todo, jobs, backend.value, ray_address):
                left -= 1
                text = _study_text(chosen.name, left, at_once)
                text += f", done: {escape(job.variant)}, seed {job.config.seed}"
                progress.update(task, advance=1, description=text)
                if not progress.console.is_terminal:  # a log file gets a line a run instead of a display
                    progress.console.print(f"{text}, {len(todo) - left} of {len(todo)} runs", soft_wrap=True)
        rows = write_table(todo)
        columns = COLUMNS[: COLUMNS.index("test_accuracy") + 1]
        print_table(columns, [[f"{r[c]:.3f}" if isinstance(r[c], float) else r[c] for c in columns] for r in rows])
        for reason in sorted({row["reason"] for row in rows} - {""}):
            typer.echo(f"failed: {reason}")
        n_usable += sum(row["status"] != "failed" for row in rows)
    if not n_usable:  # a variant that cannot run is an answer; a study of which nothing ran is none
        raise typer.Exit(1)


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results, as `genreline study --out DIR` leaves them.")],
    data: Annotated[Path | None, typer.Option(metavar="DATA", help="Show a melgram of each class of it.")] = None,
) -> None:
    """Write report.html and report.md into DIR: tables, figures and comments, from the results alone."""
    from genreline.study.report import write_report

    typer.echo(f"{write_report(folder, data)}: open it in a browser; report.md beside it says the same")


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where everything goes.")] = Path("genreline-demo"),
    as_json: AsJson = False,
) -> None:
    """Compose music in four genres, train a network on it, and draw the timeline of a medley. All synthetic."""
    from genreline.demo.demo import run_demo

    with progress_bar() as progress:
        result = run_demo(out, progress)
    if as_json:
        print_json(result)
        return
    medley = result["medley"]
    figures = {
        "unseen tracks, by second": result["test"],
        "unseen tracks, by track": result["test"]["by_track"],
        "medley, by second": medley,
    }
    rows = [[name, f"{each['f1_macro']:.3f}", f"{each['accuracy']:.3f}", each["n"]] for name, each in figures.items()]
    print_table(["", "macro F1", "accuracy", "n"], rows)
    typer.echo(f"synthetic music, so these figures say nothing of real songs; took {result['seconds']:.0f} s")
    typer.echo(f"listen to {medley['audio']} and look at {medley['png']}")


class _PrepareProgress:
    """Shows how far a preparation is: files, hours of audio and their rate; a log file gets a line now and then."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._start = self._said = time.monotonic()

    def __call__(self, step: "Step") -> None:
        now = time.monotonic()
        if step.what not in self._tasks:
            self._tasks[step.what] = self._progress.add_task(step.what, total=step.total)
        hours = step.heard_s / 3600
        rate = hours * 60 / max(now - self._start, 1e-9)
        what = f"{step.what}: {hours:.2f} h of audio, {rate:.2f} h a minute" if step.heard_s else step.what
        self._progress.update(self._tasks[step.what], completed=step.done, description=what)
        if step.error:
            complain(GenrelineError(step.error))
        if not self._progress.console.is_terminal and (step.done == step.total or now - self._said > 30):
            self._said = now
            self._progress.console.print(f"{what}, {step.done} of {step.total} files", soft_wrap=True)


def _study_text(study: str, left: int, at_once: int | None) -> str:
    """What a study is at; how many runs a cluster has at work is not known (None)."""
    return f"{study}: {left} left" if at_once is None else f"{study}: {min(at_once, left)} running"


def _show_epoch(progress: "Progress", task: Any, epoch: "Epoch") -> None:
    losses = f"train loss {epoch.train_loss:.3f}  val loss {epoch.val_loss:.3f}  val F1 {epoch.val_f1_macro:.3f}"
    losses += f"  lr {epoch.lr:.2g}"
    progress.update(task, completed=epoch.epoch, description=losses)
    if not progress.console.is_terminal:  # a log file gets a line an epoch instead of a display
        progress.console.print(f"epoch {epoch.epoch}: {losses}")
