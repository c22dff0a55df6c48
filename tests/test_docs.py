"""Figures in the README are those of the result files, and its commands exist."""

import re
from pathlib import Path

import typer

from genreline.cli import app

ROOT = Path(__file__).parents[1]


def figures(text):
    return set(re.findall(r"0\.\d+ ± 0\.\d+", text))


def test_the_readmes_figures_are_results():
    tables = (path for path in (ROOT / "results").rglob("*.md") if path.name != "README.md")
    results = [*tables, *(ROOT / "src" / "genreline" / "models").glob("*/README.md")]
    known = set().union(*(figures(path.read_text()) for path in results))
    shown = figures((ROOT / "README.md").read_text())
    assert shown
    assert shown <= known


def test_the_readmes_commands_exist():
    text = (ROOT / "README.md").read_text()
    used = set(re.findall(r"^    genreline (\w+)", text, flags=re.MULTILINE))
    assert used
    assert used <= set(typer.main.get_command(app).commands)
    targets = set(re.findall(r"^    make (\w+)", text, flags=re.MULTILINE))
    assert targets == {"demo", "check"}
    for target in targets:
        assert f"\n{target}: " in (ROOT / "Makefile").read_text()


def test_links_lead_somewhere():
    for page in (*ROOT.glob("*.md"), *ROOT.glob("results/*.md"), *ROOT.glob("docs/*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name} links to {target}"
