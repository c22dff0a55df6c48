"""Which recordings go to train, val and test: whole groups, stratified by class, seeded; and the file that says so.

A group is what must stay together: the recordings of an artist, a recording without an artist, and whatever is the
same recording, byte by byte.
"""

import csv
import io
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from genreline.data.layout import SETS
from genreline.data.sources import Recording, printable, read_rows, set_of
from genreline.errors import ConfigError, DataError
from genreline.files import write_text

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}
"""The share of each class's recordings that goes to each set."""


def parse_shares(text: str) -> dict[str, float] | None:
    """`80/10/10` as the shares of train, val and test; None for a text that is not three numbers between slashes.

    Raises:
        ConfigError: a share is zero, or they do not add up to 100.
    """
    if not re.fullmatch(r"\d+/\d+/\d+", text):
        return None
    percents = [int(number) for number in text.split("/")]
    if sum(percents) != 100 or not all(percents):
        raise ConfigError(f"split {text}: the shares of train, val and test must be above 0 and add up to 100")
    return {name: percent / 100 for name, percent in zip(SETS, percents, strict=True)}


def split_recordings(
    recordings: Sequence[Recording], contents: Sequence[str], seed: int = 0, shares: Mapping[str, float] = SHARES
) -> list[str]:
    """The set of each recording: whole groups, by `shares` of each class's recordings, by a seeded shuffle.

    Large groups are dealt first, each to the set that lacks most of its rarest class; every set gets every class.

    Args:
        contents: a digest of each recording's bytes; equal ones are one recording.

    Raises:
        DataError: a class has too few groups for three sets, or its groups hold too many other classes.
    """
    groups: dict[int, Counter[str]] = defaultdict(Counter)  # how many recordings of each class a group has
    numbers = group_numbers(recordings, contents)
    for number, recording in zip(numbers, recordings, strict=True):
        groups[number].update(recording.labels)
    n_groups = Counter(label for counts in groups.values() for label in counts)
    check_enough(n_groups)
    total = Counter(label for recording in recordings for label in recording.labels)
    shuffled = np.random.default_rng(seed).permutation(len(groups))
    sizes = Counter(numbers)
    by_size = sorted(map(int, shuffled), key=lambda number: -sizes[number])
    dealt: dict[str, Counter[str]] = {label: Counter() for label in total}  # recordings in each set
    set_of: dict[int, str] = {}
    for label in sorted(total, key=lambda label: (n_groups[label], label)):
        left = [number for number in by_size if label in groups[number] and number not in set_of]
        for i, number in enumerate(left):
            empty = [name for name in SETS if not dealt[label][name]]
            choice = empty if len(left) - i <= len(empty) else SETS
            lacks = {name: shares[name] * total[label] - dealt[label][name] for name in choice}
            set_of[number] = max(choice, key=lacks.__getitem__)
            for each, n in groups[number].items():
                dealt[each][set_of[number]] += n
    for label, counts in dealt.items():
        if missing := [name for name in SETS if not counts[name]]:
            raise DataError(
                f"{label}: has no group left for {' and '.join(missing)}, because its groups hold other classes too; "
                f"try another seed, or give a split file"
            )
    return [set_of[number] for number in numbers]


def check_enough(n_groups: Mapping[str, int]) -> None:
    """Raise DataError if classes have fewer groups than there are sets; it names all of them."""
    if few := [f"{label} has {n}" for label, n in sorted(n_groups.items()) if n < len(SETS)]:
        raise DataError(
            f"too few groups to split: {', '.join(few)}; each of {', '.join(SETS)} needs one of its own (an artist, "
            f"or a recording without one)"
        )


def artist_groups(recordings: Iterable[Recording]) -> Counter[str]:
    """How many groups each class has at most: what is known before any recording is read."""
    groups = {(label, bool(each.artist), each.artist or each.name) for each in recordings for label in each.labels}
    return Counter(label for label, _, _ in groups)


def group_numbers(recordings: Sequence[Recording], contents: Sequence[str]) -> list[int]:
    """A number from 0 for each recording, the same for those that share an artist or their bytes, and so on.

    They are the connected components of the graph whose nodes are recordings, artists and contents.
    """
    nodes: dict[tuple[str, str], int] = {}
    edges: list[tuple[int, int]] = []
    for i, (recording, content) in enumerate(zip(recordings, contents, strict=True)):
        for key in [("content", content), *([("artist", recording.artist)] if recording.artist else [])]:
            edges.append((i, len(recordings) + nodes.setdefault(key, len(nodes))))
    n = len(recordings) + len(nodes)
    ends = np.array(edges).T
    graph = coo_array((np.ones(len(edges), bool), (ends[0], ends[1])), shape=(n, n))
    component: dict[int, int] = {}  # numbered by first appearance, whatever order scipy finds them in
    found = connected_components(graph, directed=False)[1][: len(recordings)]
    return [component.setdefault(number, len(component)) for number in found.tolist()]


def check_given(recordings: Sequence[Recording], sets: Sequence[str], where: str) -> None:
    """Raise DataError if a given split puts an artist in two sets, leaves a set empty, or a class out of train."""
    artists: dict[str, str] = {}
    for recording, name in zip(recordings, sets, strict=True):
        if recording.artist and name and artists.setdefault(recording.artist, name) != name:
            pair = f"{artists[recording.artist]} and {name}"
            raise DataError(f"{where}: {recording.artist!r} is in {pair}; an artist belongs to one set")
    if empty := [name for name in SETS if name not in sets]:
        raise DataError(f"{where}: nothing goes to {' and '.join(empty)}; each set needs recordings")
    pairs = [(label, name) for each, name in zip(recordings, sets, strict=True) for label in each.labels]
    known = {label for label, name in pairs if name == "train"}
    used = {label for label, name in pairs if name}
    if unknown := sorted(used - known):
        raise DataError(f"{where}: train has no recording of {', '.join(unknown)}, which other sets have")


def write_split_file(path: str | Path, recordings: Sequence[Recording], sets: Sequence[str]) -> None:
    """Write track,label,artist,split by recording; an empty split is a recording that is left out."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["track", "label", "artist", "split"])
    for recording, name in zip(recordings, sets, strict=True):
        writer.writerow([printable(recording.name), recording.label, recording.artist, name])
    write_text(path, text.getvalue())


def read_split_file(path: str | Path, recordings: Sequence[Recording]) -> list[str]:
    """The set of each recording as a split file has it, "" for what it leaves out.

    Raises:
        DataError: not a CSV with track and split, an unknown set, or a recording without a line.
    """
    sets: dict[str, str] = {}
    for line, row in read_rows(Path(path), ("track", "split")):
        text = row["split"].strip()
        name = set_of(text)
        if text and not name:
            raise DataError(f"{path}: line {line} has the split {text!r}; it is one of {', '.join(SETS)}, or empty")
        if sets.setdefault(row["track"], name) != name:
            raise DataError(f"{path}: line {line} puts {row['track']} into a second set")
    composed = {unicodedata.normalize("NFC", name): given for name, given in sets.items()}
    names = [printable(recording.name) for recording in recordings]
    found = [sets.get(name, composed.get(unicodedata.normalize("NFC", name))) for name in names]
    if unknown := [name for name, given in zip(names, found, strict=True) if given is None]:
        more = f" and {len(unknown) - 1} more" * (len(unknown) > 1)
        raise DataError(f"{path}: has no line for {unknown[0]}{more}; a line with an empty split leaves one out")
    return [given for given in found if given is not None]
