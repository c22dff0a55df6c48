"""What another model has learned, for a dataset of one's own: its weights, and a new last layer.

The new layer is a multinomial logistic regression on the model's embeddings of the training set, or one regression for
each class where a sample may have several labels. The embeddings are computed once, and fit into memory where the
features may not (896 numbers a second of `genres8-resnet`, instead of 2,688).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genreline.data.layout import Dataset, targets_of
from genreline.data.npy import row_blocks
from genreline.errors import ConfigError
from genreline.train.checkpoint import load_model
from genreline.train.config import Config, StartConfig
from genreline.train.models import Embedder, build_network, fix_statistics, last_layer
from genreline.train.optim import build_loss, plain_loss

OnRows = Callable[[int, int], object]
"""Gets how many rows are embedded, and how many there are to embed."""

WEIGHT_DECAYS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
"""Strong ones first: each fit starts where the one before ended."""

_ROWS_AT_A_TIME = 256


class LastLayer(NamedTuple):
    """A fitted last layer: logits are `embeddings @ weight.T + bias`.

    Shape:
        weight (n_classes, d), bias (n_classes,); the logits of the training and validation sets, (N, n_classes).
    """

    weight: Tensor
    bias: Tensor
    train_logits: Tensor
    val_logits: Tensor
    weight_decay: float


def start_network(config: Config, dataset: Dataset, device: str = "cpu") -> nn.Module:
    """The network of the model that a configuration starts from, on a device; its last layer is new, and random.

    The statistics by which inputs are standardised and batches normalised are and stay the model's, because its
    weights expect them.

    Raises:
        CheckpointError: no such model. ConfigError: one of other features, or of another network.
    """
    start = _start(config)
    model = load_model(start.model)
    settings = config.model_dump()
    for name, theirs in started_settings(model.config).items():
        ours, theirs = _fixed(settings[name]), _fixed(theirs)
        if ours != theirs:
            raise ConfigError(f"start.model: {start.model} has {name} {theirs}, this run {ours}; give it the model's")
    network = build_network(config, dataset.train.X.shape[1:], len(dataset.classes))
    weights, own = model.network.state_dict(), network.state_dict()
    last = last_layer(network)
    network.load_state_dict({name: own[name] if name.startswith(f"{last}.") else weights[name] for name in own})
    fix_statistics(network)
    return network.to(device)


def started_settings(config: Config) -> dict[str, Any]:
    """The settings that a run has to share with the model that it starts from, nested; it may add to `model`."""
    return config.model_dump(include={"features", "model", "standardise"})


def fit_last_layer(
    config: Config,
    dataset: Dataset,
    network: nn.Module,
    device: str = "cpu",
    on_rows: OnRows = lambda done, total: None,
) -> LastLayer:
    """Fit the last layer of a network to a dataset, and put it into the network; nothing else in it changes.

    Cross-entropy (`plain_loss`), with the configuration's weights of classes, and the L2 penalty among WEIGHT_DECAYS
    that gives the lowest validation loss; L-BFGS (Nocedal 1980) on all rows at once, on embeddings brought to mean 0
    and deviation 1.
    """
    total = len(dataset.train) + len(dataset.val)
    body = Embedder(network).eval()
    train = embed_rows(body, dataset.train.X, device, lambda done: on_rows(done, total))
    val = embed_rows(body, dataset.val.X, device, lambda done: on_rows(len(train) + done, total))
    targets = {
        name: torch.from_numpy(targets_of(dataset.splits[name], dataset.classes, name)).to(device)
        for name in ("train", "val")
    }
    mean, deviation = train.mean(dim=0), train.std(dim=0, correction=0)
    deviation = torch.where(deviation > 1e-6, deviation, 1.0)
    layer = _regression(
        train.sub_(mean).div_(deviation),  # in place: of many rows they are what takes memory
        targets["train"],
        val.sub_(mean).div_(deviation),
        targets["val"],
        len(dataset.classes),
        build_loss(config.model_copy(update={"label_smoothing": 0.0}), dataset, device),
        plain_loss(dataset),
    )
    weight = layer.weight / deviation  # of the embeddings as they are
    fitted = layer._replace(weight=weight, bias=layer.bias - weight @ mean)
    with torch.no_grad():
        last = network.get_submodule(last_layer(network))
        last.load_state_dict({"weight": fitted.weight, "bias": fitted.bias})
    return fitted


@torch.no_grad()
def embed_rows(
    body: nn.Module, X: NDArray[Any], device: str = "cpu", on_rows: Callable[[int], object] = lambda done: None
) -> Tensor:
    """What an Embedder makes of features (N, *shape): (N, d) float32, on its device; X may stay on disk."""
    embeddings = torch.empty(0)
    for start, rows in row_blocks(X, _ROWS_AT_A_TIME):
        block = body(torch.tensor(rows).float().to(device))
        if not start:  # all of it at once: parts that are joined at the end take twice the memory
            embeddings = torch.empty(len(X), block.shape[1], device=device)
        embeddings[start : start + len(rows)] = block
        on_rows(start + len(rows))
    return embeddings


def _regression(
    train: Tensor,
    train_targets: Tensor,
    val: Tensor,
    val_targets: Tensor,
    n_classes: int,
    loss_function: Callable[[Tensor, Tensor], Tensor],
    val_loss_function: Callable[[Tensor, Tensor], Tensor],
) -> LastLayer:
    """The logistic regression with the lowest validation loss."""
    layer = nn.Linear(train.shape[1], n_classes, device=train.device)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    best: LastLayer | None = None
    best_loss = float("inf")
    for decay in WEIGHT_DECAYS:
        optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=100, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()  # noqa: B023  called within this iteration
            fit = loss_function(layer(train), train_targets)
            penalised: Tensor = fit + decay / 2 * layer.weight.square().sum()  # noqa: B023
            penalised.backward()  # type: ignore[no-untyped-call]
            return penalised

        optimizer.step(loss)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            logits = layer(val)
            val_loss = float(val_loss_function(logits, val_targets))
            if best is None or val_loss < best_loss:
                best_loss = val_loss
                best = LastLayer(layer.weight.clone(), layer.bias.clone(), layer(train), logits, decay)
    assert best is not None
    return best


def _start(config: Config) -> StartConfig:
    if config.start is None:
        raise ConfigError("start: the configuration starts from no model; set start.model")
    return config.start


def _fixed(setting: Any) -> Any:
    """A setting without what has no part in the weights that are taken over, in a line."""
    if not isinstance(setting, dict):
        return setting
    return ", ".join(f"{key} {each}" for key, each in setting.items() if key not in ("dropout", "every_block"))
