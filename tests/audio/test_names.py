"""What files' names say. That each suffix belongs to audio is shown by a file of that kind, which is decoded."""

import io
import os
from collections import Counter

import av
import numpy as np
import pytest
import soundfile
from av.codec import Codec

from genreline.audio.decode import decode
from genreline.audio.names import SUFFIXES, describe_passed_over, find_audio, is_audio, title_of
from genreline.errors import DataError

TONE = 0.4 * np.sin(2 * np.pi * 440 * np.arange(32000) / 16000).astype(np.float32)

BY_SOUNDFILE = {
    ".wav": "WAV",
    ".wave": "WAV",
    ".bwf": "WAVEX",
    ".rf64": "RF64",
    ".w64": "W64",
    ".flac": "FLAC",
    ".mp3": "MP3",
    ".ogg": "OGG",
    ".oga": "OGG",
    ".aif": "AIFF",
    ".aiff": "AIFF",
    ".aifc": "AIFF",
    ".au": "AU",
    ".snd": "AU",
    ".caf": "CAF",
    ".voc": "VOC",
    ".sph": "NIST",
    ".nist": "NIST",
    ".8svx": "SVX",
    ".svx": "SVX",
    ".iff": "SVX",
    ".sf": "IRCAM",
    ".ircam": "IRCAM",
    ".paf": "PAF",
    ".pvf": "PVF",
    ".avr": "AVR",
    ".sds": "SDS",
}
BY_FFMPEG = {
    **dict.fromkeys((".m4a", ".m4b", ".m4r", ".m4v", ".f4a"), ("ipod", "aac")),
    **dict.fromkeys((".mp4", ".f4v"), ("mp4", "aac")),
    **dict.fromkeys((".mov", ".qt"), ("mov", "pcm_s16le")),
    **dict.fromkeys((".3gp", ".3gpp", ".3ga"), ("3gp", "aac")),
    **dict.fromkeys((".aac", ".adts"), ("adts", "aac")),
    **dict.fromkeys((".webm", ".weba"), ("webm", "libopus")),
    **dict.fromkeys((".mka", ".mkv"), ("matroska", "flac")),
    **dict.fromkeys((".wma", ".wmv", ".asf"), ("asf", "wmav2")),
    **dict.fromkeys((".avi", ".divx"), ("avi", "mp2")),
    **dict.fromkeys((".ts", ".mts", ".m2ts"), ("mpegts", "aac")),
    **dict.fromkeys((".mpg", ".mpeg", ".mpe"), ("mpeg", "mp2")),
    **dict.fromkeys((".mp2", ".mpa", ".m2a", ".mpga"), ("mp2", "mp2")),
    **dict.fromkeys((".ogx", ".ogv", ".ogm"), ("ogg", "flac")),
    ".opus": ("opus", "libopus"),
    ".3g2": ("3g2", "aac"),
    ".flv": ("flv", "aac"),
    ".vob": ("vob", "ac3"),
    ".ac3": ("ac3", "ac3"),
    ".eac3": ("eac3", "eac3"),
    ".ec3": ("eac3", "eac3"),
    ".tta": ("tta", "tta"),
    ".wv": ("wv", "wavpack"),
    ".amr": ("amr", "libopencore_amrnb"),
}
NO_ENCODER = {".mp1", ".spx", ".ape", ".awb"}  # which nothing here can write, and FFmpeg reads


def written(suffix):
    """Two seconds of a tone as a file of the kind that has this suffix."""
    buffer = io.BytesIO()
    if suffix in BY_SOUNDFILE:
        soundfile.write(buffer, TONE, 16000, format=BY_SOUNDFILE[suffix])
        return buffer.getvalue()
    container, codec = BY_FFMPEG[suffix]
    rate_hz = {"libopencore_amrnb": 8000, "wmav2": 44100}.get(codec, 48000)
    kind = Codec(codec, "w").audio_formats[0]
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate_hz, layout="mono", format=kind.name)
        if codec == "wmav2":
            stream.bit_rate = 64_000  # it refuses its own default
        frame = av.AudioFrame.from_ndarray(TONE[None], format="fltp", layout="mono")
        frame.rate, frame.pts = 16000, 0
        resampler = av.AudioResampler(kind.name, "mono", rate_hz, stream.codec_context.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            for packet in stream.encode(piece):
                out.mux(packet)
    return buffer.getvalue()


def test_every_suffix_is_tried_below():
    assert {*BY_SOUNDFILE, *BY_FFMPEG} | NO_ENCODER == set(SUFFIXES)
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in SUFFIXES)
    assert len(set(SUFFIXES)) == len(SUFFIXES)


@pytest.mark.parametrize("suffix", [*BY_SOUNDFILE, *BY_FFMPEG])
def test_what_has_an_audio_suffix_is_decoded(suffix, tmp_path):
    path = tmp_path / f"song{suffix}"
    path.write_bytes(written(suffix))
    waveform = decode(path)
    assert len(waveform) / 8000 == pytest.approx(2, abs=0.1)
    assert np.abs(np.fft.rfft(waveform[4000:12000])).argmax() == 440


@pytest.mark.parametrize("kind", ["FLAC", "MP3", "OGG", "WAV", "AIFF"])
def test_the_name_does_not_say_what_a_file_is(kind, tmp_path):
    """A name that ends in .raw crashed: soundfile takes it as the format."""
    sound = io.BytesIO()
    soundfile.write(sound, TONE, 16000, format=kind)
    expected = decode(sound.getvalue())
    for name in ("song.raw", "song.RAW", "song.txt", "song"):
        (tmp_path / name).write_bytes(sound.getvalue())
        assert np.array_equal(decode(tmp_path / name), expected)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("Mr. Brightside", "Mr. Brightside"),
        ("Mr. Brightside.mp3", "Mr. Brightside"),
        ("folder.d/St. Anger.FLAC", "St. Anger"),
        ("Sonata No.14", "Sonata No.14"),
        ("N.W.A", "N.W.A"),
        ("Vol.II", "Vol.II"),
        ("v1.2.mp3", "v1.2"),
        ("song.raw", "song"),
        (".mp3", ".mp3"),
        ('say "hi".ogg', 'say "hi"'),
        ("...", "..."),
        ("song.mp3.", "song.mp3."),
    ],
)
def test_a_title_keeps_what_follows_its_dots(name, title):
    assert title_of(name) == title


def test_audio_is_found_and_the_rest_counted(tmp_path):
    names = ["b.MP3", "a/c.weba", "a/notes.TXT", "a/b/cover.jpg", "a/b/x.jpg", "README", ".hidden.mp3", ".git/a.mp3"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    os.symlink(tmp_path, tmp_path / "a" / "again")
    os.mkfifo(tmp_path / "pipe.wav")
    found = find_audio(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found.files] == ["a/c.weba", "b.MP3"]
    assert found.passed_over == {".txt": 1, ".jpg": 2, "": 1, ".wav": 1}
    assert describe_passed_over(found.passed_over) == (
        "passed over 5 files without the suffix of an audio file (2 .jpg, 1 without a suffix, 1 .txt, 1 .wav)"
    )
    assert describe_passed_over(Counter({".txt": 1})).startswith("passed over 1 file without")
    assert "and 2 more suffixes" in describe_passed_over({f".{i}": 1 for i in range(10)})
    assert is_audio("x.WEBA")
    assert not is_audio("weba")


def test_a_folder_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="cannot be read \\(Permission denied\\)"):
        find_audio(tmp_path)
