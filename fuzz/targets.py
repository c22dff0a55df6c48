"""What is fuzzed: for each kind of file, what reads it. GenrelineError is a good answer, others are none."""

import hashlib
import io
import json
import re
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from genreline.errors import GenrelineError

Target = Callable[[Path], None]


def read_sound(path: Path) -> None:
    """A sound by every way in: as a file, as a stream, for a browser, and what is looked up before decoding."""
    from genreline.audio.decode import arriving, blocks, stated_duration_s
    from genreline.audio.encode import playable
    from genreline.audio.riff import find_samples, rewritten
    from genreline.audio.scan import scan_mp3, scan_ogg

    data = path.read_bytes()
    scan_mp3(io.BytesIO(data))
    scan_ogg(io.BytesIO(data))
    with suppress(GenrelineError):
        if samples := find_samples(io.BytesIO(data), "sound"):
            rewritten(io.BytesIO(data), samples).read()
    stated_duration_s(path)
    for read in (lambda: blocks(path), lambda: arriving(io.BytesIO(data)), lambda: blocks(data, rate_hz=44100)):
        with suppress(GenrelineError):
            for _ in read():
                pass
    playable(path)


def read_source(path: Path) -> None:
    """A CSV file of recordings."""
    from genreline.data.sources import read_source

    read_source(path)


def read_split(path: Path) -> None:
    """A split file, for two recordings."""
    from genreline.data.sources import Recording
    from genreline.data.split import read_split_file

    read_split_file(path, [Recording("rock/a.wav", "rock"), Recording("jazz/b.wav", "jazz")])


def read_tracks(path: Path) -> None:
    """The tracks of a dataset's set."""
    from genreline.data.layout import read_tracks

    read_tracks(path)


def read_config(path: Path) -> None:
    """The settings of a run."""
    from genreline.train.config import load_config

    load_config(path).digest()


def read_study(path: Path) -> None:
    """A study."""
    from genreline.study.spec import load_study

    load_study(path)


def read_manifest(path: Path) -> None:
    """What a finished preparation left."""
    from genreline.data.prepare import MANIFEST, finished

    (path.parent / MANIFEST).write_bytes(path.read_bytes())
    finished(path.parent, "00")


def read_array(path: Path) -> None:
    """An array, and what the set of a dataset makes of it."""
    from genreline.data.layout import load_split
    from genreline.data.npy import ArrayFile

    with suppress(GenrelineError):
        ArrayFile(path).sha256()
    folder = path.parent / "dataset" / "train" / "mfccs"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("X.npy", "labels.npy", "classes.npy"):
        (folder / name).write_bytes(path.read_bytes())
    load_split(path.parent / "dataset", "train", "mfccs")


def read_model(path: Path) -> None:
    """A model folder, given as the length of its description, the description, and its weights; a second of noise."""
    import numpy as np

    from genreline.predict.recognizer import Recognizer
    from genreline.train.checkpoint import DESCRIPTION, load_model

    data = path.read_bytes()
    size = struct.unpack("<I", data[:4].ljust(4, b"\0"))[0]
    description, weights = data[4 : 4 + size], data[4 + size :]
    digest = hashlib.sha256(weights).hexdigest()
    description = re.sub(rb'"weights_digest": "[0-9a-f]{64}"', f'"weights_digest": "{digest}"'.encode(), description)
    folder = path.parent / "model"
    folder.mkdir(exist_ok=True)
    for left in folder.iterdir():
        left.unlink()
    (folder / DESCRIPTION).write_bytes(description)
    (folder / f"weights-{digest[:16]}.safetensors").write_bytes(weights)
    model = load_model(folder)
    timeline = Recognizer(model)(np.random.default_rng(0).normal(0, 0.1, 12_000).astype(np.float32))
    timeline.to_json()


def read_timeline(path: Path) -> None:
    """A timeline as JSON or CSV, and every format that it is written in."""
    from genreline.predict.timeline import Timeline

    text = path.read_bytes().decode("utf-8", "replace")
    timeline = Timeline.from_json(text) if path.suffix == ".json" else Timeline.from_csv(text)
    if len(timeline.classes) * len(timeline.probabilities) > 100_000:
        return
    for form in (timeline.to_csv, timeline.to_json, timeline.to_audacity, timeline.to_rttm, timeline.to_jams):
        form()
    assert Timeline.from_json(timeline.to_json()).labels == timeline.labels
    assert json.loads(timeline.to_jams())["file_metadata"]["duration"] == timeline.duration_s


TARGETS: dict[str, Target] = {
    "sound": read_sound,
    "source": read_source,
    "split": read_split,
    "tracks": read_tracks,
    "config": read_config,
    "study": read_study,
    "manifest": read_manifest,
    "array": read_array,
    "model": read_model,
    "timeline": read_timeline,
}
"""By the folder of the corpus that holds files of the kind."""
