"""How long another address waits while one sends 16 hostile files: `python benchmarks/fairness.py NAME [OUT]`.

Each file is 90 s of silence in 8 channels at 655,350 Hz, a small FLAC. Run it against another commit by PYTHONPATH.
Adds the figure as NAME to fairness.json in OUT (results/ if not said). Needs Linux, where all of 127.0.0.0/8 is here.
"""

import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import soundfile

SERVE = "import sys; from genreline.web.serve import serve; serve('127.0.0.1', int(sys.argv[1]))"
ATTACKERS = 16
RATE_HZ, CHANNELS, DURATION_S = 655_350, 8, 90


def hostile() -> bytes:
    """A small file that takes long to decode."""
    file = io.BytesIO()
    second = np.zeros((RATE_HZ, CHANNELS), np.int16)
    with soundfile.SoundFile(file, "w", RATE_HZ, CHANNELS, "PCM_16", format="FLAC") as flac:
        for _ in range(DURATION_S):
            flac.write(second)
    return file.getvalue()


def song() -> bytes:
    """Five seconds of noise."""
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 40_000), 8000, format="WAV")
    return file.getvalue()


def post(url: str, data: bytes, source: str) -> float:
    """Seconds until the answer to a song from an address of this machine."""
    begin = time.monotonic()
    with httpx.Client(transport=httpx.HTTPTransport(local_address=source), timeout=600) as client:
        client.post(f"{url}/v1/timeline", files={"file": ("song.flac", data)}).raise_for_status()
    return time.monotonic() - begin


def main() -> None:
    """Measure, and write."""
    name, out = sys.argv[1], Path(sys.argv[2] if len(sys.argv) > 2 else "results")
    attack = hostile()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    service = subprocess.Popen([sys.executable, "-c", SERVE, str(port)], stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                if httpx.get(f"{url}/healthz").json()["workers"] == 2:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        alone_s = post(url, song(), "127.0.0.2")
        for _ in range(ATTACKERS):
            threading.Thread(target=post, args=(url, attack, "127.0.0.1"), daemon=True).start()
        time.sleep(2)  # until all of them are there
        attacked_s = post(url, song(), "127.0.0.2")
    finally:
        service.kill()
    path = out / "fairness.json"
    figures = json.loads(path.read_text()) if path.exists() else {}
    figures[name] = {
        "hostile_bytes": len(attack),
        "attackers": ATTACKERS,
        "alone_s": round(alone_s, 2),
        "attacked_s": round(attacked_s, 2),
    }
    path.write_text(json.dumps(figures, indent=2) + "\n")
    print(name, figures[name], flush=True)
    os._exit(0)  # the attackers' threads still wait


if __name__ == "__main__":
    main()
