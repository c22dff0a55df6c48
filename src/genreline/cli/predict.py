"""The commands of predict/: a model and sounds become timelines."""

import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genreline.cli.options import Backend, EngineName, ModelName, RayAddress, Where
from genreline.cli.terminal import AsJson, complain, note, print_json, print_table, progress_bar, warn
from genreline.errors import ConfigError, GenrelineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from genreline.fetch.cache import Fetched
    from genreline.predict.files import SongTask


_FORMATS = "csv,png"


def predict(
    audio: Annotated[
        list[str],
        typer.Argument(
            metavar="AUDIO...", help="Audio files, folders of them, URLs of songs, or - for a stream on stdin."
        ),
    ],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="A model folder, the name of one that ships, or hf://OWNER/NAME.")
    ] = "genres8-resnet",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the timelines go.")] = Path(),
    formats: Annotated[str, typer.Option(help="Of csv,png,json,txt (Audacity),rttm,jams,html (a player).")] = _FORMATS,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes side by side; default: one for every eight files.")
    ] = None,
    raw_rate_hz: Annotated[
        int | None, typer.Option(metavar="HZ", help="The stream is raw: 16-bit mono samples at this rate.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Write nothing for a file that ends early.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Predict each second alone, without its neighbours.")] = False,
    engine: EngineName = None,
    backend: Where = Backend.processes,
    ray_address: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """Write the timeline of each song, STEM.csv and STEM.png, and print a summary; exit 1 if a song failed.

    If a file ends early, its timeline covers what could be read, and the exit code is still 1.

    Folders are searched for audio, and their subfolders are repeated below --out. For a stream (-), each row is printed
    as CSV as soon as its second has arrived, and no file is written.
    """
    if "-" in audio:
        is_about_files = as_json or strict or jobs or ray_address or backend != Backend.processes
        if len(audio) > 1 or is_about_files or (out, formats) != (Path(), _FORMATS):
            raise ConfigError(
                "-: a stream must be the only input, and is printed as CSV; leave out what is about files: "
                "--out, --formats, --jobs, --strict, --backend, --ray-address, --json"
            )
        _predict_stream(model, raw_rate_hz, raw, engine)
        return
    if raw_rate_hz is not None:
        raise ConfigError("--raw-rate-hz: only applies to a stream; give - instead of files")

    from genreline.files import check_writable
    from genreline.predict.files import default_jobs, parse_formats, predict_files
    from genreline.train.folder import find_folder, read_description

    chosen = parse_formats(formats)
    check_writable(out)
    folder = find_folder(model)  # once, so that all processes load the same commit of a model on the hub
    read_description(folder)  # so that a bad model is reported before any work
    fetched, failed = _fetched(audio)
    found = _songs(audio, fetched, out)
    results: dict[int, dict[str, Any]] = {}
    n_jobs = jobs or default_jobs(len(found))
    running = predict_files(
        found, str(folder.absolute()), chosen, n_jobs, strict, raw, engine, backend.value, ray_address
    )
    with progress_bar() as progress, closing(running):
        for place, song in progress.track(running, len(found), description="predicting"):
            results[place] = song
            if "error" in song:
                complain(GenrelineError(song["error"]))
    _discard_unusable(fetched, results.values())
    songs = failed + [results[place] for place in sorted(results)]
    done = [song for song in songs if "dominant" in song]
    n_failed = sum("error" in song for song in songs)
    if as_json:
        print_json(songs)
    else:
        rows = [
            [
                song["file"],
                f"{song['duration_s']:.1f}",
                song["verdict"],
                _mean_probability(song),
                song["n_runs"],
                song[chosen[0]],
            ]
            for song in done
        ]
        if done:
            print_table(["file", "seconds", "genre", "mean probability", "runs", "timeline"], rows)
        if n_failed:
            typer.echo(f"{n_failed} of {len(songs)} files failed, see above")
    if n_failed:
        raise typer.Exit(1)


def _mean_probability(song: dict[str, Any]) -> str:
    """Of the song's label; nothing for silence, or where it has several labels, or none."""
    labels = song["labels"]
    is_one = len(labels) == 1 and labels[0] in song["overall"]
    return f"{song['overall'][labels[0]]:.0%}" if is_one else "-"


