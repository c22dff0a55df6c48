"""The corpus that fuzzing starts from: small, valid files of every kind; `python -m fuzz.seeds` writes what is missing.

They are committed, because encoders of another version write other bytes.
"""

import io
import struct
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
import torch

from genreline.predict.timeline import Timeline
from genreline.train.checkpoint import DESCRIPTION, Model, save_model
from genreline.train.config import load_config
from genreline.train.folder import Calibration
from genreline.train.models import build_network

CORPUS = Path(__file__).parent / "corpus"
RATE_HZ = 8000
N_FRAMES = 1600
TONE = 0.3 * np.sin(2 * np.pi * 440 / RATE_HZ * np.arange(N_FRAMES))

BY_SOUNDFILE = [  # (suffix, format, subtype, channels)
    ("pcm16.wav", "WAV", "PCM_16", 2),
    ("pcm24.wav", "WAV", "PCM_24", 1),
    ("float.wav", "WAV", "FLOAT", 1),
    ("ulaw.wav", "WAV", "ULAW", 1),
    ("adpcm.wav", "WAV", "MS_ADPCM", 1),
    ("ima.wav", "WAV", "IMA_ADPCM", 1),
    ("gsm.wav", "WAV", "GSM610", 1),
    ("extensible.wav", "WAVEX", "PCM_16", 2),
    ("rf64.wav", "RF64", "PCM_16", 1),
    ("a.w64", "W64", "PCM_16", 1),
    ("a.aiff", "AIFF", "PCM_16", 1),
    ("a.au", "AU", "PCM_16", 1),
    ("alac.caf", "CAF", "ALAC_16", 1),
    ("a.flac", "FLAC", "PCM_16", 2),
    ("vorbis.ogg", "OGG", "VORBIS", 1),
    ("a.opus", "OGG", "OPUS", 1),
    ("a.mp3", "MP3", "MPEG_LAYER_III", 1),
    ("a.voc", "VOC", "PCM_16", 1),
    ("a.nist", "NIST", "PCM_16", 1),
]
BY_AV = [  # (name, FFmpeg's format, codec, rate)
    ("aac.m4a", "mp4", "aac", 8000),
    ("alac.m4a", "mp4", "alac", 8000),
    ("mp3.mp4", "mp4", "libmp3lame", 16000),
    ("fragmented.mp4", "mp4", "aac", 8000),
    ("a.aac", "adts", "aac", 8000),
    ("opus.webm", "webm", "libopus", 8000),
    ("aac.mkv", "matroska", "aac", 8000),
    ("flac.mka", "matroska", "flac", 8000),
    ("flac.ogg", "ogg", "flac", 8000),
    ("a.wma", "asf", "wmav2", 8000),
    ("a.ts", "mpegts", "aac", 8000),
    ("a.mpg", "mpeg", "mp2", 16000),
    ("a.flv", "flv", "aac", 22050),
    ("a.avi", "avi", "mp2", 16000),
    ("mp2.wav", "wav", "mp2", 16000),
    ("g722.wav", "wav", "g722", 16000),
    ("a.ac3", "ac3", "ac3", 32000),
    ("a.eac3", "eac3", "eac3", 32000),
    ("a.tta", "tta", "tta", 8000),
    ("a.wv", "wv", "wavpack", 8000),
    ("pcm.caf", "caf", "pcm_s16be", 8000),
]


def main() -> None:
    """Write the seeds that are not there."""
    for name, data in seeds():
        path = CORPUS / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def seeds() -> Iterator[tuple[str, bytes]]:
    """(name below the corpus, bytes) of each seed."""
    for name, form, subtype, n_channels in BY_SOUNDFILE:
        file = io.BytesIO()
        channels = np.tile(TONE[:, None], (1, n_channels))
        soundfile.write(file, channels, 16000 if form == "MP3" else RATE_HZ, format=form, subtype=subtype)
        yield f"sound/{name}", file.getvalue()
    for name, form, codec, rate_hz in BY_AV:
        options = {"movflags": "frag_keyframe+empty_moov"} if name.startswith("fragmented") else {}
        yield f"sound/{name}", _by_av(form, codec, rate_hz, options)
    yield from _texts()
    yield from _arrays()
    yield from _models()
    yield from _timelines()


