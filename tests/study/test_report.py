"""The report: what it says of runs that were made up so that the right answer is known."""

import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy import stats

from genreline.errors import DataError
from genreline.files import json_text
from genreline.study import plots
from genreline.study.records import RunRecord
from genreline.study.report import write_report
from genreline.study.spec import Study, run_name
from genreline.study.stats import VariantResult, compare, holm
from genreline.train.config import load_config
from genreline.train.metrics import per_class

CLASSES = ["blues", "jazz & <rock>"]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def unrendered(request, monkeypatch):
    """Rendering takes most of a report's time: figures are drawn, and rendered only in tests marked `rendered`."""
    if "rendered" not in request.fixturenames:
        monkeypatch.setattr(plots, "_png", lambda figure: PNG)


@pytest.fixture
def rendered():
    """For a test of the pictures themselves."""


def make_study(folder, results, variants=None, devices=None, repeats=None, **fields):
    """Write a study of the given runs: (variant, settings of the run, other fields of its result).

    A variant has the settings of its first run, but for the seed, or else one that sets it apart from the others.
    """
    if variants is None:
        variants = {}
        for name, settings, _ in results:
            variants.setdefault(name, [each for each in settings if not each.startswith("seed=")])
        apart = {name: [f"label_smoothing=0.0{i}"] if i else [] for i, name in enumerate(variants)}
        variants = {name: settings or apart[name] for name, settings in variants.items()}
    made = [
        {"id": f"v{i}", "title": name, "settings": nested(settings)}
        | {"device": (devices or {}).get(name), "repeat": (repeats or {}).get(name, 0)}
        for i, (name, settings) in enumerate(variants.items())
    ]
    fields = {"step": "2.5", "question": "Which?", "starts_from": "-", "settings": {}, **fields}
    study = Study(**fields, variants=made)
    (folder / study.name / "runs").mkdir(parents=True)
    (folder / study.name / "study.json").write_text(json_text(study.model_dump(mode="json")))
    for variant, settings, changes in results:
        config = load_config(overrides=["epochs=2", *variants[variant], *settings])
        result = make_result(config, changes)
        repeat = (repeats or {}).get(variant, 0)
        name = run_name(config, result["data_digest"], result["device"], repeat)
        (folder / study.name / "runs" / f"{name}.json").write_text(json_text(result))
    return study


def nested(settings):
    """`["optimizer.lr=0.1"]` -> `{"optimizer": {"lr": 0.1}}`"""
    found = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        *above, last = key.split(".")
        below = found
        for part in above:
            below = below.setdefault(part, {})
        below[last] = int(value) if value.isdigit() else float(value) if value[0].isdigit() else value
    return found


def record(config, changes):
    return RunRecord.model_validate({**make_result(config, changes), "name": "x"})


def make_result(config, changes):
    f1 = changes.pop("f1", 0.5)
    result = {
        "seed": config.seed,
        "device": "cpu",
        "config": config.model_dump(mode="json"),
        "config_digest": config.digest(),
        "data_digest": "d" * 64,
        "versions": {"python": "3", "commit": "abc"},
        "status": "completed",
        "seconds": 10.0,
        "best_epoch": 2,
        "history": [
            {"epoch": i, "train_loss": 1 / i, "val_loss": 1.5 / i, "val_f1_macro": f1 * i / 2, "val_accuracy": 0.5,
             "lr": config.optimizer.lr, "seconds": 5.0}
            for i in (1, 2)
        ],
        "classes": CLASSES,
        "test": {
            which: {"loss": 1.0, "f1_macro": value, "accuracy": value + 0.01, "confusion_matrix": [[6, 4], [3, 7]]}
            for which, value in (("last", f1 - 0.1), ("best", f1))
        },
    }  # fmt: skip
    result["per_class"] = per_class(np.array([[6, 4], [3, 7]]), CLASSES)
    result |= changes
    if result["status"] == "failed":
        for key in ("seconds", "best_epoch", "history", "classes", "test", "per_class"):
            del result[key]
    return result


def seeds(variant, f1s, *settings, **changes):
    return [(variant, [*settings, f"seed={i}"], {"f1": f1, **changes}) for i, f1 in enumerate(f1s)]


def markdown(folder, data=None):
    write_report(folder, data)
    return (folder / "report.md").read_text()


