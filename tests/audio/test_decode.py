import io
import struct
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from genreline.audio.decode import arriving, blocks, decode
from genreline.errors import AudioError, TruncatedError

RATE_HZ = 44100
SECONDS = 3
# Left and right differ, so that a decoder that drops or scales a channel is found out.
TIMES = np.arange(RATE_HZ * SECONDS) / RATE_HZ
STEREO = np.stack([0.5 * np.sin(2 * np.pi * 440 * TIMES), 0.2 * np.sin(2 * np.pi * 1000 * TIMES)], axis=1)
MONO_8K = soxr.resample(STEREO.mean(axis=1), RATE_HZ, 8000)

SOUNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "wav24": ("WAV", "PCM_24"),
    "wavfloat": ("WAV", "FLOAT"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", None),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
}
PYAV = {
    "m4a": ("mp4", "aac"),
    "mp4": ("mp4", "aac"),
    "aac": ("adts", "aac"),
    "webm": ("webm", "libopus"),
    "mka": ("matroska", "aac"),
    "wma": ("asf", "wmav2"),
    "flv": ("flv", "aac"),
    "avi": ("avi", "ac3"),
    "ts": ("mpegts", "aac"),
}


def encode(kind, waveform=STEREO, rate_hz=RATE_HZ, tmp_path=None):
    """A file's bytes in one of the formats above; opus wants 48 kHz."""
    if kind in ("opus", "webm"):
        waveform, rate_hz = soxr.resample(waveform, rate_hz, 48000), 48000
    if kind in SOUNDFILE:
        buffer = io.BytesIO()
        container, subtype = SOUNDFILE[kind]
        soundfile.write(buffer, waveform, rate_hz, format=container, subtype=subtype)
        return buffer.getvalue()
    container, codec = PYAV[kind]
    path = tmp_path / f"encoded.{kind}"
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate_hz, layout="stereo")
        stream.bit_rate = 128_000
        plane = np.ascontiguousarray(waveform.T, dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(plane, format="fltp", layout="stereo")
        frame.rate = rate_hz
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return path.read_bytes()


def assert_is_the_stereo_sound(waveform, tolerance_s=0.12):
    assert waveform.dtype == np.float32
    assert waveform.ndim == 1
    assert len(waveform) / 8000 == pytest.approx(SECONDS, abs=tolerance_s)  # codecs pad
    middle = np.abs(np.fft.rfft(waveform[4000:20000])) / 8000
    peaks = {440: 0.25, 1000: 0.1}  # the mean of the channels halves each tone
    for hz, height in peaks.items():
        assert middle[hz * 2] == pytest.approx(height, rel=0.08)


@pytest.mark.parametrize("kind", [*SOUNDFILE, *PYAV])
def test_every_format_gives_the_same_sound(kind, tmp_path):
    assert_is_the_stereo_sound(decode(encode(kind, tmp_path=tmp_path)))


def test_path_bytes_and_stream_are_the_same(tmp_path):
    data = encode("flac")
    path = tmp_path / "named.txt"  # the name says nothing
    path.write_bytes(data)
    stream = io.BytesIO(b"skipped" + data)
    stream.seek(7)
    expected = decode(data)
    assert np.array_equal(decode(path), expected)
    assert np.array_equal(decode(str(path)), expected)
    assert np.array_equal(decode(stream), expected)
    assert not stream.closed


def test_a_pipe_is_read(tmp_path):
    (tmp_path / "a.wav").write_bytes(encode("wav"))
    program = "import sys; from genreline import decode; print(len(decode(sys.stdin.buffer)))"
    with (tmp_path / "a.wav").open("rb") as file, subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE) as cat:
        out = subprocess.run(
            [sys.executable, "-c", program], stdin=cat.stdout, capture_output=True, check=True, text=True
        )
    assert int(out.stdout) == SECONDS * 8000


def test_samples_at_8_khz_are_kept_to_the_bit():
    pcm = np.random.default_rng(0).integers(-32768, 32768, 12345, dtype=np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, 8000, format="WAV", subtype="PCM_16")
    assert np.array_equal(decode(buffer.getvalue()), pcm / np.float32(32768))


def test_resampling_is_soxrs():
    np.testing.assert_allclose(decode(encode("wavfloat")), MONO_8K, atol=1e-5)


