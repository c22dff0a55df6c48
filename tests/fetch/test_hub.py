"""The real huggingface_hub against a stand-in of the hub on loopback, with models and what else is sent."""

import base64
import hashlib
import json
import pickle
import re
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import numpy as np
import pytest
import soundfile
from huggingface_hub import constants
from typer.testing import CliRunner

from genreline import Config, FeedForward, Model, Recognizer, save_model
from genreline.cli import app
from genreline.errors import CheckpointError, ConfigError, GenrelineError
from genreline.fetch import hub as hub_module
from genreline.fetch.hub import HubAddress, fetch_model, parse_address, push_files

LARGE = (".safetensors", ".onnx", ".bin")  # what the hub keeps by SHA-256 instead of in git
MODEL = {
    "model.json": b'{"format": 1}\n',
    "weights-0123456789abcdef.safetensors": b"weights" * 100,
    "README.md": b"# folk\n",
    ".gitattributes": b"*.safetensors filter=lfs\n",
}
TOKEN = "hf_a-secret-of-the-user"


def blob_id(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub(ThreadingHTTPServer):
    """What huggingface_hub asks of the hub. `files` are those of commits, `branches` the commits of a repository."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.files, self.branches, self.uploads = {}, {}, {}
        self.sent_instead = {}  # by file name: what is sent instead of the file that the tree lists
        self.requests, self.tokens = [], []

    def commit(self, repository, files, branch="main"):
        sha = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.files[repository, sha] = dict(files)
        self.branches.setdefault(repository, {})[branch] = sha
        return sha

    def of(self, repository, branch="main"):
        return self.files[repository, self.branches[repository][branch]]

    def downloads(self):
        return [path.rpartition("/")[2] for method, path in self.requests if method == "GET" and "/resolve/" in path]


class Handler(BaseHTTPRequestHandler):
    def handle_any(self):
        hub, path = self.server, urllib.parse.urlsplit(self.path).path
        hub.requests.append((self.command, path))
        hub.tokens.append(self.headers.get("Authorization"))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for method, pattern, answer in ROUTES:
            if self.command in method and (match := re.fullmatch(pattern, path)):
                return answer(self, body, *map(urllib.parse.unquote, match.groups()))
        return self.send(404, {"error": f"the stand-in does not know {self.command} {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = handle_any  # noqa: N815

    def log_message(self, *args):
        pass

    def send(self, status, content=b"", **headers):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": len(content)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def find(self, repository, revision):
        """The commit and its files; None if that has been answered with an error."""
        branches = self.server.branches.get(repository)
        if branches is None:
            return self.send(404, X_Error_Code="RepoNotFound")
        sha = branches.get(revision, revision)
        if (repository, sha) not in self.server.files:
            return self.send(404, X_Error_Code="RevisionNotFound")
        return sha, self.server.files[repository, sha]

    def info(self, body, repository, revision="main"):
        if found := self.find(repository, revision):
            siblings = [{"rfilename": name} for name in found[1]]
            self.send(200, {"id": repository, "sha": found[0], "siblings": siblings})

    def tree(self, body, repository, revision):
        if found := self.find(repository, revision):
            self.send(200, [self.entry(name, content) for name, content in found[1].items()])

    def entry(self, name, content):
        entry = {"type": "file", "path": name, "size": len(content), "oid": blob_id(content)}
        if name.endswith(LARGE):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        return entry

    def resolve(self, body, repository, revision, name):
        if found := self.find(repository, revision):
            content = self.server.sent_instead.get(name, found[1][name])
            etag = self.entry(name, content).get("lfs", {}).get("oid") or blob_id(content)
            self.send(200, content, ETag=f'"{etag}"', X_Repo_Commit=found[0])

    def is_allowed(self):
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self.send(403, X_Error_Message="no")
        return False

    def create(self, body):
        asked = json.loads(body)
        repository = f"{asked['organization']}/{asked['name']}"
        if not self.is_allowed():
            return
        if repository in self.server.branches:
            self.send(409, {"url": f"{self.server.url}/{repository}"})
        else:
            self.server.commit(repository, {".gitattributes": b""})
            self.send(200, {"url": f"{self.server.url}/{repository}"})

    def validate(self, body):
        assert json.loads(body)["content"]
        self.send(200, {"warnings": [], "errors": []})

    def preupload(self, body, repository, revision):
        names = [file["path"] for file in json.loads(body)["files"]]
        modes = ["lfs" if name.endswith(LARGE) else "regular" for name in names]
        answers = zip(names, modes, strict=True)
        files = [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in answers]
        self.send(200, {"files": files})

    def batch(self, body, repository):
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.server.url}/upload/{each['oid']}"}}}
            for each in json.loads(body)["objects"]
        ]
        self.send(200, {"transfer": "basic", "objects": objects})

    def upload(self, body, digest):
        assert hashlib.sha256(body).hexdigest() == digest
        self.server.uploads[digest] = body
        self.send(200)

    def push(self, body, repository, revision):
        if not self.is_allowed():
            return
        files = dict(self.server.of(repository))
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.server.uploads[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        sha = self.server.commit(repository, files)
        self.send(200, {"commitUrl": f"{self.server.url}/{repository}/commit/{sha}", "commitOid": sha})


NAME = "([^/]+/[^/]+)"
ROUTES = [
    (("GET",), f"/api/models/{NAME}", Handler.info),
    (("GET",), f"/api/models/{NAME}/revision/([^/]+)", Handler.info),
    (("GET",), f"/api/models/{NAME}/tree/([^/]+)", Handler.tree),
    (("GET", "HEAD"), f"/{NAME}/resolve/([^/]+)/(.+)", Handler.resolve),
    (("POST",), "/api/repos/create", Handler.create),
    (("POST",), "/api/validate-yaml", Handler.validate),
    (("POST",), f"/api/models/{NAME}/preupload/([^/]+)", Handler.preupload),
    (("POST",), rf"/{NAME}\.git/info/lfs/objects/batch", Handler.batch),
    (("PUT",), "/upload/([0-9a-f]+)", Handler.upload),
    (("POST",), f"/api/models/{NAME}/commit/([^/]+)", Handler.push),
]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with smith/folk; huggingface_hub has read these settings from the environment when it was imported."""
    server = Hub()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    for name, value in {
        "ENDPOINT": server.url,
        "HF_HUB_CACHE": str(tmp_path / "home" / "hub"),
        "HF_ASSETS_CACHE": str(tmp_path / "home" / "assets"),
        "HF_TOKEN_PATH": str(tmp_path / "home" / "token"),
        "HF_STORED_TOKENS_PATH": str(tmp_path / "home" / "tokens"),
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(constants, name, value)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    server.commit("smith/folk", MODEL)
    yield server
    server.shutdown()
    server.server_close()
    huggingface_hub.close_session()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def only(files, *names):
    return {name: content for name, content in files.items() if name not in names}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://smith/folk", ("smith/folk", None)),
        ("hf://smith-jones/folk_resnet.v2@v1.0", ("smith-jones/folk_resnet.v2", "v1.0")),
        ("hf://smith/folk@refs/pr/1", ("smith/folk", "refs/pr/1")),
    ],
)
def test_addresses_have_an_owner_a_name_and_perhaps_a_revision(text, expected):
    assert parse_address(text) == expected
    assert str(HubAddress(*expected)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("hf://", "hf://folk", "hf://smith/folk/x", "hf://smith/..", "hf://../folk", "hf://smith//folk"),
        *("hf://smith/folk@", "hf://smith/folk@../../x", "hf://smith/folk@-x", "hf://smith/folk\n", "hf://a--b/c"),
        *("hf://smith/" + 100 * "x", "hf://smith/f\N{LATIN SMALL LETTER O WITH DIAERESIS}lk", "hf://smith/folk?x"),
    ],
)
def test_other_addresses_are_refused(text, hub):
    with pytest.raises(ConfigError, match="write hf://owner/name"):
        fetch_model(text)
    assert hub.requests == []


