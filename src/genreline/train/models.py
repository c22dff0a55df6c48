"""The two networks of the assignment, any configuration of them, and a residual network that generalises better."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn

from genreline.errors import ConfigError, did_you_mean
from genreline.train.config import Config

CHANNELS = (1, 16, 32, 64, 128)
KERNEL = 5
HIDDEN_FNN = (128, 32)
HIDDEN_CNN = (1024, 256, 32)


class FeedForward(nn.Module):
    """Fully connected, input-128-32-classes (assignment, step 1.2); the input is flattened.

    Args:
        input_shape: of one sample, or its number of features.
        activation: a class of torch.nn by name, at the input of every linear layer but the first (step 3.2).
        dropout: a probability, at the same places (step 3.6).

    Shape:
        (N, *input_shape) float32 -> (N, n_classes) logits.

    Raises:
        ConfigError: torch.nn has no such activation, or it cannot stand between layers.
    """

    def __init__(
        self, input_shape: int | Sequence[int], n_classes: int, *, activation: str | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__()
        n_features = input_shape if isinstance(input_shape, int) else math.prod(input_shape)
        first, *rest = _linear_layers((n_features, *HIDDEN_FNN, n_classes), activation, dropout)
        # The first linear layer's input is the data itself: nothing is activated or dropped there.
        self.layers = nn.Sequential(nn.Flatten(), first[-1], *(layer for group in rest for layer in group))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits

    def embed(self, x: Tensor) -> Tensor:
        """What the last linear layer is given: (N, *input_shape) -> (N, 32)."""
        embeddings: Tensor = self.layers[:-1](x)
        return embeddings


class ConvNet(nn.Module):
    """Four convolutions, 1-16-32-64-128, kernel 5, then fully connected x-1024-256-32-classes.

    These are steps 2.2 to 3.6 of the assignment. x, the size of the convolutions' output, follows from the input's
    shape: 1024 for a melgram of 21 x 128 with padding and pooling (step 2.4), 71,680 with neither (step 2.3).

    Args:
        input_shape: (time, mel bands) of one melgram.
        padding: on each side of every convolution's input.
        pooling: kernel of the max pooling after each convolution; 1 is none.
        activation: a class of torch.nn by name: after every convolution, before pooling, and at the input of every
            linear layer (step 3.2).
        batch_norm: BatchNorm2d before the activation of every convolution (step 3.5).
        dropout: a probability, at the input of every linear layer (step 3.6).

    Shape:
        (N, *input_shape) float32, input_shape = (time, mel bands) -> (N, n_classes) logits.

    Raises:
        ConfigError: the input is too small for four convolutions with this padding and pooling; torch.nn has no such
            activation, or it cannot stand between layers.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        *,
        padding: int = 2,
        pooling: int = 2,
        activation: str | None = None,
        batch_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        height, width = input_shape
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(CHANNELS):
            height, width = (_conv_size(size, padding, pooling) for size in (height, width))
            if min(height, width) < 1:
                raise ConfigError(
                    f"an input of {' x '.join(map(str, input_shape))} is too small for four convolutions with padding "
                    f"{padding} and pooling {pooling}; give it more padding, less pooling or larger input"
                )
            layers.append(nn.Conv2d(n_in, n_out, KERNEL, padding=padding))
            if batch_norm:
                layers.append(nn.BatchNorm2d(n_out))
            layers += _activation(activation)
            if pooling > 1:
                layers.append(nn.MaxPool2d(pooling))
        # Channels last in memory: the same arithmetic, an epoch on a CPU in three quarters of the time.
        self.convolutions = nn.Sequential(*layers)
        self.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        linear = _linear_layers((CHANNELS[-1] * height * width, *HIDDEN_CNN, n_classes), activation, dropout)
        self.classifier = nn.Sequential(nn.Flatten(), *(layer for group in linear for layer in group))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.convolutions(x.unsqueeze(1)))
        return logits

    def embed(self, x: Tensor) -> Tensor:
        """What the last linear layer is given: (N, *input_shape) -> (N, 32)."""
        embeddings: Tensor = self.classifier[:-1](self.convolutions(x.unsqueeze(1)))
        return embeddings


