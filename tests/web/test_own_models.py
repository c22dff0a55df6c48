"""A service that offers models of one's own: here one that knows several labels a second."""

import io
import shutil
import subprocess
import sys

import httpx
import numpy as np
import pytest
import soundfile
import torch

from genreline import Config, Model, Recognizer, load_model
from genreline.predict.timeline import Timeline
from genreline.train.checkpoint import save_model
from genreline.train.export import add_graph
from genreline.train.folder import Calibration
from genreline.train.models import build_network

from .conftest import start

pytestmark = pytest.mark.slow

NAMES = ("bass", "drums", "<b>voice</b>")


@pytest.fixture(scope="module")
def band(tmp_path_factory):
    """A model folder; its thresholds are such that noise has different labels in different seconds."""
    folder = tmp_path_factory.mktemp("models") / "my band?"
    torch.manual_seed(0)
    config = Config(features="melgrams", model={"name": "resnet", "channels": [4, 8]})
    network = build_network(config, (21, 128), 3).eval()
    thresholds = dict(zip(NAMES, (0.5, 0.5, 0.5), strict=True))
    plain = Model(network, config, NAMES, name="my band?", calibration=Calibration(thresholds=thresholds))
    rows = Recognizer(plain)(noise()).probabilities
    thresholds = dict(zip(NAMES, np.median(rows, axis=0).tolist(), strict=True))
    save_model(Model(network, config, NAMES, name="my band?", calibration=Calibration(thresholds=thresholds)), folder)
    add_graph(folder)
    return folder


def noise():
    """Eight seconds, no two of which are alike."""
    rng = np.random.default_rng(0)
    waveform = np.concatenate([rng.normal(0, 0.02 * 2**i, 8000).cumsum() * 0.9**i for i in range(8)])
    return (waveform / np.abs(waveform).max()).astype(np.float32)


@pytest.fixture(scope="module")
def service(band, tmp_path_factory):
    service = start(tmp_path_factory.mktemp("service"), models=[band], workers=1)
    yield service
    service.stop()


@pytest.fixture(scope="module")
def song():
    file = io.BytesIO()
    soundfile.write(file, noise(), 8000, format="WAV")
    return file.getvalue()


def test_it_is_the_default_and_has_a_card(service):
    models = {model["name"]: model for model in httpx.get(f"{service.url}/v1/models").json()}
    assert [name for name, model in models.items() if model["default"]] == ["my band?"]
    assert models["my band?"]["classes"] == list(NAMES)
    assert "genres8-resnet" in models
    assert models["my band?"]["card"].startswith("# my band?\n\nIt knows bass, drums, <b>voice</b>.")
    card = httpx.get(f"{service.url}/v1/models/my%20band%3F/card", headers={"Accept": "text/html"})
    assert "<b>" not in card.text


def test_its_timeline_is_the_recognizers(service, song, band):
    answer = service.post_song(song)
    expected = Recognizer(band)(song)
    assert len(set(expected.labels)) > 2
    timeline = Timeline.from_json(answer.text)
    assert timeline.labels == expected.labels
    assert timeline.runs() == [pytest.approx(run) for run in expected.runs()]
    assert answer.json()["verdict"] == expected.verdict
    for name in ("txt", "rttm", "jams", "png", "html", "csv"):
        rendered = httpx.post(f"{service.url}/v1/render?format={name}", json=answer.json(), timeout=120)
        assert rendered.status_code == 200, rendered.text


def test_the_page_shows_all_labels_of_a_second(service, song, band, open_page, until):
    page = open_page(f"{service.url}/")
    open_page.harmless += ["failed: blob:", "/v1/timeline", "/v1/examples/"]
    until(page, "document.querySelector('.example')")
    assert page.locator("#model").input_value() == "my band?"
    page.set_input_files("#file", {"name": "noise.wav", "mimeType": "audio/wav", "buffer": song})
    until(page, "!document.querySelector('#downloads button').disabled")
    expected = Recognizer(band)(song)
    runs = [run.label.replace("_", " ") for run in expected.runs()]
    assert page.locator(".timeline-run-label").all_inner_texts() == runs
    verdict = page.locator("#verdict strong").inner_text()
    assert all(name in verdict for name in expected.song_labels)
    page.click("#about")
    page.locator("#card h1").wait_for()
    assert page.locator("#card h1").inner_text() == "my band?"
    page.keyboard.press("Escape")
    page.select_option("#second-model", "genres8-resnet")
    until(page, "document.getElementById('agreement').textContent")
    assert "agree on 0" in page.locator("#agreement").inner_text()


def test_a_name_that_is_taken_and_a_folder_without_a_model_are_refused(band, tmp_path):
    damaged, plain = (shutil.copytree(band, tmp_path / name) for name in ("damaged", "plain"))
    next(damaged.glob("graph-*")).write_bytes(b"x")
    save_model(load_model(band), plain)  # without its graph
    for folder, message in (
        (tmp_path / "nothing", "no such model folder"),
        (tmp_path, "has no model.json"),
        (damaged, "is missing or not as model.json says"),
        (plain, "has no ONNX graph; add it by genreline export"),
    ):
        done = serve(folder)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = serve(band, band)
    assert done.returncode == 2
    assert "another model is named my band?, too; rename its folder" in done.stderr


def serve(*models):
    """`genreline serve`, which is to end at once."""
    arguments = [each for model in models for each in ("--model", str(model))]
    return subprocess.run(
        [sys.executable, "-m", "genreline", "serve", "--port", "0", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
