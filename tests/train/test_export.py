"""The ONNX graphs of the models that ship, and how a graph is made, against PyTorch."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime import InferenceSession, SessionOptions
from torch import nn

from genreline import Config, Model, Recognizer, blocks, features, load_model
from genreline.audio.seconds import are_silent, cut_seconds
from genreline.errors import CheckpointError, GenrelineError
from genreline.train.checkpoint import save_model
from genreline.train.export import add_graph, save_graph, to_graph
from genreline.train.folder import (
    DESCRIPTION,
    EMBEDDINGS,
    Calibration,
    graph_file,
    read_description,
    shipped_models,
    write_description,
)
from genreline.train.models import Embedder

GOLDEN = Path(__file__).parents[1] / "golden" / "features.npz"


def session_of(path):
    options = SessionOptions()
    options.intra_op_num_threads = 1
    return InferenceSession(path, options)


@pytest.fixture(scope="module", params=shipped_models())
def pair(request):
    """A model that ships: its graph's session, and the model."""
    return session_of(read_description(request.param).graph()), load_model(request.param)


@torch.no_grad()
def by_torch(model, seconds):
    logits = model.network(features(seconds, model.config.features).float())
    return torch.softmax(logits / model.calibration.temperature, dim=1).numpy()


def assert_alike(pair, seconds):
    session, model = pair
    probabilities, embeddings = session.run(["probabilities", "embeddings"], {"waveform": seconds})
    assert probabilities.shape == (len(seconds), len(model.classes))
    assert len(embeddings) == len(seconds)
    np.testing.assert_allclose(probabilities, by_torch(model, seconds), rtol=0, atol=1e-4)


def test_it_predicts_the_same_of_the_reference_vectors(pair):
    with np.load(GOLDEN) as golden:
        assert_alike(pair, (golden["pcm"] / 32768).astype(np.float32))


def test_it_predicts_the_same_of_recordings(pair, shared):
    for path in sorted((shared / "audio").glob("*.ogg")):
        waveform = next(blocks(path, block_s=10))
        assert_alike(pair, cut_seconds(waveform)[~are_silent(waveform)])


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4), level_db=st.floats(-70, 0), tone_hz=st.floats(0, 4000))
def test_it_predicts_the_same_of_random_sound(pair, seed, n, level_db, tone_hz):
    noise = np.random.default_rng(seed).normal(0, 10 ** (level_db / 20), (n, 8000))
    tone = 0.5 * np.sin(2 * np.pi * tone_hz * np.arange(8000) / 8000)
    assert_alike(pair, np.clip(noise + tone, -1, 1).astype(np.float32))


def test_the_embeddings_are_the_networks(pair):
    session, model = pair
    seconds = np.random.default_rng(1).normal(0, 0.1, (3, 8000)).astype(np.float32)
    _, embeddings = session.run(None, {"waveform": seconds})
    with torch.no_grad():
        expected = Embedder(model.network)(features(seconds, model.config.features).float())
    np.testing.assert_allclose(embeddings, expected, rtol=1e-3, atol=1e-3)


def test_a_graph_of_an_earlier_version_does_not_embed(tmp_path):
    """Its output of that name was what the last layer sees: PyTorch computes them then."""
    shutil.copytree(read_description("genres8-resnet").folder, tmp_path / "old")
    described = read_description(tmp_path / "old")
    graph = onnx.load(described.graph(), load_external_data=False)
    kept = [each for each in graph.metadata_props if each.key != EMBEDDINGS]
    del graph.metadata_props[:]
    graph.metadata_props.extend(kept)
    digest = hashlib.sha256(graph.SerializeToString()).hexdigest()
    (tmp_path / "old" / graph_file(digest)).write_bytes(graph.SerializeToString())
    write_description(tmp_path / "old", {**described.content, "graph_digest": digest})
    seconds = np.random.default_rng(1).normal(0, 0.1, 16000).astype(np.float32)
    old, new = Recognizer(tmp_path / "old"), Recognizer("genres8-resnet")
    assert not old.model.has_embeddings
    assert new.model.has_embeddings
    np.testing.assert_allclose(old.embed(seconds), new.embed(seconds), rtol=1e-3, atol=1e-3)


