"""Each figure in the README is a named field of a result file, and the commands and links of all pages exist."""

import csv
import json
import re
import statistics
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer
import yaml

import genreline
from genreline.cli import app
from genreline.study.spec import Study, Variant, load_study

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}


def spread(values):
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def shipped(model, *fields):
    """A field of metrics in results/shipped/MODEL-SEED.json, for each seed."""
    values = []
    for seed in range(2 if model == "genres8-resnet" else 5):
        value = json.loads((RESULTS / "shipped" / f"{model}-{seed}.json").read_text())["metrics"]
        for field in fields:
            value = value[field]
        values.append(value)
    return values


def f1_of_present(model, where, *fields):
    """Macro F1 over the classes that the set has, from its confusion matrix, for each seed."""
    values = []
    for matrix in map(np.array, shipped(model, where, *fields, "confusion_matrix")):
        right, truth, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
        values.append(statistics.mean((2 * right / (truth + predicted))[truth > 0]))
    return values


def step(network, snapshot, field):
    """A field of results/assignment_steps.json, for each seed."""
    runs = json.loads((RESULTS / "assignment_steps.json").read_text())
    values = [run[snapshot][field] for run in runs if run["name"] == network]
    assert len(values) == 5
    return values


def study(name, variant, field):
    """A column of results/studies/NAME/table.csv, for each seed."""
    with (RESULTS / "studies" / name / "table.csv").open() as file:
        return [float(row[field]) for row in csv.DictReader(file) if row["variant"] == variant]


def row(page, start):
    (line,) = [line for line in PAGES[page].splitlines() if line.startswith(start)]
    return re.findall(r"0\.\d{3}(?: ± 0\.\d{3})?", line)


@pytest.mark.parametrize(
    ("line", "model", "where"),
    [
        ("| `genres8-resnet` (the default) | its test set", "genres8-resnet", "test"),
        ("| `genres8-resnet` | its test tracks from sources", "genres8-resnet", "unseen"),
        ("| `genres7-cnn` | its test set", "genres7-cnn", "test"),
        ("| `genres7-cnn` | six of the genres from another source", "genres7-cnn", "elsewhere"),
        ("| `course-fnn` | its test set", "course-fnn", "test"),
    ],
)
def test_the_models_figures_are_results(line, model, where):
    expected = [spread(f1_of_present(model, where))]
    if model != "course-fnn":
        expected.append(spread(f1_of_present(model, where, "by_track")))
    assert row("README.md", line) == expected


@pytest.mark.parametrize(
    ("line", "network", "snapshot"),
    [
        ("| step 1.5 |", "fnn", "last epoch"),
        ("| step 1.7 |", "fnn", "best snapshot"),
        ("| step 2.4 |", "cnn", "best snapshot"),
    ],
)
def test_the_steps_figures_are_results(line, network, snapshot):
    assert row("README.md", line) == [spread(step(network, snapshot, field)) for field in ("accuracy", "f1_macro")]


def test_the_shares_on_unseen_sources_are_results():
    seconds, tracks = (
        statistics.mean(shipped("genres8-resnet", "unseen", *fields))
        for fields in (("accuracy",), ("by_track", "accuracy"))
    )
    assert f"({seconds:.0%} of the seconds and {tracks:.0%} of the tracks are correct)" in README


def test_all_figures_of_the_readme_are_tied_to_results():
    """A new figure needs a test above: this one counts them."""
    rows = [line for line in README.splitlines() if line.startswith(("| `", "| step"))]
    assert len(re.findall(r"0\.\d{3} ± ", README)) == len(re.findall(r"0\.\d{3} ± ", "\n".join(rows))) == 15


def test_the_assignments_figures_are_results():
    page = " ".join(PAGES["assignment.md"].split())
    without, batchnorm = (spread(study("batchnorm", variant, "test_f1_macro")) for variant in ("without", "with"))
    assert f"from {without} to {batchnorm} (three seeds" in page
    gain = statistics.mean(study("fnn", "fnn", "test_f1_macro")) - statistics.mean(
        study("fnn", "fnn", "last_test_f1_macro")
    )
    assert len(study("fnn", "fnn", "test_f1_macro")) == 10
    assert f"over ten seeds it gains {gain:.3f} of macro F1" in page


def test_the_ablations_figures_are_results():
    page = " ".join(PAGES["models.md"].split())
    with (RESULTS / "studies" / "ablation" / "table.csv").open() as file:
        found = {row["variant"]: float(row["test_f1_macro"]) for row in csv.DictReader(file)}
    assert f"macro F1 {found.pop('no-shift'):.3f}, not {found['all']:.3f}" in page
    assert f"gives {found.pop('masks'):.3f}" in page
    assert max(abs(each - found["all"]) for each in found.values()) < 0.0145
    higher = [found[f"no-{part}"] for part in ("mixup", "equaliser", "low-pass", "class-balance")]
    assert f"({min(higher):.3f} to {max(higher):.3f})" in page
    assert min(higher) > found["all"]


