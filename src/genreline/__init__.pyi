"""The public names, listed here alone: `genreline/__init__.py` reads this file, and so do type checkers."""

from .audio.decode import blocks as blocks
from .audio.decode import decode as decode
from .audio.features import features as features
from .audio.features import melgrams as melgrams
from .audio.features import mfccs as mfccs
from .audio.features import segments as segments
from .data.check import check_dataset as check_dataset
from .data.layout import Dataset as Dataset
from .data.layout import Split as Split
from .data.layout import load_dataset as load_dataset
from .data.layout import load_split as load_split
from .data.loaders import make_loader as make_loader
from .data.loaders import make_loaders as make_loaders
from .data.prepare import prepare as prepare
from .demo.demo import compose_dataset as compose_dataset
from .errors import AudioError as AudioError
from .errors import CheckpointError as CheckpointError
from .errors import ConfigError as ConfigError
from .errors import DataError as DataError
from .errors import GenrelineError as GenrelineError
from .fetch.cache import youtube_to_melgram as youtube_to_melgram
from .predict.player import save_player as save_player
from .predict.plot import draw as draw
from .predict.plot import save_picture as save_picture
from .predict.recognizer import Recognizer as Recognizer
from .predict.recognizer import infer as infer
from .predict.timeline import Timeline as Timeline
from .study.notebook import show_study as show_study
from .train.checkpoint import Model as Model
from .train.checkpoint import load_model as load_model
from .train.checkpoint import save_model as save_model
from .train.checkpoint import shipped_models as shipped_models
from .train.config import Config as Config
from .train.config import ConvNetConfig as ConvNetConfig
from .train.config import FeedForwardConfig as FeedForwardConfig
from .train.config import OptimizerConfig as OptimizerConfig
from .train.config import SchedulerConfig as SchedulerConfig
from .train.config import load_config as load_config
from .train.loop import evaluate as evaluate
from .train.loop import fit as fit
from .train.loop import train as train
from .train.models import ConvNet as ConvNet
from .train.models import FeedForward as FeedForward

__version__: str