def tables(text):
    """The tables of a Markdown file: caption -> rows of cells."""
    found, caption = {}, ""
    for block in text.split("\n\n"):
        if block.startswith("|"):
            rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines()]
            found[caption] = [[cell.strip() for cell in row] for row in rows]
        caption = block.strip("*")
    return found


def section_table(text, name):
    return next(rows for caption, rows in tables(text).items() if caption.startswith(f"{name}: test accuracy"))


class Page(HTMLParser):
    """Collects what a page refers to, and checks that its elements close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.references, self.images, self.tags, self.ids = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        given = dict(attributes)
        self.references += [value for key, value in attributes if key in ("src", "href")]
        self.ids += [given["id"]] if "id" in given else []
        if tag == "img":
            self.images.append(given["alt"])
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


APART = {"a": [], "b": ["label_smoothing=0.01"], "c": ["label_smoothing=0.02"], "d": ["label_smoothing=0.03"]}
A, B = [0.50, 0.52, 0.49, 0.51], [0.60, 0.63, 0.61, 0.60]


def test_mean_and_spread_over_seeds_with_variants_down(tmp_path):
    make_study(tmp_path, seeds("a", A) + seeds("b", B), name="s", settings={"epochs": 2})
    rows = section_table(markdown(tmp_path), "s")
    assert [row[0] for row in rows] == ["variant", "---", "a", "b"]
    a = dict(zip(rows[0], rows[2], strict=True))
    assert a["macro F1"] == f"{np.mean(A):.3f} ± {np.std(A, ddof=1):.3f}"
    assert a["accuracy"] == f"{np.mean(A) + 0.01:.3f} ± {np.std(A, ddof=1):.3f}"
    assert (a["seeds"], a["epochs"], a["status"]) == ("4", "2", "completed")


def test_what_peers_found_stands_beside_and_shared_runs_take_their_time_once(tmp_path):
    results = seeds("one", [0.5], seconds=1800.0)
    results += seeds("two", [0.5], "epochs=3", seconds=9999.0, processor_seconds=5400.0)
    make_study(tmp_path, results, name="first", peers="They found .7.")
    make_study(tmp_path, seeds("same as one", [0.5], seconds=1800.0), name="second")
    text = markdown(tmp_path)
    assert "Published: They found .7." in text
    assert "| training time | 2.0 hours, the sum over 2 different runs |" in text


def test_published_figures_are_set_beside_ours(tmp_path):
    study = make_study(tmp_path, seeds("plain", A) + seeds("better", B), name="s", differs="They had other songs.")
    plain, better = study.variants
    published = {"variants": (plain.model_copy(update={"published_f1": (0.6, 0.8)}),
                              better.model_copy(update={"published_f1": (0.75,)}))}  # fmt: skip
    recorded = study.model_copy(update=published).model_dump(mode="json")
    (tmp_path / "s" / "study.json").write_text(json_text(recorded))
    text = markdown(tmp_path)
    assert "and here: plain 0.700 and 0.505, better 0.750 and 0.610. Here they are 0.1" in text
    assert "Against plain, published and here: better +0.050 and +0.105." in text
    assert "- Why they differ: They had other songs." in text


def test_published_times_accuracies_and_ranges_are_set_beside_ours(tmp_path):
    results = seeds("a", A, seconds=40.0) + seeds("b", B, seconds=10.0)
    study = make_study(
        tmp_path, results, name="s", published_f1_ranges=[[0.6, 0.61], [0.7, 0.9]], settings={"epochs": 2}
    )
    a, b = study.variants
    published = {"variants": (a.model_copy(update={"published_seconds": (80, 120), "published_accuracy": (0.5,)}),
                              b.model_copy(update={"published_seconds": (50,)}))}  # fmt: skip
    recorded = study.model_copy(update=published).model_dump(mode="json")
    (tmp_path / "s" / "study.json").write_text(json_text(recorded))
    text = markdown(tmp_path)
    assert "and here: a 100.0 and 40.0, b 50.0 and 10.0. a takes 2.0 times as long as b as published, 4.0 times" in text
    assert "Accuracy as published (the mean, where there are several) and here: a 0.500 and 0.515. Here it is" in text
    assert "macro F1 differs by 0.010 and 0.200 as published, by 0.105 here (means over seeds)." in text
    assert "Why they differ" not in text


def test_many_published_figures_are_a_table(tmp_path):
    f1s = {"a": 0.5, "b": 0.6, "c": 0.7, "d": 0.8}
    results = [each for name, f1 in f1s.items() for each in seeds(name, [f1])]
    made = make_study(tmp_path, results, APART, name="s", settings={"epochs": 2})
    both = zip(made.variants, f1s.values(), strict=True)
    variants = tuple(variant.model_copy(update={"published_f1": (f1 + 0.1,)}) for variant, f1 in both)
    recorded = made.model_copy(update={"variants": variants}).model_dump(mode="json")
    (tmp_path / "s" / "study.json").write_text(json_text(recorded))
    text = markdown(tmp_path)
    rows = next(rows for caption, rows in tables(text).items() if caption.startswith("s: Macro F1 as published"))
    assert rows[2] == ["a", "0.600", "0.500", "-0.100"]
    assert "0.100 lower than published on average over 4 variants" in text
    assert "the two orders is 1.00" in text


def test_a_study_of_one_variant_has_its_last_epoch_beside_the_published_one(tmp_path):
    study = make_study(tmp_path, seeds("fnn", A), name="s", settings={"epochs": 2})
    (fnn,) = study.variants
    variants = (fnn.model_copy(update={"published_last_f1": (0.6,)}),)
    (tmp_path / "s" / "study.json").write_text(
        json_text(study.model_copy(update={"variants": variants}).model_dump(mode="json"))
    )
    assert "after the last epoch as published (the mean, where there are several) and here: fnn 0.600 and 0.405" in (
        markdown(tmp_path)
    )


def test_the_overview_says_how_many_seeds_and_epochs(tmp_path):
    make_study(tmp_path, seeds("a", A) + seeds("b", B[:3]), name="s", settings={"epochs": 2})
    overview = next(rows for caption, rows in tables(markdown(tmp_path)).items() if caption.startswith("The best"))
    row = dict(zip(overview[0], overview[2], strict=True))
    assert (row["seeds"], row["epochs"], row["runs"]) == ("3 to 4", "2", "7 completed")


def test_variants_across(tmp_path):
    make_study(tmp_path, seeds("a", A) + seeds("b", B), name="s", layout="columns", settings={"epochs": 2})
    rows = section_table(markdown(tmp_path), "s")
    assert rows[0] == ["variant", "a", "b"]
    assert [row[0] for row in rows[2:]] == [
        "seeds", "accuracy", "macro F1", "validation macro F1", "epochs", "seconds", "timed", "at once", "status",
    ]  # fmt: skip


def test_a_grid_has_a_table_at_its_first_value_and_one_at_each_best_by_validation(tmp_path):
    """a is best at the second rate by validation, although the first is better on the test set."""
    grid = {"optimizer": {"lr": [0.1, 0.01]}}
    results = [
        (name, [f"optimizer.lr={rate}", f"seed={seed}"], {"f1": f1 + seed / 100})
        for name, rate, f1 in (("a", "0.1", 0.4), ("a", "0.01", 0.5), ("b", "0.1", 0.6), ("b", "0.01", 0.3))
        for seed in range(3)
    ]
    for _, settings, changes in results[:3]:
        config = load_config(overrides=["epochs=2", *settings])
        changes["test"] = {**make_result(config, {"f1": 0.95})["test"]}
    make_study(
        tmp_path, results, name="s", variants={"a": [], "b": ["label_smoothing=0.1"]}, grid=grid, settings={"epochs": 2}
    )
    found = tables(markdown(tmp_path))
    same = found["s: test accuracy and macro F1, at the same setting"]
    own = found["s: test accuracy and macro F1, each at its best setting"]
    assert same[0] == ["variant", *own[0][2:]]  # the common setting is in the heading
    assert [row[1] for row in own[2:]] == ["optimizer.lr=0.01", "optimizer.lr=0.1"]
    assert [row[own[0].index("macro F1")] for row in own[2:]] == ["0.510 ± 0.010", "0.610 ± 0.010"]
    assert same[2][same[0].index("macro F1")].startswith("0.950")
    assert found["s: validation macro F1 of each setting, by which the best is chosen"][2][1:] == [
        "0.410 ± 0.010", "0.510 ± 0.010",
    ]  # fmt: skip


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_differences_are_judged_by_corrected_paired_tests(tmp_path):
    values = {"a": A, "b": B, "c": [0.51, 0.50, 0.52, 0.50], "d": [0.9, 0.91]}
    entries = [
        VariantResult(name, tuple(
            record(load_config(overrides=[f"seed={i}"]), {"f1": f1})
            for i, f1 in enumerate(f1s)
        ))
        for name, f1s in values.items()
    ]  # fmt: skip
    verdicts = compare(entries, entries[0], lambda run, which: run.test[which].f1_macro)

    def by_hand(x):
        differences = np.subtract(x, A)
        t = differences.mean() / (differences.std(ddof=1) / math.sqrt(len(x)))
        return 2 * stats.t.sf(abs(t), len(x) - 1)

    p = [by_hand(values["b"]), by_hand(values["c"])]
    assert [verdict.name for verdict in verdicts] == ["b", "c", "d"]
    assert [verdict.p for verdict in verdicts[:2]] == pytest.approx([2 * min(p), max(p)])
    assert verdicts[0].claimed
    assert not verdicts[1].claimed
    assert verdicts[2].n == 2
    assert not verdicts[2].claimed
    make_study(
        tmp_path, [r for name, f1s in values.items() for r in seeds(name, f1s)], name="s", settings={"epochs": 2}
    )
    text = markdown(tmp_path)
    assert "higher, beyond the spread between seeds: b (+0.105, p = " in text
    assert "no difference beyond the spread between seeds: c (+0.003, p = " in text
    assert "against a (the baseline), over 2 seeds, too few for a test, from the highest to the lowest: d (+" in text
    assert "Best by validation: b, test macro F1 0.610" in text


def test_equal_differences_need_no_division_by_their_spread():
    runs = [record(load_config(overrides=[f"seed={i}"]), {}) for i in range(3)]
    entries = [VariantResult("a", tuple(runs)), VariantResult("b", tuple(runs))]
    assert compare(entries, entries[0], lambda run, which: run.seconds)[0].p == 1


def test_one_seed_claims_nothing(tmp_path):
    make_study(tmp_path, seeds("a", A[:1]) + seeds("b", B[:1]), name="s", settings={"epochs": 2})
    text = markdown(tmp_path)
    assert "Macro F1 against a (the baseline), in this run, from the highest to the lowest: b (+0.100)." in text
    assert "a is second, 0.100 of validation macro F1 behind in this run." in text
    assert section_table(text, "s")[2][3] == "0.500"


def test_what_fewer_seeds_completed_is_not_called_behind_where_it_is_ahead(tmp_path):
    results = seeds("a", [0.5, 0.51, 0.49, 0.5]) + seeds("b", [0.8, 0.81, 0.79, 0.8])
    results[-1][2].update(status="failed", reason="out of memory")
    make_study(tmp_path, results, name="s", settings={"epochs": 2})
    text = markdown(tmp_path)
    assert "Best by validation: a," in text
    assert "b is 0.300 of validation macro F1 ahead, but of fewer seeds: more than the spread between seeds" in text


def test_gaps_are_compared_where_the_train_losses_are_the_same_thing(tmp_path):
    for name, others in (("alike", []), ("apart", ["label_smoothing=0.1"])):
        results = seeds("a", A, "model.dropout=0.1") + seeds("b", B, "model.dropout=0.2", *others)
        make_study(tmp_path, results, name=name, settings={"epochs": 2})
    alike, apart = re.split(r"\n## .*apart\n", markdown(tmp_path))
    assert "The gap between validation and train loss" in alike
    assert "gap" not in apart


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"half', "Unterminated string"),
        ("[]", "it holds no named values"),
        ("{}", "seed: Field required"),
        ({"history": []}, "is not one of 0 epochs"),
        ({"best_epoch": 99}, "99 is not one of 2 epochs"),
        ({"test": {}}, "has not two matrices of 2 classes"),
        ({"classes": ["a"]}, "has not two matrices of 1 classes"),
        ({"config": {"epochs": [1]}}, "is not the configuration of a run"),
    ],
)
def test_a_damaged_record_is_one_line(tmp_path, content, problem):
    make_study(tmp_path, seeds("a", A) + seeds("b", B), name="s", settings={"epochs": 2})
    path = next((tmp_path / "s" / "runs").iterdir())
    path.write_text(content if isinstance(content, str) else json_text({**json.loads(path.read_text()), **content}))
    with pytest.raises(DataError, match="is not a study result") as error:
        write_report(tmp_path)
    assert problem in str(error.value)


def test_runs_that_did_not_complete_are_rows_that_say_so(tmp_path):
    results = seeds("a", A) + seeds("b", B[:2]) + seeds("c", B)
    results[5][2].update(status="diverged", best_epoch=0, history=[
        {"train_loss": None, "val_loss": None, "val_f1_macro": 0.1, "val_accuracy": 0.2, "lr": 0.1, "seconds": 1.0}
    ])  # fmt: skip
    for result in results[6:]:
        result[2].update(status="failed", reason="LBFGS | needs a closure")
    make_study(tmp_path, results, name="s", variants=APART, settings={"epochs": 2})
    text = markdown(tmp_path)
    rows = section_table(text, "s")
    assert [row[-1] for row in rows[2:]] == [
        "completed", "1 completed; 1 diverged in epoch 1", "failed", "not run",
    ]  # fmt: skip
    assert [row[1] for row in rows[2:]] == ["4", "1 of 2", "0 of 4", "0"]
    assert rows[3][3] == "0.600"
    assert "every run: b (1 completed; 1 diverged in epoch 1); c (failed, LBFGS \\| needs a closure)." in text


def test_nothing_completed(tmp_path):
    make_study(
        tmp_path, seeds("a", A, status="failed") + seeds("b", B, status="failed"), name="s", settings={"epochs": 2}
    )
    assert "No run completed, so there is nothing to compare." in markdown(tmp_path)


def test_a_single_variant_is_judged_at_last_epoch_and_best_snapshot(tmp_path):
    make_study(tmp_path, seeds("fnn", A), name="s", settings={"epochs": 2})
    rows = section_table(markdown(tmp_path), "s")
    f1 = rows[0].index("macro F1")
    assert [(row[0], row[f1][:5]) for row in rows[2:]] == [("last epoch", "0.405"), ("best snapshot", "0.505")]


def test_mixed_origins_are_flagged(tmp_path):
    results = seeds("a", A) + seeds("b", B)
    results[0][2]["versions"] = {"python": "3", "commit": "def-dirty"}
    results[1][2]["data_digest"] = "e" * 64
    results[2][2]["device"] = "cuda"
    make_study(tmp_path, results, name="s", settings={"epochs": 2})
    flags = [line for line in markdown(tmp_path).splitlines() if line.startswith("> **Note:**")]
    assert any("2 commits: abc, def-dirty" in line for line in flags)
    assert any("1 of 8 runs come from source with uncommitted changes" in line for line in flags)
    assert any("2 versions of the mfccs: dddddddddddd, eeeeeeeeeeee" in line for line in flags)
    assert any("several devices: cpu, cuda" in line for line in flags)


def test_one_origin_is_not_flagged(tmp_path):
    make_study(tmp_path, seeds("a", A) + seeds("b", B), name="s", settings={"epochs": 2})
    text = markdown(tmp_path)
    assert "Note:" not in text
    assert "8 runs at commit abc on mfccs dddddddddddd" in text


def test_a_quick_look_gives_way_to_the_real_runs_or_is_flagged(tmp_path):
    quick = seeds("a", [0.9], "epochs=1")
    make_study(tmp_path / "both", seeds("a", A) + quick + seeds("b", B), name="s", settings={"epochs": 2})
    text = markdown(tmp_path / "both")
    assert "1 run of another length than the study's own left out" in text
    assert section_table(text, "s")[2][3].startswith("0.505")
    make_study(tmp_path / "quick", seeds("a", A) + seeds("b", B), name="s", settings={"epochs": 30})
    assert "Runs were given 2 epochs, where the study says 30" in markdown(tmp_path / "quick")
    make_study(tmp_path / "two", seeds("a", A) + seeds("a", A, data_digest="e" * 64), name="s", settings={"epochs": 2})
    with pytest.raises(DataError, match="several results of a, seed 0, made with other data"):
        write_report(tmp_path / "two")


def test_of_two_devices_that_with_the_most_runs_counts(tmp_path):
    gpu = seeds("a", [0.9, 0.9, 0.9, 0.9], device="cuda")
    make_study(tmp_path / "cpu", seeds("a", A) + gpu + seeds("b", B), name="s", settings={"epochs": 2})
    text = markdown(tmp_path / "cpu")
    assert "4 runs on cuda left out, because another device made the same run." in text
    assert section_table(text, "s")[2][3].startswith("0.505")
    gpu = seeds("a", [0.9, 0.9, 0.9, 0.9], device="cuda")
    make_study(tmp_path / "gpu", seeds("a", A[:2]) + gpu, name="s", settings={"epochs": 2})
    text = markdown(tmp_path / "gpu")
    assert "2 runs on cpu left out" in text
    assert "0.900" in text
    assert "0.505" not in text


def test_the_best_setting_is_chosen_among_the_seeds_that_all_settings_have(tmp_path):
    """At the first rate both have four seeds, at the other one; there b is better, with the seed that they share."""
    fields = {"name": "s", "settings": {"epochs": 2}, "grid": {"optimizer": {"lr": [0.1, 0.01]}}}
    slow = seeds("a", [0.1], "optimizer.lr=0.01") + seeds("b", [0.9], "optimizer.lr=0.01")
    fast = seeds("a", A, "optimizer.lr=0.1") + seeds("b", B, "optimizer.lr=0.1")
    make_study(tmp_path, fast + slow, {"a": [], "b": ["label_smoothing=0.01"]}, **fields)
    text = markdown(tmp_path)
    first, own = (rows[2:] for name, rows in tables(text).items() if name.startswith("s: test accuracy"))
    assert [row[1] for row in first] == ["4", "4"]
    assert [row[:3] for row in own] == [["a", "optimizer.lr=0.1", "1"], ["b", "optimizer.lr=0.01", "1"]]
    overview = next(rows for name, rows in tables(text).items() if name.startswith("The best variant"))
    assert overview[2][2] == "b, optimizer.lr=0.01"


@pytest.mark.parametrize(("change", "equal"), [(0, 3), (1e-12, 2)])
def test_reproducibility_is_to_the_last_bit(tmp_path, change, equal):
    results = [each for name in ("first", "again") for each in seeds(name, A[:3])]
    results[-1][2]["f1"] += change
    variants = {"first": [], "again": []}
    make_study(tmp_path, results, variants, repeats={"again": 1}, name="s", settings={"epochs": 2})
    text = markdown(tmp_path)
    assert f"{equal} of 3 equal to the last bit" in text
    assert "Other seeds: all of them differ." in text
    assert ("training is not reproducible" in text) == (equal < 3)


def test_devices_are_compared_only_where_both_ran(tmp_path):
    devices = {"CPU": "cpu", "GPU": "cuda"}
    gpu = [(v, s, {**c, "device": "cuda", "seconds": 25.0}) for v, s, c in seeds("GPU", A)]
    variants = {"CPU": [], "GPU": []}
    make_study(tmp_path / "both", seeds("CPU", A) + gpu, variants, devices, name="s", settings={"epochs": 2})
    text = markdown(tmp_path / "both")
    assert "GPU takes 15.0 s more, 2.50 times as long" in text
    assert "s-time.png" in text
    make_study(tmp_path / "one", seeds("CPU", A), variants, devices, name="s", settings={"epochs": 2})
    text = markdown(tmp_path / "one")
    assert "GPU: not measured, because there was no such device" in text
    assert "s-time.png" not in text


def test_figures_follow_from_what_the_variants_change(tmp_path):
    sized = seeds("1", A, "batch_size=1", seconds=90.0) + seeds("16", B)
    make_study(tmp_path, sized, name="sizes", settings={"epochs": 2})
    decayed = seeds("none", A) + seeds("decay", B, "optimizer.weight_decay=0.1")
    make_study(tmp_path, decayed, name="decay", settings={"epochs": 2})
    scheduled = seeds("none", A) + seeds("StepLR", B, "scheduler.name=StepLR", "scheduler.step_size=1")
    make_study(tmp_path, scheduled, name="rates", settings={"epochs": 2})
    text = markdown(tmp_path)
    every = {f"{name}-{kind}.png" for name in ("sizes", "decay", "rates") for kind in ("losses", "confusion")}
    written = {path.name for path in (tmp_path / "figures").iterdir()}
    assert written == every | {"sizes-time.png", "decay-gap.png", "rates-rates.png"}
    assert all(f"(figures/{name})" in text for name in written)
    assert "slowest: 1, which took 9.0 times as long" in text
    assert section_table(text, "decay")[2][5] == "0.250 ± 0.000"


def test_a_variant_that_says_one_class_only_has_learned_nothing(tmp_path):
    results = seeds("a", A) + seeds("b", B)
    for _, _, changes in results[:4]:
        record = {"loss": 1.0, "f1_macro": 0.3, "accuracy": 0.5, "confusion_matrix": [[10, 0], [10, 0]]}
        changes["test"] = {"last": record, "best": record}
    make_study(tmp_path, results, name="s", settings={"epochs": 2})
    assert "Learned nothing, one class for every sample in every completed run: a." in markdown(tmp_path)


def test_studies_are_in_the_order_of_the_steps_and_melgrams_among_them(tmp_path, course):
    out = tmp_path / "out"
    for name, step in (("z", "1.5"), ("a", "2.5"), ("m", "3.1")):
        make_study(out, seeds("a", A) + seeds("b", B), name=name, step=step, settings={"epochs": 2})
    text = markdown(out, course)
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Overview",
        "## 1.5 z",
        "## 2.1 melgrams",
        "## 2.5 a",
        "## 3.1 m",
        "## Where the results come from",
    ]
    assert "A melgram of each class: blues, jazz, rock." in text
    assert (out / "figures" / "melgrams.png").read_bytes().startswith(b"\x89PNG")
    assert "melgrams" not in markdown(out)


@pytest.mark.slow
def test_the_page_is_whole_and_safe(rendered, tmp_path, course):
    """Valid nesting, no file but itself, nothing of the user's text read as markup, a text for every picture."""
    evil = "<script>alert('1')</script> | *a* $x$ \u66f2"
    make_study(
        tmp_path / "out", seeds(evil, A, "batch_size=8") + seeds("b", B),
        name="s", question=evil, starts_from=evil, settings={"epochs": 2},
    )  # fmt: skip
    text = write_report(tmp_path / "out", course).read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert "script" not in page.tags
    assert page.references
    for reference in page.references:
        assert reference.startswith("data:image/png;base64,") or reference.removeprefix("#") in page.ids
    assert "http" not in text
    assert all(page.images)
    assert page.tags.count("caption") == page.tags.count("table") > 2
    for rows in tables((tmp_path / "out" / "report.md").read_text()).values():
        assert len({len(row) for row in rows}) == 1
    assert "<script" not in (tmp_path / "out" / "report.md").read_text().replace("\\<", "")


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes(rendered, tmp_path, course):
    make_study(tmp_path / "out", seeds("a", A) + seeds("b", B), name="s", settings={"epochs": 2})

    def files():
        write_report(tmp_path / "out", course)
        return {path: path.read_bytes() for path in sorted((tmp_path / "out").rglob("*")) if path.is_file()}

    assert files() == files()


def test_a_shipped_study_needs_no_record_and_another_does(tmp_path):
    make_study(tmp_path, seeds("fnn", A), name="fnn", settings={"epochs": 2})
    (tmp_path / "fnn" / "study.json").unlink()
    assert "Runs were given 2 epochs, where the study says 30" in markdown(tmp_path)
    (tmp_path / "fnn").rename(tmp_path / "mine")
    with pytest.raises(DataError, match=r"mine: has no study.json"):
        write_report(tmp_path)


def test_what_is_no_result_is_told_in_one_line(tmp_path):
    with pytest.raises(DataError, match="holds no results of studies"):
        write_report(tmp_path)
    make_study(tmp_path, seeds("a", A), name="s")
    path = next((tmp_path / "s" / "runs").iterdir())
    path.write_text(json.dumps({**json.loads(path.read_text()), "status": "great"}))
    with pytest.raises(DataError, match=r"\.json: is not a study result \(status: "):
        write_report(tmp_path)
    path.write_text("{")
    with pytest.raises(DataError, match=r"\.json: is not a study result"):
        write_report(tmp_path)
