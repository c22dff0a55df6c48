"""Files as the world has them: tests/cases holds small ones, and cases.csv says what each must give."""

import contextlib
import csv
import io
import struct
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from genreline.audio.decode import arriving, blocks, decode
from genreline.audio.scan import scan_mp3
from genreline.errors import AudioError, TruncatedError

CASES = Path(__file__).parent.parent / "cases"
ROWS = list(csv.DictReader((CASES / "cases.csv").read_text().splitlines()))
NAMES = [row["file"] for row in ROWS]
NOT_WHILE_IT_ARRIVES = {"delay4.mp4", "data_before_fmt.wav"}  # described at their ends


class Pipe(io.BytesIO):
    def seekable(self):
        return False

    def seek(self, *_):
        raise OSError("a pipe cannot seek")

    tell = seek


def outcome(read):
    try:
        return read()
    except AudioError:
        return None


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_every_case_has_its_length(row):
    if row["rows"]:
        # Encoders pad by up to 0.05 s a file, and two of the cases are two files.
        assert len(decode(CASES / row["file"])) / 8000 == pytest.approx(int(row["rows"]), abs=0.12)


@pytest.mark.parametrize("name", NAMES)
def test_path_bytes_and_streams_agree(name):
    data = (CASES / name).read_bytes()
    expected = outcome(lambda: decode(CASES / name))
    assert np.array_equal(outcome(lambda: decode(data)), expected) or expected is None
    assert np.array_equal(outcome(lambda: decode(Pipe(data))), expected) or expected is None
    if name not in NOT_WHILE_IT_ARRIVES and expected is not None:
        arrived = np.concatenate(list(arriving(Pipe(data))))
        assert len(arrived) == len(expected)
        np.testing.assert_allclose(arrived, expected, atol=2e-3)


@pytest.mark.parametrize("name", ["cat_cbr_6+4.mp3", "frames0_vbr.mp3", "vorbis_6+4.ogg", "flac.oga", "mp2.wav"])
def test_the_sound_is_ffmpegs(name):
    seconds = 0.0
    with av.open(str(CASES / name)) as container:
        for packet in container.demux(audio=0):
            with contextlib.suppress(av.InvalidDataError):
                seconds += sum(frame.samples / frame.sample_rate for frame in packet.decode())
    assert len(decode(CASES / name)) / 8000 == pytest.approx(seconds, abs=0.01)


