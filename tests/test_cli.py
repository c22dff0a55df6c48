"""The commands as a user runs them: exit codes, what is printed where, and what is written."""

import csv
import http.server
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import typer

import genreline
from genreline.cli import app
from genreline.cli.predict import predict
from genreline.cli.terminal import progress_bar
from genreline.predict.recognizer import DEFAULT_MODEL
from genreline.train.checkpoint import Model, load_model, save_model
from genreline.train.config import load_config
from genreline.train.folder import read_description
from genreline.train.models import build_network


@pytest.fixture
def run(capsys):
    """Run a command in this process: (exit code, standard output, standard error)."""

    def run(*args):
        with pytest.raises(SystemExit) as end:
            typer.main.get_command(app)([str(arg) for arg in args])
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    config = load_config(overrides=["features=mfccs"])
    save_model(Model(build_network(config, (26,), 3).eval(), config, ("blues", "jazz", "rock")), folder)
    return folder


@pytest.fixture
def songs(tmp_path):
    rng = np.random.default_rng(0)
    for name, seconds in (("a.wav", 3.25), ("b.flac", 2)):
        soundfile.write(tmp_path / name, rng.normal(0, 0.1, int(44100 * seconds)), 44100)
    (tmp_path / "bad.mp3").write_text("no sound")
    return tmp_path


def test_check(run, course):
    code, out, err = run("check", course)
    assert (code, err) == (0, "")
    assert "96 x 26" in out
    assert "no problems found" in out
    code, out, _ = run("check", course, "--json")
    assert json.loads(out)["sets"]["mfccs"][0]["counts"] == {"blues": 32, "jazz": 32, "rock": 32}
    (course / "val" / "mfccs" / "X.npy").unlink()
    (course / "test" / "mfccs" / "labels.npy").write_bytes((course / "val" / "mfccs" / "labels.npy").read_bytes())
    code, out, err = run("check", course)
    assert code == 1
    assert "2 problem(s)" in out
    assert "error: " not in out
    assert [line.split(":")[0] for line in err.splitlines()] == ["error"] * 2


def test_warnings_of_check_are_no_part_of_its_table(run, course):
    for kind in ("mfccs", "melgrams"):
        for file in ("X.npy", "labels.npy"):
            (course / "val" / kind / file).write_bytes((course / "test" / kind / file).read_bytes())
    code, out, err = run("check", course)
    assert code == 0
    assert "warning" not in out
    assert "warning: " in err
    assert "val and test share 45 distinct equal rows" in err


def test_train_then_evaluate(run, course, tmp_path):
    out_dir = tmp_path / "model"
    settings = ["--model", "fnn", "--set", "epochs=3", "--set", "optimizer.lr=0.05", "--set", "seed=4"]
    settings += ["--no-graph", "--no-baselines"]
    code, out, err = run("train", course, "--out", out_dir, *settings)
    assert code == 0
    assert "the snapshot of epoch" in out
    assert "val F1" in err
    assert load_model(out_dir).config.seed == 4
    code, out, _ = run("evaluate", out_dir, course, "--json")
    figures = json.loads(out)
    assert set(figures) == {"loss", "f1_macro", "accuracy", "classes", "confusion_matrix", "per_class", "n"}
    matrix = np.array(figures["confusion_matrix"])
    assert matrix.sum() == figures["n"] == 45
    assert figures["accuracy"] == pytest.approx(np.trace(matrix) / 45)
    code, out, _ = run("evaluate", out_dir, course, "--split", "val", "--html", tmp_path / "page.html")
    assert code == 0
    assert '<h2 id="reliability">' in (tmp_path / "page.html").read_text()
    for word in ("36 seconds", "macro F1", "precision", "jazz", "truth \\ predicted"):
        assert word in out


def test_train_from_a_file_with_options_over_it(run, course, tmp_path):
    (tmp_path / "run.toml").write_text('features = "mfccs"\nepochs = 9\n[model]\nactivation = "ReLU"\n')
    settings = ["--config", tmp_path / "run.toml", "--set", "epochs=1", "--features", "melgrams", "--model", "cnn"]
    code, out, _ = run("train", course, *settings, "--out", tmp_path / "cnn", "--json", "--no-graph", "--no-baselines")
    assert code == 0
    assert json.loads(out)["status"] == "completed"
    config = load_model(tmp_path / "cnn").config
    assert (config.features, config.epochs, config.model.name) == ("melgrams", 1, "cnn")
    assert config.model.activation == "ReLU"