def test_the_last_layer_sees_the_last_embeddings():
    model, session = load_model("genres8-resnet"), session_of(read_description("genres8-resnet").graph())
    seconds = np.random.default_rng(1).normal(0, 0.1, (3, 8000)).astype(np.float32)
    _, embeddings = session.run(None, {"waveform": seconds})
    last = next(layer for layer in reversed(list(model.network.modules())) if isinstance(layer, nn.Linear))
    with torch.no_grad():
        logits = last(torch.from_numpy(embeddings[:, -last.in_features :])) / model.calibration.temperature
    np.testing.assert_allclose(logits.softmax(dim=1), by_torch(model, seconds), rtol=0, atol=1e-4)


def test_its_metadata_says_how_to_make_a_timeline(pair):
    session, model = pair
    metadata = session.get_modelmeta().custom_metadata_map
    description = read_description(model.name).content
    assert json.loads(metadata["classes"]) == list(model.classes)
    assert Calibration(**json.loads(metadata["calibration"])) == model.calibration
    assert metadata["weights_digest"] == description["weights_digest"]
    assert metadata["data_digest"] == description["data_digest"]
    assert metadata["name"] == model.name
    assert json.loads(metadata["rate_hz"]) == 8000
    assert json.loads(metadata["silence_rms"]) == 2.0**-14
    assert "8 kHz" in metadata["limits"]


def test_a_graph_names_no_file_but_its_weights(pair):
    _, model = pair
    description = read_description(model.name)
    graph = onnx.load(description.graph(), load_external_data=False)
    onnx.checker.check_model(str(description.graph()))
    assert b"site-packages" not in graph.SerializeToString()
    files = {entry.value for each in graph.graph.initializer for entry in each.external_data if entry.key == "location"}
    assert files <= {description.weights().name}
    assert description.graph().stat().st_size < 110_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the smallest model, to which a graph has been added."""
    copy = tmp_path_factory.mktemp("models") / "mine"
    save_model(load_model("course-fnn"), copy)
    assert read_description(copy).graph_digest is None
    with pytest.raises(CheckpointError, match="has no ONNX graph; add it by genreline export"):
        read_description(copy).graph()
    add_graph(copy)
    return copy


@pytest.mark.slow  # an export takes seconds
def test_a_graph_in_a_folder_goes_with_its_weights(folder, tmp_path):
    session = session_of(read_description(folder).graph())
    assert session.get_modelmeta().custom_metadata_map["name"] == "mine"
    assert_alike((session, load_model(folder)), np.random.default_rng(0).normal(0, 0.1, (2, 8000)).astype(np.float32))
    for suffix in (".onnx", ".safetensors"):
        copy = shutil.copytree(folder, tmp_path / suffix)
        next(copy.glob(f"*{suffix}")).write_bytes(b"x")
        with pytest.raises(CheckpointError, match="is missing or not as"):
            read_description(copy).graph()
    save_model(load_model(folder), folder)  # a new model; the graph was the old one's
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".safetensors"]


@pytest.mark.slow
def test_an_exported_file_stands_alone(tmp_path):
    model = load_model("course-fnn")
    save_graph(model, tmp_path / "alone" / "course.onnx")
    assert [path.name for path in (tmp_path / "alone").iterdir()] == ["course.onnx"]
    pair = session_of(tmp_path / "alone" / "course.onnx"), model
    assert_alike(pair, np.random.default_rng(0).normal(0, 0.1, (2, 8000)).astype(np.float32))


def test_a_network_without_a_linear_layer_is_refused():
    with pytest.raises(GenrelineError, match="has no embeddings"):
        to_graph(Model(nn.Flatten(), Config(), ("a", "b"), name="tiny"))


def test_a_graph_digest_leads_out_of_no_folder(tmp_path):
    save_model(load_model("course-fnn"), tmp_path)
    content = json.loads((tmp_path / DESCRIPTION).read_text())
    (tmp_path / DESCRIPTION).write_text(json.dumps({**content, "graph_digest": "../../etc/passwd"}))
    with pytest.raises(CheckpointError, match="is missing or not as"):
        read_description(tmp_path).graph()
