"""`python -m genreline`, the same as `genreline`."""

import os
import sys

from genreline.cli import app


def main() -> None:
    """Run the command line. After a signal the process exits at once, because torch's teardown takes a while."""
    try:
        app(prog_name="genreline")
    except SystemExit as end:
        if end.code in (130, 143):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
        raise


if __name__ == "__main__":
    main()
