"""The commands of data/: labelled recordings become a dataset."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genreline.cli.options import Backend, Data, RayAddress, Where
from genreline.cli.terminal import AsJson, complain, note, print_json, print_table, progress_bar, warn
from genreline.errors import GenrelineError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from genreline.data.prepare import Step


def check(data: Data, as_json: AsJson = False) -> None:
    """Print what a dataset holds and every problem found in it; exit 1 if there is one."""
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
            warn(warning)
        for problem in report.problems:
            complain(GenrelineError(problem))
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

    A CSV file has the columns path,label and may have artist and split; its paths are relative to it. In folders, files
    without the suffix of an audio file are passed over. Audio that cannot be decoded is left out and listed, and the
    exit code is then 1.
    """
    from genreline.audio.names import describe_passed_over
    from genreline.data.prepare import MANIFEST, SPLIT_FILE
    from genreline.data.prepare import prepare as prepare_dataset
    from genreline.parallel import n_cores

    kinds = [kind.strip() for kind in features.split(",") if kind.strip()]
    n_jobs = jobs or n_cores()
    with progress_bar() as progress:
        show = _PrepareProgress(progress)
        manifest = prepare_dataset(source, out, kinds, seed, split, strict, n_jobs, backend.value, ray_address, show)
    if passed_over := manifest.get("passed_over"):
        note(f"{source}: {describe_passed_over(passed_over)}")
    if without_audio := manifest.get("without_audio"):
        warn(f"{source}: no audio files in {', '.join(without_audio)}, so there is no such class")
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
            warn(f"the same recording, byte by byte: {', '.join(same)}")
        for skipped in manifest["skipped"]:
            typer.echo(f"left out: {skipped['file']}: {skipped['reason']}")
        typer.echo(f"{out}: complete, see {MANIFEST}; the split: {SPLIT_FILE}\nnext: genreline check {out}")
    if manifest["skipped"]:
        raise typer.Exit(1)


class _PrepareProgress:
    """Shows how far a preparation is: files, hours of audio and their rate; a log file gets a line now and then."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._start_s = self._logged_s = time.monotonic()

    def __call__(self, step: "Step") -> None:
        now = time.monotonic()
        if step.what not in self._tasks:
            self._tasks[step.what] = self._progress.add_task(step.what, total=step.total)
        hours = step.audio_s / 3600
        rate = hours * 60 / max(now - self._start_s, 1e-9)
        what = f"{step.what}: {hours:.2f} h of audio, {rate:.2f} h a minute" if step.audio_s else step.what
        self._progress.update(self._tasks[step.what], completed=step.done, description=what)
        if step.error:
            complain(GenrelineError(step.error))
        if not self._progress.console.is_terminal and (step.done == step.total or now - self._logged_s > 30):
            self._logged_s = now
            self._progress.console.print(f"{what}, {step.done} of {step.total} files", soft_wrap=True)
