"""The notebook: every step of the assignment has its section, and it runs from a clean kernel."""

import inspect
import re
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

import genreline

from .conftest import write_course

pytestmark = pytest.mark.slow

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
STEPS = [
    *("1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7"),
    *("2.1", "2.2", "2.3", "2.4", "2.5"),
    *("3.1", "3.2", "3.4", "3.5", "3.6", "3.7"),
    *("4.1", "4.2", "4.3"),
]


@pytest.fixture
def source():
    return jupytext.read(NOTEBOOKS / "assignment.py")


@pytest.fixture
def committed():
    return nbformat.read(NOTEBOOKS / "assignment.ipynb", as_version=4)


def sections(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.findall(r"^## (\d\.\d) ", text, flags=re.MULTILINE)


def test_every_step_has_its_section_in_order(source):
    assert sections(source) == STEPS


def test_the_steps_are_those_of_the_specification(shared):
    text = (shared / "spec.md").read_text()
    assert re.findall(r"^(\d\.\d) ", text, flags=re.MULTILINE) == STEPS


def test_the_committed_notebook_is_a_complete_run_of_the_source(source, committed):
    assert [(cell.cell_type, cell.source) for cell in committed.cells] == [
        (cell.cell_type, cell.source) for cell in source.cells
    ]
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not re.findall(r"/(home|root|tmp|Users)/\w+", str(outputs))  # whose machine it was is nobody's matter
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    studies = str(outputs).count("data:image/png;base64,")  # within a study's section
    assert len(pictures) + studies > 30


def test_the_functions_that_it_shows_are_todays(committed):
    shown = 0
    for cell in committed.cells:
        names = re.findall(r"inspect\.getsource\((?:genreline\.)?(\w+)\)", cell.source)
        sources = [
            output.data["text/plain"] for output in cell.get("outputs", []) if "text/latex" in output.get("data", {})
        ]
        for name, source in zip(names, sources, strict=True):
            assert source.rstrip() == inspect.getsource(getattr(genreline, name)).rstrip()
            shown += 1
    assert shown >= 3


def test_it_runs_from_a_clean_kernel(source, tmp_path, monkeypatch):
    course = write_course(tmp_path / "course", (18, 9, 9))
    monkeypatch.setenv("GENRELINE_DATA", str(course))
    monkeypatch.setenv("GENRELINE_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("GENRELINE_EPOCHS", "1")
    (tmp_path / "out").mkdir()
    (settings,) = [cell for cell in source.cells if "N_PROCESSES =" in cell.source]
    settings.source = re.sub("N_PROCESSES = .*", "N_PROCESSES = 1", settings.source)  # each takes seconds to start
    client = NotebookClient(source, timeout=1200, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()  # raises at a cell's error
    studies = {path.name for path in (tmp_path / "out" / "studies").iterdir()}
    assert studies >= {"fnn", "cnn-plain", "optimizers", "reproducibility", "activations", "schedulers", "batchnorm"}
    assert studies >= {"regularisation", "batch-size", "early-stopping"}
    text = str([cell.outputs for cell in source.cells if cell.cell_type == "code"])
    assert "the songs' mean:" in text
    assert (tmp_path / "out" / "melgrams.npy").exists()
