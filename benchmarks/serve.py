"""Load of the service on loopback, and how long a listener waits.

    python benchmarks/serve.py [--out results] [--before CHECKOUT]

Starts `genreline serve`'s service with two workers in a process of its own, measures, stops it, and writes serve.json
and serve.md to OUT. With --before, a checkout of an earlier version is loaded by eight clients, too, in turns with this
one. Takes some minutes, and Chromium for what the listener sees (left out where there is none).
"""

import argparse
import contextlib
import io
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import soundfile

from genreline.demo.music import compose
from genreline.files import json_text, write_text
from genreline.predict.recognizer import DEFAULT_MODEL
from genreline.provenance import versions

SERVE = """
import sys
from genreline.web.limits import Limits
from genreline.web.serve import serve
serve("127.0.0.1", int(sys.argv[1]), limits=Limits(queue=128, admitted=256, per_client=256))
"""
WORKERS = 2
CLIENTS = (1, 8, 64)
LOAD_S = 20
N_FLAT = 1000
ROUNDS = 3


def main() -> None:
    """Measure everything and write it down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier version")
    arguments = parser.parse_args()
    short, long = song(10), song(240)
    with served() as (url, process):
        results: dict[str, Any] = {
            "versions": {**versions(), **{name: version(name) for name in ("onnxruntime", "fastapi", "uvicorn")}},
            "cpus": os.cpu_count(),
            "load_average_before": os.getloadavg()[0],
            "workers": WORKERS,
            "load": [load(url, short, n) for n in CLIENTS],
            "same_song_ten_times": ten_times(url, long),
            "memory": memory(url, process, short),
            "api": first_and_last(url, long),
            "page": page(url, long),
        }
        results["load_average_after"] = os.getloadavg()[0]
    if arguments.before:
        results["compared"] = compared(arguments.before, short)
    write_text(arguments.out / "serve.json", json_text(results))
    write_text(arguments.out / "serve.md", markdown(results))
    print(markdown(results))


def song(seconds: int) -> bytes:
    """Composed music as an MP3 of so many seconds (44.1 kHz, stereo)."""
    waveform = compose("rock", seed=0, duration_s=10)
    times = np.arange(10 * 44100) / 44100
    loop = np.interp(times, np.arange(len(waveform)) / 8000, waveform)
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 44100, 2, format="MP3") as sound:
        for _ in range(seconds // 10):
            sound.write(np.stack([loop, loop], axis=1))
    return file.getvalue()


@contextlib.contextmanager
def served(checkout: Path = Path(__file__).parents[1]) -> Iterator[tuple[str, psutil.Process]]:
    """A service of a checkout's version, and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "PYTHONPATH": str(checkout.absolute() / "src")}
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(port)], stderr=subprocess.DEVNULL, env=environment)
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{url}/healthz").json().get("workers") == WORKERS:
                    break
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def post_song(client: httpx.Client, url: str, audio: bytes) -> float:
    """Seconds that a song takes."""
    begin = time.perf_counter()
    client.post(f"{url}/v1/timeline", files={"file": ("song.mp3", audio)}, timeout=600).raise_for_status()
    return time.perf_counter() - begin


