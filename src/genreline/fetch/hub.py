"""Models on the Hugging Face hub: an address becomes a model folder, and a model folder a repository.

huggingface_hub moves the bytes. What a repository holds is hostile: only files of kinds that run no code are taken,
none from subfolders; their sizes are bounded before anything is downloaded; and a folder gets into the cache, in one
step, when the digest of each file is as the hub lists it.
"""

import hashlib
import logging
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from genreline.errors import CheckpointError, ConfigError, GenrelineError, first_line
from genreline.files import digest_file

if TYPE_CHECKING:
    from huggingface_hub import HfApi, RepoFile

MAX_BYTES = 500_000_000
MAX_FILES = 20

_REPOSITORY = r"(?P<repository>[A-Za-z0-9]\w*(?:[.-]\w+)*/[A-Za-z0-9]\w*(?:[.-]\w+)*)"
_ADDRESS = re.compile(rf"hf://{_REPOSITORY}(?:@(?P<revision>(?!.*(?:\.\.|//))\w[\w./-]{{0,199}}))?", re.ASCII)
_ACCEPTED = re.compile(r"\w[\w.-]{0,99}\.(?:safetensors|json|onnx|md)", re.ASCII)
_OF_NO_MODEL = {".gitattributes"}  # the hub puts it into every repository

log = logging.getLogger("genreline.fetch")