class ResNet(nn.Module):
    """A small residual network (He et al. 2016, basic blocks), for melgrams.

    A convolution of 3 x 7 that halves the mel bands, four residual blocks of 3 x 3 convolutions with batch
    normalisation, of which the first three halve both axes, the mean and the maximum of each channel over time and
    bands, and one linear layer. The default channels give 0.49 million weights; the assignment's CNN has 1.6 million.

    Args:
        input_shape: (time, mel bands) of one melgram.
        channels: of the first convolution and of each block.
        dropout: a probability, at the input of the linear layer.
        every_block: give the linear layer the means and maxima of every block's channels, not of the last one's alone:
            what earlier blocks see tells sounds apart that the network was not trained for.

    Shape:
        (N, *input_shape) float32, input_shape = (time, mel bands) -> (N, n_classes) logits.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        *,
        channels: Sequence[int] = (24, 32, 64, 96, 128),
        dropout: float = 0.3,
        every_block: bool = False,
    ) -> None:
        super().__init__()
        first, last = channels[0], channels[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(1, first, (3, 7), stride=(1, 2), padding=(1, 3), bias=False), nn.BatchNorm2d(first), nn.ReLU()
        )
        pairs = list(pairwise(channels))
        self.blocks = nn.Sequential(*(_ResidualBlock(*pair, 2 if pair is not pairs[-1] else 1) for pair in pairs))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.dropout = nn.Dropout(dropout)
        self.every_block = every_block
        self.classifier = nn.Linear(2 * (sum(channels[1:]) if every_block else last), n_classes)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.embed(x) if self.every_block else _pooled(self.blocks(self.stem(x.unsqueeze(1))))
        logits: Tensor = self.classifier(self.dropout(pooled))
        return logits

    def embed(self, x: Tensor) -> Tensor:
        """(N, *input_shape) -> (N, 2 * sum(channels[1:])): the means, then the maxima, of each block's channels."""
        maps = self.stem(x.unsqueeze(1))
        embeddings = []
        for block in self.blocks:
            maps = block(maps)
            embeddings.append(_pooled(maps))
        return torch.cat(embeddings, dim=1)


def _pooled(maps: Tensor) -> Tensor:
    """(N, channels, time, bands) -> (N, 2 * channels), means and then maxima."""
    return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


class _ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, each with batch normalisation, and a 1 x 1 convolution past them.

    The way past is averaged rather than thinned out where the block halves its input (He et al. 2019, ResNet-D).
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        pooling = [nn.AvgPool2d(stride, ceil_mode=True)] if stride > 1 else []
        self.shortcut = nn.Sequential(*pooling, nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.convolutions(x) + self.shortcut(x))


class Standardise(nn.Module):
    """Bring every feature to mean 0 and deviation 1, with the training set's statistics.

    They are buffers, so they are saved and loaded with the weights.

    Shape:
        (N, *shape) -> the same. Vectors (MFCCs) have a mean and a deviation for each number, pictures (melgrams) one
        for all: their numbers share a unit, and a mean for each band would capture how the data was recorded.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, input_shape: Sequence[int]) -> None:
        super().__init__()
        statistics = input_shape if len(input_shape) == 1 else (1,)
        self.register_buffer("mean", torch.zeros(statistics))
        self.register_buffer("deviation", torch.ones(statistics))

    def fit(self, X: Tensor) -> None:
        """Take the statistics of X (N, *shape); what is constant keeps a deviation of 1."""
        rows = X.reshape(-1, *self.mean.shape).double()
        self.mean.copy_(rows.mean(dim=0))
        deviation = rows.std(dim=0, correction=0)
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, 1.0))

    def fit_blocks(self, blocks: Callable[[], Iterable[Tensor]]) -> None:
        """`fit` for data larger than memory: each call of `blocks` iterates over all rows (n, *shape)."""

        def mean_of(function: Callable[[Tensor], Tensor]) -> Tensor:
            n, total = 0, torch.zeros_like(self.mean, dtype=torch.float64)
            for block in blocks():
                rows = block.reshape(-1, *self.mean.shape).double()
                n, total = n + len(rows), total + function(rows).sum(dim=0)
            return total / n

        mean = mean_of(lambda rows: rows)
        deviation = mean_of(lambda rows: (rows - mean).square()).sqrt()
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation


def build_network(config: Config, input_shape: Sequence[int], n_classes: int) -> nn.Module:
    """The network that a configuration describes, with weights drawn from torch's global random generator."""
    kinds: dict[str, Callable[..., nn.Module]] = {"fnn": FeedForward, "cnn": ConvNet, "resnet": ResNet}
    network = kinds[config.model.name](input_shape, n_classes, **config.model.model_dump(exclude={"name"}))
    return nn.Sequential(Standardise(input_shape), network) if config.standardise else network


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode meanwhile; afterwards each of its modules is in the mode that it was in."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def last_layer(network: nn.Module) -> str:
    """The name of a network's last linear layer, the one that gives the logits, among its modules."""
    names: list[str] = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return names[-1]


class FixedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation by the statistics that it has, in training too.

    A few hundred samples of other sounds would move them, and all that later layers know with them.
    """

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def fix_statistics(network: nn.Module) -> None:
    """Replace a network's batch normalisations by ones that keep their statistics; the weights' names stay."""
    found = [(name, module) for name, module in network.named_modules() if type(module) is nn.BatchNorm2d]
    for name, module in found:
        fixed = FixedBatchNorm2d(module.num_features, module.eps)
        fixed.load_state_dict(module.state_dict())
        network.set_submodule(name, fixed)


class Embedder(nn.Module):
    """What a network has made of its input before it decides between classes (`embed` of each network).

    It shares the network's weights, and standardises as the network does.

    Shape:
        (N, *input_shape) float32 -> (N, d): 896 numbers of `genres8-resnet`, 32 of the assignment's networks.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        *before, body = network if isinstance(network, nn.Sequential) else [network]
        if not isinstance(body, FeedForward | ConvNet | ResNet):
            raise ConfigError(f"a network of type {type(body).__name__} has no embeddings; give it one of genreline's")
        self.before, self.body = nn.Sequential(*before), body

    def forward(self, x: Tensor) -> Tensor:
        embeddings: Tensor = self.body.embed(self.before(x))
        return embeddings


def _conv_size(size: int, padding: int, pooling: int) -> int:
    """Rows or columns after one convolution and its pooling (torch.nn.Conv2d's and MaxPool2d's formulas)."""
    return (size + 2 * padding - KERNEL + 1) // pooling


def _linear_layers(sizes: Sequence[int], activation: str | None, dropout: float) -> list[list[nn.Module]]:
    """A group for each linear layer: the activation and dropout at its input, if any, and the layer."""
    return [
        [*_activation(activation), *([nn.Dropout(dropout)] if dropout else []), nn.Linear(a, b)]
        for a, b in pairwise(sizes)
    ]


def _activation(name: str | None) -> list[nn.Module]:
    """A new activation of torch.nn by name, or nothing for None. Raises ConfigError if there is none."""
    if name is None:
        return []
    activation = getattr(nn.modules.activation, name, None)
    if not (isinstance(activation, type) and issubclass(activation, nn.Module)):
        known = nn.modules.activation.__all__
        raise ConfigError(f"model.activation: torch.nn has no activation {name!r}{did_you_mean(name, known)}")
    try:
        with warnings.catch_warnings(action="error"):  # Softmax guesses a dimension
            made = activation()
            shapes = [made(probe).shape == probe.shape for probe in (torch.zeros(2, 4), torch.zeros(1, 2, 4, 4))]
    except (TypeError, ValueError, RuntimeError, AttributeError, Warning) as error:
        raise ConfigError(f"model.activation: {name} cannot stand alone between layers ({error})") from error
    if not all(shapes):
        raise ConfigError(f"model.activation: {name} changes its input's shape; choose one that works by element")
    return [made]
