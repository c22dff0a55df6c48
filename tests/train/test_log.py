import csv
import sys

import pytest

from genreline.errors import ConfigError
from genreline.train.log import CSV, TENSORBOARD, csv_log, tensorboard_log
from genreline.train.loop import Epoch

EPOCHS = [Epoch(i, 1 / i, 1.5 / i, 0.5, 0.25 * i, 0.1, 1e-7) for i in (1, 2, 3)]


def test_a_row_an_epoch(tmp_path):
    log = csv_log(tmp_path)
    for n, epoch in enumerate(EPOCHS, start=1):
        log(epoch)
        with (tmp_path / CSV).open() as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == n
    assert [Epoch(int(row.pop("epoch")), **{key: float(value) for key, value in row.items()}) for row in rows] == EPOCHS


def test_a_run_that_goes_on_replaces_the_epochs_that_it_repeats(tmp_path):
    log = csv_log(tmp_path)
    for epoch in EPOCHS:
        log(epoch)
    again = csv_log(tmp_path)
    again(EPOCHS[1])
    lines = (tmp_path / CSV).read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2"]


@pytest.mark.slow
def test_tensorboard_reads_what_was_logged(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tensorboard_log(tmp_path) as log:
        for epoch in EPOCHS:
            log(epoch)
    with tensorboard_log(tmp_path) as log:  # killed in its third epoch, the run goes on with that
        log(EPOCHS[2])
    read = EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    assert [(each.step, each.value) for each in read.Scalars("val_accuracy")] == [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert "train_loss" in read.Tags()["scalars"]


def test_a_missing_tensorboard_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"pip install 'genreline\[tensorboard\]'"), tensorboard_log(tmp_path):
        pass
