"""How fast audio becomes a dataset: `python benchmarks/prepare.py`; leaves results/prepare.json and prepare.md.

Music that genreline composes is resampled to 44.1 kHz stereo and encoded in each format. Measured are hours of audio a
minute of `prepare` with 1 and 2 processes, the share of each stage, how cost and memory grow over 1, 10 and 100 times
the input, and the same work done as people do it now: librosa.load, then librosa's melspectrogram for each second.
Everything is timed in one run, in turns. Rates that are compared are by processor time, which other programs on a busy
machine change little; by the clock there are those of 1 and 2 processes.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # before NumPy loads

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import audioread.exceptions
import av
import librosa
import numpy as np
import soundfile
import soxr
import torch

from genreline import features, prepare, segments
from genreline.audio.decode import _chunks, _resampled
from genreline.audio.seconds import RATE_HZ
from genreline.demo.music import GENRES, compose
from genreline.files import json_text, write_text
from genreline.provenance import versions

RESULTS = Path(__file__).parents[1] / "results"
FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a")
RATE, CHANNELS = 44_100, 2
KINDS = ["melgrams"]  # librosa has no MFCCs of our kind
SONG_S, N_SONGS, ROUNDS = 90, 8, 3


def songs() -> list[np.ndarray]:
    """A dozen seconds of each of some pieces, repeated to the length of a song: (samples, 2) at 44.1 kHz."""
    pieces = []
    for i in range(N_SONGS):
        mono = soxr.resample(compose(GENRES[i % 2], i, 12.0), RATE_HZ, RATE)
        noise = np.random.default_rng(i).normal(0, 1e-3, (len(mono), CHANNELS))  # so that the channels differ
        pieces.append(np.tile(mono[:, None] + noise, (SONG_S // 12, 1)).astype(np.float32))
    return pieces


def encode(sound: np.ndarray, path: Path) -> None:
    if path.suffix != ".m4a":
        kind = {"format": "OGG", "subtype": "OPUS"} if path.suffix == ".opus" else {}
        rate = 48_000 if path.suffix == ".opus" else RATE
        with soundfile.SoundFile(path, "w", rate, CHANNELS, **kind) as file:
            for start in range(0, len(sound), rate):  # the ogg encoder cannot take much at a time
                file.write(sound[start : start + rate])
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="stereo")
        for start in range(0, len(sound), 1024):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[start : start + 1024].T), "fltp", "stereo")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_music(folder: Path, kind: str, sounds: list[np.ndarray], copies: int = 0) -> Path:
    """folder/CLASS/*.kind; of each sound so many copies as wav, which differ in their last sample: no duplicates."""
    encoded = folder / f"one.{kind}"
    for i, sound in enumerate(sounds):
        (folder / "music" / GENRES[i % 2]).mkdir(parents=True, exist_ok=True)
        encode(sound, encoded)
        for copy in range(max(1, copies)):
            path = folder / "music" / GENRES[i % 2] / f"{i}-{copy}.{kind}"
            shutil.copy(encoded, path)
            if copies:
                with path.open("r+b") as file:
                    file.seek(-2, 2)
                    file.write((i * copies + copy).to_bytes(2, "little"))
    encoded.unlink()
    return folder / "music"


def prepare_rates(music: Path, jobs: int) -> tuple[float, float]:
    """Hours of audio a minute: by the clock, from when as many songs are done as there are workers; and by this
    process's processor time, all of the work included."""
    ticks: list[float] = []
    start = time.process_time()
    with tempfile.TemporaryDirectory() as out:
        prepare(music, Path(out) / "data", KINDS, jobs=jobs, on_step=lambda step: ticks.append(time.perf_counter()))
    by_clock = (N_SONGS - jobs) * SONG_S / 60 / (ticks[N_SONGS - 1] - ticks[jobs - 1])
    return by_clock, N_SONGS * SONG_S / 60 / (time.process_time() - start)


def by_stage(path: Path) -> dict[str, float]:
    """Processor seconds of decoding, resampling, and both features."""
    with path.open("rb") as file:
        start = time.process_time()
        chunks = list(_chunks(file, path.name))
        decoded = time.process_time()
    waveform = np.concatenate(list(_resampled(iter(chunks), path.name, RATE_HZ)))
    resampled = time.process_time()
    cut = segments(waveform)
    features(cut, "melgrams")
    melgrams = time.process_time()
    features(cut, "mfccs")
    mfccs = time.process_time()
    return {
        "decoding": decoded - start,
        "resampling": resampled - decoded,
        "melgrams": melgrams - resampled,
        "mfccs": mfccs - melgrams,
    }


def usual_way(path: Path) -> None:
    """librosa, one segment at a time."""
    waveform, _ = librosa.load(path, sr=RATE_HZ)
    for start in range(0, len(waveform), RATE_HZ):
        second = np.pad(waveform[start : start + RATE_HZ], (0, max(0, start + RATE_HZ - len(waveform))))
        mel = librosa.feature.melspectrogram(y=second, sr=RATE_HZ, n_fft=400, hop_length=400)
        librosa.power_to_db(mel, ref=np.max)


def usual_way_knows(path: Path) -> bool:
    """Whether librosa reads the format here: of m4a it cannot without programs of its own."""
    try:
        usual_way(path)
    except audioread.exceptions.NoBackendError:
        return False
    return True


def growth(folder: Path, sound: np.ndarray) -> list[dict[str, float]]:
    """Time and peak memory of a preparation of 1, 10 and 100 times as many recordings, each in a fresh process."""
    rows = []
    for times in (1, 10, 100):
        music = write_music(folder / str(times), "wav", [sound] * 6, copies=times)
        call = [sys.executable, __file__, "--only", str(music), str(folder / "out")]
        rows.append(json.loads(subprocess.run(call, capture_output=True, text=True, check=True).stdout))
        shutil.rmtree(folder / "out")
        shutil.rmtree(folder / str(times))
    return rows


def peak_mb() -> float:
    """The peak of this process's resident memory (Linux; getrusage's begins with that of the process that forked)."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def only(music: Path, out: Path) -> None:
    """One preparation, and what it took, as JSON; in a process of its own."""
    import scipy.sparse.csgraph  # noqa: F401  imported late otherwise

    torch.set_num_threads(1)
    features(segments(np.ones(80_000, np.float32)), "melgrams")  # tables that are made once
    before = peak_mb()
    start = time.process_time()
    prepare(music, out, KINDS)
    seconds = time.process_time() - start
    peak = peak_mb()
    arrays = sum(path.stat().st_size for path in out.rglob("X.npy")) / 1e6
    n_files = sum(path.is_file() for path in music.rglob("*"))
    print(
        json.dumps(
            {"recordings": n_files, "seconds": seconds, "before_mb": before, "peak_mb": peak, "arrays_mb": arrays}
        )
    )


def measure(folder: Path) -> None:
    """Each format and the growth; what is in results/prepare.json is not measured again."""
    torch.set_num_threads(1)
    libraries = {name: version(name) for name in ("librosa", "soundfile", "soxr", "av", "scipy")}
    made_by = {**versions(), **libraries}
    found = {
        "music": f"{N_SONGS} songs of {SONG_S} s, {RATE} Hz (opus: 48000), {CHANNELS} channels; {ROUNDS} rounds",
        "machine": f"{os.cpu_count()} CPUs, {platform.machine()}",
        "formats": {},
    }
    if (RESULTS / "prepare.json").exists():
        found = json.loads((RESULTS / "prepare.json").read_text())
    sounds = songs()
    hours = N_SONGS * SONG_S / 3600
    for kind in [each for each in FORMATS if each not in found["formats"]]:
        music = write_music(folder / kind, kind, sounds)
        files = sorted(path for path in music.rglob("*") if path.is_file())
        by_stage(files[0])
        known = usual_way_knows(files[0])
        one, two, usual, stages = [], [], [], []
        for _ in range(ROUNDS):  # in turns
            one.append(prepare_rates(music, 1))
            two.append(prepare_rates(music, 2))
            stages.append([by_stage(path) for path in files[:2]])
            start = time.process_time()
            if known:
                usual_way(files[0])
                usual.append(SONG_S / 60 / (time.process_time() - start))
        flat = [each for round_ in stages for each in round_]
        total = sum(statistics.median(each[name] for each in flat) for name in flat[0])
        found["formats"][kind] = {
            "load": os.getloadavg()[0],
            "versions": made_by,
            "bytes_per_hour": sum(path.stat().st_size for path in files) / hours,
            "by_clock_1": statistics.median(by_clock for by_clock, _ in one),
            "by_clock_2": statistics.median(by_clock for by_clock, _ in two),
            "by_processor": statistics.median(by_processor for _, by_processor in one),
            "usual_by_processor": statistics.median(usual) if known else None,
            "share": {name: statistics.median(each[name] for each in flat) / total for name in flat[0]},
        }
        write_text(RESULTS / "prepare.json", json_text(found))
        print(kind, found["formats"][kind], file=sys.stderr, flush=True)
        shutil.rmtree(folder / kind)
    if "growth" not in found:
        found["growth"] = {"versions": made_by, "rows": growth(folder, sounds[0][: 20 * RATE])}
        write_text(RESULTS / "prepare.json", json_text(found))
    write_text(RESULTS / "prepare.md", page(found))


def page(found: dict) -> str:
    lines = [
        "Made by `benchmarks/prepare.py` from `prepare.json`; never edited by hand.",
        "",
        f"{found['music']}, medians. {found['machine']}, shared; *load* is how many processes wanted them (with ours).",
        "Hours of audio a minute, melgrams only: of processor time, all of one process's work; by the clock, once all",
        "workers are at work. *Usual* is librosa.load and librosa's melspectrogram by the second, one thread.",
        "",
        "| format | MB an hour | 1 process, processor | usual, processor | ratio | load | 1 process, clock "
        "| 2 processes, clock | ratio | decoding | resampling | melgrams | MFCCs |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for kind, row in found["formats"].items():
        ours, usual, one, two = (row[key] for key in ("by_processor", "usual_by_processor", "by_clock_1", "by_clock_2"))
        usual, ratio = (f"{usual:.2f}", f"{ours / usual:.1f}") if usual else ("cannot", "-")
        load = "-" if row["load"] is None else f"{row['load']:.0f}"
        shares = " | ".join(f"{share:.0%}" for share in row["share"].values())
        lines.append(
            f"| {kind} | {row['bytes_per_hour'] / 1e6:.0f} | {ours:.2f} | {usual} | {ratio} "
            f"| {load} | {one:.2f} | {two:.2f} | {two / one:.2f} | {shares} |"
        )
    lines += [
        "",
        "The shares are of one thread's processor time, with both features. Growth, wav of 20 s, 1 process:",
        "",
        "| recordings | processor seconds | a recording | arrays, MB | peak memory above imports, MB |",
        "|---|---|---|---|---|",
    ]
    for row in found["growth"]["rows"]:
        lines.append(
            f"| {row['recordings']} | {row['seconds']:.1f} | {row['seconds'] / row['recordings'] * 1000:.0f} ms "
            f"| {row['arrays_mb']:.0f} | {row['peak_mb'] - row['before_mb']:.1f} |"
        )
    made_by = {", ".join(f"{k} {v}" for k, v in each["versions"].items()) for each in found["formats"].values()}
    made_by.add(", ".join(f"{k} {v}" for k, v in found["growth"]["versions"].items()))
    return "\n".join([*lines, "", *(f"Versions: {each}." for each in sorted(made_by)), ""])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs=2, type=Path)
    arguments = parser.parse_args()
    if arguments.only:
        only(*arguments.only)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder))
    print((RESULTS / "prepare.md").read_text())


if __name__ == "__main__":
    main()
