"""The command line. Thin: every command imports what it needs when it runs, so that `--help` answers at once.

Results go to standard output, progress and errors to standard error. Exit codes: 0 all is well, 1 an item failed or a
check found problems, 2 misuse or bad input, 130 Ctrl-C.
"""

import errno
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genreline.errors import ConfigError, GenrelineError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.progress import Progress, ProgressColumn, TaskID

    from genreline.data.prepare import Step
    from genreline.learn.training import Epoch


class Commands(typer.core.TyperGroup):
    """The commands, with bad input told in one line."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; a GenrelineError ends it with its one line and code 2, Ctrl-C with 130."""
        try:
            return super().invoke(ctx)
        except GenrelineError as error:
            _complain(error)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as interrupt:
            typer.echo("genreline: interrupted", err=True)
            raise typer.Exit(130) from interrupt
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read our output has gone; typer knows what to do
                raise
            _complain(GenrelineError(f"cannot be written or read: {error}"))
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=Commands,
    help="Hears music one second at a time: datasets, small networks, and the genre timeline of any song.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Features(StrEnum):
    """The representations of a second (spec, Data)."""

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
    str | None, typer.Option(metavar="HOST:PORT", help="The cluster; if not said, this machine's, or a new one here.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command()
def check(data: Data, as_json: AsJson = False) -> None:
    """Print what a dataset holds and all that is wrong with it; exit 1 if anything is."""
    from genreline.data.check import check_dataset

    report = check_dataset(data)
    if as_json:
        _print_json(report.to_dict())
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
            _print_table(columns, rows)
        for warning in report.warnings:
            typer.echo(f"look: {warning}")
        for problem in report.problems:
            typer.echo(f"wrong: {problem}")
        typer.echo("nothing is wrong with it" if not report.problems else f"{len(report.problems)} problem(s)")
    if report.problems:
        raise typer.Exit(1)


@app.command()
def prepare(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Folders CLASS/... or {train,val,test}/CLASS/..., or a CSV file.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The dataset folder to write.")],
    features: Annotated[str, typer.Option(metavar="KINDS", help="Which, with commas.")] = "mfccs,melgrams",
    seed: Annotated[int, typer.Option(min=0, help="Of the split.")] = 0,
    split: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A split file (track,split), as OUT/split.csv is one.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad file.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; as many as CPUs if not said.")] = None,
    backend: Where = Backend.processes,
    ray_address: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """Turn labelled audio into a dataset, split by artist or track; stop and go on at any time.

    A CSV file has the columns path,label and may have artist and split; its paths are relative to it. Bad files are
    passed over and listed, and the exit code is then 1.
    """
    import os

    from genreline.data.prepare import MANIFEST, SPLIT_FILE
    from genreline.data.prepare import prepare as prepare_dataset

    kinds = [kind.strip() for kind in features.split(",") if kind.strip()]
    n_jobs = jobs or os.cpu_count() or 1
    with _progress() as progress:
        show = _PrepareProgress(progress)
        manifest = prepare_dataset(source, out, kinds, seed, split, strict, n_jobs, backend.value, ray_address, show)
    if as_json:
        _print_json(manifest)
    else:
        names = sorted({label for each in manifest["sets"].values() for label in each["rows_by_class"]})
        rows = [
            [name, each["recordings"], each["rows"], *(each["rows_by_class"].get(label, 0) for label in names)]
            for name, each in manifest["sets"].items()
        ]
        _print_table(["set", "recordings", "seconds", *names], rows)
        for same in manifest["duplicates"]:
            typer.echo(f"look: the same recording, byte by byte: {', '.join(same)}")
        for skipped in manifest["skipped"]:
            typer.echo(f"left out: {skipped['file']}: {skipped['reason']}")
        typer.echo(f"{out}: complete, see {MANIFEST}; who is in which set: {SPLIT_FILE}\nnext: genreline check {out}")
    if manifest["skipped"]:
        raise typer.Exit(1)


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The model folder to write.")],
    features: Annotated[Features | None, typer.Option(help="What the network hears; mfccs if not said.")] = None,
    model: Annotated[Network | None, typer.Option(help="Its kind; fnn if not said. A cnn hears melgrams.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="A TOML file of settings.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting, as optimizer.lr=0.01; may be given again."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Train a network and keep the snapshot that validates best.

    Settings come from the file, over them the options, over them --set. The defaults are the source's: SGD at 0.002,
    cross-entropy, 30 epochs, batches of 16; --model cnn is the pooled and padded network of step 2.4.
    """
    from genreline.learn.config import load_config

    options = [f"features={features}"] * bool(features) + [f"model.name={model}"] * bool(model)
    settings = load_config(config, [*options, *(set_ or [])])

    from genreline.data.layout import load_dataset
    from genreline.files import check_writable
    from genreline.learn.checkpoint import Model, save_model
    from genreline.learn.training import fit

    dataset = load_dataset(data, settings.features)
    check_writable(out)
    with _progress() as progress:
        task = progress.add_task("training", total=settings.epochs)
        run = fit(settings, dataset, device, lambda epoch: _show_epoch(progress, task, epoch))
    trained = Model.from_run(run, dataset)
    if run.best_epoch:
        save_model(trained, out)
    if as_json:
        _print_json({"model": str(out) if run.best_epoch else None, **trained.metrics, **trained.training})
    elif run.status != "completed":
        reason = "diverged (its loss is no number)" if run.status == "diverged" else "was interrupted"
        typer.echo(f"the run {reason} after {len(run.history)} of {settings.epochs} epochs")
    if not run.best_epoch:
        _complain(GenrelineError(f"{out}: no epoch had a finite loss, so no model is kept; lower optimizer.lr"))
        raise typer.Exit(1)
    val = trained.metrics["val"]
    if not as_json:
        typer.echo(
            f"{out}: the snapshot of epoch {run.best_epoch}, validation macro F1 {val['f1_macro']:.3f}, accuracy "
            f"{val['accuracy']:.3f}, loss {val['loss']:.3f}\nnext: genreline evaluate {out} {data}"
        )
    if run.status == "interrupted":
        raise typer.Exit(130)


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, or the name of one that ships.")],
    data: Data,
    split: Annotated[SetName, typer.Option(help="The set to judge on.")] = SetName.test,
    as_json: AsJson = False,
) -> None:
    """Print loss, macro F1, accuracy, per-class figures and the confusion matrix on a set."""
    from genreline.data.layout import load_split
    from genreline.learn.checkpoint import load_model
    from genreline.learn.evaluation import evaluate_model

    loaded = load_model(model)
    figures = evaluate_model(loaded, load_split(data, split.value, loaded.config.features), f"{data / split.value}")
    if as_json:
        _print_json(figures)
        return
    typer.echo(f"{model} on {data / split.value}: {figures['n']} seconds")
    rows = [["by second", *(f"{figures[key]:.4f}" for key in ("loss", "f1_macro", "accuracy"))]]
    if by_track := figures.get("by_track"):
        rows.append(
            [f"by track ({by_track['n']})", *(f"{by_track[key]:.4f}" for key in ("loss", "f1_macro", "accuracy"))]
        )
    _print_table(["", "loss", "macro F1", "accuracy"], rows)
    _print_table(
        ["class", "precision", "recall", "F1", "support"],
        [
            [name, f"{each['precision']:.3f}", f"{each['recall']:.3f}", f"{each['f1']:.3f}", each["support"]]
            for name, each in figures["per_class"].items()
        ],
    )
    matrix = [[name, *row] for name, row in zip(loaded.classes, figures["confusion_matrix"].tolist(), strict=True)]
    _print_table(["truth \\ predicted", *loaded.classes], matrix)


@app.command()
def predict(
    audio: Annotated[
        list[str],
        typer.Argument(
            metavar="AUDIO...", help="Audio files, folders of them, URLs of songs, or - for a stream on stdin."
        ),
    ],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="A model folder, or the name of one that ships.")
    ] = "genres7-cnn",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the timelines go.")] = Path(),
    formats: Annotated[str, typer.Option(help="Of csv,png,json,txt (Audacity),rttm,jams,html (a player).")] = "csv,png",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes side by side; as many as help if not said.")
    ] = None,
    raw_rate_hz: Annotated[
        int | None, typer.Option(metavar="HZ", help="The stream is raw: 16-bit mono samples at this rate.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the timeline of each song, STEM.csv and STEM.png, and print a summary; exit 1 if a song failed.

    Folders are searched for audio, and their subfolders appear again below --out. A stream (-) is heard as it arrives:
    its rows are printed, as CSV, each as soon as its second is there, and nothing is written.
    """
    if "-" in audio:
        if len(audio) > 1 or as_json:
            raise ConfigError("-: a stream is heard alone, and printed as CSV; leave out the other files and --json")
        _predict_stream(model, raw_rate_hz)
        return
    if raw_rate_hz is not None:
        raise ConfigError("--raw-rate-hz: is for a stream; say - in place of the files")

    from genreline.files import check_writable
    from genreline.learn.checkpoint import load_model
    from genreline.listen.batch import find_songs, hear_songs, parse_formats

    chosen = parse_formats(formats)
    check_writable(out)
    load_model(model)  # what is wrong with it is told once, before any work
    paths, failed = _fetched(audio)
    found = find_songs(paths, out)
    results: dict[int, dict[str, Any]] = {}
    with _progress() as progress:
        for place, song in progress.track(hear_songs(found, model, chosen, jobs), len(found), description="listening"):
            results[place] = song
            if "error" in song:
                _complain(GenrelineError(song["error"]))
    songs = failed + [results[place] for place in sorted(results)]
    done = [song for song in songs if "error" not in song]
    if as_json:
        _print_json(songs)
    else:
        rows = [
            [
                song["file"],
                f"{song['duration_s']:.1f}",
                song["dominant"],
                f"{song['overall'][song['dominant']]:.0%}",
                song["n_runs"],
                song[chosen[0]],
            ]
            for song in done
        ]
        if done:
            _print_table(["file", "seconds", "genre", "mean probability", "runs", "timeline"], rows)
        if len(done) < len(songs):
            typer.echo(f"{len(songs) - len(done)} of {len(songs)} files failed, see above")
    if len(done) < len(songs):
        raise typer.Exit(1)


def _predict_stream(model: str, raw_rate_hz: int | None) -> None:
    from genreline.listen.recognizer import Recognizer
    from genreline.listen.stream import hear_stream

    recognizer = Recognizer.load(model)
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        hear_stream(recognizer, stdin, sys.stdout, raw_rate_hz)


@app.command()
def study(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME|FILE...", help="Studies that ship, or files.")
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="A dataset in the course layout.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where results are kept.")] = Path("studies"),
    seeds: Annotated[int, typer.Option(min=1, help="Runs of every variant.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Processes side by side, one thread each.")] = 2,
    epochs: Annotated[int | None, typer.Option(min=1, help="Fewer or more than the study says.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    backend: Where = Backend.processes,
    ray_address: RayAddress = None,
    show: Annotated[bool, typer.Option("--list", help="Print the studies that ship.")] = False,
) -> None:
    """Do every run of a study that is not done yet, and print its table; stop and go on at any time."""
    from genreline.study.studies import (
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
        _print_table(["study", "step", "runs", "question"], [[s.name, s.step, s.n_runs, s.question] for s in shipped])
        return
    if not names or not data:
        raise ConfigError(
            "study: say which (NAME or FILE) and on what (--data DIR); `genreline study --list` names them"
        )
    for name in names:
        chosen = load_study(name)
        todo = jobs_of(chosen, data, out, seeds, epochs, device)
        write_study(chosen, out)
        done = sum(job.path.exists() for job in todo)
        with _progress() as progress:
            task = progress.add_task(chosen.name, total=len(todo), completed=done)
            for job in run_study(todo, jobs, backend.value, ray_address):
                progress.update(task, advance=1, description=f"{chosen.name}: {job.variant}, seed {job.config.seed}")
        rows = write_table(todo)
        columns = COLUMNS[: COLUMNS.index("test_accuracy") + 1]
        _print_table(columns, [[f"{r[c]:.3f}" if isinstance(r[c], float) else r[c] for c in columns] for r in rows])
        for reason in sorted({row["reason"] for row in rows} - {""}):
            typer.echo(f"failed: {reason}")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results, as `genreline study --out DIR` leaves them.")],
    data: Annotated[Path | None, typer.Option(metavar="DATA", help="Show a melgram of each class of it.")] = None,
) -> None:
    """Write report.html and report.md into DIR: tables, figures and comments, from the results alone."""
    from genreline.study.report import write_report

    typer.echo(f"{write_report(folder, data)}: open it in a browser; report.md beside it says the same")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where everything goes.")] = Path("genreline-demo"),
    as_json: AsJson = False,
) -> None:
    """Compose music in four genres, train a network on it, and draw the timeline of a medley. All synthetic."""
    from genreline.demo import run_demo

    with _progress() as progress:
        result = run_demo(out, progress)
    if as_json:
        _print_json(result)
        return
    medley = result["medley"]
    figures = {
        "unseen tracks, by second": result["test"],
        "unseen tracks, by track": result["test"]["by_track"],
        "medley, by second": medley,
    }
    rows = [[name, f"{each['f1_macro']:.3f}", f"{each['accuracy']:.3f}", each["n"]] for name, each in figures.items()]
    _print_table(["", "macro F1", "accuracy", "n"], rows)
    typer.echo(f"synthetic music, so these figures say nothing of real songs; took {result['seconds']:.0f} s")
    typer.echo(f"listen to {medley['audio']} and look at {medley['png']}")


@app.command()
def compare(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model folder, or the name of one that ships.")],
    songs: Annotated[list[str], typer.Argument(metavar="SONG...", help="Audio files whose genre is known.")],
    label: Annotated[
        list[str], typer.Option(metavar="NAME", help="The songs' genre; or given once for each song, in their order.")
    ],
    data: Annotated[
        Path | None, typer.Option(metavar="DATA", help="Judge on its test set, by genre too, not on what was recorded.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The picture.")] = Path("compare.png"),
    as_json: AsJson = False,
) -> None:
    """Compare the share of seconds that a model labels right in songs with that on its test set (step 4.3)."""
    from genreline.files import check_writable
    from genreline.learn.checkpoint import load_model
    from genreline.listen.comparison import compare_songs, figures_on_test, pair_labels, save_comparison, summary

    loaded = load_model(model)
    pairs = pair_labels(songs, label, loaded.classes)
    check_writable(out.parent)
    test = figures_on_test(loaded, data)
    with _progress() as progress:
        heard = list(progress.track(compare_songs(loaded, pairs), len(pairs), description="listening"))
    for song in heard:
        if "error" in song:
            _complain(GenrelineError(song["error"]))
    done = [song for song in heard if "error" not in song]
    if done:
        save_comparison(done, test, out)
    if as_json:
        total = summary(done) if done else None
        _print_json({"model": model, "songs": heard, "all": total, "test": test, "png": str(out) if done else None})
    elif done:
        total, recall = summary(done), (test or {}).get("recall", {})
        rows = [
            [
                song["file"],
                song["label"],
                song["n"],
                f"{song['accuracy']:.3f}",
                f"{recall[song['label']]:.3f}" if recall else "-",
                f"{song['mean_probability']:.3f}",
                song["dominant"],
            ]
            for song in done
        ]
        reference = f"{test['accuracy']:.3f}" if test else "-"
        rows.append(["all songs", "", total["n"], f"{total['accuracy']:.3f}", reference, "", ""])
        columns = ["song", "genre", "seconds", "accuracy", "on the test set", "mean probability", "sounds like"]
        _print_table(columns, rows)
        typer.echo(
            f"{total['n_right']} of {total['n']} seconds of the songs are labelled right; "
            + (f"on the test set {reference} of {test['n']} seconds" if test else "no test set: say which with --data")
            + f"\nneighbouring seconds are alike: {len(done)} song(s) are nearer to {len(done)} samples than to "
            f"{total['n']}\npicture: {out}"
        )
    if len(done) < len(heard):
        raise typer.Exit(1)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    root_path: Annotated[str, typer.Option(metavar="PATH", help="Where a proxy puts it, as /genres.")] = "",
    allow_urls: Annotated[bool, typer.Option("--allow-urls", help="Fetch songs from public URLs.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Songs heard at once, each by a process of 0.5 GB.")] = 2,
) -> None:
    """Serve the web page and the HTTP API, until SIGTERM or Ctrl-C."""
    try:
        from genreline.web.limits import Limits
        from genreline.web.serve import serve
    except ModuleNotFoundError as error:
        raise ConfigError(f"serve: {error.name} is missing; pip install 'genreline[web]' brings it") from error

    serve(host, port, root_path, allow_urls, Limits(workers=workers))


def _fetched(sources: list[str]) -> tuple[list[Path], list[dict[str, Any]]]:
    """The files to listen to, URLs downloaded first; and a record of each URL that failed."""
    from genreline.audio.fetch import fetch_all, is_url

    if not any(map(is_url, sources)):
        return [Path(source) for source in sources], []
    from rich.markup import escape
    from rich.progress import DownloadColumn

    with _progress(DownloadColumn()) as progress:
        tasks = {source: progress.add_task(escape(source), total=None) for source in sources if is_url(source)}
        paths, failed = fetch_all(
            sources, lambda url, done, total: progress.update(tasks[url], completed=done, total=total)
        )
    for _, error in failed:
        _complain(error)
    return paths, [{"file": url, "error": str(error)} for url, error in failed]


def _progress(amount: "ProgressColumn | None" = None) -> "Progress":
    """A progress display with the time left, on standard error; lines that are printed meanwhile go above it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    left = TimeRemainingColumn()
    amount = amount or MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeElapsedColumn(), "left", left)
    return Progress(*columns, console=Console(stderr=True))


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
            _complain(GenrelineError(step.error))
        if not self._progress.console.is_terminal and (step.done == step.total or now - self._said > 30):
            self._said = now
            self._progress.console.print(f"{what}, {step.done} of {step.total} files", soft_wrap=True)


def _show_epoch(progress: "Progress", task: Any, epoch: "Epoch") -> None:
    losses = f"train loss {epoch.train_loss:.3f}  val loss {epoch.val_loss:.3f}  val F1 {epoch.val_f1_macro:.3f}"
    progress.update(task, completed=epoch.epoch, description=losses)
    if not progress.console.is_terminal:  # a log file gets a line an epoch instead of a display
        progress.console.print(f"epoch {epoch.epoch}: {losses}")


def _print_table(columns: list[str], rows: "Iterable[Iterable[object]]") -> None:
    """A plain table, its numbers to the right; as wide as it needs to be, so that no name is cut in a pipe."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [columns, *texts]) for i in range(len(columns))]
    for row in [columns, *texts]:
        cells = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        typer.echo("  ".join(cells).rstrip())
    typer.echo()


def _print_json(value: Any) -> None:
    from genreline.files import json_text

    typer.echo(json_text(value), nl=False)


def _complain(error: GenrelineError) -> None:
    typer.echo(f"genreline: {' '.join(str(error).splitlines())}", err=True)
