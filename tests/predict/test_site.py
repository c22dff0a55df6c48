"""The static page: a browser without a network beyond its own machine recognizes what Python does."""

import csv
import functools
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import soundfile

from genreline import Recognizer
from genreline.audio.decode import decode
from genreline.demo.music import Track, write_track
from genreline.errors import CheckpointError, ConfigError, GenrelineError
from genreline.predict.site import write_site
from genreline.predict.timeline import Timeline

RATE_HZ = 44100


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The page of the default model, as any web server offers it; gives its address."""
    folder = tmp_path_factory.mktemp("site")
    if not shutil.which("npm"):
        pytest.skip("needs npm: apt-get install npm")
    try:
        write_site("genres8-resnet", folder)
    except GenrelineError as error:
        pytest.skip(f"needs npm's registry, or its cache: {error}")
    handler = functools.partial(QuietHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    """Stereo at 44.1 kHz: three genres, a silent second, a part whose channels cancel, and not whole seconds."""
    folder = tmp_path_factory.mktemp("song")
    parts = []
    for genre in ("rock", "classical", "blues"):
        write_track(Track(genre, 1, 8.0, folder / f"{genre}.wav"))
        waveform = decode(folder / f"{genre}.wav")
        parts.append(np.interp(np.arange(8 * RATE_HZ) / RATE_HZ, np.arange(len(waveform)) / 8000, waveform))
    left = np.concatenate([*parts, np.zeros(2 * RATE_HZ), parts[0][: 5 * RATE_HZ // 2]])
    right = 0.5 * left
    right[10 * RATE_HZ : 12 * RATE_HZ] = -left[10 * RATE_HZ : 12 * RATE_HZ]
    soundfile.write(folder / "song.flac", np.stack([left, right], axis=1), RATE_HZ)
    return folder / "song.flac"


@pytest.mark.slow
def test_the_browser_recognizes_what_python_does(site, song, open_page, until, tmp_path):
    page = open_page(site)
    open_page.harmless.append("failed: blob:")  # what is downloaded is not loaded
    page.set_input_files("#file", song)
    until(page, "!document.getElementById('csv').hidden")
    with page.expect_download() as download:
        page.click("#csv")
    with open(download.value.path(), newline="") as file:
        found = list(csv.DictReader(file))
    timeline = Recognizer.load("genres8-resnet")(song)
    timeline.save(tmp_path / "song.csv")
    with open(tmp_path / "song.csv", newline="") as file:
        expected = list(csv.DictReader(file))
    assert list(found[0]) == list(expected[0])
    for column in ("start_s", "label", "label_raw"):
        same = [row[column] == other[column] for row, other in zip(found, expected, strict=True)]
        assert np.mean(same) >= 0.98, column
    assert "silence" in {row["label"] for row in found}
    for name in timeline.classes:
        shares = [[float(row[name]) for row in rows] for rows in (found, expected)]
        assert np.allclose(*shares, atol=0.01), name
    assert page.text_content("#verdict").startswith(timeline.verdict)
    assert page.locator("#runs li").count() == len(timeline.runs())


@pytest.mark.slow
def test_the_browser_finds_several_labels_as_python_does(site, open_page):
    """What stands behind the graph, for a multi-label model's rows; null is a second without sound."""
    names, thresholds = ("bass", "drums", "voice"), (0.5, 0.25, 0.75)
    rows = [[0.875, 0.5, 0.125], [0.625, 0.125, 0.75], [0.125, 0.125, 0.25], None, [0.25, 0.75, 0.125]]
    timeline = Timeline(
        names,
        [row or [0, 0, 0] for row in rows],
        4.5,
        is_silent=np.array([row is None for row in rows]),
        thresholds=thresholds,
    )
    page = open_page(site)
    found = page.evaluate(
        """async ([rows, names, calibration]) => {
          const own = await import("./recognize.js");
          const { thresholds } = calibration;
          const seconds = own.listSeconds(own.smooth(rows, calibration), rows, names, 4.5, thresholds);
          const overall = own.mean(seconds, names);
          const { stretchesOf } = await import("./stretches.js");
          const runs = stretchesOf(seconds, names, true);
          const verdict = own.verdictOf(seconds, overall, calibration);
          return { runs, verdict, csv: own.toCsv(seconds, names, thresholds) };
        }""",
        [rows, names, {"stay": None, "thresholds": dict(zip(names, thresholds, strict=True))}],
    )
    assert [(run["label"], run["start_s"], run["end_s"]) for run in found["runs"]] == [
        (run.label, run.start_s, run.end_s) for run in timeline.runs()
    ]
    assert found["verdict"] == [timeline.dominant, timeline.verdict]
    assert found["csv"] == timeline.to_csv()


@pytest.mark.slow
def test_what_is_no_song_is_reported_and_the_next_one_recognized(site, song, open_page, until, tmp_path):
    page = open_page(site)
    open_page.harmless.append("blob:")  # the player complains, too
    (tmp_path / "notes.mp3").write_text("no song")
    page.set_input_files("#file", tmp_path / "notes.mp3")
    until(page, "!document.getElementById('trouble').hidden")
    assert page.text_content("#trouble").startswith("notes.mp3 cannot be recognized here: ")
    page.set_input_files("#file", song)
    until(page, "!document.getElementById('csv').hidden")
    assert page.locator("#trouble").is_hidden()


def test_without_npm_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="needs npm"):
        write_site("course-fnn", tmp_path / "site")
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error network' >&2\nexit 1\n")
    npm.chmod(0o755)
    with pytest.raises(GenrelineError, match=r"cannot install onnxruntime-web \(npm error network\); try again"):
        write_site("course-fnn", tmp_path / "site")
    with pytest.raises(CheckpointError, match="no such model"):
        write_site(tmp_path / "nothing", tmp_path / "site")
    assert not (tmp_path / "site").exists()