def listen(
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="A model folder, the name of one that ships, or hf://OWNER/NAME.")
    ] = "genres8-resnet",
    device: Annotated[
        str | None, typer.Option(metavar="NAME", help="A part of the microphone's name; default: the system's own.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Predict each second alone, without its neighbours.")] = False,
    engine: EngineName = None,
) -> None:
    """Recognize the sound of a microphone: print each second as CSV as soon as it is over, until Ctrl-C."""
    from genreline.predict.microphone import microphone
    from genreline.predict.recognizer import Recognizer
    from genreline.predict.stream import predict_stream

    recognizer = Recognizer.load(model, raw, engine)

    def tell_lost() -> None:
        warn("the microphone's samples come faster than they are used; some are lost, and the seconds are no clock")

    with suppress(KeyboardInterrupt), microphone(device, tell_lost) as (stream, rate_hz):  # how it is meant to end
        predict_stream(recognizer, stream, sys.stdout, rate_hz)


def page(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="A model folder, the name of one that ships, or hf://OWNER/NAME.")
    ] = "genres8-resnet",
) -> None:
    """Write a static page that recognizes songs in the browser; any web server can offer it. Needs npm."""
    from genreline.predict.site import write_site

    note("npm installs onnxruntime-web, which takes a moment")
    files = write_site(model, out)
    n_bytes = sum(path.stat().st_size for path in files)
    typer.echo(f"{out}: {len(files)} files, {n_bytes / 1e6:.1f} MB\nnext: python -m http.server --directory {out}")


def embed(
    audio: Annotated[list[str], typer.Argument(metavar="AUDIO...", help="Audio files, folders of them, or URLs.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The table to write: .npy or .parquet.")],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="A model folder, or the name of one that ships.")
    ] = "genres8-resnet",
    as_json: AsJson = False,
) -> None:
    """Write what a model makes of each second before it decides: a row of numbers, near for sounds that are alike.

    A .parquet file has the columns file, start_s and embedding; beside a .npy array, a CSV says what its rows are.
    Seconds without sound are NaN. Files that fail are left out, and the exit code is then 1.
    """
    from genreline.files import check_writable
    from genreline.predict.embeddings import Embedded, check_suffix, save_embeddings
    from genreline.predict.files import failed_record
    from genreline.predict.recognizer import Recognizer

    check_suffix(out)
    check_writable(out.parent)
    recognizer = Recognizer.load(model)
    fetched, failed = _fetched(audio)
    found, songs = _songs(audio, fetched, Path()), []
    with progress_bar() as progress:
        for song in progress.track(found, description="embedding"):
            try:
                with song.opened() as source:
                    songs.append(Embedded(song.name, recognizer.embed(source, max_duration_s=song.max_duration_s)))
            except GenrelineError as error:
                complain(error)
                failed.append(failed_record(song, error))
    _discard_unusable(fetched, failed)
    if not songs:
        raise GenrelineError(f"{out}: is not written, because no file could be read")
    save_embeddings(songs, out)
    n, d = sum(len(song.rows) for song in songs), songs[0].rows.shape[1]
    if as_json:
        print_json({"out": str(out), "files": len(songs), "failed": len(failed), "shape": [n, d]})
    else:
        typer.echo(f"{out}: {n} seconds of {len(songs)} files, {d} numbers each")
    if failed:
        raise typer.Exit(1)


