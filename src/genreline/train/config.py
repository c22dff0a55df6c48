"""A run as data: everything that decides its result, checked, with a digest that names it.

The defaults are the assignment's: SGD at 0.002, cross-entropy, 30 epochs, batches of 16 (step 1.5), and networks that
are exactly those of its steps 1.2 and 2.4. What does not change the result (device, threads, progress) is not in here.
"""

import hashlib
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from genreline.errors import ConfigError, did_you_mean

_OPTIMIZERS = (
    *("ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "LBFGS", "Muon", "NAdam", "RAdam"),
    *("RMSprop", "Rprop", "SGD", "SparseAdam"),
)
_SCHEDULERS = (
    *("ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR"),
    *("ExponentialLR", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR"),
    *("ReduceLROnPlateau", "SequentialLR", "StepLR"),
)
_ACTIVATIONS = (
    *("CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid"),
    *("LogSoftmax", "Mish", "MultiheadAttention", "PReLU", "RReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid"),
    *("Softmax", "Softmax2d", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold"),
)


def _any_case(names: Iterable[str]) -> AfterValidator:
    """`adamw` becomes AdamW. The names are torch's; they stand here because importing torch takes a second."""
    spelling = {name.lower(): name for name in names}
    return AfterValidator(lambda name: spelling.get(name.lower(), name))


_OptimizerName = Annotated[str, _any_case(_OPTIMIZERS)]
_SchedulerName = Annotated[str, _any_case(_SCHEDULERS)]
_Activation = Annotated[str, _any_case(_ACTIVATIONS)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FeedForwardConfig(_Settings):
    """Fully connected, input-128-32-classes (assignment, step 1.2)."""

    name: Literal["fnn"] = "fnn"
    activation: _Activation | None = None
    """A class of torch.nn by name, at the input of every linear layer but the first (assignment, step 3.2)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """At the input of every linear layer but the first (assignment, step 3.6)."""


class ConvNetConfig(_Settings):
    """Four convolutions, 1-16-32-64-128, kernel 5, then x-1024-256-32-classes (assignment, step 2.2)."""

    name: Literal["cnn"] = "cnn"
    padding: int = Field(default=2, ge=0, le=4)
    pooling: int = Field(default=2, ge=1)
    """Kernel of the max pooling after each convolution; 1 is none. 2.3 has padding 0 and pooling 1, 2.4 has 2 and 2."""
    activation: _Activation | None = None
    """A class of torch.nn by name: after every convolution, before pooling, and at every linear layer's input (3.2)."""
    batch_norm: bool = False
    """BatchNorm2d before the activation of every convolution (assignment, step 3.5)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """At the input of every linear layer (assignment, step 3.6)."""


class ResNetConfig(_Settings):
    """A small residual network: a convolution, a residual block for each further channel count, a linear layer."""

    name: Literal["resnet"] = "resnet"
    channels: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        default=(24, 32, 64, 96, 128), min_length=2, max_length=64
    )
    """Of the first convolution and of each residual block."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """At the input of the linear layer."""
    every_block: bool = False
    """Whether the linear layer is given what every block has found, not the last one alone."""


ModelConfig = Annotated[FeedForwardConfig | ConvNetConfig | ResNetConfig, Field(discriminator="name")]


class AugmentationConfig(_Settings):
    """How training varies melgrams, each part off at 0 (`train/augment.py`)."""

    roll: bool = False
    """Roll each segment in time by any number of frames."""
    shift_bands: int = Field(default=0, ge=0, le=32)
    """Shift each segment by up to so many mel bands, up or down."""
    equaliser_db: float = Field(default=0.0, ge=0, le=40)
    """Deviation of a random smooth gain over the mel bands, in dB."""
    low_pass: float = Field(default=0.0, ge=0, le=1)
    """Share of segments that lose their treble from a random band on."""
    noise: float = Field(default=0.0, ge=0, le=1)
    """Share of segments whose quiet parts are filled with noise of a random level."""
    time_mask: int = Field(default=0, ge=0, le=21)
    """Hide up to so many frames in a row."""
    band_mask: int = Field(default=0, ge=0, le=128)
    """Hide up to so many mel bands in a row."""
    mixup: float = Field(default=0.0, ge=0)
    """Mix pairs of segments and of their labels, by shares from Beta(mixup, mixup)."""


class DistillationConfig(_Settings):
    """Learn from other models' predictions on the training set, besides its labels."""

    teachers: tuple[str, ...] = Field(min_length=1)
    """Model folders, or names of models that ship; their probabilities are averaged."""
    weight: float = Field(default=0.5, ge=0, le=1)
    """Of the teachers' probabilities in the target; the label has the rest."""


class StartConfig(_Settings):
    """Start from what another model has learned: its weights, and a new last layer for this dataset's classes."""

    model: str
    """A model folder, or the name of a model that ships. Its features and its network must be this configuration's."""
    freeze: bool = False
    """Train that last layer alone, on embeddings that are computed once."""


def _finite_arguments(config: Any) -> Any:
    """What pydantic checks of fields, of the arguments that a torch class takes: a number is one."""
    for name, value in (config.model_extra or {}).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}: {value} is not a finite number")
    return config


class OptimizerConfig(BaseModel):
    """A class of torch.optim by name (capitals do not matter), its learning rate, and any other argument of it."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    name: _OptimizerName = "SGD"
    lr: float = Field(default=0.002, gt=0)

    _check_arguments = model_validator(mode="after")(_finite_arguments)


class SchedulerConfig(BaseModel):
    """A class of torch.optim.lr_scheduler by name (capitals do not matter), and any argument that it takes (3.4)."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    name: _SchedulerName

    _check_arguments = model_validator(mode="after")(_finite_arguments)


class Config(_Settings):
    """One training run. See the fields of each part for what can be set."""

    features: Literal["mfccs", "melgrams"] = "mfccs"
    model: Annotated[FeedForwardConfig | ConvNetConfig | ResNetConfig, Field(discriminator="name")] = (
        FeedForwardConfig()
    )
    standardise: bool = False
    """Whether inputs are brought to mean 0 and deviation 1 with the training set's statistics."""
    augment: bool = False
    """Whether training varies melgrams as `genres7-cnn` does: rolled, shifted by a band, with another's treble."""
    augmentation: AugmentationConfig = AugmentationConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    scheduler: SchedulerConfig | None = None
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_balance: float = Field(default=0.0, ge=0, le=1)
    """Exponent of the weights that the loss gives to rare classes: 0 weighs samples alike, 1 weighs classes alike."""
    source_balance: float = Field(default=0.0, ge=0, le=1)
    """Exponent of the draws of rare sources: 0 draws samples alike, 1 the sources of a class alike."""
    distillation: DistillationConfig | None = None
    start: StartConfig | None = None
    weight_averaging: float = Field(default=0.0, ge=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then what is validated and kept; 0 is none."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products in training; bfloat16 takes half the time where a processor or GPU supports it."""
    epochs: int = Field(default=30, ge=1)
    patience: int | None = Field(default=None, ge=1)
    """Early stopping: end after as many epochs in a row without a better validation macro F1 (assignment, step 3.7)."""
    batch_size: int = Field(default=16, ge=1, le=2**20)
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="before")
    @classmethod
    def _name_model(cls, settings: Any) -> Any:
        """A model that is set without its name is the default one, as in `--set model.dropout=0.1`."""
        if isinstance(settings, Mapping) and isinstance(model := settings.get("model"), Mapping):
            return {**settings, "model": {"name": "fnn", **model}}
        return settings

    @model_validator(mode="after")
    def _check_input(self) -> Self:
        if self.model.name != "fnn" and self.features == "mfccs":
            raise ValueError(
                f"a {self.model.name} needs melgrams (--features melgrams): an MFCC vector has no time and "
                "frequency to convolve over"
            )
        if (self.augment or self.augmentation != AugmentationConfig()) and self.features != "melgrams":
            raise ValueError("augment and augmentation work on melgrams only")
        return self

    @property
    def is_frozen(self) -> bool:
        """Whether only a new last layer is trained, at once instead of in epochs (`start.freeze`)."""
        return self.start is not None and self.start.freeze

    def digest(self) -> str:
        """SHA-256 of the resolved configuration, defaults included: the run's identity."""
        # Settings that came later count only where they are used, so that earlier runs keep their identity.
        unused = {name for name in _LATER if getattr(self, name) == type(self).model_fields[name].default}
        settings = self.model_dump(mode="json", exclude=unused)
        if not settings["model"].get("every_block"):
            settings["model"].pop("every_block", None)
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


_LATER = {"augmentation", "source_balance", "distillation", "start", "precision"}

_SETTINGS = [
    *Config.model_fields,
    *(f"optimizer.{name}" for name in OptimizerConfig.model_fields),
    *(f"scheduler.{name}" for name in SchedulerConfig.model_fields),
    *(f"model.{name}" for name in {**ConvNetConfig.model_fields, **ResNetConfig.model_fields}),
    *(f"augmentation.{name}" for name in AugmentationConfig.model_fields),
    *(f"distillation.{name}" for name in DistillationConfig.model_fields),
    *(f"start.{name}" for name in StartConfig.model_fields),
]
"""Every setting by its dotted key, but for the arguments that a torch class takes."""


def load_config(path: str | Path | None = None, overrides: Iterable[str] = ()) -> Config:
    """A configuration from a TOML file, if any, with `key=value` strings of dotted keys over it.

    A value is read as TOML (`0.1`, `true`, `[1, 2]`), or else as the text that it is (`Adam`); `none` is None.

    Raises:
        ConfigError: unreadable TOML, a key that does not exist, a value that makes no sense; all problems in one line.
    """
    settings = read_settings(path) if path is not None else {}
    override_settings(settings, overrides)
    return parse_config(settings, str(path or "configuration"))


def read_settings(path: str | Path) -> dict[str, Any]:
    """The nested settings of a TOML file, unchecked. Raises ConfigError if it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, or numbers of thousands of digits
        raise ConfigError(f"{path}: is not TOML ({error})") from error


def override_settings(settings: dict[str, Any], overrides: Iterable[str]) -> None:
    """Put `key=value` strings, as `load_config` takes them, over nested settings. Raises ConfigError."""
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(f"--set {override}: write key=value, as in optimizer.lr=0.01")
        nested: Any = _parse(value)
        for part in reversed(key.split(".")):
            nested = {part: nested}
        merge_settings(settings, nested)


def parse_config(settings: Mapping[str, Any], where: str = "configuration") -> Config:
    """A Config from nested settings. Raises ConfigError, with all problems in one line."""
    try:
        return Config.model_validate(settings)
    except ValidationError as error:
        problems = "; ".join(f"{_key(problem['loc'])}{_reason(problem)}" for problem in error.errors())
        raise ConfigError(f"{where}: {problems}") from error


def _key(location: tuple[int | str, ...]) -> str:
    """`("model", "cnn", "padding")` -> `model.padding: `; the tag of the union is no key of the user's."""
    parts = [str(part) for i, part in enumerate(location) if not (i == 1 and location[0] == "model")]
    return f"{'.'.join(parts)}: " if parts else ""


def _reason(problem: ErrorDetails) -> str:
    if problem["type"] == "extra_forbidden":
        return f"there is no such setting{did_you_mean(str(problem['loc'][-1]), _SETTINGS)}"
    return problem["msg"].removeprefix("Value error, ")


def _parse(value: str) -> Any:
    if value.lower() == "none":
        return None
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        pass
    try:
        return float(value)  # .9 and 1. are no TOML
    except ValueError:
        return value


def merge_settings(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Merge nested settings into others. Nothing is dropped: settings that the model lacks are refused later."""
    for key, value in other.items():
        if isinstance(value, Mapping):
            below = into[key] if isinstance(into.get(key), dict) else {}
            into[key] = below
            merge_settings(below, value)
        else:
            into[key] = value
