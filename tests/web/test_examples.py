"""The example that calls the service, against one that runs."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "call_service.py"


def test_call_service(service, tmp_path, sound):
    (tmp_path / "song.mp3").write_bytes(sound(3, 44100, "MP3"))
    command = [sys.executable, EXAMPLE, tmp_path / "song.mp3", service.url]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "{'blues': " in answer.stdout