def loudness(waveform):
    """The RMS of each whole second."""
    return np.sqrt(np.square(waveform[: len(waveform) // 8000 * 8000].reshape(-1, 8000)).mean(axis=1))


def peak_hz(second):
    return int(np.abs(np.fft.rfft(second)).argmax())


def test_a_rate_that_changes_changes_no_pitch():
    waveform = decode(CASES / "44100then22050mono.mp3")
    assert [peak_hz(waveform[at * 8000 :][:8000]) for at in (1, 4, 7, 8)] == [
        440,
        440,
        880,
        880,
    ]  # the rate halves at 6 s


def test_a_hole_in_the_time_stamps_is_silence():
    loud = loudness(decode(CASES / "hole.webm")) > 0.01
    assert loud.tolist()[:2] == [True, True]
    assert 4 <= (~loud).sum() <= 5
    assert loud[-1]


@pytest.mark.parametrize("kind", ["mp4", "matroska", "mpegts", "mov"])
def test_a_hole_in_any_container_is_silence(kind, tmp_path):
    path = tmp_path / "holed"
    tone = (0.3 * np.sin(2 * np.pi * 440 / 44100 * np.arange(44100 * 3))).astype(np.float32)
    with av.open(str(path), "w", format=kind) as out:
        stream = out.add_stream("aac", rate=44100, layout="mono")
        packets = []
        for start_s in (0, 8):
            for place in range(0, len(tone) - 1024, 1024):
                frame = av.AudioFrame.from_ndarray(tone[None, place : place + 1024].copy(), "fltp", "mono")
                frame.rate, frame.pts, frame.time_base = 44100, start_s * 44100 + place, Fraction(1, 44100)
                packets += stream.encode(frame)
        for packet in [*packets, *stream.encode(None)]:
            out.mux(packet)
    waveform = decode(path)
    assert len(waveform) / 8000 == pytest.approx(11, abs=0.1)
    quiet = loudness(np.append(waveform, np.zeros(800, np.float32))) < 0.05
    assert quiet[:11].tolist() == [False] * 3 + [True] * 5 + [False] * len(quiet[8:11])


def test_sound_that_begins_later_in_a_video_stays_there():
    loud = loudness(decode(CASES / "delay4.mp4")) > 0.01
    assert loud.tolist() == [False] * 4 + [True] * len(loud[4:])


def test_the_default_stream_is_taken():
    assert (loudness(decode(CASES / "default_second.mka")) > 0.01).all()


def wav(body, riff_size=None, data_size=None, before=b""):
    form = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form + before + b"data"
    size = len(body) if data_size is None else data_size
    whole = len(chunks) + 4 + len(body) if riff_size is None else riff_size
    return b"RIFF" + struct.pack("<I", whole) + chunks + struct.pack("<I", size) + body


TONE = (8000 * np.sin(2 * np.pi * 440 / 8000 * np.arange(24_000))).astype("<i2").tobytes()


@pytest.mark.parametrize("size", [0x7FFFF000, 0x80000000, 0xFFFFF000, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0, 48_016, 48_044])
def test_an_intact_wav_is_read_whole_whatever_it_declares(size):
    assert len(decode(wav(TONE, 0 if size == 0 else None, size))) == 24_000


def test_what_follows_the_samples_is_no_sound():
    data = wav(TONE) + b"LIST" + struct.pack("<I", 4000) + bytes(4000)
    assert len(decode(data)) == 24_000


def read_of(data):
    """What `blocks` hands over before its TruncatedError."""
    read = []
    with pytest.raises(TruncatedError, match="truncated"):
        read.extend(blocks(data, block_s=1))
    return np.concatenate(read)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "AIFF", "AU", "MP3", "OGG"])
def test_what_could_be_read_of_a_cut_file_comes_before_the_error(kind):
    buffer = io.BytesIO()
    sound = np.random.default_rng(0).normal(0, 0.1, 8000 * 10)
    soundfile.write(buffer, sound, 8000, format=kind, subtype="VORBIS" if kind == "OGG" else None)
    data = buffer.getvalue()
    read = read_of(data[: len(data) // 2])
    assert len(read) / 8000 == pytest.approx(5, abs=1.5)
    whole = decode(data)
    if kind in ("WAV", "FLAC", "AIFF", "AU"):
        assert np.array_equal(read, whole[: len(read)])


def mp3_song(seconds=6):
    buffer = io.BytesIO()
    tone = 0.3 * np.sin(2 * np.pi * 440 / 44100 * np.arange(44100 * seconds))
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": 0.5}
    with soundfile.SoundFile(buffer, "w", 44100, 1, **options) as file:
        file.write(tone)
    return buffer.getvalue()


@pytest.mark.parametrize("frames", [0, 1, 50])
def test_a_header_with_too_few_frames_costs_no_sound(frames):
    data = bytearray(mp3_song())
    place = max(data.find(b"Info", 0, 200), data.find(b"Xing", 0, 200))
    assert place > 0
    data[place + 8 : place + 12] = frames.to_bytes(4, "big")
    assert len(decode(bytes(data))) / 8000 == pytest.approx(6, abs=0.12)


@pytest.mark.parametrize("tail", [bytes(5000), b"TAG" + bytes(125), b"ID3\x04\0\0\0\0\x10\0" + bytes(2048)])
def test_tags_and_zeros_at_an_mp3s_end_are_no_damage(tail):
    data = mp3_song()
    first_frame_without = data[data.find(b"\xff\xfb", 200) :]
    for song in (data, first_frame_without):
        assert len(decode(song + tail)) / 8000 == pytest.approx(6, abs=0.12)


def test_the_scan_counts_an_mp3s_frames():
    scanned = scan_mp3(io.BytesIO(mp3_song()))
    assert scanned.is_as_declared
    assert scanned.counted == scanned.declared
    assert not scan_mp3(io.BytesIO(mp3_song() * 2)).is_as_declared
    assert scan_mp3(io.BytesIO(TONE)) is None


def test_channels_that_cancel_give_the_louder_one():
    tone = np.frombuffer(TONE, "<i2") / 32768
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([tone, -0.95 * tone], axis=1), 8000, format="WAV", subtype="PCM_16")
    np.testing.assert_allclose(decode(buffer.getvalue()), tone, atol=1e-4)


def test_channels_that_do_not_cancel_are_averaged():
    tone = np.frombuffer(TONE, "<i2") / 32768
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([tone, -0.5 * tone], axis=1), 8000, format="WAV", subtype="PCM_16")
    np.testing.assert_allclose(decode(buffer.getvalue()), 0.25 * tone, atol=1e-4)


@pytest.mark.slow
def test_decoders_print_nothing(tmp_path):
    rng = np.random.default_rng(0)
    song = bytearray(mp3_song())
    for place in rng.integers(2000, len(song), 300):
        song[place] = rng.integers(256)
    (tmp_path / "damaged.mp3").write_bytes(song)
    with soundfile.SoundFile(tmp_path / "a.w64", "w", 8000, 1, "PCM_16", format="W64") as file:
        file.write(np.frombuffer(TONE, "<i2"))
    w64 = bytearray((tmp_path / "a.w64").read_bytes())
    w64[16:24] = b"\xff" * 8
    place = w64.find(b"data")
    w64[place + 16 : place + 24] = b"\xff" * 8
    (tmp_path / "pipe.w64").write_bytes(w64)
    for name in ("damaged.mp3", "pipe.w64"):
        program = (
            "import sys; from genreline import decode, GenrelineError\n"
            f"try: decode({str(tmp_path / name)!r})\n"
            "except GenrelineError: pass\n"
            "print('after', file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
        assert done.stderr == "after\n"
        assert done.stdout == ""


def within(seconds, read):
    """What `read` gives, AudioErrors aside; fails if it takes longer."""
    failures = []

    def target():
        try:
            outcome(read)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "decoding hangs"
    assert not failures


HEADERS = [wav(TONE[:400]), wav(TONE[:400], before=b"LIST" + struct.pack("<I", 16) + b"INFOIART\4\0\0\0abcd")]


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([*HEADERS, (CASES / "list_size_wraps.wav").read_bytes()]),
    st.lists(st.tuples(st.integers(0, 99), st.sampled_from([0, 1, 2, 127, 128, 254, 255]) | st.integers(0, 255))),
    st.integers(0, 200),
)
def test_a_mutated_wav_decodes_or_is_an_audio_error_at_once(data, changes, cut):
    mutated = bytearray(data)
    for place, byte in changes:
        mutated[place % len(mutated)] = byte
    del mutated[len(mutated) - cut // 20 :]
    within(10, lambda: decode(bytes(mutated)))


@pytest.fixture(scope="module")
def partly_cancelling():
    """A tone whose channels are equal, opposite, unequal and equal again; (frames, 2) at 44.1 kHz, and their average
    but for the opposite parts."""
    times_s = np.arange(int(44100 * 6.03)) / 44100
    tone = 0.4 * np.sin(2 * np.pi * 330 * times_s)
    gain = np.select([times_s < 1.27, times_s < 2.91, times_s < 4.4], [1.0, -1.0, -0.3], 1.0)
    channels = np.stack([tone, gain * tone], axis=1)
    return channels, np.where(gain == -1, tone, channels.mean(axis=1))


def as_bytes(channels, form, rate_hz=44100):
    buffer = io.BytesIO()
    soundfile.write(buffer, channels, rate_hz, format=form)
    return buffer.getvalue()


def test_where_channels_cancel_and_where_not_there_is_sound_and_no_click(partly_cancelling):
    channels, expected = partly_cancelling
    waveform = decode(as_bytes(channels, "WAV"))
    wanted = soxr.resample(expected, 44100, 8000)
    rms = np.sqrt(np.square(waveform[:48_000].reshape(-1, 800)).mean(axis=1))
    assert rms[:44].min() > 0.09  # opposite or not, except where one is 0.3 of the other and the average is 0.35
    far = np.ones(len(wanted), bool)
    for seam_s in (1.27, 2.91, 4.4):
        far[int((seam_s - 0.11) * 8000) : int((seam_s + 0.11) * 8000)] = False
    np.testing.assert_allclose(waveform[far], wanted[far], atol=2e-3)
    # The steepest slope of the tone itself is 0.4 * 2 pi 330 / 8000; the file's own jumps are at the seams.
    steps = np.abs(np.diff(waveform))
    assert steps[far[1:]].max() < 1.05 * 0.4 * 2 * np.pi * 330 / 8000


@pytest.mark.parametrize("form", ["WAV", "FLAC", "AIFF"])
def test_mixing_does_not_depend_on_how_the_sound_arrives(partly_cancelling, form):
    data = as_bytes(partly_cancelling[0], form)
    whole = decode(data)
    np.testing.assert_allclose(np.concatenate(list(arriving(Pipe(data)))), whole, atol=1e-6)
    np.testing.assert_array_equal(np.concatenate(list(blocks(data, 1))), whole)


@pytest.mark.parametrize("n_channels", [2, 3, 6])
def test_of_channels_that_cancel_one_is_kept_throughout(n_channels):
    """Noise, of which rounding decides what is the loudest: no leaping between a channel and its mirror image."""
    noise = np.random.default_rng(0).normal(0, 0.1, 40_000)
    channels = np.zeros((40_000, n_channels))
    channels[:, -1], channels[:, 0] = noise, -noise * np.linspace(0.99, 1.01, 40_000)
    waveform = decode(as_bytes(channels, "WAV", 8000))
    assert min(np.abs(waveform - noise).max(), np.abs(waveform + noise).max()) < 3e-3