def test_blocks_are_the_whole_in_whole_seconds():
    long = np.tile(STEREO, (4, 1))[: int(10.3 * RATE_HZ)]
    data = encode("flac", long)
    pieces = list(blocks(data, block_s=2))
    assert [len(piece) for piece in pieces[:-1]] == [16000] * 5
    assert 0 < len(pieces[-1]) <= 16000
    assert np.array_equal(np.concatenate(pieces), decode(data))


def test_memory_does_not_grow_with_the_duration(tmp_path):
    """What the issue bounds (400 MB for three hours) is measured by benchmarks/memory.py; this is its small sibling."""
    import tracemalloc

    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 8000, 1, "PCM_16") as file:
        for _ in range(30):
            file.write(np.random.default_rng(0).normal(0, 0.1, 8000 * 60))
    tracemalloc.start()
    assert sum(len(block) for block in blocks(path)) == 30 * 60 * 8000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6  # half an hour is 58 MB as float32


@pytest.mark.parametrize(
    "kind",
    ["wav", "flac", "mp3", "ogg", "opus", "aiff", "au", "w64", "caf", "mp4", "aac", "mka", "webm", "wma", "flv"],
)
def test_a_truncated_file_is_an_error(kind, tmp_path):
    data = encode(kind, tmp_path=tmp_path)
    for share in (0.1, 0.5, 0.8):
        with pytest.raises(AudioError, match=r"truncated|not an audio file|holds no samples"):
            decode(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", ["SVX", "AVR", "MPC2K"])
def test_older_formats_without_their_end_are_truncated(kind):
    buffer = io.BytesIO()
    soundfile.write(buffer, STEREO[:, 0], RATE_HZ, format=kind, subtype="PCM_16")
    assert len(decode(buffer.getvalue())) == SECONDS * 8000
    with pytest.raises(TruncatedError):
        decode(buffer.getvalue()[:-100_000])


def test_a_hole_in_an_mp3_is_told():
    data = encode("mp3")
    third = len(data) // 3
    with pytest.raises(TruncatedError, match=r"of 3\.0 s are there"):
        decode(data[:third] + data[2 * third :])


@pytest.mark.parametrize("kind", ["ogg", "opus"])
@pytest.mark.parametrize("is_between_pages", [False, True])
def test_a_hole_in_an_ogg_is_silence(kind, is_between_pages):
    """So that what follows keeps its place: the pages say when it is."""
    data = encode(kind, np.tile(STEREO, (4, 1)))
    start, end = len(data) * 5 // 12, len(data) * 8 // 12
    if is_between_pages:
        start, end = data.find(b"OggS", start), data.find(b"OggS", end)
    waveform = decode(data[:start] + data[end:])
    assert len(waveform) / 8000 == pytest.approx(4 * SECONDS, abs=0.1)
    loud = np.abs(waveform[: 4 * SECONDS * 8000 // 1600 * 1600]).reshape(-1, 1600).max(axis=1) > 0.1
    assert loud[:15].all()
    assert loud[-15:-1].all()
    assert 5 <= (~loud).sum() <= 25


def test_an_ogg_flac_that_begins_later_begins_at_once():
    """As a capture of a stream does: FFmpeg takes its first page for the start of time, and then sees a jump."""
    buffer = io.BytesIO()
    rate_hz, n = 8000, 8000 * 30
    tone = 0.3 * np.sin(2 * np.pi * 440 / rate_hz * np.arange(n))
    with soundfile.SoundFile(buffer, "w", rate_hz, 1, "PCM_16", format="FLAC") as file:
        file.write(tone)
    with av.open(io.BytesIO(buffer.getvalue())) as source, av.open(made := io.BytesIO(), "w", format="ogg") as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.pts = packet.dts = packet.pts + int(100 / packet.time_base)
                packet.stream = stream
                out.mux(packet)
    waveform = decode(made.getvalue())
    assert len(waveform) / 8000 == pytest.approx(30, abs=1)
    assert np.abs(waveform[: 29 * 8000].reshape(-1, 800)).max(axis=1).min() > 0.1


def test_oggs_one_after_another_have_clocks_of_their_own():
    data = encode("opus")
    assert len(decode(data + data)) / 8000 == pytest.approx(2 * SECONDS, abs=0.05)


def test_a_stream_that_begins_within_an_mpeg_ts_is_left_out(tmp_path):
    data = bytearray(encode("ts", tmp_path=tmp_path))
    begins = [place for place in range(0, len(data), 188) if data[place : place + 3] == b"\x47\x41\x00"]
    data[begins[len(begins) // 2] + 2] = 0x71  # a packet of another stream, for which PyAV raises IndexError
    with av.open(io.BytesIO(bytes(data))) as container, pytest.raises(IndexError):
        list(container.demux())
    assert SECONDS - 0.5 < len(decode(bytes(data))) / 8000 < SECONDS + 0.12


def wav_header(rate_hz, channels, data=b"\0" * 4800, declared=None):
    size = len(data) if declared is None else declared
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * channels * 2 % 2**32, channels * 2 % 65536, 16)
    head = b"RIFF" + struct.pack("<I", min(36 + size, 2**32 - 1)) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return head + b"data" + struct.pack("<I", size) + data


def test_a_wav_from_a_pipe_declares_no_size():
    assert len(decode(wav_header(8000, 1, declared=0xFFFFFFFF))) == 2400


def test_a_flac_from_a_pipe_declares_no_size():
    data = bytearray(encode("flac"))
    data[21] &= 0xF0  # STREAMINFO's 36 bits of total samples, which 0 leaves unknown (RFC 9639, section 8.2)
    data[22:26] = bytes(4)
    assert len(decode(bytes(data))) == SECONDS * 8000


def test_an_mp3_of_variable_rate_without_its_length_is_read_to_the_end():
    rng = np.random.default_rng(0)
    quiet_in_the_middle = np.concatenate([rng.normal(0, 0.2, 44100), np.zeros(44100 * 8), rng.normal(0, 0.2, 44100)])
    buffer = io.BytesIO()
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "VARIABLE", "compression_level": 0.3}
    with soundfile.SoundFile(buffer, "w", 44100, 1, **options) as file:
        file.write(quiet_in_the_middle)
    data = buffer.getvalue()
    second_frame = data.find(b"\xff\xfb", data.find(b"Xing"))
    tagged = b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128) + data[second_frame:]
    for without in (data[second_frame:], tagged):
        assert len(decode(without)) / 8000 == pytest.approx(10, abs=0.15)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"no sound at all\n" * 100, "not an audio file"),
        (bytes(range(256)) * 40, "not an audio file"),
        (wav_header(8000, 1, b""), "holds no samples"),
        (wav_header(0, 1), "damaged"),
        (wav_header(1, 1), "rate of 1 Hz is absurd"),
        (wav_header(4_000_000_000, 1), "rate of 4000000000 Hz is absurd"),
        (wav_header(8000, 600), "600 channels are absurd"),
        (wav_header(8000, 0), "damaged"),
    ],
)
def test_what_is_no_sound_is_an_error(data, reason, tmp_path):
    path = tmp_path / "song.wav"
    path.write_bytes(data)
    with pytest.raises(AudioError, match=reason) as error:
        decode(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e38])