def test_a_model_is_fetched_once(hub):
    folder = fetch_model("hf://smith/folk")
    assert folder.name == f"smith--folk@{hub.branches['smith/folk']['main']}"
    assert contents(folder) == only(MODEL, ".gitattributes")
    assert sorted(hub.downloads()) == sorted(only(MODEL, ".gitattributes"))
    assert fetch_model("hf://smith/folk") == folder
    assert len(hub.downloads()) == 3
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]  # nothing temporary is left


def test_a_revision_stays_as_it_is(hub):
    first = hub.commit("smith/folk", MODEL, "v1")
    second = hub.commit("smith/folk", MODEL | {"README.md": b"# folk, better\n"})
    for revision, sha in ((f"@{first}", first), ("@v1", first), ("", second), ("@main", second)):
        assert fetch_model(f"hf://smith/folk{revision}").name == f"smith--folk@{sha}"
    hub.requests.clear()
    fetch_model(f"hf://smith/folk@{first}")
    assert hub.requests == []  # a commit never changes


def test_what_is_in_the_cache_needs_no_network(hub):
    folder = fetch_model("hf://smith/folk")
    hub.shutdown()
    hub.server_close()
    assert fetch_model("hf://smith/folk") == folder
    with pytest.raises(GenrelineError, match="cannot be reached"):
        fetch_model("hf://smith/other")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_other_kinds_of_files_are_not_downloaded(hub, caplog):
    others = {
        "pytorch_model.bin": pickle.dumps(Bomb()),
        "model.pkl": pickle.dumps(Bomb()),
        "setup.py": b"raise SystemExit\n",
        "other/model.json": b"{}",
        "../escaped.json": b"{}",
        ".hidden.json": b"{}",
        "a\nb.json": b"{}",
    }
    hub.commit("smith/folk", MODEL | others)
    assert contents(fetch_model("hf://smith/folk")) == only(MODEL, ".gitattributes")
    assert not set(others) & set(hub.downloads())
    (record,) = caplog.records
    assert "not downloaded: ../escaped.json, .hidden.json, a\\nb.json, model.pkl, other/model.json and 2 others" in (
        record.getMessage()
    )


