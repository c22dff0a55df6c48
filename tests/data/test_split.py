"""Who goes to which set: whole groups, every class in every set, the same for the same seed."""

from collections import Counter, defaultdict

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from genreline.data.layout import SETS
from genreline.data.sources import Recording
from genreline.data.split import parse_shares, read_split_file, split_recordings, write_split_file
from genreline.errors import ConfigError, DataError


def singles(sizes):
    return [Recording(f"{label}/{i}", label) for label, n in sizes.items() for i in range(n)]


def names(recordings):
    return [each.name for each in recordings]


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(3, 40), min_size=1), st.integers(0, 1000))
def test_recordings_without_artists_are_dealt_by_their_shares(sizes, seed):
    recordings = singles(sizes)
    sets = split_recordings(recordings, names(recordings), seed)
    assert split_recordings(recordings, names(recordings), seed) == sets
    counts = Counter((each.label, name) for each, name in zip(recordings, sets, strict=True))
    for label, n in sizes.items():
        for name, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
            assert counts[label, name] >= 1
            assert abs(counts[label, name] - share * n) <= 1


def test_seeds_differ():
    recordings = singles({"a": 20, "b": 20})
    assert split_recordings(recordings, names(recordings), 0) != split_recordings(recordings, names(recordings), 1)


any_recordings = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["", *"PQRSTUVW"]), st.integers(0, 25)), min_size=6, max_size=60
)


@given(any_recordings, st.integers(0, 5))
def test_no_group_is_in_two_sets(rows, seed):
    recordings = [Recording(str(i), label, artist) for i, (label, artist, _) in enumerate(rows)]
    contents = [str(content) for _, _, content in rows]
    try:
        sets = split_recordings(recordings, contents, seed)
    except DataError:
        assume(False)
    where = defaultdict(set)
    for recording, content, name in zip(recordings, contents, sets, strict=True):
        where["content", content].add(name)
        if recording.artist:
            where["artist", recording.artist].add(name)
    assert all(len(found) == 1 for found in where.values())
    assert {(each.label, name) for each, name in zip(recordings, sets, strict=True)} == {
        (label, name) for label in {each.label for each in recordings} for name in SETS
    }


def test_large_artists_leave_room_for_all():
    recordings = [Recording(f"{label}{i}", label, f"{label}{max(0, i - 17)}") for label in "ab" for i in range(20)]
    sets = split_recordings(recordings, names(recordings))  # an artist has 18 of 20
    counts = Counter((each.label, name) for each, name in zip(recordings, sets, strict=True))
    assert [counts["a", name] for name in SETS] == [18, 1, 1]


def test_too_few_groups_are_named():
    recordings = [*singles({"rock": 9, "polka": 2}), *(Recording(f"b{i}", "blues", "B. B. King") for i in range(9))]
    with pytest.raises(DataError, match="blues has 1, polka has 2"):
        split_recordings(recordings, names(recordings))
    copies = singles({"rock": 9, "blues": 5})
    with pytest.raises(DataError, match="blues has 2"):  # five files, but of two recordings
        split_recordings(copies, [*names(copies[:9]), "x", "x", "x", "y", "y"])


def test_classes_that_are_tied_together_are_said():
    recordings = [Recording(f"{label}{i}", label, "one" if i else f"{label}0") for label in "ab" for i in range(5)]
    recordings += [Recording("c0", "a", "two")]
    with pytest.raises(DataError, match="too few groups"):
        split_recordings(recordings, names(recordings))


def test_a_split_file_says_what_was_split(tmp_path):
    recordings = singles({"a": 5, "b,\n": 5})
    sets = split_recordings(recordings, names(recordings))
    sets[0] = ""
    write_split_file(tmp_path / "split.csv", recordings, sets)
    assert read_split_file(tmp_path / "split.csv", recordings) == sets
    with pytest.raises(DataError, match=r"no line for c/0 and 1 more"):
        read_split_file(tmp_path / "split.csv", singles({"a": 5, "c": 2}))
    (tmp_path / "split.csv").write_text("track,split\na/0,train\na/0,test\n")
    with pytest.raises(DataError, match="line 3 puts a/0 into a second set"):
        read_split_file(tmp_path / "split.csv", recordings)
    (tmp_path / "split.csv").write_text("track,split\na/0,eval\n")
    with pytest.raises(DataError, match="line 2 has the split 'eval'"):
        read_split_file(tmp_path / "split.csv", recordings)


def test_shares_as_people_write_them():
    assert parse_shares("80/10/10") == {"train": 0.8, "val": 0.1, "test": 0.1}
    assert parse_shares("some/split.csv") is None
    for wrong in ("80/10/5", "100/0/0"):
        with pytest.raises(ConfigError, match="add up to 100"):
            parse_shares(wrong)
