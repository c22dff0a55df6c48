"""Many songs: find them in folders, name their output files, and predict them in several processes."""

import io
import logging
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from genreline.audio.names import SUFFIXES, describe_passed_over, find_audio, title_of
from genreline.errors import AudioError, ConfigError, DataError, GenrelineError, TruncatedError, first_line
from genreline.parallel import decoding_s, map_unordered, n_cores

if TYPE_CHECKING:
    from genreline.predict.recognizer import Recognizer

FORMATS = ("csv", "png", "json", "txt", "rttm", "jams", "html")
DEFAULT_FORMATS = ("csv", "png")

_SONGS_A_PROCESS = 8  # starting a process takes as long as a few songs


@dataclass(frozen=True)
class SongTask:
    """A sound file, and the stem of its output files, to which each format adds its suffix.

    `max_duration_s` bounds untrusted files, such as fetched ones; None is no bound. `title` is the timeline's (default:
    the file's name). `url` is where a fetched file comes from.
    """

    path: Path
    stem: Path
    max_duration_s: float | None = None
    title: str = ""
    url: str = ""

    @property
    def name(self) -> str:
        """What records and messages call it: its URL, or its path."""
        return self.url or str(self.path)

    @contextmanager
    def opened(self, copy: Path | None = None) -> Iterator[Path | BinaryIO]:
        """What a recognizer takes: the path, or an open file (of a copy, if there is one) that has the song's name.

        Raises:
            AudioError: it cannot be opened.
        """
        if not self.url and copy is None:
            yield self.path
            return
        with ExitStack() as stack:
            try:
                file = stack.enter_context(open(copy or self.path, "rb"))
            except OSError as error:
                raise AudioError(f"{self.name}: cannot be read ({error.strerror}); fetch it again") from error
            cast(io.FileIO, file.raw).name = self.name
            yield file


@dataclass(frozen=True)
class _PredictTask:
    song: SongTask
    model: str
    formats: tuple[str, ...]
    strict: bool
    raw: bool
    engine: str | None
    n_threads: int | None
    copy: Path | None = None
    """Of the song's bytes, if another process would not find them at its path."""


