"""A static page that recognizes songs in a browser: any web server can offer it, and no song leaves its listener.

onnxruntime-web runs the model's graph there. npm installs it, in the version and with the digests of package-lock.json.
"""

import shutil
import subprocess
import tempfile
from dataclasses import asdict
from importlib import resources
from pathlib import Path

from genreline.audio.seconds import RATE_HZ, SHORTEST_S, SILENCE_RMS, SMEAR
from genreline.errors import ConfigError, GenrelineError
from genreline.files import json_text, replacing, write_text
from genreline.predict.player import RENDERER
from genreline.train.folder import read_description

RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")

_PAGE = (
    "site_files/index.html",
    "site_files/site.js",
    "site_files/recognize.js",
    *RENDERER,
    "stretches.js",
    "timeline.css",
    "player.css",
)
_PACKAGES = ("site_files/package.json", "site_files/package-lock.json")


def write_site(model: str | Path, out: str | Path) -> list[Path]:
    """Write the page of a model, with all that it loads, into a folder (made if need be), and give its files.

    Args:
        model: as `load_model` takes it; it needs a graph.

    Raises:
        CheckpointError: no such model, a damaged folder, or no graph in it.
        ConfigError: npm is not installed.
        GenrelineError: npm cannot install onnxruntime-web, or the folder cannot be written to.
    """
    out = Path(out)
    described = read_description(model)
    graph, weights = described.graph(), described.weights()
    settings = {
        "name": described.name,
        "classes": described.classes,
        "graph": graph.name,
        "weights": weights.name,
        "rate_hz": RATE_HZ,
        "silence_rms": SILENCE_RMS,
        "silence_ignores_samples": SMEAR,
        "shortest_s": SHORTEST_S,
        "calibration": asdict(described.calibration),
    }
    with tempfile.TemporaryDirectory() as temporary:
        parts = [*map(_packaged, _PAGE), graph, weights, *install_runtime(Path(temporary))]
        for part in parts:
            with replacing(out / part.name) as file:
                shutil.copyfile(part, file)
    write_text(out / "settings.json", json_text(settings))
    return sorted(out / name for name in (*(part.name for part in parts), "settings.json"))


def install_runtime(folder: Path) -> list[Path]:
    """Have npm install onnxruntime-web into a folder, and give those of its files that a page loads.

    Raises ConfigError or GenrelineError as `write_site`.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigError("page: needs npm, which installs onnxruntime-web; install Node.js (https://nodejs.org)")
    for name in _PACKAGES:
        shutil.copy(_packaged(name), folder)
    options = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"]
    result = subprocess.run([npm, "ci", *options], cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = next((line for line in result.stderr.splitlines() if line.strip()), f"exit code {result.returncode}")
        raise GenrelineError(f"page: npm cannot install onnxruntime-web ({reason.strip()}); try again with a network")
    return [folder / "node_modules" / "onnxruntime-web" / "dist" / name for name in RUNTIME]


def _packaged(name: str) -> Path:
    return Path(str(resources.files("genreline.predict"))) / name
