"""What commands show: results on standard output, progress and errors on standard error."""

import unicodedata
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genreline.errors import GenrelineError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.progress import Progress, ProgressColumn

_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Unicode's controls of the direction of writing."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def progress_bar(amount: "ProgressColumn | None" = None) -> "Progress":
    """A progress display with the time left, on standard error; lines that are printed meanwhile go above it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    left = TimeRemainingColumn()
    amount = amount or MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeElapsedColumn(), "left", left)
    # By default rich estimates the rate from the last 30 s, too short for slow items.
    return Progress(*columns, console=Console(stderr=True), speed_estimate_period=86_400)


def print_table(columns: list[str], rows: "Iterable[Iterable[object]]") -> None:
    """A plain table, its numbers to the right; as wide as it needs to be, so that no name is cut in a pipe."""
    texts = [[_shown(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [columns, *texts]) for i in range(len(columns))]
    for row in [columns, *texts]:
        cells = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        typer.echo("  ".join(cells).rstrip())
    typer.echo()


def print_json(value: Any) -> None:
    """The value as strict JSON, arrays as lists; letters that standard output cannot encode are escaped as in JSON."""
    import json
    import sys

    from genreline.files import json_text

    text = json_text(value)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text), indent=1) + "\n"
    typer.echo(text, nl=False)


def complain(error: GenrelineError) -> None:
    """Print the error's one line."""
    typer.echo(f"error: {_shown(error)}", err=True)


def note(line: str) -> None:
    """Print a line that is neither an error nor a result."""
    typer.echo(f"note: {_shown(line)}", err=True)


def warn(line: str) -> None:
    """Print a line about something that deserves attention."""
    typer.echo(f"warning: {_shown(line)}", err=True)


def _shown(value: object) -> str:
    """The text in one line, with `?` for what would command the terminal, or turn the direction of what follows."""
    text = " ".join(str(value).splitlines())
    return "".join("?" if unicodedata.category(c) == "Cc" or c in _TURNS else c for c in text)
