"""The examples of docs/deploy.md are run as they stand, but for the address."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genreline.predict.recognizer import Recognizer
from genreline.predict.timeline import Timeline

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture
def folder(tmp_path, sound):
    (tmp_path / "song.mp3").write_bytes(sound(5, 44100, "MP3"))
    return tmp_path


def run(command, folder):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=True).stdout


def test_curl(service, folder):
    if not shutil.which("curl"):
        pytest.skip("needs curl: apt-get install curl")
    commands = re.findall(r"^    (curl .*)$", PAGE, flags=re.MULTILINE)
    whole, stream, table = [run(["sh", "-c", each.replace(ADDRESS, service.url)], folder) for each in commands]
    timeline = Recognizer.load()(folder / "song.mp3")
    assert Timeline.from_json(whole).labels == timeline.labels
    assert stream.count("event: second") == 2 * len(timeline.labels)  # with those before them, then with all
    assert "event: done" in stream
    assert table == timeline.to_csv()


def test_python(service, folder):
    (example,) = [each for each in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL) if "httpx" in each]
    said = run([sys.executable, "-c", example.replace(ADDRESS, service.url)], folder)
    assert said.startswith(Recognizer.load()(folder / "song.mp3").dominant)
    (folder / "song.mp3").write_bytes(b"no song")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run([sys.executable, "-c", example.replace(ADDRESS, service.url)], folder)
    assert failed.value.stderr.startswith("song.mp3: not an audio file")
