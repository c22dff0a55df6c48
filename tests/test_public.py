"""What the package exports, and that importing it stays cheap."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import genreline


def test_every_public_name_exists():
    assert len(set(genreline.__all__)) == len(genreline.__all__) > 30
    for name in genreline.__all__:
        assert getattr(genreline, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = genreline.nothing


@pytest.mark.slow
@pytest.mark.parametrize("first", ["import genreline.fetch.cache, genreline.train.loop", "pass"])
def test_a_public_name_is_never_shadowed_by_the_folder_of_its_name(first):
    program = (
        f"{first}; import genreline; from genreline import fetch, train; "
        "print(*map(callable, (genreline.train, train, genreline.fetch, fetch)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "True True True True\n"


@pytest.mark.parametrize(("before", "after"), [({}, ":4096:8"), ({"CUBLAS_WORKSPACE_CONFIG": ":16:8"}, ":16:8")])
def test_the_import_makes_cublas_deterministic_unless_told_otherwise(before, after):
    environment = {key: value for key, value in os.environ.items() if key != "CUBLAS_WORKSPACE_CONFIG"} | before
    program = "import genreline, os; print(os.environ['CUBLAS_WORKSPACE_CONFIG'])"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout == after + "\n"


@pytest.mark.parametrize("statement", ["import genreline", "from genreline.cli import app"])
def test_imports_are_light(statement):
    heavy = "{'torch', 'numpy', 'sklearn', 'matplotlib', 'scipy', 'pydantic', 'av', 'soundfile'}"
    program = f"import sys; {statement}; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


@pytest.mark.slow
def test_a_users_script_is_clean_under_mypy_strict(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from genreline import Config, ConvNet, FeedForward, Model, OptimizerConfig, Recognizer\n"
        "from genreline import fit, load_dataset, save_model, train\n"
        "config = Config(epochs=5, optimizer=OptimizerConfig(name='AdamW', lr=1e-3))\n"
        "data = load_dataset('dataset', config.features)\n"
        "save_model(Model.from_fit(fit(config, data), data), 'model')\n"
        "network = ConvNet((21, 128), 4, padding=2, pooling=2, activation='ReLU')\n"
        "small = FeedForward(26, 4)\n"
        "print(train, [run.label for run in Recognizer.load('model')('song.mp3').runs()])\n"
        "import numpy as np\n"
        "from genreline import Timeline, load_model, train_folder\n"
        "mine = train_folder('music', out='mine')\n"
        "again = fit(load_model('mine').config, load_dataset('dataset', mine.config.features))\n"
        "recognizer = Recognizer(mine)\n"
        "of_an_array: Timeline = recognizer(np.zeros(44100, np.float32), rate_hz=44100)\n"
        "of_files: dict[str, Timeline] = {path.name: each for path, each in recognizer.many(['a.mp3'], jobs=2)}\n"
        "rows = recognizer.embed('song.mp3')\n"
        "print(again.best_epoch, of_files, rows.shape, of_an_array.to_pandas(), mine.metrics['val'])\n"
    )
    # In the project's folder and with its settings (strict), so that mypy takes what `make lint` has checked as it is.
    root = Path(__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-m", "mypy", str(script)], capture_output=True, text=True, cwd=root, check=False
    )
    assert result.returncode == 0, result.stdout
