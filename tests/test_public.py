"""What the package hands on, and that it does so without loading everything."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import genreline

PUBLIC = [
    "AudioError", "CheckpointError", "Config", "ConfigError", "ConvNet", "DataError", "Dataset", "FeedForward",
    "GenrelineError", "Model", "Recognizer", "Split", "Timeline", "__version__", "blocks", "check_dataset",
    "compose_dataset", "decode", "draw", "evaluate", "features", "fit", "infer", "load_config", "load_dataset",
    "load_model", "load_split", "make_loader", "make_loaders", "melgrams", "mfccs", "prepare", "save_model",
    "save_picture", "save_player", "segments", "shipped_models", "show_study", "train",
    "youtube_to_melgram",
]  # fmt: skip


def test_the_public_names_are_pinned():
    assert genreline.__all__ == dir(genreline) == PUBLIC
    for name in PUBLIC:
        assert getattr(genreline, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = genreline.nothing


def test_type_checkers_are_told_the_same_names():
    tree = ast.parse(Path(genreline.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {alias.name: node.module for node in block.body for alias in node.names}
    homes = {name: f"genreline.{home}" for name, home in genreline._HOME_OF.items()}
    assert imported == homes


@pytest.mark.parametrize("statement", ["import genreline", "from genreline.cli import app"])
def test_imports_are_light(statement):
    heavy = "{'torch', 'numpy', 'sklearn', 'matplotlib', 'scipy', 'pydantic', 'av', 'soundfile'}"
    program = f"import sys; {statement}; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
