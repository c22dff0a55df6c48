"""The embedded default: both journeys on music that genreline composes itself, from nothing to a timeline.

Every stage is kept in the output folder and skipped when it is there already, so that an interrupted demo goes on
where it stopped. Nothing here is particular to the demo's music: the same steps do for any folders of audio.
"""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genreline.data.layout import indices, load_dataset
from genreline.data.prepare import WORK, prepare
from genreline.demo.music import GENRES, Track, medley, write_track, write_wav
from genreline.errors import CheckpointError
from genreline.files import digest_file, json_text, write_text
from genreline.parallel import map_unordered
from genreline.predict.plot import save_picture
from genreline.predict.recognizer import Recognizer
from genreline.train.checkpoint import Model, load_model, save_model
from genreline.train.config import parse_config
from genreline.train.evaluate import evaluate_model
from genreline.train.loop import fit
from genreline.train.metrics import compute_scores

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

TRACKS_PER_GENRE = 40
TRACK_S = 12
CONFIG = parse_config(
    {
        "features": "melgrams",
        "model": {"name": "cnn", "activation": "ReLU", "batch_norm": True, "dropout": 0.3},
        "standardise": True,
        "optimizer": {"name": "AdamW", "lr": 0.001},
        "weight_averaging": 0.99,
        "epochs": 8,
    }
)
_STEPS = {"features": "computing features", "writing": "writing the dataset"}


def run_demo(out: Path, progress: "Progress") -> dict[str, Any]:
    """Compose, prepare, train, evaluate on unseen tracks, and draw the timeline of a medley with known changes.

    Writes music/GENRE/*.wav, dataset/, model/, medley.wav, medley.csv and medley.png to `out`.

    Returns:
        test (as `genreline evaluate --json`), medley (f1_macro, accuracy, n, audio, csv, png), seconds.
    """
    start = time.perf_counter()
    tasks: dict[str, TaskID] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = progress.add_task(what, total=total)
        progress.update(tasks[what], completed=done)

    data = compose_dataset(out, show)
    dataset = load_dataset(data, CONFIG.features)
    model = _finished_model(out / "model", dataset.digest)
    if model is None:
        run = fit(CONFIG, dataset, on_epoch=lambda epoch: show("training", epoch.epoch, CONFIG.epochs))
        save_model(Model.from_fit(run, dataset), out / "model")
        model = load_model(out / "model")
    return {
        "test": evaluate_model(model, dataset.test),
        "medley": _medley(model, out),
        "seconds": time.perf_counter() - start,
    }


def compose_dataset(
    out: str | Path, on_step: Callable[[str, int, int], object] = lambda what, done, total: None
) -> Path:
    """The embedded music as a dataset in the course layout: blues, classical, pop and rock, composed and rendered.

    Writes music/GENRE/*.wav and dataset/ to `out`, but for what is there already.

    Args:
        on_step: gets what is being done, how much of it is done, and how much there is.

    Returns:
        The dataset's folder, `out`/dataset.
    """
    out = Path(out)
    tracks = [
        Track(genre, number, TRACK_S, out / "music" / genre / f"{genre}-{number:02}.wav")
        for genre in GENRES
        for number in range(TRACKS_PER_GENRE)
    ]
    missing = [track for track in tracks if not track.path.exists()]
    for done, _ in enumerate(map_unordered(write_track, missing, jobs=2), start=1):
        on_step("composing", done, len(missing))
    data = out / "dataset"
    music_digest = [digest_file(track.path) for track in tracks]
    complete = data / "music.json"  # written last: which music the dataset is of
    if not complete.exists() or json.loads(complete.read_text()) != music_digest:
        if data.exists() and not (data / WORK).exists():  # of other music: this folder is the demo's own
            shutil.rmtree(data)
        prepare(out / "music", data, jobs=2, on_step=lambda step: on_step(_STEPS[step.what], step.done, step.total))
        write_text(complete, json_text(music_digest))
    return data


def _finished_model(folder: Path, data_digest: str) -> Model | None:
    """The model of an earlier demo, if it is complete and of the same configuration and data."""
    try:
        model = load_model(folder)
    except CheckpointError:
        return None
    same = model.config == CONFIG and model.data_digest == data_digest and model.training["status"] == "completed"
    return model if same else None


def _medley(model: Model, out: Path) -> dict[str, Any]:
    """The timeline of a medley, and how many of its seconds it names rightly."""
    waveform, parts = medley(seed=0)
    files = {"audio": out / "medley.wav", "csv": out / "medley.csv", "png": out / "medley.png"}
    write_wav(files["audio"], waveform)
    timeline = Recognizer(model)(files["audio"])
    timeline.save(files["csv"])
    save_picture(timeline, files["png"])
    truth = np.array([genre for start_s, end_s, genre in parts for _ in range(round(end_s - start_s))])
    labels = np.array(timeline.labels)
    scores = compute_scores(
        indices(truth, model.classes, "medley"), indices(labels, model.classes, "medley"), len(model.classes)
    )
    return {
        "f1_macro": scores.f1_macro,
        "accuracy": scores.accuracy,
        "n": len(labels),
        **{name: str(path) for name, path in files.items()},
    }