@pytest.mark.slow  # it exports the model, in seconds
def test_a_trained_model_has_a_graph_and_is_exported_alone(run, course, tmp_path):
    code, _, err = run("train", course, "--recipe", "fnn", "--out", tmp_path / "model", "--set", "epochs=1")
    assert (code, "warning" in err) == (0, False)
    assert read_description(tmp_path / "model").graph().suffix == ".onnx"
    code, out, _ = run("export", tmp_path / "model", "--onnx", tmp_path / "out" / "mine.onnx")
    assert code == 0
    assert out.endswith("waveform (N, 8000) float32 -> probabilities (N, 3), embeddings\n")
    assert (tmp_path / "out" / "mine.onnx").stat().st_size > read_description(tmp_path / "model").graph().stat().st_size


def test_without_a_choice_the_recipe_is_one_that_works(run, course, tmp_path):
    short = ("--no-graph", "--no-baselines")
    code, out, err = run("train", course, "--out", tmp_path / "mine", *short)
    assert code == 0
    assert f"note: recipe frozen, because {course / 'train'} has 96 seconds of melgrams" in err
    assert "--recipe assignment-fnn is the assignment's" in err
    assert "a new last layer, validation macro F1" in out
    config = load_model(tmp_path / "mine").config
    assert (config.start.model, config.start.freeze) == ("genres8-resnet", True)
    shutil.rmtree(course / "train" / "melgrams")
    _, _, err = run("train", course, "--out", tmp_path / "fnn", "--set", "epochs=1", *short)
    assert "recipe fnn, because" in err
    # a model of one's own is a recipe, too, and can be started from
    again = ("train", course, "--recipe", tmp_path / "fnn", "--out", tmp_path / "again", *short)
    assert run(*again)[0] == 0
    assert load_model(tmp_path / "again").config == load_model(tmp_path / "fnn").config
    frozen = ("train", course, "--from", tmp_path / "fnn", "--freeze", "--out", tmp_path / "more", *short)
    assert run(*frozen)[0] == 0
    assert load_model(tmp_path / "more").config.model == load_model(tmp_path / "fnn").config.model


def test_recipes(run):
    code, out, err = run("recipes")
    assert (code, err) == (0, "")
    names = [line.split()[0] for line in out.splitlines() if line]
    assert names == ["recipe", "assignment-cnn", "assignment-fnn", "cnn", "fine-tuned", "fnn", "frozen", "resnet"]
    assert json.loads(run("recipes", "--json")[1])[0]["settings"]["model"] == {"name": "cnn"}


def test_baselines_are_beside_a_model_that_is_not_the_courses(run, course, tmp_path):
    trained = ("train", course, "--model", "fnn", "--set", "epochs=1", "--no-graph", "--out")
    code, out, _ = run(*trained, tmp_path / "a")
    assert code == 0
    for name in ("the MFCC vectors", "embeddings by genres8-resnet"):
        assert re.search(rf"^beside it, RBF-SVM on {name}: validation macro F1 \d\.\d{{3}}, accuracy", out, re.M)
    _, out, _ = run(*trained, tmp_path / "b", "--json")
    assert [each["n_val"] for each in json.loads(out)["baselines"]] == [36, 36]
    assert "beside it" not in run(*trained, tmp_path / "c", "--no-baselines")[1]
    names = np.array(["blues", "classical", "hiphop", "rock_metal_hardrock"])
    for path in course.glob("*/*/labels.npy"):
        np.save(path, names[np.arange(len(np.load(path))) % 4])
    assert "beside it" not in run(*trained, tmp_path / "d")[1]


