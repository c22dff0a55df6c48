"""Labelled audio becomes a dataset in the course layout, in memory that does not grow with the audio.

Each recording's features go to a part file that is complete or absent, named by the recording's bytes and by how the
features were computed. When all parts exist, they are put together in a fixed order, and the manifest is written last.
An interruption loses only the parts in progress, and the same command continues to the same bytes.
"""

import hashlib
import json
import platform
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import numpy as np
import torch
from numpy.typing import NDArray

from genreline.audio.decode import blocks
from genreline.audio.features import FEATURE_SHAPES, features, segments
from genreline.audio.seconds import are_silent
from genreline.data.labels import labels_in
from genreline.data.layout import SETS, TrackRows, write_split_blocks
from genreline.data.sources import Recording, RecordingList, printable, read_source
from genreline.data.split import (
    SHARES,
    artist_groups,
    check_enough,
    check_given,
    parse_shares,
    read_split_file,
    split_recordings,
    write_split_file,
)
from genreline.errors import AudioError, ConfigError, DataError, GenrelineError, first_line
from genreline.files import DISK_IS_FULL, check_writable, digest_file, json_text, replacing, write_text
from genreline.parallel import decoding_s, map_unordered

MANIFEST, SPLIT_FILE, WORK = "manifest.json", "split.csv", ".preparing"
_LOCK = ".prepare.lock"
_ROWS_AT_A_TIME = 512  # 5.5 MB of melgrams
DTYPES = {"mfccs": "<f8", "melgrams": "<f4"}
"""What each representation is stored as: what its function returns."""


class Step(NamedTuple):
    """The progress of the work, as `on_step` gets it.

    Attributes:
        what: "features" or "writing", in this order.
        done, total: recordings.
        audio_s: seconds of audio whose features were computed, in this call, so far.
        error: what was wrong with the recording that was just done, as a line; "" if nothing was.
    """

    what: str
    done: int
    total: int
    audio_s: int
    error: str = ""


@dataclass(frozen=True)
class PreparedPart:
    """The outcome for one recording: the digest of its bytes and its number of rows, or why it has none."""

    content: str
    n_rows: int
    was_there: bool = False
    error: str = ""


def prepare(
    source: str | Path,
    out: str | Path,
    kinds: Sequence[str] = tuple(FEATURE_SHAPES),
    seed: int = 0,
    split: str | Path | None = None,
    strict: bool = False,
    jobs: int = 1,
    backend: str = "processes",
    ray_address: str | None = None,
    on_step: Callable[[Step], object] = lambda step: None,
) -> dict[str, Any]:
    """Write the dataset of `source` to the folder `out`; continue where an interrupted call stopped.

    Args:
        source: a folder with a folder of audio files for each class; one with train, val and test folders of such; or a
            CSV file (`path,label[,artist][,split]`). See `sources.read_source`.
        kinds: of features, "mfccs" and "melgrams".
        seed: of the split, by artist or recording and stratified by class (`split.split_recordings`), where neither the
            source nor `split` says what goes where.
        split: a file as an earlier call left it in `out`/split.csv, perhaps edited; or the percentages of train, val
            and test, as "80/10/10" (default: 60/20/20).
        strict: raise the first recording's error instead of leaving it out.
        jobs: processes; 1 works in this one. See `map_unordered` for it, `backend` and `ray_address`.
        on_step: called after each recording.

    Returns:
        The manifest: settings, inputs, versions, sets, digests, passed_over (how many files in folders have no suffix
        of an audio file, by suffix), without_audio (folders that are no classes, as they have no such files), skipped
        (file, reason) and duplicates. It is kept in `out`/manifest.json, which is written last: where it is, the
        dataset is complete.

    Raises:
        DataError: an unsuitable source, split or output folder. ConfigError: unknown kinds or backend.
        AudioError: with `strict`. GenrelineError: another call is at work in `out`, or it cannot be written to.
    """
    unknown = sorted(set(kinds) - set(FEATURE_SHAPES))
    if unknown or not kinds:
        wrong = f"there is no {', '.join(unknown)}" if unknown else "none given"
        raise ConfigError(f"features: {wrong}; choose from {', '.join(FEATURE_SHAPES)}")
    kinds = [kind for kind in FEATURE_SHAPES if kind in kinds]
    shares = parse_shares(split) if isinstance(split, str) else None
    found, out = read_source(source), Path(out).absolute()
    if out.is_relative_to(found.root) and Path(source).is_dir():
        raise ConfigError(f"{out}: is inside the source; choose a folder outside of it")
    given = None if shares else _given_split(found, split)
    if given is None:
        check_enough(artist_groups(found.recordings))
    settings = {
        "features": kinds,
        "split": _split_text(split, given, shares),
        "seed": seed if given is None else None,
        "versions": _versions(),
    }
    check_writable(out)
    out.mkdir(parents=True, exist_ok=True)
    n_threads = torch.get_num_threads()
    try:
        with filelock.FileLock(out / _LOCK, timeout=0):
            inputs = _inputs_digest(found, settings)
            if (manifest := finished(out, inputs)) is None:
                work = partial(write_part, found.root, out / WORK / "parts", kinds, _made(kinds))
                mapped: Generator[tuple[Recording, PreparedPart], None, None] = (
                    ((recording, work(recording)) for recording in found.recordings)
                    if jobs == 1 and backend == "processes"
                    else map_unordered(
                        work,
                        found.recordings,
                        jobs,
                        backend,
                        ray_address,
                        processor_s=lambda recording: decoding_s(found.root / recording.name),
                        lost=lambda _, what: PreparedPart("", 0, error=f"its process {what}"),
                    )
                )
                with closing(mapped):
                    parts = _all_parts(found, mapped, strict, on_step)
                manifest = {"settings": settings, "inputs": inputs, "passed_over": dict(found.passed_over)}
                manifest |= {"without_audio": [printable(name) for name in found.without_audio]}
                manifest |= _assemble(found, parts, given, seed, shares, kinds, strict, out, on_step)
                write_text(out / MANIFEST, json_text(manifest))
            shutil.rmtree(out / WORK, ignore_errors=True)
    except filelock.Timeout as error:
        raise GenrelineError(f"{out}: another preparation is at work there; wait for it or choose another") from error
    except OSError as error:
        advice = "make room" if error.errno in DISK_IS_FULL else "check the folder and its permissions"
        raise GenrelineError(
            f"{out}: cannot be written ({error.strerror or error}); {advice} and run the same command again"
        ) from error
    finally:
        torch.set_num_threads(n_threads)
    return manifest


