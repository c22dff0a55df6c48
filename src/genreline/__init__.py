"""genreline hears music one second at a time.

The public names, flat: `from genreline import Recognizer`. Each is imported when it is first used, so that
`import genreline` and `genreline --help` answer at once.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genreline.audio.decode import blocks, decode
    from genreline.audio.features import features, melgrams, mfccs, segments
    from genreline.audio.fetch import youtube_to_melgram
    from genreline.data.check import check_dataset
    from genreline.data.layout import Dataset, Split, load_dataset, load_split
    from genreline.data.loaders import make_loader, make_loaders
    from genreline.data.prepare import prepare
    from genreline.demo import compose_dataset
    from genreline.errors import AudioError, CheckpointError, ConfigError, DataError, GenrelineError
    from genreline.learn.checkpoint import Model, load_model, save_model, shipped_models
    from genreline.learn.config import Config, load_config
    from genreline.learn.models import ConvNet, FeedForward
    from genreline.learn.training import evaluate, fit, train
    from genreline.listen.picture import draw, save_picture
    from genreline.listen.player import save_player
    from genreline.listen.recognizer import Recognizer, infer
    from genreline.listen.timeline import Timeline
    from genreline.study.notebook import show_study

__version__ = version("genreline")

_HOMES = {
    "audio.decode": ["blocks", "decode"],
    "audio.features": ["features", "melgrams", "mfccs", "segments"],
    "audio.fetch": ["youtube_to_melgram"],
    "data.check": ["check_dataset"],
    "data.layout": ["Dataset", "Split", "load_dataset", "load_split"],
    "data.loaders": ["make_loader", "make_loaders"],
    "data.prepare": ["prepare"],
    "demo": ["compose_dataset"],
    "errors": ["AudioError", "CheckpointError", "ConfigError", "DataError", "GenrelineError"],
    "learn.checkpoint": ["Model", "load_model", "save_model", "shipped_models"],
    "learn.config": ["Config", "load_config"],
    "learn.models": ["ConvNet", "FeedForward"],
    "learn.training": ["evaluate", "fit", "train"],
    "listen.picture": ["draw", "save_picture"],
    "listen.player": ["save_player"],
    "listen.recognizer": ["Recognizer", "infer"],
    "listen.timeline": ["Timeline"],
    "study.notebook": ["show_study"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'genreline' has no attribute {name!r}")
    return getattr(import_module(f"genreline.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
