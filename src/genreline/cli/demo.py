"""The command of demo/: both journeys on embedded music."""

from pathlib import Path
from typing import Annotated

import typer

from genreline.cli.terminal import AsJson, print_json, print_table, progress_bar


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The output folder.")] = Path("genreline-demo"),
    as_json: AsJson = False,
) -> None:
    """Compose music in four genres, train a network on it, and draw the timeline of a medley. All synthetic."""
    from genreline.demo.demo import run_demo

    with progress_bar() as progress:
        result = run_demo(out, progress)
    if as_json:
        print_json(result)
        return
    medley = result["medley"]
    figures = {
        "unseen tracks, by second": result["test"],
        "unseen tracks, by track": result["test"]["by_track"],
        "medley, by second": medley,
    }
    rows = [[name, f"{each['f1_macro']:.3f}", f"{each['accuracy']:.3f}", each["n"]] for name, each in figures.items()]
    print_table(["", "macro F1", "accuracy", "n"], rows)
    typer.echo(f"synthetic music, so these figures say nothing about real songs; took {result['seconds']:.0f} s")
    typer.echo(f"listen to {medley['audio']} and look at {medley['png']}")
