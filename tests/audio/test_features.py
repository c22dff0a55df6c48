from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genreline.audio.decode import decode
from genreline.audio.features import FEATURE_SHAPES, features, melgrams, mfccs, segments

GOLDEN = Path(__file__).parents[1] / "golden" / "features.npz"


@pytest.fixture(scope="module")
def librosa():
    import librosa  # here, because it compiles for half a minute where it is new

    return librosa


def librosa_melgram(librosa, segment):
    mel = librosa.feature.melspectrogram(y=segment, sr=8000, n_fft=400, hop_length=400)
    return librosa.power_to_db(mel, ref=np.max).T


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as data:
        return dict(data)


def test_melgrams_match_the_reference(golden):
    ours = melgrams(golden["pcm"] / 32768)
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours, golden["melgrams"], rtol=0, atol=2e-3)


def test_mfccs_match_the_reference(golden):
    ours = mfccs(golden["pcm"] / 32768)
    assert ours.dtype == torch.float64
    np.testing.assert_allclose(ours, golden["mfccs"], rtol=0, atol=1e-5)


def test_float32_segments_give_the_same_features(golden):
    np.testing.assert_allclose(
        mfccs((golden["pcm"] / 32768).astype(np.float32)), golden["mfccs"], rtol=0, atol=1e-5
    )  # 16-bit samples fit float32 exactly


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-6])
def test_melgrams_match_librosa_on_random_audio(librosa, scale):
    waveform = np.random.default_rng(1).normal(0, scale, (9, 8000)) * np.geomspace(1, 1e-3, 8000)
    ours = melgrams(waveform).numpy()
    for segment, melgram in zip(waveform, ours, strict=True):
        np.testing.assert_allclose(melgram, librosa_melgram(librosa, segment), rtol=0, atol=2e-3)


@pytest.mark.slow
def test_melgrams_match_librosa_on_real_audio(librosa, shared):
    cut = segments(decode(shared / "audio" / "brahms_hungarian_dance_5.ogg"))
    ours = melgrams(cut).numpy()
    for segment, melgram in zip(cut.double().numpy(), ours, strict=True):
        np.testing.assert_allclose(melgram, librosa_melgram(librosa, segment), rtol=0, atol=2e-3)


def test_silence_is_as_in_the_data():
    # assignment, Data: about -99 in the first mean, and 0 in every deviation.
    vector = mfccs(torch.zeros(1, 8000))[0]
    assert vector[0] == pytest.approx(-99, abs=0.01)
    assert vector[13:].abs().max() < 1e-12
    assert (melgrams(torch.zeros(1, 8000)) == 0).all()


@given(arrays(np.float32, st.integers(1, 20_000), elements=st.floats(-1, 1, width=32)))
def test_segments_hold_every_sample_once(waveform):
    cut = segments(waveform)
    assert cut.shape == (-(-len(waveform) // 8000), 8000)
    flat = cut.flatten().numpy()
    assert (flat[: len(waveform)] == waveform).all()
    assert (flat[len(waveform) :] == 0).all()


def test_a_batch_is_its_segments_one_by_one():
    batch = torch.randn(70, 8000, generator=torch.Generator().manual_seed(0))
    for kind, shape in FEATURE_SHAPES.items():
        whole = features(batch, kind)
        assert whole.shape == (70, *shape)
        singly = torch.cat([features(segment[None], kind) for segment in batch])
        torch.testing.assert_close(whole, singly, rtol=0, atol=1e-4)


def test_loudness_does_not_matter():
    batch = torch.randn(3, 8000, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(melgrams(batch), melgrams(batch * 0.25), rtol=0, atol=1e-3)
    torch.testing.assert_close(mfccs(batch), mfccs(batch * 0.25), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_tone_is_where_it_sounds(librosa):
    times = np.arange(8000) / 8000
    loudest = [int(melgrams(np.sin(2 * np.pi * hz * times)[None])[0, 10].argmax()) for hz in (200, 800, 3000)]
    centres = librosa.mel_frequencies(130, fmin=0, fmax=4000)[1:-1]
    np.testing.assert_allclose(centres[loudest], [200, 800, 3000], atol=40)


def test_no_segments_are_no_features():
    assert melgrams(torch.zeros(0, 8000)).shape == (0, 21, 128)
    assert mfccs(torch.zeros(0, 8000)).shape == (0, 26)


@pytest.mark.parametrize("bad", [np.zeros(0), np.zeros((2, 8000)), np.float32(1)])
def test_segments_refuse_what_is_no_waveform(bad):
    with pytest.raises(ValueError, match="a waveform has the shape"):
        segments(bad)


@pytest.mark.parametrize("function", [melgrams, mfccs])
def test_features_refuse_what_are_no_segments(function):
    with pytest.raises(ValueError, match=r"segments have the shape \(N, 8000\)"):
        function(torch.zeros(3, 7999))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("function", "atol"), [(melgrams, 2e-3), (mfccs, 2e-3)])
def test_the_gpu_gives_the_same(function, atol, golden):
    pcm = torch.tensor(golden["pcm"] / 32768)
    on_gpu = function(pcm.cuda())
    assert on_gpu.is_cuda
    torch.testing.assert_close(on_gpu.cpu(), function(pcm), rtol=0, atol=atol)
