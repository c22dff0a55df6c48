"""The card that goes to the hub with a model. That it arrives there is tested in tests/fetch/test_hub.py."""

import pytest
from huggingface_hub import ModelCard

from genreline.errors import CheckpointError
from genreline.train.checkpoint import Model, save_model
from genreline.train.config import Config
from genreline.train.folder import read_description
from genreline.train.models import FeedForward
from genreline.train.push import hub_card

FIGURES = {
    "val": {"loss": 0.9, "f1_macro": 0.61, "accuracy": 0.62},
    "test": {"loss": 1.0, "f1_macro": 0.51, "accuracy": 0.52},
    "elsewhere": {"loss": 2.0, "f1_macro": 0.31, "accuracy": 0.32},
}


@pytest.fixture
def describe(tmp_path):
    """A model's folder with these figures and this card: describe(metrics, text)."""

    def describe(metrics, text=None):
        model = Model(FeedForward(26, 2), Config(), ("blues", "jazz"), data_digest="d1", metrics=metrics)
        save_model(model, tmp_path / "model")
        if text is not None:
            (tmp_path / "model" / "README.md").write_text(text)
        return read_description(tmp_path / "model")

    return describe


def read(card):
    header = ModelCard(card)
    return header.data, header.text


def test_the_figures_are_the_models_own(describe):
    data, text = read(hub_card(describe(FIGURES), "smith/folk"))
    found = {(each.dataset_split, each.metric_type): each.metric_value for each in data.eval_results}
    assert found == {("val", "f1"): 0.61, ("val", "accuracy"): 0.62, ("test", "f1"): 0.51, ("test", "accuracy"): 0.52}
    assert {each.dataset_revision for each in data.eval_results} == {"d1"}
    assert "| val | 0.610 | 0.620 | 0.900 |" in text
    assert "blues, jazz" in text
    assert "--model hf://smith/folk" in text


@pytest.mark.parametrize("metrics", [{}, {"val": {"loss": None, "f1_macro": 0.5, "accuracy": 0.5}}, {"val": 3}])
def test_what_has_no_figures_states_none(describe, metrics):
    data, text = read(hub_card(describe(metrics), "smith/folk"))
    assert data.eval_results is None
    assert "0.5" not in text


def test_the_header_says_what_the_hub_asks_for(describe):
    data, _ = read(hub_card(describe(FIGURES), "smith/folk"))
    assert (data.library_name, data.pipeline_tag) == ("genreline", "audio-classification")
    assert data.license is None  # nobody has given one
    assert "music" in data.tags
    assert read(hub_card(describe(FIGURES), "smith/folk", "cc-by-4.0"))[0].license == "cc-by-4.0"
    assert read(hub_card(read_description("course-fnn"), "smith/folk"))[0].license == "mit"


def test_what_a_card_says_already_is_kept(describe):
    before = (
        "---\nlicense: cc0-1.0\nlanguage: de\ntags:\n- folk\n- music\nmodel-index: outdated\n---\n# Mine\n\nof mine.\n"
    )
    card = hub_card(describe(FIGURES, before), "smith/folk")
    data, text = read(card)
    assert text == "# Mine\n\nof mine.\n"
    assert (data.license, data.language, data.tags[:2]) == ("cc0-1.0", "de", ["folk", "music"])
    assert len(data.eval_results) == 4
    assert hub_card(describe(FIGURES, card), "smith/folk") == card


@pytest.mark.parametrize("header", ["a: [", "- a\n- b", "tags: 3"])
def test_a_header_that_is_none_is_reported(describe, header):
    with pytest.raises(CheckpointError, match=r"README.md: its header cannot be read .*mend or remove it$"):
        hub_card(describe(FIGURES, f"---\n{header}\n---\n# Mine\n"), "smith/folk")