def test_music_against_what_is_not_is_results():
    left_out = [json.loads(line) for line in (ROOT / "results" / "not_music.jsonl").read_text().splitlines()]
    first, second = (f"{line['auroc']['all']['seconds']:.3f}" for line in left_out)
    at_home = json.loads((ROOT / "results/shipped/genres8-resnet-calibration.json").read_text())["sets"]["test"]
    page = " ".join(PAGES["models.md"].split())
    assert f"at {at_home['auroc_music']:.3f} on the test set" in page
    assert f"from music at {first} and {second} (one run each" in page


@pytest.mark.parametrize("method", ["svm", "frozen", "fine-tuned", "resnet", "assignment-cnn", "assignment-fnn"])
def test_the_figures_of_small_sets_are_results(method):
    runs = [json.loads(line) for line in (RESULTS / "small_sets.jsonl").read_text().splitlines()]
    cells = []
    for name in ("instruments", "environment", "speech", "leads"):
        found = [run["track_accuracy"] for run in runs if (run["set"], run["method"]) == (name, method)]
        assert len(found) == 5
        cells.append(spread(found))
    assert f"| {' | '.join(cells)} |" in PAGES["own-classifier.md"]


def test_the_figures_of_several_labels_are_results():
    runs = json.loads((RESULTS / "several_labels.json").read_text())
    frozen = [run["figures"] for run in runs if run["recipe"] == "frozen"]
    assert len(frozen) == 5
    pieces = [figures["by_track"] for figures in frozen]
    for key in ("mean_average_precision", "f1_macro"):
        for each in (frozen, pieces):
            assert spread([figures[key] for figures in each]) in PAGES["own-classifier.md"]


@pytest.mark.parametrize(
    ("name", "variant", "figure"),
    [
        ("activations", "LogSigmoid", "0.511"),
        ("activations", "Hardtanh", "0.286"),
        ("activations", "Tanh", "0.145"),
        ("batch-size", "64", "0.562"),
        ("batch-size", "128", "0.458"),
        ("batch-size", "4", "0.604"),
        ("batch-size", "16", "0.627"),
    ],
)
def test_the_figures_at_full_length_are_results(name, variant, figure):
    assert f"{study(name, variant, 'test_f1_macro')[0]:.3f}" == figure
    assert figure in PAGES["assignment.md"]


def test_the_assignment_page_lists_the_notebooks_steps():
    sections = re.findall(r"^# ## (\d\.\d) ", (ROOT / "notebooks" / "assignment.py").read_text(), flags=re.MULTILINE)
    assert re.findall(r"^\| (\d\.\d) \|", PAGES["assignment.md"], flags=re.MULTILINE) == sections


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page):
    commands = typer.main.get_command(app).commands
    makefile = (ROOT / "Makefile").read_text()
    for line in re.findall(r"^    (?:\$ )?(genreline \w+.*(?:\\\n.*)*)", PAGES[page], flags=re.MULTILINE):
        name, *words = re.sub(r"#.*", "", line).split()[1:]
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, line
    for target in re.findall(r"^    make ([\w-]+)", PAGES[page], flags=re.MULTILINE):
        assert f"\n{target}: " in makefile, target


def test_the_readme_is_short_and_in_order():
    assert len(README.splitlines()) < 150
    assert re.findall(r"^## (.+)", README, flags=re.MULTILINE) == [
        *("Install", "One command, one snippet", "How accurate it is", "Train your own", "The page", "Limits", "Links")
    ]


def test_links_lead_somewhere():
    pages = (*ROOT.glob("*.md"), *ROOT.glob("results/*.md"), *ROOT.glob("docs/*.md"))
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert "://" in target or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_reference_has_every_public_name():
    described = re.findall(r"^::: genreline\.[\w.]+\.(\w+)$", PAGES["api.md"], flags=re.MULTILINE)
    assert sorted(described) == sorted(set(genreline.__all__) - {"__version__"})


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert "url" not in citation
    assert "urls" not in project


def test_the_readmes_song_gives_the_output_shown(shared, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "brahms.ogg").write_bytes((shared / "audio" / "brahms_hungarian_dance_5.ogg").read_bytes())
    (snippet,) = [code for code in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if "Recognizer" in code]
    exec(snippet, {})
    shown = capsys.readouterr().out
    assert "".join(f"    {line}\n" for line in shown.splitlines()) in README
    rows = genreline.Timeline.from_json((tmp_path / "brahms.json").read_text()).to_csv().splitlines()[:4]
    assert "".join(f"    {line}\n" for line in rows) in README


def test_the_example_of_a_study_is_one(tmp_path):
    text = (ROOT / "docs" / "assignment.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    (tmp_path / "rates.toml").write_text(example)
    study = load_study(tmp_path / "rates.toml")
    assert study.n_runs == 6
    fields = {*Study.model_fields, *(f"variants.{name}" for name in Variant.model_fields)} - {"name"}
    table = text[text.index("### A study of your own") :]
    documented = {name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`([^`]+)`", row)}
    assert documented == fields


def test_what_training_brings_is_what_the_study_found():
    for variant in ("assignment", "cnn", "resnet"):
        assert spread(study("beyond", variant, "test_f1_macro")) in " ".join(PAGES["models.md"].split())
