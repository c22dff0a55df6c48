"""What the service answers, held against the library's own answers."""

import io
import json

import httpx
import jams
import matplotlib.image
import numpy as np
import pytest
import soundfile
from prometheus_client.parser import text_string_to_metric_families

from genreline.errors import AudioError, TruncatedError
from genreline.predict.recognizer import Recognizer
from genreline.predict.timeline import Timeline
from genreline.train.checkpoint import load_model
from genreline.train.folder import shipped_models

pytestmark = pytest.mark.slow


def named(data, name="song.wav"):
    file = io.BytesIO(data)
    file.name = name
    return file


def events(response):
    """The (name, data) of server-sent events, read as the standard says; comments left out."""
    name = None
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


@pytest.fixture(scope="module")
def timeline(song):
    return Recognizer.load()(named(song))


def assert_same(got, expected):
    np.testing.assert_allclose(got.probabilities, expected.probabilities, atol=1e-4)
    assert (got.classes, got.duration_s, got.title, got.model) == (
        expected.classes,
        expected.duration_s,
        expected.title,
        expected.model,
    )


def test_a_song_is_heard_as_by_the_library(service, song, timeline):
    response = service.post_song(song)
    assert response.status_code == 200
    assert_same(Timeline.from_json(response.text), timeline)


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ('say "hi".wav', 'say "hi"'),
        ("Mr. Brightside", "Mr. Brightside"),
        ("song.raw", "song"),
        ("さくら さくら.wav", "さくら さくら"),
    ],
)
def test_a_title_keeps_its_quotes_dots_and_letters(service, song, name, title):
    """Browsers, and httpx as they do, send the quote in a file's name as %22."""
    assert service.post_song(song, name).json()["title"] == title


def test_another_model_hears_it_its_own_way(service, song):
    response = service.post_song(song, data={"model": "course-fnn"})
    assert_same(Timeline.from_json(response.text), Recognizer.load("course-fnn")(named(song)))


def test_a_stream_tells_each_second_and_then_the_song(service, song, timeline):
    request = {"files": {"file": ("song.wav", song)}, "headers": {"Accept": "text/event-stream"}, "timeout": 120}
    with httpx.stream("POST", f"{service.url}/v1/timeline", **request) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        told = list(events(response))
    names = [name for name, _ in told]
    assert names == ["start", *["second"] * 26, "done"]
    assert told[0][1] == {"title": "song", "model": "genres8-resnet", "classes": list(timeline.classes)}
    seconds = [data for name, data in told if name == "second"]
    assert [second["start_s"] for second in seconds] == 2 * list(range(13))
    live, known = seconds[:13], seconds[13:]  # each with those before it, then with all of the song
    assert live[-1]["end_s"] == known[-1]["end_s"] == 12.5
    assert all(len(second["peaks"]) == 10 for second in live)
    assert not any("peaks" in second for second in known)
    assert [second["label_raw"] for second in live] == list(timeline.raw_labels)
    assert_same(Timeline.from_dict({**told[-1][1], "seconds": known}), timeline)


def test_the_outline_is_the_sounds(service):
    wave = np.zeros(2 * 8000, np.float32)
    wave[8000 + 4000] = -0.5  # in the sixth tenth of the second second
    file = io.BytesIO()
    soundfile.write(file, wave, 8000, format="WAV", subtype="FLOAT")
    request = {"files": {"file": ("s.wav", file.getvalue())}, "headers": {"Accept": "text/event-stream"}}
    with httpx.stream("POST", f"{service.url}/v1/timeline", **request, timeout=120) as response:
        peaks = [data["peaks"] for name, data in events(response) if name == "second" and "peaks" in data]
    assert peaks == [[0] * 10, [0, 0, 0, 0, 0, 0.5, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("name", "data"),
    [("notes.mp3", b"these are no notes at all " * 50), ("nothing.wav", b"")],
)
def test_what_is_wrong_is_said_as_on_the_command_line(service, name, data):
    with pytest.raises(AudioError) as error:
        Recognizer.load("course-fnn")(named(data, name))
    response = service.post_song(data, name)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": str(error.value),
    }


