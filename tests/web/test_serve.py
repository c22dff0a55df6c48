"""The command: how it starts, what it says when it cannot, and how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

pytestmark = pytest.mark.slow


def test_the_command_serves_until_ctrl_c(eventually, tmp_path):
    with open(tmp_path / "log", "w") as log:
        command = [sys.executable, "-m", "genreline", "serve", "--port", "0", "--workers", "1"]
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def address():
        return re.search(r"starting on (http://127\.0\.0\.1:\d+/)", (tmp_path / "log").read_text())

    url = eventually(address, "its address")[1]
    assert httpx.get(f"{url}healthz", timeout=120).json() == {
        "status": "ok",
        "workers": 1,
    }  # it waits until it is ready
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(120) == 130
    assert (tmp_path / "log").read_text().splitlines()[-1] == "genreline: interrupted"


def test_an_address_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "genreline", "serve", "--port", str(port)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    says = f"error: 127.0.0.1:{port}: could not listen (Address already in use)"
    assert result.stderr.startswith(says)
    assert result.stderr.count("\n") == 1


def test_a_missing_extra_is_told():
    without = "import sys; sys.modules['uvicorn'] = None; from genreline.cli import app; app(['serve'])"
    result = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    assert result.stderr == "error: serve: uvicorn is missing; pip install 'genreline[web]' brings it\n"
