"""From features to predictions, by PyTorch."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from genreline.data.loaders import Loader
from genreline.train.models import evaluating


@torch.no_grad()
def infer(loader: Iterable[tuple[Tensor, ...]] | Loader, model: nn.Module) -> list[int]:
    """The model's predictions, as class numbers in its order; the loader needs shuffle=False (assignment, step 4.1).

    Batches are (inputs,) or (inputs, anything else), on the model's device.
    """
    with evaluating(model):
        return [number for batch in loader for number in model(batch[0]).argmax(dim=1).tolist()]
