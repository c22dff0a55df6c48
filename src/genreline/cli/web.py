"""The command of web/: the service and its page."""

from typing import Annotated

import typer


def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 means all addresses of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free port.")] = 8000,
    root_path: Annotated[str, typer.Option(metavar="PATH", help="The path at a proxy, such as /genres.")] = "",
    allow_urls: Annotated[bool, typer.Option("--allow-urls", help="Fetch songs from public URLs.")] = False,
    host_name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A name by which clients reach it, besides localhost and IP addresses; repeatable."
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="A model folder to offer, too; repeatable; the first is the default."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Songs processed at once, each in a process of up to 0.7 GB.")
    ] = 2,
) -> None:
    """Serve the web page and the HTTP API, until SIGTERM or Ctrl-C."""
    import signal

    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # uvicorn drains, and then ends by it
    from genreline.web.limits import Limits
    from genreline.web.serve import serve

    serve(host, port, root_path, allow_urls, Limits(workers=workers), host_name or (), model or ())
