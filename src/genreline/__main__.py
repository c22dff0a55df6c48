"""`python -m genreline`, the same as `genreline`."""

from genreline.cli import app

app(prog_name="genreline")
