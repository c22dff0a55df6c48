"""A run's epochs as it goes: rows of a CSV file, or the curves of TensorBoard."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from genreline.errors import ConfigError
from genreline.files import write_text
from genreline.train.loop import Epoch

CSV, TENSORBOARD = "log.csv", "tensorboard"
"""The file and the folder, in the model's folder."""


def csv_log(folder: Path) -> Callable[[Epoch], None]:
    """What writes a row an epoch to log.csv, with the fields of `Epoch` as its columns.

    The file is complete after each epoch. A run that goes on keeps the rows of its earlier epochs.
    """
    path = folder / CSV
    lines = [",".join(each.name for each in fields(Epoch))]

    def log(epoch: Epoch) -> None:
        if len(lines) < epoch.epoch and path.exists():
            lines[1:] = path.read_text(encoding="utf-8").splitlines()[1 : epoch.epoch]
        lines.append(",".join(str(value) for value in asdict(epoch).values()))
        write_text(path, "\n".join(lines) + "\n")

    return log


@contextmanager
def tensorboard_log(folder: Path) -> Iterator[Callable[[Epoch], None]]:
    """What adds each epoch to the curves that `tensorboard --logdir FOLDER` shows.

    Raises:
        ConfigError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError("--log tensorboard: it is not installed; pip install 'genreline[tensorboard]'") from error
    with ExitStack() as stack:
        writer: Any = None

        def log(epoch: Epoch) -> None:
            nonlocal writer
            if writer is None:  # what a run that goes on had written beyond this epoch is dropped
                writer = stack.enter_context(SummaryWriter(str(folder / TENSORBOARD), purge_step=epoch.epoch))
            for name, value in asdict(epoch).items():
                if name != "epoch":
                    writer.add_scalar(name, value, epoch.epoch)
            writer.flush()

        yield log