def test_a_cut_song_keeps_what_could_be_read(service, song):
    half = song[: len(song) // 2]
    with pytest.raises(TruncatedError) as error:
        Recognizer.load()(named(half, "half.wav"))
    answer = service.post_song(half, "half.wav")
    assert_same(Timeline.from_json(answer.text), error.value.timeline)
    sentence = f"{error.value}; this is the timeline of its first 0:06"
    assert answer.json()["incomplete"] == answer.headers["timeline-incomplete"] == sentence
    table = service.post_song(half, "half.wav", headers={"Accept": "text/csv"})
    assert table.headers["timeline-incomplete"] == sentence
    assert table.text == error.value.timeline.to_csv()


def test_a_song_that_is_too_long_keeps_what_is_allowed(strict, hours_of_silence):
    answer = strict.post_song(hours_of_silence(0.4), "long.flac").json()
    assert (answer["duration_s"], len(answer["seconds"])) == (1200, 1200)
    assert answer["incomplete"] == (
        "long.flac: lasts more than the 20 minutes allowed; cut it; this is the timeline of its first 20:00"
    )


def test_a_stream_ends_with_what_is_wrong(service):
    request = {"files": {"file": ("notes.mp3", b"no notes" * 99)}, "headers": {"Accept": "text/event-stream"}}
    with httpx.stream("POST", f"{service.url}/v1/timeline", **request, timeout=120) as response:
        *_, (name, data) = events(response)
    assert name == "error"
    assert data["status"] == 422
    assert data["detail"].startswith("notes.mp3: not an audio file")


def test_a_timeline_is_rendered_in_every_format(service, timeline):
    def rendered(format):
        body = {"content": timeline.to_json(), "headers": {"Content-Type": "application/json"}}
        response = httpx.post(f"{service.url}/v1/render", params={"format": format}, **body, timeout=120)
        assert response.status_code == 200
        saved_as = f"attachment; filename=\"song.{format}\"; filename*=UTF-8''song.{format}"
        assert response.headers["content-disposition"] == saved_as
        return response

    assert rendered("csv").text == timeline.to_csv()
    assert rendered("json").text == timeline.to_json()
    assert rendered("txt").text == timeline.to_audacity()
    assert rendered("rttm").text == timeline.to_rttm()
    assert jams.load(io.StringIO(rendered("jams").text), validate=False).file_metadata.title == "song"
    height, width, _ = matplotlib.image.imread(io.BytesIO(rendered("png").content)).shape
    assert width > height > 300
    assert "<title>song</title>" in rendered("html").text


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV;q=0.5, */*;q=0.1", "text/csv"),
        ("text/csv;q=0.2, image/png;q=0.3", "image/png"),
        ("application/json;q=0, application/*", "application/vnd.jams+json"),
        ("application/json, text/csv", "application/json"),
        ("text/event-stream, */*;q=0.1", "text/event-stream"),
    ],
)
def test_a_song_comes_in_the_format_that_is_accepted(service, sound, accept, media_type):
    response = service.post_song(sound(1), 'Ζεϊμπέκικο "1".wav', headers={"Accept": accept})
    assert response.headers["content-type"].partition(";")[0] == media_type
    assert response.headers["vary"] == "Accept"
    if media_type == "text/csv":
        assert response.text.startswith("start_s,end_s,label,")
        assert response.headers["content-disposition"] == (
            'attachment; filename="__________ _1_.csv"; '
            "filename*=UTF-8''%CE%96%CE%B5%CF%8A%CE%BC%CF%80%CE%AD%CE%BA%CE%B9%CE%BA%CE%BF%20%221%22.csv"
        )


@pytest.mark.parametrize(
    ("accept", "status"), [("image/webp", 406), ("text/csv;q=0", 406), ("nonsense", 400), ("text/csv," * 300, 400)]
)
def test_what_is_not_to_be_had_is_refused(service, timeline, accept, status):
    headers = {"Accept": accept, "Content-Type": "application/json"}
    for path in ("v1/timeline", "v1/render"):
        response = httpx.post(f"{service.url}/{path}", content=timeline.to_json(), headers=headers)
        assert response.status_code == status
        assert "Accept" in response.json()["detail"]