def write_part(root: Path, parts: Path, kinds: Sequence[str], made: str, recording: Recording) -> PreparedPart:
    """Write one recording's features to its part file, unless it exists: rows of all kinds, minute by minute.

    For a recording that cannot be decoded, the PreparedPart has the error.

    Raises:
        GenrelineError: the part cannot be written, or this process has other versions of the libraries than the one
            that `made` the plan.
    """
    if made != _made(kinds):
        raise GenrelineError(f"{platform.node()}: has other versions than the machine that started; install the same")
    torch.set_num_threads(1)  # the work is shared out by recording
    path, content, error = root / recording.name, "", ""
    try:
        if printable(recording.name) != recording.name:
            return PreparedPart("", 0, error="its name is not UTF-8 text; rename it")
        if path.exists() and not path.is_file():
            return PreparedPart("", 0, error="is not a file")  # a pipe would block, a device never ends
        content = digest_file(path)
        part = _part_path(parts, content, made)
        row = _row_dtype(kinds)
        if part.exists() and part.stat().st_size:
            return PreparedPart(content, part.stat().st_size // row.itemsize, was_there=True)
        has_sound = False
        with replacing(part) as temporary, temporary.open("wb") as file:
            for block in blocks(path):
                has_sound = has_sound or not are_silent(block).all()
                cut = segments(block)
                rows = np.empty(len(cut), row)
                for kind in kinds:
                    rows[kind] = features(cut, kind).numpy()
                file.write(rows.view(np.uint8).data)
            if not has_sound:
                raise AudioError(f"{path}: holds nothing but silence")
            n_rows = file.tell() // row.itemsize
        return PreparedPart(content, n_rows)
    except AudioError as problem:
        error = str(problem).removeprefix(f"{path}: ")
    except GenrelineError:
        raise
    except OSError as problem:
        error = f"cannot be read ({problem.strerror or problem})"
    except Exception as problem:  # from any decoder: one file must not end the work on all others
        error = f"cannot be decoded ({type(problem).__name__}: {' '.join(str(problem).split())[:200]})"
    return PreparedPart(content, 0, error=error)


def _all_parts(
    found: RecordingList,
    mapped: Iterable[tuple[Recording, PreparedPart]],
    strict: bool,
    on_step: Callable[[Step], object],
) -> list[PreparedPart]:
    """The part of each recording, in the source's order."""
    parts: dict[str, PreparedPart] = {}
    audio_s = 0
    for recording, part in mapped:
        parts[recording.name] = part
        audio_s += 0 if part.was_there else part.n_rows
        if strict and part.error:
            raise AudioError(f"{found.root / recording.name}: {part.error}")
        line = f"{found.root / recording.name}: {part.error}" if part.error else ""
        on_step(Step("features", len(parts), len(found.recordings), audio_s, line))
    return [parts[recording.name] for recording in found.recordings]


def _assemble(
    found: RecordingList,
    parts: Sequence[PreparedPart],
    given: Sequence[str] | None,
    seed: int,
    shares: Mapping[str, float] | None,
    kinds: Sequence[str],
    strict: bool,
    out: Path,
    on_step: Callable[[Step], object],
) -> dict[str, Any]:
    """Split the recordings and put their parts together; returns the manifest's figures."""
    skipped = {each.name: part.error for each, part in zip(found.recordings, parts, strict=True) if part.error}
    duplicates = _duplicates(found.recordings, parts)
    good = [i for i, part in enumerate(parts) if not part.error]
    if not good:
        raise DataError(f"{found.root}: none of its {len(parts)} files is audio that can be used")
    _check_classes(found, parts, duplicates)
    recordings, contents = [found.recordings[i] for i in good], [parts[i].content for i in good]
    if given is None:
        computed = split_recordings(recordings, contents, seed, shares or SHARES)
        sets = dict(zip(good, computed, strict=True))
    else:
        sets = {i: given[i] for i in good}
        crossing = _crossing(found.recordings, parts, sets)
        if strict and crossing:
            raise DataError(next(f"{found.root / name}: {reason}" for name, reason in crossing.items()))
        skipped |= crossing
        sets = {i: "" if found.recordings[i].name in crossing else name for i, name in sets.items()}
    check_given(recordings, [sets[i] for i in good], str(found.root))
    staged = out / WORK / "dataset"
    shutil.rmtree(staged, ignore_errors=True)
    figures, n_done, made = {}, 0, _made(kinds)
    n_used = sum(map(bool, sets.values()))

    def rows_of(i: int) -> Iterator[NDArray[Any]]:
        nonlocal n_done
        yield from _read_part(_part_path(out / WORK / "parts", parts[i].content, made), parts[i].n_rows, kinds)
        n_done += 1
        on_step(Step("writing", n_done, n_used, 0))

    for name in SETS:
        chosen = [i for i in good if sets[i] == name]
        tracks = [TrackRows(*found.recordings[i][:3], parts[i].n_rows) for i in chosen]
        figures[name] = {
            "recordings": len(chosen),
            "rows": sum(each.n_rows for each in tracks),
            "rows_by_class": _rows_by_class(tracks),
            "sha256": write_split_blocks(
                staged,
                name,
                {kind: np.dtype(DTYPES[kind]) for kind in kinds},
                tracks,
                (rows for i in chosen for rows in rows_of(i)),
            ),
        }
    for path in sorted(staged.rglob("*")):
        if path.is_file():
            target = out / path.relative_to(staged)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    write_split_file(out / SPLIT_FILE, found.recordings, [sets.get(i, "") for i in range(len(parts))])
    return {
        "sets": figures,
        "skipped": [{"file": printable(name), "reason": reason} for name, reason in sorted(skipped.items())],
        "duplicates": duplicates,
    }


def _check_classes(found: RecordingList, parts: Sequence[PreparedPart], duplicates: Sequence[Sequence[str]]) -> None:
    """DataError for a class without a recording that can be used, and for a recording that is in two classes."""
    reasons: dict[str, str] = {}
    for recording, part in zip(found.recordings, parts, strict=True):
        for label in recording.labels:
            reasons.setdefault(label, f"{printable(recording.name)} {part.error}")
    for recording, part in zip(found.recordings, parts, strict=True):
        if not part.error:
            for label in recording.labels:
                reasons.pop(label, None)
    if reasons:
        names, reason = ", ".join(map(printable, reasons)), next(iter(reasons.values()))
        raise DataError(
            f"{found.root}: no recording of {names} can be used ({reason}); mend them, or leave the class out"
        )
    labels = {recording.name: recording.label for recording in found.recordings}
    for same in duplicates:
        if len({labels[name] for name in same}) > 1:
            shown = " and ".join(f"{printable(name)} ({labels[name]})" for name in same[:4])
            raise DataError(
                f"{found.root}: one recording is in several classes: {shown}; leave it in one of them, or "
                f"give it all of them in one line of a CSV file, as a|b"
            )


def _split_text(split: str | Path | None, given: Sequence[str] | None, shares: Mapping[str, float] | None) -> str:
    """How recordings were assigned to sets, for the manifest."""
    if shares:
        return f"computed, {split}"
    if split:
        return f"file {digest_file(split)}"
    return "given by the source" if given else "computed"


def _given_split(found: RecordingList, split: str | Path | None) -> list[str] | None:
    """The set of each recording, if the split file or else the source gives it."""
    if split:
        if not Path(split).is_file():
            raise ConfigError(f"split {split}: is neither a file nor percentages like 80/10/10")
        given, where = read_split_file(split, found.recordings), str(split)
    elif found.is_split:
        given, where = [recording.split for recording in found.recordings], str(found.root)
    else:
        return None
    check_given(found.recordings, given, where)
    return given


def _duplicates(recordings: Sequence[Recording], parts: Sequence[PreparedPart]) -> list[list[str]]:
    """The names of recordings that are the same, byte by byte."""
    same: dict[str, list[str]] = defaultdict(list)
    for recording, part in zip(recordings, parts, strict=True):
        if not part.error:
            same[part.content].append(recording.name)
    return [names for names in same.values() if len(names) > 1]


def _crossing(
    recordings: Sequence[Recording], parts: Sequence[PreparedPart], sets: Mapping[int, str]
) -> dict[str, str]:
    """Name -> reason of recordings that a given split has in another set too: the last set keeps its copies.

    So train loses what test has, and figures on val and test stay comparable with those of others.
    """
    kept: dict[str, tuple[int, str]] = {}
    for i, name in sets.items():
        if name:
            place = (SETS.index(name), recordings[i].name)
            kept[parts[i].content] = max(kept.get(parts[i].content, place), place)
    reasons = {}
    for i, name in sets.items():
        if name and SETS[kept[parts[i].content][0]] != name:
            last, twin = kept[parts[i].content]
            reasons[recordings[i].name] = f"left out of {name}: {printable(twin)} in {SETS[last]} is the same recording"
    return reasons


def _rows_by_class(tracks: Sequence[TrackRows]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in tracks:
        total.update(dict.fromkeys(labels_in(each.label), each.n_rows))
    return dict(sorted(total.items()))


def _row_dtype(kinds: Sequence[str]) -> np.dtype[Any]:
    """One second in a part file: all its kinds of features, one after the other."""
    return np.dtype([(kind, DTYPES[kind], FEATURE_SHAPES[kind]) for kind in kinds])


def _made(kinds: Sequence[str]) -> str:
    """A name for how features are computed, which keeps leftovers of other versions from being used: equal names
    mean equal bytes."""
    return hashlib.sha256(json.dumps([list(kinds), _versions()]).encode()).hexdigest()[:12]


def _part_path(parts: Path, content: str, made: str) -> Path:
    return parts / content[:2] / f"{content}-{made}.rows"


def _read_part(path: Path, n_rows: int, kinds: Sequence[str]) -> Iterator[NDArray[Any]]:
    row = _row_dtype(kinds)
    with path.open("rb") as file:
        if path.stat().st_size != n_rows * row.itemsize:
            raise DataError(f"{path}: is damaged; delete it and run the same command again")
        while len(rows := np.fromfile(file, row, _ROWS_AT_A_TIME)):
            yield rows


def _inputs_digest(found: RecordingList, settings: Mapping[str, Any]) -> str:
    """What a dataset is made of, without reading the recordings: their names, labels, sizes, times; the settings."""
    total = hashlib.sha256(json.dumps(settings).encode())
    for recording in found.recordings:
        try:
            status = (found.root / recording.name).stat()
            place = [status.st_size, status.st_mtime_ns]
        except OSError:
            place = []
        total.update(json.dumps([*recording, *place]).encode())
    return total.hexdigest()


def finished(out: Path, inputs: str) -> dict[str, Any] | None:
    """The manifest of a finished dataset of these inputs; None where there is work to do.

    Raises:
        DataError: `out` holds something else, which is not overwritten.
    """
    if (out / MANIFEST).exists():
        manifest = _read_manifest(out / MANIFEST)
        if manifest["inputs"] != inputs:
            raise DataError(
                f"{out}: holds a finished dataset of other recordings, settings or versions; delete it, or choose "
                f"another folder"
            )
        return manifest
    if not (out / WORK).exists() and any(path.name != _LOCK for path in out.iterdir()):
        raise DataError(f"{out}: holds files that are not from an interrupted preparation; choose a new folder")
    return None


def _read_manifest(path: Path) -> dict[str, Any]:
    """What a finished preparation left; DataError if it is something else."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(manifest, dict) and "inputs" in manifest:
            return manifest
        reason = "names no inputs"
    except (ValueError, RecursionError) as error:
        reason = first_line(error)
    raise DataError(f"{path}: is no manifest of a preparation ({reason}); delete its folder, or choose another")


@cache
def _versions() -> dict[str, str]:
    """The versions that the features depend on to the last bit, besides the recordings."""
    libraries = ("genreline", "numpy", "scipy", "torch", "soundfile", "av", "soxr")
    return {"python": platform.python_version(), **{name: version(name) for name in libraries}}
