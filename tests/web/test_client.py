"""A client that openapi-python-client generates from the service's description works."""

import importlib
import io
import json
import shutil
import subprocess
import sys

import pytest

from genreline.web.app import create_app

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The generated package's name; it can be imported meanwhile."""
    generator = shutil.which("openapi-python-client")
    if not generator:
        pytest.skip("needs openapi-python-client: pipx install openapi-python-client")
    folder = tmp_path_factory.mktemp("client")
    (folder / "openapi.json").write_text(json.dumps(create_app(allow_urls=True).openapi()))
    command = [generator, "generate", "--path", "openapi.json", "--meta", "none", "--output-path", "generated_client"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    sys.path.insert(0, str(folder))
    yield "generated_client"
    sys.path.remove(str(folder))


def test_a_generated_client_recognises_a_song(package, service, song):
    def generated(name):
        return importlib.import_module(f"{package}.{name}")

    operations = importlib.import_module(f"{package}.api.default")
    models, file = generated("models"), generated("types").File

    def call(name, **arguments):
        return importlib.import_module(f"{operations.__name__}.{name}").sync(client=client, **arguments)

    with generated("client").Client(base_url=service.url, timeout=120) as client:
        assert call("healthz").workers == 2
        assert [model.name for model in call("models") if model.default] == ["genres8-resnet"]
        assert call("limits").max_duration_s == 3600
        upload = models.Song(file=file(payload=io.BytesIO(song), file_name="song.wav"), model="course-fnn")
        timeline = call("timeline", body=upload)
        assert (timeline.title, timeline.model, len(timeline.seconds)) == ("song", "course-fnn", 13)
        assert call("render", body=timeline).to_dict() == timeline.to_dict()
        refusal = call("timeline", body=models.Song(file=file(payload=io.BytesIO(b"no song"), file_name="song.wav")))
        assert isinstance(refusal, models.ProblemDetails)
        assert "not an audio file" in refusal.detail
        link = call("timeline_of_url", body=models.Link(url="https://example.org/song.mp3"))
        assert (link.status, link.title) == (403, "Forbidden")
