import dataclasses
import io

import numpy as np
import pytest
import soundfile
import torch

from genreline.audio.decode import blocks, decode
from genreline.audio.features import melgrams, segments
from genreline.data.loaders import make_loader, split_tensor
from genreline.errors import AudioError, CheckpointError, ConfigError
from genreline.predict.context import Context
from genreline.predict.infer import infer
from genreline.predict.recognizer import Recognizer
from genreline.train.checkpoint import Model, load_model
from genreline.train.config import load_config
from genreline.train.folder import Calibration
from genreline.train.loop import fit


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = load_config(overrides=["features=melgrams", "model.name=cnn", "model.dropout=0.5"])
    from genreline.train.models import build_network

    return Model(build_network(config, (21, 128), 3).train(), config, ("blues", "jazz", "rock"), name="tiny")


@pytest.fixture(scope="module")
def song():
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    soundfile.write(
        buffer, rng.normal(0, 0.1, int(62.4 * 8000)) * np.linspace(0, 1, int(62.4 * 8000)), 8000, format="WAV"
    )
    return buffer.getvalue()


def test_infer_is_step_4_1(melgrams):
    run = fit(load_config(overrides=["features=melgrams", "epochs=1"]), melgrams)
    X = split_tensor(melgrams.test)
    expected = run.network(X).argmax(dim=1).tolist()
    for loader in (make_loader(X, batch_size=7), make_loader(X, torch.zeros(45), batch_size=45)):
        predictions = infer(loader, run.network)
        assert predictions == expected
        assert isinstance(predictions, list)
        assert all(type(number) is int for number in predictions)


def test_infer_switches_dropout_off_and_back(model):
    loader = make_loader(torch.randn(20, 21, 128))
    assert infer(loader, model.network) == infer(loader, model.network)
    assert model.network.training


def test_a_timeline_is_the_network_on_each_second(model, song):
    timeline = Recognizer(model)(song)
    with torch.no_grad():
        model.network.eval()
        expected = model.network(melgrams(segments(decode(song)))).softmax(dim=1)
        model.network.train()
    assert timeline.probabilities.shape == (63, 3)
    np.testing.assert_allclose(timeline.probabilities, expected, atol=1e-5)
    assert timeline.duration_s == pytest.approx(62.4)
    assert (timeline.classes, timeline.model) == (model.classes, "tiny")


def test_the_title_is_the_files_stem(model, song, tmp_path):
    path = tmp_path / "My song.v2.wav"
    path.write_bytes(song)
    assert Recognizer(model)(path).title == "My song.v2"


def test_what_is_wrong_with_the_sound_is_said(model, tmp_path):
    with pytest.raises(AudioError, match="there is no such file"):
        Recognizer(model)(tmp_path / "nothing.mp3")
    with pytest.raises(CheckpointError):
        Recognizer.load(tmp_path / "no model")


def test_an_array_is_a_sound_too(model, song):
    recognizer = Recognizer(model)
    expected = recognizer(song)
    waveform = decode(song)
    for array in (waveform, waveform.astype(np.float64), torch.from_numpy(waveform)):
        timeline = recognizer(array)
        np.testing.assert_array_equal(timeline.probabilities, expected.probabilities)
        assert (timeline.duration_s, timeline.title) == (62.4, "")


def test_a_bound_holds_for_files_and_arrays(model, song):
    for sound in (song, decode(song)):
        with pytest.raises(AudioError, match=r"lasts more than the 1\.5 s allowed"):
            Recognizer(model)(sound, max_duration_s=1.5)


def test_bytes_have_no_title_and_what_is_no_sound_is_said(model, song):
    assert Recognizer(model)(song).title == ""
    with pytest.raises(ConfigError, match="is of type NoneType; give a path"):
        Recognizer(model)(None)


def test_an_array_at_another_rate_is_resampled(model):
    recognizer = Recognizer(model)
    at_44100_hz = np.sin(2 * np.pi * 440 * np.arange(int(2.5 * 44100)) / 44100)
    file = io.BytesIO()
    soundfile.write(file, at_44100_hz, 44100, format="WAV", subtype="FLOAT")
    expected = recognizer(file.getvalue())
    timeline = recognizer(at_44100_hz, rate_hz=44100)
    assert timeline.duration_s == expected.duration_s == 2.5
    np.testing.assert_allclose(timeline.probabilities, expected.probabilities, atol=1e-4)


@pytest.mark.parametrize(
    ("waveform", "rate_hz", "says"),
    [
        (np.zeros((2, 8000), np.float32), None, r"shape \(2, 8000\).*average the channels"),
        (np.zeros(8000, np.int16), None, "int16, expected floats"),
        (np.zeros(0, np.float32), None, "shorter than a sample"),
        (np.full(8000, np.nan, np.float32), None, "not sound"),
        (np.zeros(8000, np.float32), 0, "rate of 0 Hz"),
    ],
)
def test_a_wrong_array_is_refused(model, waveform, rate_hz, says):
    with pytest.raises(AudioError, match=says):
        Recognizer(model)(waveform, rate_hz=rate_hz)


