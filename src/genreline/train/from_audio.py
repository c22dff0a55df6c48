"""Folders of audio become a model in one call."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from genreline.data.layout import load_dataset
from genreline.data.prepare import Step, prepare
from genreline.errors import GenrelineError
from genreline.train.checkpoint import Model, save_model
from genreline.train.loop import Epoch, fit
from genreline.train.recipes import choose_recipe, configure, recipe_settings


def train_folder(
    music: str | Path,
    out: str | Path | None = None,
    recipe: str | None = None,
    dataset: str | Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    jobs: int | None = None,
    on_step: Callable[[Step], object] = lambda step: None,
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
) -> Model:
    """A model of a folder of audio: `prepare`, `fit` and, with `out`, `save_model`.

    >>> model = train_folder("music")
    >>> Recognizer(model)("song.mp3").dominant

    Args:
        music: what `prepare` takes: a folder with a folder of audio for each class, or a CSV file.
        out: the model folder to write. Default: none.
        recipe: a name of `genreline recipes`, or a model's. Default: the one that works for the size.
        dataset: the folder in which to keep the dataset. Default: a temporary one.
        seed: of the split and of the training.
        jobs: processes that compute features. Default: this one. A script that asks for several keeps what it runs
            below `if __name__ == "__main__":`.
        on_step, on_epoch: as of `prepare` and `fit`.

    Returns:
        The model, with its validation figures in `metrics`. The test set, a fifth of the recordings, is not read.

    Raises:
        DataError: folders that will not do. ConfigError: no such recipe or device. GenrelineError: the training's loss
        was no number. KeyboardInterrupt: Ctrl-C; nothing is written then.
    """
    with ExitStack() as stack:
        place = dataset or stack.enter_context(tempfile.TemporaryDirectory(prefix="genreline-"))
        prepare(music, place, seed=seed, jobs=jobs or 1, on_step=on_step)
        settings = recipe_settings(recipe) if recipe else choose_recipe(place)[0]
        config = configure(settings, [f"seed={seed}"])
        data = load_dataset(place, config.features)
        run = fit(config, data, device, on_epoch)
        if run.interruption:
            raise run.interruption
        if not run.best_epoch:
            raise GenrelineError(f"{music}: no epoch of the training had a finite loss; choose another recipe")
        model = Model.from_fit(run, data)
        if out is not None:
            save_model(model, out)
    return model
