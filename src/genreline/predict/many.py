"""Many files, in one process or several: their timelines, for whoever calls genreline from Python."""

import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from genreline.errors import AudioError, ConfigError, GenrelineError
from genreline.parallel import decoding_s, map_unordered
from genreline.predict.engines import Graph
from genreline.predict.recognizer import Recognizer
from genreline.predict.timeline import Timeline

OnError = Callable[[Path, GenrelineError], object]


def recognize_many(
    recognizer: Recognizer, paths: Iterable[Path], jobs: int, on_error: OnError | None, progress: bool
) -> Iterator[tuple[Path, Timeline]]:
    """See `Recognizer.many`."""
    from rich.console import Console
    from rich.progress import track

    todo = list(paths)
    results = _results(recognizer, todo, jobs)
    with closing(results):
        for path, found in track(results, "recognizing", len(todo), console=Console(stderr=True), disable=not progress):
            if isinstance(found, Timeline):
                yield path, found
            elif on_error is None:
                raise found
            else:
                on_error(path, found)


def _results(
    recognizer: Recognizer, paths: list[Path], jobs: int
) -> Generator[tuple[Path, Timeline | GenrelineError], None, None]:
    if jobs == 1 or len(paths) < 2:
        for path in paths:
            yield path, _result(recognizer, path)
        return
    with tempfile.TemporaryDirectory(prefix="genreline-") as folder:
        work = partial(_in_worker, _folder_of(recognizer, folder), recognizer.context is None)
        mapped = map_unordered(
            work,
            paths,
            min(jobs, len(paths)),
            processor_s=decoding_s,
            lost=lambda path, what: AudioError(f"{path}: its process {what}; leave it out"),
        )
        with closing(mapped):
            for path, found in mapped:
                yield path, replace(found, model=recognizer.model.name) if isinstance(found, Timeline) else found


def _folder_of(recognizer: Recognizer, folder: str) -> str:
    """Where processes find the model, which each reads once; `folder` takes a model that has no folder."""
    if isinstance(recognizer.model, Graph):
        return str(recognizer.model.folder)
    from genreline.train.checkpoint import Model, save_model

    if not isinstance(recognizer.model, Model):
        raise ConfigError(f"{recognizer.model.name}: is no model of genreline's; leave out jobs")
    save_model(recognizer.model, folder)
    return folder


def _in_worker(folder: str, raw: bool, path: Path) -> Timeline | GenrelineError:
    return _result(_load_once(folder, raw), path)


def _result(recognizer: Recognizer, path: Path) -> Timeline | GenrelineError:
    try:
        return recognizer(path)
    except GenrelineError as error:
        return error


@cache
def _load_once(folder: str, raw: bool) -> Recognizer:
    return Recognizer.load(folder, raw, n_threads=1)