@pytest.mark.parametrize("name", [name for name in MODEL if name != ".gitattributes"])
def test_a_file_with_another_digest_gets_nowhere(hub, name, tmp_path):
    hub.sent_instead[name] = MODEL[name][::-1]
    with pytest.raises(CheckpointError, match=f"{name} is not what the hub lists"):
        fetch_model("hf://smith/folk", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    hub.sent_instead.clear()
    assert contents(fetch_model("hf://smith/folk", tmp_path / "cache")) == only(MODEL, ".gitattributes")


@pytest.mark.parametrize(
    ("files", "address", "message"),
    [
        (only(MODEL, "model.json"), "hf://smith/folk", "has no model.json, so it is no model of genreline's"),
        (MODEL | {f"{i}.json": b"{}" for i in range(18)}, "hf://smith/folk", "has 21 files of 0 MB, more than the 20"),
        (MODEL | {"big.onnx": bytes(5000)}, "hf://smith/folk", "more than the 20 files and 0 MB allowed"),
        (MODEL, "hf://smith/jazz", "is no repository that you can read"),
        (MODEL, "hf://smith/folk@v9", "has no such revision"),
        (MODEL, "hf://smith/folk@" + 40 * "0", "has no such revision"),
    ],
)
def test_what_is_no_model_or_out_of_bounds_is_refused(hub, files, address, message, monkeypatch):
    monkeypatch.setattr(hub_module, "MAX_BYTES", 5000)
    hub.commit("smith/folk", files)
    with pytest.raises(CheckpointError, match=message) as caught:
        fetch_model(address)
    assert "\n" not in str(caught.value)
    assert hub.downloads() == []


def test_a_hub_that_names_no_commit_is_refused(hub, monkeypatch):
    monkeypatch.setitem(hub.branches["smith/folk"], "main", "../../escaped")
    monkeypatch.setitem(hub.files, ("smith/folk", "../../escaped"), MODEL)
    with pytest.raises(CheckpointError, match="gives no commit"):
        fetch_model("hf://smith/folk")


@pytest.mark.parametrize("work", [lambda: fetch_model("hf://smith/folk"), lambda: push_files({}, "smith/folk")])
def test_without_the_extra_one_line_says_what_to_install(work, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"pip install 'genreline\[hub\]'"):
        work()


# huggingface_hub hands httpx2 what to upload in a way that httpx2 wants to give up.
pushes = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def files(tmp_path):
    """A model's files on disk."""
    for name, content in MODEL.items():
        (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in only(MODEL, ".gitattributes")}


@pushes
def test_what_is_pushed_comes_back(hub, files, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    address = push_files(files, "jones/folk")
    assert only(hub.of("jones/folk"), ".gitattributes") == only(MODEL, ".gitattributes")
    assert contents(fetch_model(str(address))) == only(MODEL, ".gitattributes")


@pushes
def test_a_push_replaces_the_model_in_one_commit(hub, files, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    kept = {".gitattributes": b"", "notes.txt": b"of mine\n"}
    stale = {"weights-00ff.safetensors": b"old", "graph-00ff.onnx": b"old", "README.md": b"old"}
    hub.commit("smith/folk", kept | stale)
    push_files(files, "smith/folk")
    assert hub.of("smith/folk") == kept | only(MODEL, ".gitattributes")
    assert len([path for _, path in hub.requests if "/commit/" in path]) == 1


def test_a_push_needs_a_token(hub, files):
    with pytest.raises(ConfigError, match="needs a token; log in with: hf auth login"):
        push_files(files, "smith/folk")
    assert hub.requests == []


@pushes
def test_a_token_that_may_not_write_is_named_nowhere(hub, files, monkeypatch, tmp_path, caplog, capfd):
    monkeypatch.setenv("HF_TOKEN", "hf_of-somebody-else")
    with pytest.raises(GenrelineError, match="your token does not allow this") as caught:
        push_files(files, "smith/folk")
    assert "\n" not in str(caught.value)
    assert set(hub.tokens) - {None} == {"Bearer hf_of-somebody-else"}
    written = [path.read_bytes().decode("latin-1") for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert "hf_of" not in "".join([str(caught.value), caplog.text, *capfd.readouterr(), *written])


@pytest.mark.parametrize("name", ["folk", "smith/folk@main", "../folk", "hf://smith/folk"])
def test_a_push_goes_to_an_owner_and_a_name(name, files):
    with pytest.raises(ConfigError):
        push_files(files, name)


@pushes
def test_a_model_goes_to_the_hub_and_predicts_from_there(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(Model(FeedForward(26, 3), Config(), ("blues", "jazz", "rock")), "mine")
    noise = np.random.default_rng(0).normal(0, 0.1, 24000).astype(np.float32)
    soundfile.write("song.wav", noise, 8000, subtype="FLOAT")

    assert CliRunner().invoke(app, ["push", "mine", "jones/mine"]).exit_code == 2
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    pushed = CliRunner().invoke(app, ["push", "mine", "jones/mine", "--license", "cc0-1.0"])
    assert pushed.exit_code == 0, pushed.output
    commit = hub.branches["jones/mine"]["main"]
    assert f"hf://jones/mine@{commit}" in pushed.output
    assert TOKEN not in pushed.output
    assert hub.of("jones/mine")["README.md"].startswith(b"---\n")

    expected = Recognizer.load("mine")("song.wav")
    found = Recognizer.load("hf://jones/mine")("song.wav")
    assert np.array_equal(found.probabilities, expected.probabilities)
    assert found.model == f"jones--mine@{commit}"

    command = ["predict", "song.wav", "--model", f"hf://jones/mine@{commit}", "--formats", "json"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert json.loads((tmp_path / "song.json").read_text())["model"] == f"jones--mine@{commit}"


def test_a_model_without_a_repository_is_one_line(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("song.wav", np.zeros(8000), 8000)
    result = CliRunner().invoke(app, ["predict", "song.wav", "--model", "hf://smith/jazz"])
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert result.output.startswith("error: hf://smith/jazz: is no repository")