def _by_av(form: str, codec: str, rate_hz: int, options: dict[str, str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound"
        with av.open(str(path), "w", format=form, options=options) as out:
            stream = out.add_stream(codec, rate=rate_hz, layout="mono", bit_rate=96_000)
            form_of_samples = stream.codec_context.codec.audio_formats[0].name
            resampler = av.AudioResampler(form_of_samples, "mono", rate_hz, frame_size=stream.codec_context.frame_size)
            whole = av.AudioFrame.from_ndarray(TONE.astype(np.float32)[None], "fltp", "mono")
            whole.rate, whole.pts, whole.time_base = rate_hz, 0, Fraction(1, rate_hz)
            for frame in [*resampler.resample(whole), *resampler.resample(None)]:
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        return path.read_bytes()


def _texts() -> Iterator[tuple[str, bytes]]:
    yield "source/plain.csv", b"path,label\na.wav,rock\nb/c.mp3,jazz\n"
    yield (
        "source/split.csv",
        'path,label,artist,split\n"a, b.wav",rock,Ann,train\nb.mp3,jazz,"B\u00e9la",dev\n'.encode(),
    )
    yield "split/split.csv", b"track,label,artist,split\nrock/a.wav,rock,Ann,train\njazz/b.wav,jazz,,\n"
    yield "tracks/tracks.csv", b"track,start_s,artist\nrock/a.wav,0,Ann\nrock/a.wav,1,Ann\njazz/b.wav,0,\n"
    yield (
        "config/cnn.toml",
        b'features = "melgrams"\nepochs = 3\nseed = 1\nbatch_size = 8\n[model]\nname = "resnet"\nchannels = [4, 8]\n'
        b'[optimizer]\nname = "Adam"\nlr = 0.01\n[scheduler]\nname = "StepLR"\nstep_size = 2\n',
    )
    yield (
        "study/small.toml",
        b'step = "1.1"\nquestion = "Which?"\nstarts_from = "1.1"\nseeds = 2\n[settings]\nepochs = 2\n'
        b'[[variants]]\nid = "a"\n[[variants]]\nid = "b"\ntitle = "B"\nsettings = {optimizer = {lr = 0.1}}\n'
        b"[grid]\nbatch_size = [8, 16]\n",
    )
    yield (
        "manifest/manifest.json",
        b'{"settings": {"features": ["mfccs"]}, "inputs": "00", "skipped": [], "sets": {}}\n',
    )


def _arrays() -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(0)
    for name, array in {
        "mfccs": rng.normal(size=(4, 26)).astype(np.float32),
        "fortran": np.asfortranarray(rng.normal(size=(3, 26)).astype(">f8")),
        "labels": np.array(["jazz", "rock", "m\u00fczik"]),
        "several": np.array(["bass|drums", "drums", "drums | voice"]),
        "booleans": np.array([[True, False], [False, False], [True, True]]),
    }.items():
        file = io.BytesIO()
        np.save(file, array)
        yield f"array/{name}.npy", file.getvalue()


def _models() -> Iterator[tuple[str, bytes]]:
    torch.manual_seed(0)
    several = Calibration(thresholds={"blues": 0.5, "jazz": 0.3, "rock": 0.7})
    settings = {"fnn": [], "several": [], "resnet": ["features=melgrams", "model.name=resnet", "model.channels=[2,3]"]}
    for name, each in settings.items():
        config = load_config(None, each)
        shape = (26,) if config.features == "mfccs" else (21, 128)
        calibration = several if name == "several" else Calibration()
        network = build_network(config, shape, 3).eval()
        model = Model(network, config, ("blues", "jazz", "rock"), calibration=calibration)
        with tempfile.TemporaryDirectory() as folder:
            save_model(model, folder)
            description = (Path(folder) / DESCRIPTION).read_bytes()
            weights = next(Path(folder).glob("*.safetensors")).read_bytes()
        # A model is both files in one, so that either may be damaged.
        yield f"model/{name}.model", struct.pack("<I", len(description)) + description + weights


def _timelines() -> Iterator[tuple[str, bytes]]:
    rows = np.random.default_rng(0).dirichlet([1, 1, 1], 4).astype(np.float32)
    plain = Timeline(
        ("blues", "jazz", "not, \u00fc"), rows, 3.5, "A \u00fc", "fnn", is_silent=np.array([0, 0, 1, 0], bool)
    )
    smoothed = plain.smoothed(rows[::-1].copy())
    several = Timeline(
        ("bass", "not, \u00fc"),
        rows[:, :2],
        3.5,
        "Band",
        "",
        is_silent=np.array([0, 0, 1, 0], bool),
        thresholds=(0.4, 0.2),
    )
    for name, each in {"plain": plain, "smoothed": smoothed, "several": several}.items():
        yield f"timeline/{name}.json", each.to_json().encode()
        yield f"timeline/{name}.csv", each.to_csv().encode()


if __name__ == "__main__":
    main()
