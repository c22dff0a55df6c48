"""The music to try that ships: composed pieces and their timelines, made by scripts/make_examples.py."""

import json
from importlib import resources
from typing import Any, NamedTuple

NAMES = ("medley", "blues", "classical", "pop", "rock")


class Example(NamedTuple):
    """A piece of music: its MP3 file, and its timeline as JSON, each second with the waveform's outline as `peaks`."""

    audio: bytes
    timeline: bytes
    summary: dict[str, Any]


def load_examples() -> dict[str, Example]:
    """The examples by name."""
    return {name: _load(name) for name in NAMES}


def _load(name: str) -> Example:
    folder = resources.files("genreline.web") / "examples"
    text = (folder / f"{name}.json").read_text(encoding="utf-8")
    timeline = json.loads(text)
    summary = {key: timeline[key] for key in ("title", "duration_s", "model")}
    return Example((folder / f"{name}.mp3").read_bytes(), text.encode(), summary)
