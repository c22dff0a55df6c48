"""The command line. Thin: every command imports what it needs when it runs, so that `--help` answers at once.

The files are named after the folders whose work the commands start: `data.py` has `check` and `prepare`.

Exit codes: 0 all is well, 1 an item failed or a check found problems, 2 misuse or bad input, 130 Ctrl-C, 143 SIGTERM.
"""

import errno
import io
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from genreline.cli import data, demo, predict, study, train, web
from genreline.cli.signals import Terminated, ended_by_signals
from genreline.cli.terminal import complain
from genreline.errors import GenrelineError, MissingError

_UsageError: Any = typer.BadParameter.__base__  # typer has no public name for it


class Commands(typer.core.TyperGroup):
    """The commands, with one line for bad input."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Parse the options that stand before the command; misuse ends it as in `invoke`."""
        _tolerate_environment()
        with _report_misuse():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; misuse and a GenrelineError end it with one line `error: ...` and code 2, Ctrl-C with 130."""
        with ended_by_signals():
            try:
                with _report_misuse():
                    return super().invoke(ctx)
            except GenrelineError as error:
                complain(error)
                raise typer.Exit(2) from error
            except ModuleNotFoundError as error:
                if (error.name or "").startswith("genreline"):
                    raise
                complain(MissingError.of(ctx.invoked_subcommand or "genreline", error))
                raise typer.Exit(2) from error
            except KeyboardInterrupt as interrupt:
                is_terminated = isinstance(interrupt, Terminated)
                typer.echo(f"genreline: {'terminated' if is_terminated else 'interrupted'}", err=True)
                raise typer.Exit(143 if is_terminated else 130) from interrupt
            except OSError as error:
                if error.errno == errno.EPIPE:  # the reader of the output is gone, which typer handles
                    raise
                complain(GenrelineError(f"cannot be written or read: {error}"))
                raise typer.Exit(2) from error


def _tolerate_environment() -> None:
    """Let neither a terminal's encoding nor a matplotlib setting end a command or print into its output."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    os.environ["MPLBACKEND"] = "agg"  # notebooks set another for the programs that they start
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns about its settings and cache


@contextmanager
def _report_misuse() -> Iterator[None]:
    """Print typer's message about misuse, with `error:` before it as before all others."""
    try:
        yield
    except _UsageError as error:
        text = io.StringIO()
        error.show(text)
        typer.echo(re.sub("^Error: ", "error: ", text.getvalue(), flags=re.MULTILINE), err=True, nl=False)
        raise typer.Exit(2) from error


def _print_version(wanted: bool) -> None:
    if wanted:
        from genreline import __version__

        typer.echo(f"genreline {__version__}")
        raise typer.Exit()


app = typer.Typer(
    cls=Commands,
    help="Recognize the genre of music second by second: datasets, small networks, and the timeline of any song.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Recognize the genre of music second by second: datasets, small networks, and the timeline of any song."""


for command in (
    *(data.check, data.prepare, train.train, train.recipes, train.evaluate, train.export, train.push),
    *(predict.predict, predict.listen, predict.embed, predict.compare, predict.page, web.serve),
    *(study.study, study.report, demo.demo),
):
    app.command()(command)