def parse_formats(text: str) -> tuple[str, ...]:
    """Split `csv,png`, for example. Raises ConfigError for an unknown format, or none."""
    names = tuple(dict.fromkeys(name.strip().lower().removeprefix(".") for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        wrong = f"{', '.join(unknown)}: no such format" if unknown else "--formats: none given"
        raise ConfigError(f"{wrong}; choose from {','.join(FORMATS)}")
    return names


def find_songs(
    arguments: Iterable[str | Path], out: str | Path, on_note: Callable[[str], object] = lambda line: None
) -> list[SongTask]:
    """The songs that a command line names: files as given, and the audio files of folders, by their suffix.

    A file's output stem is its name in `out`; files found in a folder keep their subfolders there. A stem that is taken
    (ignoring case, as some disks do) gets a number. Hidden files and folders are left out. `on_note` is called with a
    line about the files that were passed over in a folder.

    Raises:
        DataError: a folder without any audio file, or one that cannot be read.
    """
    found: list[tuple[Path, Path]] = []
    for argument in map(Path, arguments):
        if os.path.isdir(argument):  # Path.is_dir raises for a name that is too long, in Python 3.11
            paths, passed_over = find_audio(argument)
            if not paths:
                raise DataError(
                    f"{argument}: holds no audio files ({', '.join(SUFFIXES[:6])}, ...); name another folder"
                )
            if passed_over:
                on_note(f"{argument}: {describe_passed_over(passed_over)}")
            found += [(path, path.relative_to(argument).with_suffix("")) for path in paths]
        else:
            found.append((argument, Path(title_of(argument.name) or "audio")))
    taken: set[str] = set()
    songs = []
    for path, name in found:
        stem, number = name, 2
        while str(stem).lower() in taken:
            stem, number = name.with_name(f"{name.name}-{number}"), number + 1
        taken.add(str(stem).lower())
        songs.append(SongTask(path, Path(out) / stem))
    return songs


def default_jobs(n_songs: int) -> int:
    """How many processes suit so many songs: one for every eight, at most one for each core."""
    return max(1, min(n_cores(), -(-n_songs // _SONGS_A_PROCESS)))


def predict_files(
    songs: list[SongTask],
    model: str,
    formats: tuple[str, ...] = DEFAULT_FORMATS,
    jobs: int | None = None,
    strict: bool = False,
    raw: bool = False,
    engine: str | None = None,
    backend: str = "processes",
    ray_address: str | None = None,
) -> Generator[tuple[int, dict[str, Any]], None, None]:
    """Write each song's timeline in each format; yield (its place in `songs`, its record) as each is done.

    A record holds file (a path or URL), duration_s, dominant, verdict, labels (of the song), overall, n_runs, and the
    path of each format; or file and error; or, for a file that ends early, all of these: its timeline covers what could
    be read. Where the sound itself is at fault, it holds unusable, which is True.

    Args:
        model: a model folder, or the name of one that ships.
        jobs: the number of worker processes. A decoder that hangs or crashes ends its worker, and the other songs are
            still predicted. Default: none; this process predicts all songs itself.
        strict: write nothing for a file that ends early. A song whose timeline would overwrite one of the songs fails.
        raw: predict each second alone (`Recognizer`).
        engine: `onnx` or `torch` (`Recognizer.load`).
        backend, ray_address: see `map_unordered`; on Ray, all nodes must see songs, model and output under the same
            paths.

    Raises:
        CheckpointError: the model cannot be loaded. ConfigError: no such backend, or no cluster.
    """
    with tempfile.TemporaryDirectory() as folder:
        tasks: dict[_PredictTask, int] = {}
        ids = set(filter(None, (_file_id(song.path) for song in songs)))
        n_threads = 1 if backend == "ray" or (jobs and min(jobs, len(songs)) > 1) else None
        for i, song in enumerate(songs):
            if backend == "ray":  # a node has a current folder of its own
                song = replace(song, path=song.path.absolute(), stem=song.stem.absolute())
            if overwritten := [path for path in _targets(song, formats).values() if _file_id(path) in ids]:
                message = f"{overwritten[0]}: is a song itself, which the timeline of {song.name} would overwrite"
                yield i, failed_record(song, ConfigError(f"{message}; choose another --out"))
                continue
            task = _PredictTask(song, model, formats, strict, raw, engine, n_threads)
            if _is_of_this_process(song.path):
                try:
                    task = replace(task, copy=_copied(song.path, Path(folder) / str(i)))
                except AudioError as error:
                    yield i, failed_record(song, error)
                    continue
            tasks[task] = i
        if jobs is None and backend == "processes":
            recognizer = _load(model, raw, engine, n_threads)
            _import_ahead(formats)
            yield from ((i, _predict_file(task, recognizer)) for task, i in tasks.items())
            return
        mapped = map_unordered(
            _predict_in_worker, tasks, jobs or 1, backend, ray_address, processor_s=_processor_s, lost=_lost
        )
        with closing(mapped):
            for task, record in mapped:
                yield tasks[task], record


def _processor_s(task: _PredictTask) -> float:
    return decoding_s(task.song.path)


def _lost(task: _PredictTask, what: str) -> dict[str, Any]:
    return {"file": task.song.name, "error": f"{task.song.name}: its process {what}; leave it out"}


def _predict_in_worker(task: _PredictTask) -> dict[str, Any]:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns about its settings and cache
    recognizer = _load_once(task.model, task.raw, task.engine, task.n_threads)
    if task.n_threads is None:  # no other worker needs this core
        _import_ahead(task.formats)
    return _predict_file(task, recognizer)


def _import_ahead(formats: tuple[str, ...]) -> None:
    """Import matplotlib, if a picture needs it, while the first song is decoded and predicted."""
    if "png" in formats:
        threading.Thread(target=import_module, args=("genreline.predict.plot",), daemon=True).start()


def _predict_file(task: _PredictTask, recognizer: "Recognizer") -> dict[str, Any]:
    """Write one song's timeline. An error goes into the record, so that the other songs are still predicted."""
    song = task.song
    try:
        with song.opened(task.copy) as source:
            return _predict_source(source, song, recognizer, task.formats, task.strict)
    except GenrelineError as error:
        return failed_record(song, error)
    except Exception as error:  # a fault of genreline's or of a decoder's
        logging.getLogger(__name__).debug(song.name, exc_info=True)
        reason = f"{type(error).__name__}: {first_line(error)}"
        return failed_record(song, GenrelineError(f"{song.name}: failed unexpectedly ({reason}); please report it"))


def failed_record(song: SongTask, error: GenrelineError) -> dict[str, Any]:
    """The record of a song that failed."""
    return {"file": song.name, "error": " ".join(str(error).splitlines()), **_fault(error)}


def _fault(error: GenrelineError) -> dict[str, bool]:
    """What a record says of a sound that cannot be read whole."""
    return {"unusable": True} if isinstance(error, AudioError) else {}


def _targets(song: SongTask, formats: Iterable[str]) -> dict[str, Path]:
    """The file of each format."""
    return {name: song.stem.with_name(f"{song.stem.name}.{name}") for name in formats}


def _file_id(path: Path) -> tuple[int, int] | None:
    """What is the same for all names of one file; None if it cannot be looked at."""
    with suppress(OSError, ValueError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return None


def _predict_source(
    source: Path | BinaryIO, song: SongTask, recognizer: "Recognizer", formats: tuple[str, ...], strict: bool
) -> dict[str, Any]:
    problem: dict[str, Any] = {}
    try:
        timeline = recognizer(source, max_duration_s=song.max_duration_s)
    except TruncatedError as error:
        if strict or error.timeline is None:
            raise
        timeline = error.timeline
        text = f"{first_line(error)}; the timeline of its first {timeline.duration_s:.1f} s is written"
        problem = {"error": text, **_fault(error)}
    if song.title:
        timeline = replace(timeline, title=song.title)
    written = {}
    for name, target in _targets(song, formats).items():
        if name == "html":
            from genreline.predict.player import save_player

            save_player(timeline, source, target)
        elif name == "png":
            from genreline.predict.plot import save_picture  # matplotlib takes a quarter of a second to import

            save_picture(timeline, target)
        else:
            timeline.save(target)
        written[name] = str(target)
    return {
        "file": song.name,
        **problem,
        **written,
        "duration_s": timeline.duration_s,
        "dominant": timeline.dominant,
        "verdict": timeline.verdict,
        "labels": list(timeline.song_labels),
        "overall": timeline.overall,
        "n_runs": len(timeline.runs()),
    }


def _is_of_this_process(path: Path) -> bool:
    """Whether another process may not find the same bytes there: a pipe, which can be read once, or /dev/stdin."""
    if str(path.absolute()).startswith(("/dev/fd/", "/dev/std", "/proc/")):
        return True
    with suppress(OSError, ValueError):
        return stat.S_ISFIFO(os.stat(path).st_mode)
    return False


def _copied(path: Path, copy: Path) -> Path:
    try:
        with path.open("rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error.strerror or error})") from error
    return copy


def _load(model: str, raw: bool, engine: str | None, n_threads: int | None) -> "Recognizer":
    # Its libraries take long to import, and a process that has workers does not need them.
    from genreline.predict.recognizer import Recognizer

    return Recognizer.load(model, raw, engine, n_threads=n_threads)


_load_once = cache(_load)
"""The recognizer of a model, which a worker process loads for its first song and keeps."""
