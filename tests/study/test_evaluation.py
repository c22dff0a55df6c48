"""The page of an evaluation: what it lists, and that text from a dataset is shown as it is."""

import html
import re

import numpy as np
import pytest
import torch
from torch import nn

from genreline.data.layout import Split
from genreline.study.evaluation import evaluation_page
from genreline.train.checkpoint import Model
from genreline.train.config import Config
from genreline.train.evaluate import figures_of

CLASSES = ("<b>blues</b>", "jazz", "rock")


def page_of(numbers, logits, tracks=None):
    split = Split(np.zeros((len(numbers), 26), np.float32), np.array(CLASSES)[numbers], tracks)
    model = Model(nn.Identity(), Config(), CLASSES)
    logits, targets = torch.tensor(logits, dtype=torch.float32), torch.tensor(numbers)
    figures = figures_of(model, split, logits, targets)
    return evaluation_page("tiny on <i>data</i>", model, split, logits, targets, figures).html_file("tiny")


@pytest.fixture(scope="module")
def page():
    """Thirteen files of two seconds; the first second of each is wrong, and more surely than the one before it."""
    numbers = [i // 2 % 3 for i in range(26)]
    logits = np.zeros((26, 3))
    logits[np.arange(26), numbers] = 1
    for i in range(0, 26, 2):
        logits[i] = 0
        logits[i, (numbers[i] + 1) % 3] = 1 + i / 2
    names = np.array([f"<u>{i // 2:02}</u>.mp3" for i in range(26)])
    starts = np.array([str(60 + i % 2) for i in range(26)])
    return page_of(numbers, logits, {"track": names, "start_s": starts})


def test_the_ten_most_confident_errors_and_their_files(page):
    _, listed = page.split("The most confident errors</h2>")
    files = [html.unescape(name) for name in re.findall(r"(&lt;u&gt;\d+&lt;/u&gt;\.mp3)", listed)]
    assert files == [f"<u>{i:02}</u>.mp3" for i in range(12, 2, -1)]
    assert "1:00" in listed
    assert "1:01" not in listed
    assert f"{1 / (1 + 2 * np.exp(-13)):.3f}" in listed


def test_nothing_of_a_dataset_is_markup(page):
    assert "<b>" not in page
    assert "<i>" not in page
    assert "<u>" not in page
    assert "&lt;b&gt;blues&lt;/b&gt; is most often called jazz, in 5 of 10 seconds" in page


def test_a_set_without_tracks_and_without_errors():
    page = page_of([0, 1, 2], 5 * np.eye(3))
    assert "There are none: every second is right." in page
    assert "every second is right." in page.split("The most confident errors")[0]
    assert page_of([0, 1, 2], 5 * np.eye(3)[[1, 1, 2]]).count("row 0") == 1


@pytest.mark.slow
def test_the_page_is_accessible(page, open_page, tmp_path):
    from axe_playwright_python.sync_playwright import Axe

    (tmp_path / "page.html").write_text(page)
    shown = open_page((tmp_path / "page.html").as_uri())
    assert Axe().run(shown).response["violations"] == []
    assert shown.locator("img").evaluate_all("images => images.every((image) => image.naturalWidth > 0)")