def test_samples_that_are_no_sound_are_an_error(bad):
    waveform = np.zeros((8000, 2), np.float32)
    waveform[5000] = bad
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, 8000, format="WAV", subtype="FLOAT")
    with pytest.raises(AudioError, match="not sound"):
        decode(buffer.getvalue())


@pytest.mark.parametrize(
    ("kind", "n", "rate_hz"), [("wav", 1, 44100), ("wav", 2, 44100), ("flac", 1, 192_000), ("ogg", 1, 44100)]
)
def test_less_than_a_sample_at_8_khz_is_an_error(kind, n, rate_hz):
    with pytest.raises(AudioError, match=r"shorter than a sample|holds no samples"):
        decode(encode(kind, STEREO[:n], rate_hz))


def test_a_playlist_opens_nothing(tmp_path, monkeypatch):
    """What FFmpeg would follow by itself, to other files or the network, is not followed."""
    (tmp_path / "s.m4a").write_bytes(encode("m4a", tmp_path=tmp_path))
    monkeypatch.chdir(tmp_path)
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{tmp_path}/s.m4a\n#EXT-X-ENDLIST\n"
    sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 51234 RTP/AVP 0\n"
    for text in ("ffconcat version 1.0\nfile s.m4a\n", hls, sdp):
        for source in (text.encode(), tmp_path / "list.m3u8"):
            (tmp_path / "list.m3u8").write_text(text)
            with pytest.raises(AudioError, match="not an audio file"):
                decode(source)