def test_a_timeline_is_rendered_as_accepted_with_a_byte_order_mark_too(service, timeline):
    body = {"content": "\ufeff" + timeline.to_json(), "headers": {"Content-Type": "application/json"}}
    body["headers"]["Accept"] = "text/csv"
    assert httpx.post(f"{service.url}/v1/render", **body, timeout=120).text == timeline.to_csv()
    assert httpx.post(f"{service.url}/v1/render?format=txt", **body, timeout=120).text == timeline.to_audacity()


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/assets/page.js", "/openapi.json", "/healthz", "/v1/models", "/nothing"]
)
def test_head_answers_as_get_without_the_body(service, path):
    head, get = httpx.head(service.url + path), httpx.get(service.url + path)
    assert head.content == b""
    for name in ("content-length", "content-type", "etag", "content-security-policy"):
        assert head.headers.get(name) == get.headers.get(name)
    assert head.status_code == get.status_code


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (b'{"classes": ["a"]}', "application/json", 422, "timeline, after 0 seconds"),
        (b"[" * 50_000, "application/json", 422, "JSON"),
        (b"\xff\xfe", "application/json", 422, "not UTF-8"),
        (b"a,b", "text/csv", 415, "send the timeline as JSON"),
    ],
)
def test_what_is_no_timeline_is_not_rendered(service, body, kind, status, says):
    headers = {"Content-Type": kind}
    response = httpx.post(f"{service.url}/v1/render?format=png", content=body, headers=headers, timeout=120)
    assert response.status_code == status
    assert says in response.json()["detail"]


def test_models_are_told_with_their_cards(service):
    models = httpx.get(f"{service.url}/v1/models").json()
    assert [model["name"] for model in models] == shipped_models()
    assert [model["name"] for model in models if model["default"]] == ["genres8-resnet"]
    for told in models:
        model = load_model(told["name"])
        assert told["classes"] == list(model.classes)
        assert told["metrics"]["test"]["f1_macro"] == model.metrics["test"]["f1_macro"]
        assert told["card"].startswith(f"# {told['name']}")
        address = f"{service.url}/v1/models/{told['name']}/card"
        card = httpx.get(address).text
        assert f"<h1>{told['name']}</h1>" in card
        assert "<table>" in card
        markdown = httpx.get(address, headers={"Accept": "text/markdown, text/html;q=0.9"})
        assert markdown.headers["content-type"].startswith("text/markdown")
        assert markdown.text == told["card"]


def test_examples_are_music_that_can_be_heard(service):
    names = [example["name"] for example in httpx.get(f"{service.url}/v1/examples").json()]
    assert names[0] == "medley"
    music = httpx.get(f"{service.url}/v1/examples/blues")
    assert music.headers["content-type"] == "audio/mpeg"
    timeline = httpx.get(f"{service.url}/v1/examples/blues/timeline").json()
    assert [len(second.pop("peaks")) for second in timeline["seconds"]] == 30 * [10]
    again = service.post_song(music.content, data={"model": timeline["model"]}).json()
    assert (again["dominant"], again["duration_s"]) == (timeline["dominant"], timeline["duration_s"])
    assert [second["label"] for second in again["seconds"]] == [second["label"] for second in timeline["seconds"]]
    assert timeline["dominant"] == "blues"


def test_health_and_metrics_are_told(service, song):
    assert httpx.get(f"{service.url}/healthz").json() == {"status": "ok", "workers": 2}
    before = service.metric('genreline_jobs_total{kind="listen",outcome="done"}')
    heard_s = service.metric("genreline_sound_seconds_total")
    service.post_song(song)
    assert service.metric('genreline_jobs_total{kind="listen",outcome="done"}') == before + 1
    assert service.metric("genreline_sound_seconds_total") == heard_s + 12.5
    families = {each.name for each in text_string_to_metric_families(httpx.get(f"{service.url}/metrics").text)}
    assert {"genreline_jobs", "genreline_job_seconds", "genreline_jobs_waiting", "genreline_workers"} <= families


def test_assets_are_not_sent_twice(service):
    first = httpx.get(f"{service.url}/assets/page.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = httpx.get(f"{service.url}/assets/page.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert httpx.get(f"{service.url}/assets/page.py").status_code == 404


def test_it_works_behind_a_proxy_under_a_path(strict, song):
    assert httpx.get(f"{strict.url}/openapi.json").json()["servers"] == [{"url": "/genres"}]
    for prefix in ("", "/genres"):  # a proxy that takes the path away, and one that leaves it
        assert httpx.get(f"{strict.url}{prefix}/healthz").status_code == 200
        page = httpx.get(f"{strict.url}{prefix}/").text
        assert 'src="assets/page.js"' in page  # all of the page's addresses are relative
    assert strict.post_song(song).status_code == 200