def test_a_file_states_its_own_rate(model, song):
    with pytest.raises(ConfigError, match="leave rate_hz out"):
        Recognizer(model)(song, rate_hz=8000)


def test_blocks_at_another_rate_are_resampled_or_refused(model, song):
    recognizer = Recognizer(model)
    expected = recognizer(song).probabilities
    rows = [row for _, row in recognizer.predict_blocks(blocks(song, 10, rate_hz=44100), rate_hz=44100)]
    assert [len(each) for each in rows] == [60, 3]
    assert np.abs(np.concatenate(rows) - expected)[:62].max() < 0.05
    with pytest.raises(AudioError, match=r"441000 samples is not whole seconds at 8000 Hz.*rate_hz"):
        list(recognizer.predict_blocks(blocks(song, 10, rate_hz=44100)))
    with pytest.raises(AudioError, match="of type list"):
        list(recognizer.predict_blocks([[0.0] * 8000]))


def test_a_model_with_context_smooths_files_and_raw_does_not():
    model = load_model("genres7-cnn")
    with_context = dataclasses.replace(model, calibration=Calibration(temperature=2.0, stay=0.95, evidence=0.5))
    waveform = np.random.default_rng(0).normal(0, 0.1, 8000 * 6).astype(np.float32)
    alone, smoothed = Recognizer(with_context, raw=True)(waveform), Recognizer(with_context)(waveform)
    np.testing.assert_allclose(smoothed.probabilities, Context(0.95, 0.5).smooth(alone.probabilities), atol=1e-6)
    assert smoothed.raw_labels == alone.labels
    assert alone.raw_labels == ()
    cold = Recognizer(model)(waveform).probabilities
    warm = np.sqrt(cold) / np.sqrt(cold).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(alone.probabilities, warm, atol=1e-5)


def tone(seconds):
    return (0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 8000)) / 8000)).astype(np.float32)


def test_a_class_can_have_a_margin_of_its_own(model):
    calibration = Calibration(unsure_margin=0.3, unsure_margins={model.classes[0]: 0.1})
    recognizer = Recognizer(dataclasses.replace(model, calibration=calibration))
    shares = np.full((2, len(model.classes)), 0.0, np.float32)
    shares[:, 0], shares[:, 1] = 0.6, 0.4
    assert recognizer.timeline(shares, 2).verdict == model.classes[0]
    assert recognizer.timeline(shares[:, [1, 0, *range(2, len(model.classes))]], 2).is_unsure


@pytest.mark.parametrize(
    "nothing",
    [
        np.zeros(16_000),
        np.full(16_000, 0.5),
        np.round(np.random.default_rng(0).triangular(-1, 0, 1, 16_000)) / 2**15,  # 16-bit dither
    ],
)
@pytest.mark.parametrize("rate_hz", [8000, 44100])
def test_a_second_without_sound_is_silence_and_changes_nothing_else(model, nothing, rate_hz):
    """A codec's or a resampler's smear at its ends is no sound either."""
    parts = [tone(3), nothing.astype(np.float32), tone(2.5)]
    sound = np.concatenate(parts)
    if rate_hz != 8000:
        sound = np.concatenate([np.repeat(part, 6)[: len(part) * rate_hz // 8000] for part in parts])
    timeline = Recognizer(model)(sound, rate_hz=rate_hz)
    assert timeline.is_silent.tolist() == [False] * 3 + [True] * 2 + [False] * 3
    assert timeline.labels[3:5] == ("silence", "silence")
    np.testing.assert_array_equal(timeline.probabilities[3:5], np.float32(1 / 3))


def test_soft_music_is_no_silence(model):
    assert not Recognizer(model)(tone(3) / 0.3 * 10 ** (-75 / 20)).is_silent.any()


@pytest.mark.parametrize(
    ("seconds", "n_rows"), [(0.1, 1), (1, 1), (1.2, 1), (1.25, 2), (1.9, 2), (60.2, 60), (60.3, 61), (120.0001, 120)]
)
def test_a_last_part_below_a_quarter_second_joins_the_row_before_it(model, seconds, n_rows):
    timeline = Recognizer(model)(tone(seconds))
    assert len(timeline.labels) == n_rows
    assert timeline.duration_s == timeline.end_s[-1] == pytest.approx(seconds, abs=1e-4)
    file = io.BytesIO()
    soundfile.write(file, tone(seconds), 8000, format="WAV", subtype="FLOAT")
    for size in (1, 60):
        rows = [row for _, each in Recognizer(model).predict_blocks(blocks(file.getvalue(), size)) for row in each]
        np.testing.assert_allclose(rows, timeline.probabilities, atol=1e-5)