def compare(
    model: ModelName,
    songs: Annotated[
        list[str], typer.Argument(metavar="SONG...", help="Audio files, folders or URLs whose genre is known.")
    ],
    label: Annotated[
        list[str], typer.Option(metavar="NAME", help="The genre of all songs, or one for each SONG, in order.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Evaluate on this dataset's test set instead of using the recorded figures."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The picture.")] = Path("compare.png"),
    as_json: AsJson = False,
) -> None:
    """Compare the share of seconds that a model labels right in songs with that on its test set (step 4.3)."""
    from genreline.files import check_writable
    from genreline.predict.compare import (
        compare_songs,
        pair_labels,
        recall_on_test,
        recorded_figures,
        save_comparison,
        summary,
    )
    from genreline.predict.engines import Engine, load_engine

    loaded: Engine = load_engine(model)
    pairs = pair_labels(songs, label, loaded.classes, loaded.calibration.is_multi_label)
    check_writable(out.parent)
    if data is None:
        test = recorded_figures(loaded)
    else:
        from genreline.predict.compare import figures_on_test
        from genreline.train.checkpoint import load_model

        test = figures_on_test(load_model(model), data)
    fetched, failed = _fetched(songs)
    labelled = [(song, name) for source, name in pairs for song in _songs([source], fetched, Path())]
    with progress_bar() as progress:
        results = list(progress.track(compare_songs(loaded, labelled), len(labelled), description="predicting"))
    for song in results:
        if "error" in song:
            complain(GenrelineError(song["error"]))
    _discard_unusable(fetched, results)
    results = [{**song, "label": dict(pairs)[song["file"]]} for song in failed] + results
    done = [song for song in results if "error" not in song]
    if done:
        save_comparison(done, test, out)
    if as_json:
        total = summary(done) if done else None
        print_json({"model": model, "songs": results, "all": total, "test": test, "png": str(out) if done else None})
    elif done:
        total = summary(done)
        rows = [
            [
                song["file"],
                song["label"],
                song["n"],
                f"{song['accuracy']:.3f}",
                "-" if (recall := recall_on_test(test, song["label"])) is None else f"{recall:.3f}",
                f"{song['mean_probability']:.3f}",
                song["dominant"],
            ]
            for song in done
        ]
        reference = f"{test['accuracy']:.3f}" if test else "-"
        rows.append(["all songs", "", total["n"], f"{total['accuracy']:.3f}", reference, "", ""])
        columns = ["song", "genre", "seconds", "accuracy", "on the test set", "mean probability", "sounds like"]
        print_table(columns, rows)
        typer.echo(
            f"{total['n_right']} of {total['n']} seconds of the songs are labelled right; "
            + (f"on the test set {reference} of {test['n']} seconds" if test else "no test set: say which with --data")
            + f"\nneighbouring seconds resemble each other: {len(done)} song(s) are closer to {len(done)} independent "
            f"samples than to {total['n']}\npicture: {out}"
        )
    if len(done) < len(results):
        raise typer.Exit(1)


def _predict_stream(model: str, raw_rate_hz: int | None, raw: bool, engine: str | None) -> None:
    from genreline.predict.recognizer import Recognizer
    from genreline.predict.stream import predict_stream

    recognizer = Recognizer.load(model, raw, engine)
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        predict_stream(recognizer, stdin, sys.stdout, raw_rate_hz)


def _fetched(sources: list[str]) -> "tuple[dict[str, Fetched], list[dict[str, Any]]]":
    """The songs of the URLs among the sources, and a record of each URL that failed."""
    from genreline.audio.names import is_url

    if "" in sources:
        raise ConfigError("AUDIO: one of the names is empty; give files, folders or URLs")
    urls = list(filter(is_url, sources))
    if not urls:
        return {}, []
    from rich.markup import escape
    from rich.progress import DownloadColumn

    from genreline.fetch.cache import fetch_all

    with progress_bar(DownloadColumn()) as progress:
        tasks = {url: progress.add_task(escape(url), total=None) for url in urls}
        songs, failed = fetch_all(
            urls, lambda url, done, total: progress.update(tasks[url], completed=done, total=total)
        )
    for _, error in failed:
        complain(error)
    return songs, [{"file": url, "error": str(error)} for url, error in failed]


def _songs(sources: list[str], fetched: "Mapping[str, Fetched]", out: Path) -> "list[SongTask]":
    """The songs that the sources name; a song from a URL may last no longer than a fetch allows."""
    from dataclasses import replace

    from genreline.audio.names import is_url
    from genreline.predict.files import find_songs

    found = [fetched[source].path if source in fetched else source for source in sources]
    paths = [path for path in found if isinstance(path, Path) or not is_url(path)]  # without URLs that failed
    songs = find_songs(paths, out, note)
    if not fetched:
        return songs
    from genreline.fetch.cache import MAX_DURATION_S

    known = {song.path: (song.full_title, url) for url, song in fetched.items()}
    return [
        replace(song, max_duration_s=MAX_DURATION_S, title=known[song.path][0], url=known[song.path][1])
        if song.path in known
        else song
        for song in songs
    ]


def _discard_unusable(fetched: "Mapping[str, Fetched]", records: "Iterable[Mapping[str, Any]]") -> None:
    """Remove fetched songs that cannot be read whole from the cache, so that they are fetched again next time."""
    if not fetched:
        return
    from genreline.fetch.cache import discard

    for record in records:
        if record.get("unusable") and record["file"] in fetched:
            discard(fetched[record["file"]].path)
