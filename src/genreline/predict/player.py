"""The player: one HTML file with the sound, its timeline, and nothing to be loaded from elsewhere."""

import base64
import hashlib
import html
import re
from importlib import resources
from pathlib import Path
from string import Template

from genreline.audio.decode import AudioSource
from genreline.audio.encode import Playable, playable
from genreline.files import write_text
from genreline.predict.timeline import Timeline, format_time, in_words

RENDERER = ("words.js", "palette.js", "outline.js", "ribbon.js", "lanes.js", "runs.js", "timeline.js")
"""What draws a timeline in a browser, beside timeline.css."""


def to_html(timeline: Timeline, source: AudioSource | None) -> str:
    """A page that plays the sound and shows its timeline, with a cursor, seeking, keys and a list of its runs.

    The sound is embedded as it is, or as MP3 if browsers do not play its format or it exceeds 32 MiB
    (`genreline.audio.encode.playable`). The policy in its head lets the page run its own script and load nothing.

    Args:
        source: the sound that the timeline is of; a file, bytes or a seekable stream. None leaves it out: the page
            then shows the timeline alone, and a program that has the sound may put it into the element `audio`, in
            base64, with its MIME type as `data-type` (as the web page does, to upload nothing).

    Raises:
        AudioError: the sound cannot be read, or is too long for a page.
    """
    audio = playable(source) if source is not None else Playable(b"", "", True)
    style = _text("timeline.css") + _text("player.css")
    script = renderer() + _text("player.js")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; media-src blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    # Silence has no share, and several labels have one each.
    share = None if timeline.is_multi_label else timeline.overall.get(timeline.dominant)
    return Template(_text("player.html")).substitute(
        policy=policy,
        style=style,
        script=script,
        title=html.escape(timeline.title or "Genre timeline"),
        verdict=html.escape(timeline.verdict),
        average=f" ({html.escape(in_words(timeline.dominant))} {share:.0%} on average)" if share is not None else "",
        duration=format_time(timeline.duration_s),
        model=html.escape(timeline.model or "a network"),
        note="" if audio.is_original else " The sound was re-encoded for this page, as mono MP3.",
        song=timeline.to_json().replace("<", "\\u003c"),  # the same JSON; it cannot end the script element
        mime=audio.mime,
        audio=base64.b64encode(audio.data).decode("ascii"),
    )


def save_player(timeline: Timeline, source: AudioSource, path: str | Path) -> None:
    """Write `to_html`'s page, atomically. Raises GenrelineError if the file cannot be written."""
    write_text(path, to_html(timeline, source))


def renderer() -> str:
    """What draws a timeline in a browser, as one script: its files in the order in which they use each other."""
    return "".join(re.sub(r"^import .*;\n", "", _text(name), flags=re.MULTILINE) for name in RENDERER)


def _text(name: str) -> str:
    return resources.files("genreline.predict").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """A script or a style, as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