class HubAddress(NamedTuple):
    """`hf://owner/name@revision`. The revision is a branch, a tag or a commit; None is the repository's main branch."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"hf://{self.repository}" + (f"@{self.revision}" if self.revision else "")


def is_hub_address(text: str) -> bool:
    """Whether the text means a model on the hub (`hf://...`), rather than a folder."""
    return text.startswith("hf://")


def parse_address(text: str) -> HubAddress:
    """The parts of `hf://owner/name` or `hf://owner/name@revision`. Raises ConfigError if it is neither."""
    match = _ADDRESS.fullmatch(text)
    if not match or len(match["repository"]) > 96:
        raise ConfigError(f"{text[:200]}: is no address of a model on the hub; write hf://owner/name or add @revision")
    return HubAddress(match["repository"], match["revision"])


def fetch_model(address: str, cache: Path | None = None) -> Path:
    """The model folder of a repository on the hub, named `owner--name@commit`.

    Without a network, what the cache has of the repository's branch or commit is used. Files of other kinds than
    safetensors, JSON, ONNX and Markdown, and those in subfolders, are not downloaded, which a warning in the log says.

    Args:
        address: `hf://owner/name`, or `hf://owner/name@revision` with a branch, a tag or a commit.
        cache: the folder (default: `genreline/models` in huggingface_hub's assets, see its HF_HOME).

    Raises:
        CheckpointError: no such repository or revision, no model in it, out of bounds, or a wrong digest. Nothing is
            left in the cache.
        ConfigError: the address is none, or huggingface_hub is not installed.
        GenrelineError: the hub cannot be reached, or the cache cannot be written to.
    """
    wanted = parse_address(address)
    with _errors_in_one_line(address):
        from huggingface_hub import constants

        api = _api()
        commit = api.resolve_revision(wanted.repository, revision=wanted.revision).resolved
        if not re.fullmatch("[0-9a-f]{40}", commit):
            raise CheckpointError(f"{address}: the hub gives no commit for it; check HF_ENDPOINT")
        cache = cache or Path(constants.HF_ASSETS_CACHE).expanduser() / "genreline" / "models"
        folder = cache / f"{wanted.repository.replace('/', '--')}@{commit}"
        if not folder.is_dir():
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetching-", dir=cache) as temporary:
                whole = _download(api, HubAddress(wanted.repository, commit), Path(temporary))
                try:
                    whole.rename(folder)
                except OSError:
                    if not folder.is_dir():  # otherwise another process was faster
                        raise
        return folder


def push_files(files: Mapping[str, Path], repository: str, private: bool | None = None) -> HubAddress:
    """Make these files the model that a repository on the hub holds, in one commit, and give its address.

    The repository is made if there is none. Of its other files only weights and graphs go, those of earlier models.

    Args:
        files: the names in the repository, and where the files are.
        repository: `owner/name`.
        private: who may read a new repository: its owner alone, or everybody (default: as the owner's settings say).

    Raises:
        CheckpointError: no such owner, or nothing that the token may write to.
        ConfigError: the name is none, there is no token, or huggingface_hub is not installed.
        GenrelineError: the hub cannot be reached, or refuses.
    """
    address = parse_address(f"hf://{repository}")
    if address.revision is not None:
        raise ConfigError(f"{repository}: a push makes a new commit on the main branch; leave the revision out")
    with _errors_in_one_line(str(address)):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, get_token

        if get_token() is None:
            raise ConfigError(f"{address}: a push needs a token; log in with: hf auth login (or set HF_TOKEN)")
        api = _api()
        api.create_repo(repository, private=private, exist_ok=True)
        stale = [
            name
            for name in api.list_repo_files(repository)
            if name not in files and re.fullmatch(r"(weights|graph)-[0-9a-f]+\.(safetensors|onnx)", name)
        ]
        commit = api.create_commit(
            repository,
            operations=[
                *(CommitOperationAdd(name, path) for name, path in files.items()),
                *(CommitOperationDelete(name) for name in stale),
            ],
            commit_message="Push a genreline model",
        )
        return HubAddress(repository, commit.oid)


def _api() -> "HfApi":
    """huggingface_hub's client; it takes the hub and the user's token from where all programs on the hub do."""
    from huggingface_hub import HfApi

    from genreline import __version__

    return HfApi(library_name="genreline", library_version=__version__)


@contextmanager
def _errors_in_one_line(address: str) -> Iterator[None]:
    """Put what huggingface_hub raises into one line of ours, which holds neither a token nor the hub's own text."""
    try:
        import httpx2
        from huggingface_hub import errors
    except ImportError as error:
        raise ConfigError(f"{address}: models on the hub need huggingface_hub; pip install 'genreline[hub]'") from error
    unreachable = (
        *(httpx2.HTTPError, errors.RevisionResolutionError),
        *(errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError),
    )
    try:
        yield
    except errors.GatedRepoError as error:
        raise CheckpointError(
            f"{address}: its owner has to grant you access; ask for it on the model's page"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{address}: is no repository that you can read; check the name, or log in with: hf auth login"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"{address}: the repository has no such revision; leave @... out, or check it") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise GenrelineError(
                f"{address}: your token does not allow this; log in with another one: hf auth login"
            ) from error
        raise GenrelineError(f"{address}: the hub answers with HTTP status {status}; try again later") from error
    except unreachable as error:
        raise GenrelineError(f"{address}: the hub cannot be reached; try again when there is a network") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise GenrelineError(f"{address}: {first_line(error)}") from error


def _download(api: "HfApi", pinned: HubAddress, temporary: Path) -> Path:
    """A folder of the accepted files of a commit, each with the digest that the hub lists."""
    from huggingface_hub import RepoFile

    tree = api.list_repo_tree(pinned.repository, recursive=True, revision=pinned.revision)
    files = _accepted(pinned, (entry for entry in tree if isinstance(entry, RepoFile)))
    whole = temporary / "whole"
    whole.mkdir()
    for file in files:
        downloaded = Path(
            api.hf_hub_download(
                pinned.repository, file.path, revision=pinned.revision, local_dir=temporary / "downloads"
            )
        )
        if not _is_as_listed(downloaded, file):
            raise CheckpointError(f"{pinned}: {file.path} is not what the hub lists (another digest); try again")
        downloaded.rename(whole / file.path)
    return whole


def _accepted(pinned: HubAddress, files: Iterable["RepoFile"]) -> list["RepoFile"]:
    """The files to download. Raises CheckpointError if they hold no model or are out of bounds."""
    listed = list(files)
    accepted = [file for file in listed if _ACCEPTED.fullmatch(file.path)]
    refused = {file.path for file in listed} - {file.path for file in accepted} - _OF_NO_MODEL
    if names := [ascii(path[:80])[1:-1] for path in sorted(refused)]:
        log.warning(
            "%s: not downloaded: %s (only safetensors, JSON, ONNX and Markdown are, outside of subfolders)",
            pinned,
            ", ".join(names[:5]) + (f" and {len(names) - 5} others" if len(names) > 5 else ""),
        )
    if "model.json" not in [file.path for file in accepted]:
        raise CheckpointError(f"{pinned}: has no model.json, so it is no model of genreline's; check the name")
    n_bytes = sum(file.size for file in accepted)
    if len(accepted) > MAX_FILES or n_bytes > MAX_BYTES:
        raise CheckpointError(
            f"{pinned}: has {len(accepted)} files of {n_bytes / 1e6:.0f} MB, more than the {MAX_FILES} files and "
            f"{MAX_BYTES / 1e6:.0f} MB allowed"
        )
    return accepted


def _is_as_listed(path: Path, file: "RepoFile") -> bool:
    """Whether a file has the digest in the hub's list: SHA-256 of large files, git's blob id of others."""
    if file.lfs is not None:
        return digest_file(path) == file.lfs.sha256
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == file.blob_id