def test_embed(run, songs):
    code, out, err = run("embed", songs / "a.wav", songs / "bad.mp3", "--out", songs / "x.npy")
    assert code == 1
    assert f"{songs / 'x.npy'}: 4 seconds of 1 files, 896 numbers each" in out
    assert "bad.mp3: not an audio file" in err
    assert np.load(songs / "x.npy").shape == (4, 896)
    code, _, err = run("embed", songs / "bad.mp3", "--out", songs / "y.npy")
    assert code == 2
    assert "is not written, because no file could be read" in err
    assert not (songs / "y.npy").exists()


def test_a_run_that_diverges_is_a_failure_that_says_so(run, course, tmp_path):
    code, out, err = run("train", course, "--out", tmp_path / "model", "--model", "fnn", "--set", "optimizer.lr=1e38")
    assert code == 1
    assert "diverged" in out
    assert "lower optimizer.lr" in err
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_predict_writes_a_row_a_second(run, songs, model_folder):
    out_dir = songs / "out"
    code, out, _ = run("predict", songs / "a.wav", songs / "b.flac", "--model", model_folder, "--out", out_dir)
    assert code == 0
    assert "a.wav" in out
    assert {path.name for path in out_dir.iterdir()} == {"a.csv", "a.png", "b.csv", "b.png"}
    with (out_dir / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["start_s", "end_s", "label", "confidence", "blues", "jazz", "rock"]
    assert [(row["start_s"], row["end_s"]) for row in rows] == [("0", "1"), ("1", "2"), ("2", "3"), ("3", "3.25")]
    for row in rows:
        probabilities = {name: float(row[name]) for name in ("blues", "jazz", "rock")}
        assert sum(probabilities.values()) == pytest.approx(1, abs=2e-4)
        assert row["label"] == max(probabilities, key=probabilities.get)
        assert float(row["confidence"]) == max(probabilities.values())
    assert (out_dir / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def site(songs, monkeypatch):
    """A server of the songs on this machine; gives its address."""
    monkeypatch.setenv("GENRELINE_CACHE", str(songs / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=songs)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_urls_are_fetched_and_predicted(run, site, songs, model_folder):
    urls = f"{site}/a.wav", f"{site}/none.wav"
    out = songs / "out"
    code, shown, err = run("predict", *urls, songs / "b.flac", "--model", model_folder, "--out", out, "--json")
    assert code == 1
    failed, *done = json.loads(shown)
    assert failed == {"file": urls[1], "error": f"{urls[1]}: the server answers 404 (File not found); check the URL"}
    assert failed["error"] in err
    assert [song["duration_s"] for song in done] == [3.25, 2.0]
    assert [song["file"] for song in done] == [urls[0], str(songs / "b.flac")]
    assert len((out / "a.csv").read_text().splitlines()) == 5

    soundfile.write(songs / "AC: DC?.wav", np.zeros(16000), 8000)
    url = f"{site}/AC%3A%20DC%3F.wav"
    code, shown, _ = run("predict", url, "--model", model_folder, "--out", out, "--formats", "json", "--json")
    assert (
        json.loads(Path(json.loads(shown)[0]["json"]).read_text())["title"] == "AC: DC?"
    )  # whatever the file is called

    labels = [part for name in ("rock", "jazz", "blues") for part in ("--label", name)]
    (songs / "folder" / "sub").mkdir(parents=True)
    for name in ("1.flac", "sub/2.flac"):
        (songs / "folder" / name).write_bytes((songs / "b.flac").read_bytes())
    compared = ("compare", model_folder, *urls, songs / "folder", *labels, "--out", songs / "c.png", "--json")
    code, shown, _ = run(*compared)
    assert code == 1
    compared = json.loads(shown)["songs"]
    assert compared[0] == {**failed, "label": "jazz"}
    assert [(song["label"], song["n"]) for song in compared[1:]] == [("rock", 4), ("blues", 2), ("blues", 2)]


@pytest.mark.slow
def test_predict_goes_on_past_a_bad_file(run, songs, model_folder):
    files = [songs / "bad.mp3", songs / "a.wav", songs / "missing.ogg"]
    code, out, err = run("predict", *files, "--model", model_folder, "--out", songs / "out")
    assert code == 1
    assert "2 of 3 files failed" in out
    for name in ("bad.mp3: not an audio file", "missing.ogg: there is no such file"):
        assert name in err
    assert {path.name for path in (songs / "out").iterdir()} == {"a.csv", "a.png"}
    code, out, _ = run("predict", *files, "--model", model_folder, "--out", songs / "out", "--json")
    assert code == 1
    assert ["error" in song for song in json.loads(out)] == [True, False, True]


@pytest.mark.slow
def test_any_name_of_a_file_is_only_shown(run, songs, model_folder):
    """What a name holds commands no terminal and breaks no table; a name that no file can have fails alone."""
    (songs / "a.wav").rename(songs / "\x1b]0;owned\x07\u202e\nred.wav")
    long = songs / f"{'a' * 300}.wav"
    code, out, err = run("predict", songs, long, "--model", model_folder, "--out", songs / "out", "--formats", "csv")
    assert code == 1
    assert "?]0;owned?? red.wav" in out
    assert not set("\x1b\x07\u202e") & set(out + err)
    assert "File name too long" in err
    assert len(list((songs / "out").iterdir())) == 2

    (songs / "b.flac").rename(songs / os.fsdecode(b"b\xff.flac"))
    code, out, _ = run("embed", songs / os.fsdecode(b"b\xff.flac"), "--out", songs / "x.npy")
    assert code == 0
    assert (songs / "x.npy.csv").read_text().splitlines()[1] == f"{songs}/b?.flac,0"


@pytest.mark.slow
def test_equal_stems_do_not_overwrite_each_other(run, songs, model_folder):
    (songs / "sub").mkdir()
    soundfile.write(songs / "sub" / "a.wav", np.zeros(8000), 8000)
    code, _, _ = run(
        "predict", songs / "a.wav", songs / "sub" / "a.wav", "--model", model_folder, "--out", songs / "out"
    )
    assert code == 0
    assert {path.name for path in (songs / "out").iterdir()} == {"a.csv", "a.png", "a-2.csv", "a-2.png"}


@pytest.mark.slow
def test_a_folder_in_every_format(run, songs, model_folder):
    (songs / "music" / "live").mkdir(parents=True)
    (songs / "a.wav").rename(songs / "music" / "live" / "a.wav")
    (songs / "b.flac").rename(songs / "music" / "b.flac")
    formats = ["csv", "png", "json", "txt", "rttm", "jams", "html"]
    code, out, _ = run(
        *("predict", songs / "music", "--model", model_folder, "--out", songs / "out", "--json", "--jobs", 1),
        *("--formats", ",".join(formats)),
    )
    assert code == 0
    for song, stem in zip(json.loads(out), ("b", "live/a"), strict=True):
        for name in formats:
            assert song[name] == str(songs / "out" / f"{stem}.{name}")
            assert os.path.getsize(song[name])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["predict", "song.wav", "--formats", "csv,mp5"], "mp5: no such format; choose from csv,png"),
        (["predict", "song.wav", "--raw-rate-hz", "8000"], "--raw-rate-hz: only applies to a stream"),
        (["predict", "COURSE"], "holds no audio files"),
        (["compare", "course-fnn", "song.wav", "--label", "polka"], "polka: the model does not know this genre"),
        (["train", "COURSE", "--out", "x", "--set", "foo=1"], "foo: there is no such setting"),
        (["train", "COURSE", "--out", "x", "--set", "lr=1"], "did you mean optimizer.lr?"),
        (["train", "COURSE", "--out", "x", "--model", "fnn", "--set", "optimizer.name=adamww"], "did you mean AdamW?"),
        (
            ["train", "COURSE", "--out", "x", "--model", "fnn", "--set", "model.activation=Softmax2d"],
            "cannot stand alone",
        ),
        (["prepare", "COURSE", "x", "--split", "80/10/20"], "add up to 100"),
        (["study", "fnn", "--data", "nowhere", "--out", "x"], "nowhere: is not a dataset with mfccs"),
        (["predict", ""], "one of the names is empty"),
        (["train", "COURSE", "--out", "x", "--model", "cnn"], "a cnn needs melgrams (--features melgrams)"),
        (["train", "COURSE", "--out", "x", "--freeze"], "--freeze: says nothing without --from MODEL"),
        (
            ["train", "COURSE", "--out", "x", "--recipe", "soup"],
            "no such recipe, nor a model; the recipes are assignment",
        ),
        (["train", "COURSE", "--out", "x", "--recipe", "fnn", "--model", "cnn"], "--recipe: says which network"),
        (
            ["train", "COURSE", "--out", "x", "--recipe", "fnn", "--from", "genres7-cnn"],
            "--from: has settings of its own",
        ),
        (["train", "COURSE", "--out", "x", "--from", "soup", "--freeze"], "soup: no such model folder"),
        (["train", "COURSE", "--out", "x", "--set", "epochs=3"], "a frozen network has a last layer to fit, at once"),
        (["train", "COURSE", "--out", "x", "--recipe", "genres8-resnet"], "add it, or set source_balance=0"),
        (["train", "COURSE", "--out", "x", "--device", "warp"], "device 'warp'"),
        (["train", "nowhere", "--out", "x"], "there is no such folder"),
        (["evaluate", "nowhere", "COURSE"], "no such model folder"),
        (["evaluate", "COURSE", "COURSE"], "is not a complete model folder"),
        (["predict", "song.wav", "--model", "nowhere"], "no such model folder"),
        (["train", "COURSE", "--out", "/dev/null/model"], "is not a folder; choose another place"),
        (
            ["train", "COURSE", "--out", "x", "--model", "fnn", "--set", "model.activation=Softmax"],
            "cannot stand alone",
        ),
        (["embed", "song.wav", "--out", "x"], "ends in no suffix; name a file that ends in .npy or .parquet"),
        (["train", "COURSE", "--out", "x", "--group", "track"], "--group: says what folds share; add --folds"),
        (
            ["train", "COURSE", "--out", "x", "--model", "fnn", "--set", "optimizer.weight_decay=nan"],
            "optimizer: weight_decay: nan is not a finite number",
        ),
        (["predict", "-", "--strict"], "leave out what is about files"),
        (["predict", "-", "--out", "x"], "leave out what is about files"),
        (["evaluate"], "Missing argument"),
        (["predict"], "Missing argument"),
        (["sing"], "No such command"),
        (["--sing"], "No such option"),
        (["train", "COURSE", "--out", "x", "--epochs", "3"], "No such option"),
        (["evaluate", "m", "COURSE", "--split", "dev"], "dev"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(run, course, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*(course if arg == "COURSE" else arg for arg in args))
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("error: ") == 1
    assert err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in err
    assert not (tmp_path / "x").exists()


def interrupt(command, when):
    """Run a command until its progress display shows `when`, then send Ctrl-C to its processes, as a terminal does."""
    live = {**os.environ, "TTY_INTERACTIVE": "1", "FORCE_COLOR": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "genreline", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=live,
        start_new_session=True,
    ) as process:
        seen = ""
        while not re.search(when, seen):
            seen += process.stderr.read(1) or pytest.fail(f"the program ended before {when}: {seen}")
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_snapshot(course, tmp_path):
    settings = ["--model", "fnn", "--set", "epochs=1000000", "--json"]
    code, out, _ = interrupt(["train", str(course), "--out", str(tmp_path / "model"), *settings], "val F1")
    assert code == 130
    assert json.loads(out)["status"] == "interrupted"
    assert load_model(tmp_path / "model").training["status"] == "interrupted"


@pytest.mark.slow
def test_ctrl_c_while_composing_keeps_what_was_composed(tmp_path):
    code, _, err = interrupt(["demo", "--out", str(tmp_path)], r"[1-9]/160")
    assert code == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    tracks = list(tmp_path.glob("music/*/*.wav"))
    assert tracks
    assert all(soundfile.info(track).frames == 12 * 8000 for track in tracks)
    assert not list(tmp_path.glob("music/*/.*"))


def test_help_answers_at_once():
    """Heavy imports live inside the commands (test_public counts them); the clock here is only a wide net."""
    start = time.perf_counter()
    result = subprocess.run([sys.executable, "-m", "genreline", "--help"], capture_output=True, text=True, check=True)
    assert time.perf_counter() - start < 5
    assert "predict" in result.stdout


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_shell_completes_commands(shell):
    """As a shell asks: by an environment variable with the line so far, whose answers are on standard output."""
    words = {"COMP_WORDS": "genreline pre", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "genreline pre"}
    asked = {
        **os.environ,
        **words,
        "_GENRELINE_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    program = "import sys; sys.argv = ['genreline']; from genreline.cli import app; app()"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=asked, check=False)
    assert {"predict", "prepare"} == set(re.findall(r"\bpre\w+", result.stdout)) - {"preparation"}
    assert result.stderr == ""


def test_prepare(run, tmp_path):
    rng = np.random.default_rng(0)
    for genre in ("blues", "rock"):
        (tmp_path / "music" / genre).mkdir(parents=True)
        for i in range(3):
            soundfile.write(tmp_path / "music" / genre / f"{i}.flac", rng.normal(0, 0.1, 8000 * (i + 1)), 8000)
    out = tmp_path / "out"
    code, printed, err = run("prepare", tmp_path / "music", out, "--features", "mfccs", "--jobs", 1)
    assert code == 0
    assert f"next: genreline check {out}" in printed
    assert "6 of 6 files" in err  # the log of what has no terminal
    assert run("check", out)[0] == 0
    (tmp_path / "music" / "rock" / "notes.txt").write_text("no sound")
    (tmp_path / "music" / "scans").mkdir()
    code, printed, err = run("prepare", tmp_path / "music", tmp_path / "noted", "--features", "mfccs", "--jobs", 1)
    assert code == 0
    assert f"note: {tmp_path / 'music'}: passed over 1 file without the suffix of an audio file (1 .txt)" in err
    assert f"warning: {tmp_path / 'music'}: no audio files in scans, so there is no such class" in err
    (tmp_path / "music" / "rock" / "bad.mp3").write_text("no sound")
    code, printed, err = run("prepare", tmp_path / "music", tmp_path / "more", "--jobs", 1, "--json")
    assert code == 1
    assert json.loads(printed)["skipped"][0]["file"] == "rock/bad.mp3"
    assert f"error: {tmp_path / 'music' / 'rock' / 'bad.mp3'}: not an audio file" in err
    code, _, err = run("prepare", tmp_path / "music", tmp_path / "strict", "--jobs", 1, "--strict")
    assert code == 2
    assert "bad.mp3: not an audio file" in err
    code, _, err = run("prepare", tmp_path / "music", tmp_path / "kinds", "--features", "mfccs,chroma")
    assert (code, err.strip().count("\n")) == (2, 0)
    assert "there is no chroma" in err


def test_the_time_left_is_told_of_items_that_take_minutes():
    progress, clock_s = progress_bar(), [0.0]
    progress.get_time = lambda: clock_s[0]
    task = progress.add_task("a study", total=12, completed=2)  # two were done before
    progress.advance(task, 0)
    for clock_s[0] in (600.0, 601.0, 1199.0, 1200.0):  # two at a time, ten minutes each
        progress.advance(task)
    assert progress.tasks[0].time_remaining == 6 * 300


def test_predict_uses_the_default_model():
    """Which the command names itself, for importing it would take seconds of every --help."""
    assert inspect.signature(predict).parameters["model"].default == DEFAULT_MODEL


def test_the_version(run):
    code, out, _ = run("--version")
    assert (code, out) == (0, f"genreline {genreline.__version__}\n")


def test_a_model_is_overwritten_on_request_alone(run, course, tmp_path):
    settings = ("--model", "fnn", "--set", "epochs=1", "--no-graph", "--no-baselines")
    train = ("train", course, "--out", tmp_path / "model", *settings)
    assert run(*train)[0] == 0
    model = (tmp_path / "model" / "model.json").read_bytes()
    code, _, err = run(*train, "--set", "seed=1")
    assert code == 2
    assert "overwrite it with --force" in err
    assert (tmp_path / "model" / "model.json").read_bytes() == model
    assert run(*train, "--set", "seed=1", "--force")[0] == 0
    assert (tmp_path / "model" / "model.json").read_bytes() != model