def test_a_truncated_video_is_an_error(tmp_path):
    path = tmp_path / "video.mkv"
    with av.open(str(path), "w", format="matroska") as out:
        sound, pictures = out.add_stream("aac", rate=RATE_HZ, layout="stereo"), out.add_stream("mpeg4", rate=10)
        pictures.width = pictures.height = 64
        noise = np.random.default_rng(0)
        for second in range(8):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(STEREO[:RATE_HZ].T, np.float32), "fltp", "stereo")
            frame.rate, frame.pts = RATE_HZ, second * RATE_HZ
            packets = list(sound.encode(frame))
            for _ in range(10):
                packets += pictures.encode(av.VideoFrame.from_ndarray(noise.integers(0, 255, (64, 64, 3), np.uint8)))
            for packet in packets:
                out.mux(packet)
        for packet in [*sound.encode(None), *pictures.encode(None)]:
            out.mux(packet)
    data = path.read_bytes()
    assert len(decode(data)) / 8000 == pytest.approx(8, abs=0.15)
    with pytest.raises(AudioError, match="truncated"):
        decode(data[: len(data) // 2])


def test_a_missing_file_and_a_folder_are_errors(tmp_path):
    with pytest.raises(AudioError, match="there is no such file"):
        decode(tmp_path / "nothing.wav")
    with pytest.raises(AudioError, match="cannot be read"):
        decode(tmp_path)


@pytest.mark.parametrize("n_channels", [7, 8, 9, 33])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_many_channels_by_ffmpeg_are_those_of_libsndfile(n_channels, subtype):
    data = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, (4000, n_channels))
    soundfile.write(data, noise, 16_000, format="WAV", subtype=subtype)
    by_ffmpeg = np.concatenate(list(arriving(io.BytesIO(data.getvalue()))))
    np.testing.assert_allclose(by_ffmpeg, decode(data.getvalue()), atol=1e-6)


def test_seven_channels_and_a_bass_in_an_m4a(tmp_path):
    """PyAV reads beyond the last plane of a frame of eight."""
    path = tmp_path / "surround.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=48_000, layout="7.1")
        tone = 0.3 * np.sin(2 * np.pi * 440 / 48_000 * np.arange(48_000)).astype(np.float32)
        resampler = av.AudioResampler("fltp", "7.1", 48_000, frame_size=1024)
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, 8)[None], "flt", "7.1")
        frame.rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        for each in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(each))
        out.mux(stream.encode(None))
    waveform = decode(path)
    assert len(waveform) / 8000 == pytest.approx(1, abs=0.03)
    assert np.abs(np.fft.rfft(waveform[:8000])).argmax() == 440


@pytest.mark.parametrize("kind", ["wav", "flac", "aiff", "mp3", "ogg"])
def test_more_samples_than_allowed_are_not_decoded(kind):
    data = encode(kind, STEREO)
    n_samples = STEREO.size
    assert np.array_equal(np.concatenate(list(blocks(data, max_samples=2 * n_samples))), decode(data))
    with pytest.raises(AudioError, match=r"more than .* samples in all its channels"):
        list(blocks(data, max_samples=n_samples // 2))


def test_what_states_too_many_samples_is_refused_before_decoding(monkeypatch):
    monkeypatch.setattr("genreline.audio.decode._chunks", lambda *_: pytest.fail("decodes"))
    for kind in ("wav", "flac"):
        with pytest.raises(AudioError, match="more than 1,000 samples"):
            list(blocks(encode(kind, STEREO), max_samples=1000))


def test_a_video_without_sound_is_an_error(tmp_path):
    path = tmp_path / "silent.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    with pytest.raises(AudioError, match="holds no audio"):
        decode(path)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["wav", "flac", "mp3", "ogg", "aiff"]), st.data())
def test_a_damaged_file_decodes_or_is_an_audio_error(kind, draw):
    data = bytearray(encode(kind, STEREO[:20000]))
    for _ in range(draw.draw(st.integers(1, 20))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    try:
        waveform = decode(bytes(data))
    except AudioError:
        return
    assert np.isfinite(waveform).all()


@pytest.mark.slow
def test_the_recordings_decode(shared):
    for path in sorted((shared / "audio").glob("*.ogg")):
        expected, rate_hz = soundfile.read(path, always_2d=True)
        waveform = decode(path)
        assert len(waveform) / 8000 == pytest.approx(len(expected) / rate_hz, abs=2e-3)
        np.testing.assert_allclose(
            waveform, soxr.resample(expected.mean(axis=1), rate_hz, 8000)[: len(waveform)], atol=1e-4
        )