def load(url: str, audio: bytes, n_clients: int) -> dict[str, Any]:
    """Requests a second, and how long each takes, with so many clients that ask one after the other."""
    latencies_s: list[float] = []
    end = time.perf_counter() + LOAD_S

    def ask() -> None:
        with httpx.Client() as client:
            while time.perf_counter() < end:
                latencies_s.append(post_song(client, url, audio))

    begin = time.perf_counter()
    threads = [threading.Thread(target=ask) for _ in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - begin
    ranks = statistics.quantiles(latencies_s, n=100)
    return {
        "clients": n_clients,
        "requests": len(latencies_s),
        "requests_per_s": len(latencies_s) / took_s,
        "latency_s": {"median": ranks[49], "p95": ranks[94], "most": max(latencies_s)},
    }


def compared(checkout: Path, audio: bytes) -> dict[str, Any]:
    """Requests a second of eight clients, of this version and of another, in turns."""
    git = ["git", "-C", str(checkout), "rev-parse", "--short=12", "HEAD"]
    commit = subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
    rates: dict[str, list[float]] = {"before": [], "now": []}
    for _ in range(ROUNDS):
        for name, place in (("before", checkout), ("now", Path(__file__).parents[1])):
            with served(place) as (url, _process):
                rates[name].append(load(url, audio, 8)["requests_per_s"])
    return {"commit": commit, "requests_per_s": rates}


def ten_times(url: str, audio: bytes) -> dict[str, Any]:
    """The same four minutes ten times at once."""
    begin = time.perf_counter()
    with ThreadPoolExecutor(10) as pool, httpx.Client() as client:
        latencies_s = list(pool.map(lambda _: post_song(client, url, audio), range(10)))
    return {"all_s": time.perf_counter() - begin, "first_s": min(latencies_s), "last_s": max(latencies_s)}


def memory(url: str, process: psutil.Process, audio: bytes) -> dict[str, Any]:
    """Resident memory of the service and of its workers, every hundred of a thousand requests."""

    def resident_mb() -> dict[str, float]:
        workers = sum(worker.memory_info().rss for worker in process.children())
        return {"service": process.memory_info().rss / 1e6, "workers": workers / 1e6}

    rows = [{"requests": 0, **resident_mb()}]
    with ThreadPoolExecutor(WORKERS) as pool, httpx.Client() as client:
        for done in range(100, N_FLAT + 1, 100):
            list(pool.map(lambda _: post_song(client, url, audio), range(100)))
            rows.append({"requests": done, **resident_mb()})
    return {"resident_mb": rows}


def first_and_last(url: str, audio: bytes) -> dict[str, Any]:
    """Seconds until the first second of four minutes is shown, and until the whole song is."""
    rows = []
    for _ in range(5):
        begin = time.perf_counter()
        times: dict[str, float] = {}
        request = {"files": {"file": ("song.mp3", audio)}, "headers": {"Accept": "text/event-stream"}, "timeout": 600}
        with httpx.stream("POST", f"{url}/v1/timeline", **request) as response:
            for line in response.iter_lines():
                times.setdefault(line, time.perf_counter() - begin)
        rows.append((times["event: second"], times["event: done"]))
    return {"first_s": statistics.median(row[0] for row in rows), "whole_s": statistics.median(row[1] for row in rows)}


def page(url: str, audio: bytes) -> dict[str, Any] | None:
    """What a listener waits for: the first paint; from the drop of four minutes, the first colours and the last."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        return None
    from playwright.sync_api import sync_playwright

    painted = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    rows = []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "song.mp3")
        path.write_bytes(audio)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(5):
            tab = browser.new_page()
            tab.goto(url)
            tab.locator("#model option").first.wait_for(state="attached")
            tab.evaluate(
                """() => {
                  const drop = () => (window.dropped = performance.now());
                  document.getElementById("file").addEventListener("change", drop, { capture: true });
                  const look = () => {
                    const known = document.querySelector(".timeline-known");
                    if (known?.getAttribute("d")) window.coloured ??= performance.now();
                    const button = document.querySelector("#downloads button");
                    if (window.coloured && !button.disabled) window.complete = performance.now();
                    else requestAnimationFrame(look);
                  };
                  look();
                }"""
            )
            tab.set_input_files("#file", path)
            while not tab.evaluate("window.complete"):
                time.sleep(0.05)
            times = tab.evaluate("[dropped, coloured, complete].map((time) => (time - dropped) / 1000)")
            rows.append((tab.evaluate(painted) / 1000, times[1], times[2]))
            tab.close()
        browser_version = browser.version
        browser.close()
    first_paint_s, first_colours_s, whole_s = (statistics.median(column) for column in zip(*rows, strict=True))
    return {
        "chromium": browser_version,
        "first_paint_s": first_paint_s,
        "drop_to_first_colours_s": first_colours_s,
        "drop_to_whole_song_s": whole_s,
    }


def markdown(results: dict[str, Any]) -> str:
    """The results for people."""
    made = results["versions"]
    rows = [
        f"| {row['clients']} | {row['requests']} | {row['requests_per_s']:.1f} | {row['latency_s']['median']:.2f} | "
        f"{row['latency_s']['p95']:.2f} | {row['latency_s']['most']:.2f} |"
        for row in results["load"]
    ]
    ten, api, seen = results["same_song_ten_times"], results["api"], results["page"]
    flat = [
        f"| {row['requests']} | {row['service']:.0f} | {row['workers']:.0f} |"
        for row in results["memory"]["resident_mb"]
    ]
    beside = []
    if found := results.get("compared"):
        before, now = (statistics.median(found["requests_per_s"][name]) for name in ("before", "now"))
        beside = [
            f"Eight clients, medians of {ROUNDS} rounds in turns: {now:.1f} requests a second, {before:.1f} of commit "
            f"{found['commit']}: {now / before:.2f} times as many.",
            "",
        ]
    listener = "Chromium was not at hand, so nothing was measured in a browser."
    if seen:
        listener = (
            f"In Chromium {seen['chromium']}, medians of five: the first paint comes after {seen['first_paint_s']:.2f} "
            f"s; from the drop of four minutes to the first coloured second it takes "
            f"{seen['drop_to_first_colours_s']:.2f} s, to the whole song {seen['drop_to_whole_song_s']:.2f} s."
        )
    return "\n".join(
        [
            "# The service under load",
            "",
            f"`python benchmarks/serve.py`, {WORKERS} workers on {results['cpus']} cores ({platform.machine()}), "
            f"client and service on the same machine, whose load average was {results['load_average_before']:.1f} "
            f"before and {results['load_average_after']:.1f} after. Commit {made['commit']}, python {made['python']}, "
            f"onnxruntime {made['onnxruntime']}, fastapi {made['fastapi']}, uvicorn {made['uvicorn']}; model "
            f"{DEFAULT_MODEL}.",
            "",
            f"Ten seconds of MP3 (44.1 kHz, stereo) a request, for {LOAD_S} s each:",
            "",
            "| clients | requests | requests a second | median, s | 95 %, s | most, s |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            *beside,
            f"Four minutes of MP3, ten times at once: the first is there after {ten['first_s']:.1f} s, all after "
            f"{ten['all_s']:.1f} s. Alone, medians of five: the first second is shown after {api['first_s']:.2f} s, "
            f"the whole song after {api['whole_s']:.2f} s.",
            "",
            listener,
            "",
            "Resident memory over a thousand requests, in MB:",
            "",
            "| requests | service | its workers together |",
            "|---|---|---|",
            *flat,
            "",
        ]
    )


if __name__ == "__main__":
    main()
