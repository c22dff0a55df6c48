"""Embeddings: what computes them, and those of many files as a table, in Parquet or as a NumPy array."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genreline.errors import ConfigError, GenrelineError, MissingError
from genreline.files import replacing, writable, write_text
from genreline.predict.engines import Engine, Graph
from genreline.train.folder import Calibration

SUFFIXES = (".npy", ".parquet")


class Embedded(NamedTuple):
    """A file (its path or URL) and what a model makes of its seconds, (seconds, d) float32 (`Recognizer.embed`)."""

    name: str
    rows: NDArray[np.float32]


class EmbeddingEngine:
    """An engine whose columns are a model's embeddings, instead of probabilities, by whatever predicts by the model.

    Raises:
        ConfigError: the model is not one of genreline's, and has no embeddings.
        MissingError: its graph is of an earlier version, and PyTorch is not installed.
    """

    metrics: Mapping[str, Any] = MappingProxyType({})
    calibration = Calibration()

    def __init__(self, model: Engine) -> None:
        self._embed = _embedder(model)
        self.name, self.features = model.name, model.features
        n_columns = self.probabilities(np.zeros((1, 8000), np.float32)).shape[1]
        self.classes = tuple(map(str, range(n_columns)))

    def probabilities(self, seconds: NDArray[np.float32]) -> NDArray[np.float32]:
        """The embeddings of seconds (N, 8000), mono, 8 kHz: (N, d)."""
        return self._embed(seconds)


def _embedder(model: Engine) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    return model.embeddings if isinstance(model, Graph) and model.has_embeddings else _by_torch(model)


def _by_torch(model: Engine) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """What computes a model's embeddings by PyTorch."""
    try:
        from genreline.audio.features import features
        from genreline.train.checkpoint import Model, load_model
        from genreline.train.models import Embedder
        from genreline.train.transfer import embed_rows
    except ModuleNotFoundError as error:
        raise MissingError.of(f"embeddings by {model.name}", error) from error
    if isinstance(model, Graph):
        model = load_model(model.folder)
    if not isinstance(model, Model):
        raise ConfigError(f"{model.name}: is no model of genreline's, so it has no embeddings")
    body = Embedder(model.network).eval()
    return lambda seconds: embed_rows(body, features(seconds, model.features).numpy()).numpy()


def check_suffix(out: Path) -> None:
    """ConfigError if a table cannot be written under this name, or not here: call it before long work."""
    if out.suffix not in SUFFIXES:
        raise ConfigError(
            f"{out}: ends in {out.suffix or 'no suffix'}; name a file that ends in {' or '.join(SUFFIXES)}"
        )
    if out.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ConfigError(f"{out}: needs pyarrow; pip install 'genreline[parquet]', or write .npy") from error


def save_embeddings(songs: Sequence[Embedded], out: Path) -> None:
    """Write the rows of all files, a row a second.

    .parquet has the columns file, start_s and embedding (a list of d float32). .npy is the array (N, d) float32, and
    beside it OUT.npy.csv says which file and second each row is. Both are complete or not there. What is no text in the
    name of a file becomes `?`.

    Raises:
        GenrelineError: the file cannot be written.
    """
    rows = np.concatenate([song.rows for song in songs])
    files = [writable(song.name) for song in songs for _ in song.rows]
    seconds = [second for song in songs for second in range(len(song.rows))]
    if out.suffix == ".npy":
        with replacing(out) as temporary:
            np.save(temporary, rows, allow_pickle=False)
        write_text(out.with_name(f"{out.name}.csv"), _csv(files, seconds))
        return
    import pyarrow
    import pyarrow.parquet

    embeddings = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(rows.ravel()), rows.shape[1])
    table = pyarrow.table({"file": files, "start_s": seconds, "embedding": embeddings})
    with replacing(out) as temporary:
        try:
            pyarrow.parquet.write_table(table, temporary)
        except pyarrow.ArrowException as error:
            raise GenrelineError(f"{out}: cannot be written ({error})") from error


def _csv(files: Sequence[str], seconds: Sequence[int]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "start_s"])
    writer.writerows(zip(files, seconds, strict=True))
    return text.getvalue()
