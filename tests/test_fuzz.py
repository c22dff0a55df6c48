"""What is fuzzed works or is one line: the corpus with all that was found, and a few mutated files each time."""

from contextlib import suppress
from pathlib import Path

import pytest
from fuzz.mutate import mutated, with_ogg_checksums
from fuzz.targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

from genreline.errors import GenrelineError

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"
FILES = sorted(path for path in CORPUS.glob("*/*"))


def read(kind: str, path: Path) -> None:
    with suppress(GenrelineError):  # and nothing else
        TARGETS[kind](path)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_the_corpus_is_read(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / file.name
    copy.write_bytes(file.read_bytes())
    read(file.parent.name, copy)
    assert capfd.readouterr() == ("", "")  # decoders print nothing


@settings(max_examples=60, derandomize=True)  # `make fuzz` is for finding
@given(st.sampled_from(FILES), st.binary(max_size=300), st.integers(0, 2**48))
def test_mutated_files_are_read(tmp_path_factory: pytest.TempPathFactory, file: Path, other: bytes, seed: int) -> None:
    copy = tmp_path_factory.mktemp("mutated") / f"case{file.suffix}"
    copy.write_bytes(mutated(file.read_bytes(), [other], seed))
    read(file.parent.name, copy)


def test_every_kind_has_seeds_that_are_read_whole(tmp_path: Path) -> None:
    seeds = [file for file in FILES if not file.name.startswith("found")]
    assert {file.parent.name for file in seeds} == set(TARGETS)
    for file in seeds:
        if file.parent.name != "array":  # of which only one is features and another labels
            copy = tmp_path / file.name
            copy.write_bytes(file.read_bytes())
            TARGETS[file.parent.name](copy)


def test_checksums_are_libogg_s() -> None:
    data = (CORPUS / "sound" / "vorbis.ogg").read_bytes()
    assert with_ogg_checksums(data) == data
    damaged = bytearray(data)
    damaged[22:26] = bytes(4)
    assert with_ogg_checksums(bytes(damaged)) == data
