"""The command line. Thin: every command imports what it needs when it runs, so that `--help` answers at once.

Exit codes: 0 all is well, 1 an item failed or a check found problems, 2 misuse or bad input, 130 Ctrl-C.
"""

import errno
from typing import Any

import typer

from genreline.cli.experiments import check, demo, evaluate, prepare, report, study, train
from genreline.cli.listening import compare, predict, serve
from genreline.cli.terminal import complain
from genreline.errors import GenrelineError


class Commands(typer.core.TyperGroup):
    """The commands, with bad input told in one line."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; a GenrelineError ends it with its one line and code 2, Ctrl-C with 130."""
        try:
            return super().invoke(ctx)
        except GenrelineError as error:
            complain(error)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as interrupt:
            typer.echo("genreline: interrupted", err=True)
            raise typer.Exit(130) from interrupt
        except OSError as error:
            if error.errno == errno.EPIPE:  # whoever read our output has gone; typer knows what to do
                raise
            complain(GenrelineError(f"cannot be written or read: {error}"))
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=Commands,
    help="Hears music one second at a time: datasets, small networks, and the genre timeline of any song.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for command in (check, prepare, train, evaluate, predict, compare, serve, study, report, demo):
    app.command()(command)
