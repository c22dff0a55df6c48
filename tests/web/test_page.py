"""The page in a real browser, as listeners use it."""

import base64
import csv
import io
import json
import zipfile
import zlib

import jams
import matplotlib.image
import numpy as np
import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe

from genreline.predict.recognizer import Recognizer
from genreline.predict.timeline import Timeline, in_words

pytestmark = pytest.mark.slow

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
DONE = "!document.querySelector('#downloads button').disabled"
FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"  # innerWidth grows on a phone
DURATION_S = 12.5
BUSY = {"status": 503, "content_type": "application/problem+json", "body": json.dumps({"detail": "all are busy"})}


@pytest.fixture
def open_service(open_page, until):
    """Open the page of a service; gives it when it is ready to take songs."""

    def open_service(service, **settings):
        page = open_page(f"{service.url}/", **settings)
        until(page, "document.querySelector('.example')")
        return page

    # Chromium calls a stream that has been read to its end aborted now and then, and a sound that is replaced always.
    open_page.harmless += ["failed: blob:", "/v1/timeline", "/v1/examples/"]
    return open_service


def choose(page, data, name="song.wav", kind="audio/wav"):
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": data})


def drop(page, data, name):
    transfer = page.evaluate_handle(
        """([data, name]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
          return transfer;
        }""",
        [base64.b64encode(data).decode(), name],
    )
    page.dispatch_event("#drop", "dragenter", {"dataTransfer": transfer})
    assert "dropping" in page.locator("body").get_attribute("class")
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def drop_link(page, url):
    page.evaluate(
        """(url) => {
          const transfer = new DataTransfer();
          transfer.setData("text/uri-list", url);
          document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));
        }""",
        url,
    )


def link_of(page, content):
    """Follow a link that holds a timeline; of the fields of one second, those that are given replace others."""
    packer = zlib.compressobj(9, wbits=-15)
    letters = base64.urlsafe_b64encode(packer.compress(json.dumps(content).encode()) + packer.flush()).decode()
    page.evaluate("(letters) => (location.hash = `timeline=${letters}`)", letters.rstrip("="))
    page.locator("#verdict strong").wait_for()


def words_of(timeline):
    """The labels of a timeline's runs as the page writes them."""
    return [in_words(run.label) for run in timeline.runs()]


def violations(page):
    """What axe-core finds, all its rules, once nothing moves or fades any more."""
    page.evaluate(
        """() => Promise.allSettled(
          document.getAnimations()
            .filter((each) => each.effect.getComputedTiming().endTime < Infinity)
            .map((each) => each.finished),
        )"""
    )
    found = Axe().run(page).response["violations"]
    return [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found]


def wait_for_second(page, until, second):
    until(page, f"Math.abs(document.getElementById('audio').currentTime - {second}) < 0.3")


def test_a_dropped_song_fills_the_timeline_as_it_is_heard(service, open_service, until, long_song):
    page = open_service(service)
    drop(page, long_song, "Long clock.flac")
    until(page, "document.querySelector('.timeline-known')?.getAttribute('d')")
    assert not page.evaluate(DONE)  # colours are there before the end
    until(page, "document.getElementById('audio').readyState >= 1")
    assert page.locator("#title").inner_text() == "Long clock"
    until(page, "document.getElementById('progress').value > 0.05")
    assert 0 < float(page.evaluate("document.getElementById('progress').value")) < 1
    until(page, DONE)
    assert page.locator("#progress").is_hidden()
    assert "Complete, recognized by genres8-resnet." in page.locator("#status").inner_text()
    assert "over 19:00" in page.locator("#verdict").inner_text()


def test_silence_is_named_and_shaded(service, open_service, until, sound):
    page = open_service(service)
    tone, rate_hz = soundfile.read(io.BytesIO(sound(3.1)))
    tone[rate_hz : 2 * rate_hz] = 0
    for wave, verdict in ((tone, None), (0 * tone, "Nothing but silence over 0:03.")):
        soundfile.write(file := io.BytesIO(), wave, rate_hz, format="WAV")
        name = "tone" if verdict is None else "nothing"
        choose(page, file.getvalue(), f"{name}.wav")
        until(page, f"document.getElementById('title').textContent === '{name}' && {DONE}")
        until(page, "document.querySelector('.timeline-silent').getAttribute('d')")
        expected = Recognizer.load()(file.getvalue())
        assert page.locator(".timeline-run-label").all_inner_texts() == words_of(expected)
        shaded = page.locator(".timeline-silent").first.get_attribute("d")
        assert shaded == ("M1 0H2V1H1Z" if verdict is None else "M0 0H1V1H0ZM1 0H2V1H1ZM2 0H3.1V1H2Z")
        assert verdict in (None, page.locator("#verdict").inner_text())


def test_the_examples_are_there_before_the_first_click_and_right(service, open_service, until):
    page = open_service(service)
    cards = page.locator(".example")
    assert [text.split("\n")[0] for text in cards.all_inner_texts()] == ["Medley", "Blues", "Classical", "Pop", "Rock"]
    until(page, "[...document.querySelectorAll('.example canvas')].every((canvas) => canvas.width !== 300)")  # drawn
    colours = page.evaluate(
        """[...document.querySelectorAll('.example canvas')].map((canvas) => {
          const { data } = canvas.getContext('2d').getImageData(0, canvas.height - 3, canvas.width, 1);
          return new Set(Array.from({ length: canvas.width }, (_, x) => data.slice(4 * x, 4 * x + 3).join())).size;
        })"""
    )
    assert colours[0] > colours[1] >= 1  # a ribbon of several genres, and one of one
    for i, genre in enumerate(["blues", "classical", "pop", "rock"], start=1):
        cards.nth(i).click()
        assert page.locator("#verdict strong").inner_text() == genre
        assert page.locator("#downloads button").first.is_enabled()
    assert "composed4-resnet, a small model for composed music" in page.locator("#status").inner_text()
    until(page, "document.getElementById('audio').readyState >= 1")
    page.keyboard.press("Space")  # anywhere
    until(page, "!document.getElementById('audio').paused")
    page.select_option("#model", "course-fnn")
    until(page, f"document.getElementById('status').textContent.includes('course-fnn') && {DONE}")


def test_every_second_alone_and_nearer(service, open_service, until, shared):
    """The switch shows the labels that seconds have alone; zooming keeps the scale of ribbon, axis and lanes one."""
    path = shared / "audio" / "brahms_hungarian_dance_5.ogg"
    page = open_service(service)
    choose(page, path.read_bytes(), path.name)
    until(page, DONE)
    smoothed, alone = Recognizer.load()(path), Recognizer.load(raw=True)(path)
    assert words_of(smoothed) != words_of(alone)
    page.check("#raw")
    assert page.locator(".timeline-run-label").all_inner_texts() == words_of(alone)
    page.locator("#raw").press("Space")  # which plays nothing here
    assert page.locator(".timeline-run-label").all_inner_texts() == words_of(smoothed)
    assert page.evaluate("document.getElementById('audio').paused")
    page.click("#lanes")
    page.get_by_label("Zoom in").click()
    until(page, "!document.querySelector('.timeline-scroll').hidden")
    page.locator(".timeline-scroll").press("End")
    until(page, "document.querySelector('.timeline-tick').textContent !== '0:00'")
    left, _, span, _ = map(float, page.locator(".timeline-plot").first.get_attribute("viewBox").split())
    assert (left, span) == pytest.approx((smoothed.duration_s / 2, smoothed.duration_s / 2))
    box = page.locator(".timeline-ribbon").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    wait_for_second(page, until, 0.75 * smoothed.duration_s)


def test_greek_browsers_get_greek(service, open_service, until, sound):
    page = open_service(service, locale="el-GR")
    assert page.locator("html").get_attribute("lang") == "el"
    choose(page, sound(2), "τόνος.wav")
    until(page, DONE)
    assert "Ολοκληρώθηκε" in page.locator("#status").inner_text()
    assert violations(page) == []


def test_a_failed_song_leaves_the_last_one(service, open_service, open_page, until, sound):
    page = open_service(service)
    choose(page, sound(2), "good.wav")
    until(page, DONE)
    choose(page, b"no notes " * 100, "bad.mp3", "audio/mpeg")
    until(page, "document.getElementById('error').textContent")
    assert page.locator("#error").inner_text().endswith("get it again. The timeline of good is still here.")
    assert page.locator("#title").inner_text() == "good"
    assert page.evaluate(DONE)
    open_page.harmless.append("status of 422")


def test_failed_songs_leave_the_one_that_is_being_recognized(service, open_service, open_page, until, long_song):
    page = open_service(service)
    choose(page, long_song, "Long clock.flac")
    for name in ("bad.mp3", "worse.mp3"):  # at once
        choose(page, b"no notes " * 100, name, "audio/mpeg")
    until(page, "document.getElementById('error').textContent.includes('worse.mp3')")
    assert page.locator("#error").inner_text().endswith("The timeline of Long clock is still here.")
    assert page.locator("#title").inner_text() == "Long clock"
    until(page, DONE)
    open_page.harmless.append("status of 422")


def test_several_songs_are_a_list_and_one_zip(service, open_service, open_page, until, sound):
    page = open_service(service)
    songs = [
        ("a.wav", sound(2)),
        ("a.flac", sound(3, format="FLAC")),
        ("none.mp3", b"no notes " * 100),
        ("ü.wav", sound(4)),
    ]
    page.set_input_files("#file", [{"name": n, "mimeType": "audio/wav", "buffer": data} for n, data in songs])
    until(page, "document.querySelectorAll('#list button').length === 4")
    assert "waiting, number" in page.locator("#list").inner_text()
    until(page, "!/waiting|…/.test(document.getElementById('list').innerText)")
    assert "not an audio file" in page.locator(".list-state").nth(2).inner_text()
    assert violations(page) == []
    page.locator("#list button").nth(3).click()
    assert page.locator("#title").inner_text() == "ü"
    assert "over 0:04" in page.locator("#verdict").inner_text()
    with page.expect_download() as download:
        page.click("#save-all")
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.csv", "a (2).csv", "ü.csv"]
        assert archive.read("ü.csv").decode() == Recognizer.load()(sound(4)).to_csv()
    open_page.harmless.append("status of 422")


def test_what_is_no_song_has_its_own_sentence(service, open_service, open_page, until):
    page = open_service(service)
    page.evaluate(
        """() => {
          navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", "NotFoundError"); };
        }"""
    )
    drop_link(page, "https://example.org/song.mp3")
    until(page, "document.getElementById('error').textContent")
    assert page.locator("#error").inner_text().startswith("A link was dropped")
    page.evaluate(
        "document.dispatchEvent(new DragEvent('drop', { dataTransfer: new DataTransfer(), cancelable: true }))"
    )
    until(page, "document.getElementById('error').textContent.startsWith('There are no songs')")
    page.click("#record")
    until(page, "document.getElementById('error').textContent.startsWith('There is no microphone')")


def test_a_link_holds_the_timeline(service, open_service, until, sound):
    page = open_service(service, permissions=["clipboard-read", "clipboard-write"])
    choose(page, sound(7), "Seven.wav")
    until(page, DONE)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.click("#copy-link")
    until(page, "location.hash")
    assert [url for url in requests if "/v1/" in url or "timeline" in url] == []  # no server keeps it, nor sees it
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    other = page.context.new_page()
    other.goto(link)
    other.locator("#verdict strong").wait_for()
    for part in ("#title", "#verdict strong", ".timeline-run-span", ".timeline-run-label"):
        assert other.locator(part).all_inner_texts() == page.locator(part).all_inner_texts()
    assert other.locator("#play").is_hidden()
    with page.expect_download() as download:
        page.click("#picture")
    assert matplotlib.image.imread(download.value.path(), "png").shape[:2] == (630, 1200)


def test_a_link_holds_several_labels_a_second(service, open_service, until):
    """A page has no multi-label model of its own, but shows what one has made, and hands it on."""
    names, thresholds = ("bass", "drums", "voice"), (0.5, 0.3, 0.7)
    rows = np.array([[60, 25, 6], [38, 6, 50], [6, 12, 19], [0, 0, 0]]) / 63
    timeline = Timeline(names, rows, 4, "Song", "band", is_silent=np.arange(4) == 3, thresholds=thresholds)
    content = {
        "version": 1, "title": "Song", "model": "band", "duration_s": 4, "unsure_margin": 0, "classes": names,
        "thresholds": thresholds, "means": list(timeline.overall.values()), "labels": [3, 5, 0, -1], "raw": [],
        "peaks": [],
        "shares": np.rint(rows * 63).astype(int).ravel().tolist(),
    }  # fmt: skip
    page = open_service(service, permissions=["clipboard-read", "clipboard-write"])
    link_of(page, content)
    assert timeline.verdict == "bass"
    assert page.locator("#verdict strong").inner_text().replace("\u00a0", " ") == "bass 55 %"
    assert page.locator(".timeline-run-label").all_inner_texts() == [run.label for run in timeline.runs()]
    assert page.locator("#legend li:not(.absent)").count() == 4  # bass, drums, voice and silence
    page.click("#copy-link")
    until(page, "location.hash")
    other = page.context.new_page()
    other.goto(page.evaluate("navigator.clipboard.readText()"))
    other.locator("#verdict strong").wait_for()
    for part in ("#verdict", ".timeline-run-span", ".timeline-run-label", ".timeline-run-confidence"):
        assert other.locator(part).all_inner_texts() == page.locator(part).all_inner_texts()
    with page.expect_download() as download:
        page.locator("#downloads button", has_text="CSV").click()
    with open(download.value.path()) as file:
        assert Timeline.from_csv(file.read()).labels == timeline.labels


def test_a_shared_run_is_as_sure_as_the_timelines(service, open_service):
    """A last second of 0.3 s weighs as much as it lasts; and a class may be called anything."""
    names, rows = ("constructor", "b"), np.array([[60, 3], [40, 23]]) / 63
    timeline = Timeline(names, rows, 1.3, "Song", "m")
    page = open_service(service)
    link_of(page, {
        "version": 1, "title": "Song", "model": "m", "duration_s": 1.3, "unsure_margin": 0, "classes": names,
        "labels": [0, 0], "raw": [], "shares": [60, 3, 40, 23], "peaks": [],
    })  # fmt: skip
    shown = page.locator(".timeline-run-confidence").inner_text().replace("\u00a0", " ")
    assert shown == f"{timeline.runs()[0].confidence:.0%}".replace("%", " %") == "88 %"
    assert page.locator("#note").inner_text() == ""


@pytest.mark.parametrize("width", [320, 360])
def test_long_names_of_classes_fit_a_phone(service, open_service, until, width):
    names = ["rock_metal_hardrock_and_everything_like_it", "piano", "voice", "drums"]
    page = open_service(service, **{**PHONE, "viewport": {"width": width, "height": 640}}, locale="el")
    link_of(page, {
        "version": 1, "title": "Song", "model": "m" * 60, "duration_s": 40, "unsure_margin": 0, "classes": names,
        "thresholds": [0.1] * 4, "means": [0.9] * 4, "labels": [15] * 40, "raw": [], "shares": [60] * 160, "peaks": [],
    })  # fmt: skip
    until(page, "document.querySelector('.timeline-known')?.getAttribute('d')")
    page.locator(".timeline-slider").press("ArrowRight")
    assert page.evaluate(FITS)
    for each in page.locator(".timeline-zoom").all():
        box = each.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_the_way_back_to_ones_song_stays(service, open_service, until, song):
    page = open_service(service, permissions=["clipboard-read", "clipboard-write"])
    choose(page, song)
    until(page, DONE)
    page.click("#copy-link")
    until(page, "location.hash")
    assert page.locator("#songs").is_hidden()
    page.locator(".example").first.click()
    assert page.evaluate("location.hash") == ""  # it is another song's
    page.locator("#list button").click()
    assert page.locator("#title").inner_text() == "song"
    assert page.locator("#songs").is_hidden()


def test_more_songs_than_the_list_holds_are_told(service, open_service, until):
    page = open_service(service)
    page.evaluate(HOLD, "v1/timeline")
    files = [{"name": f"{i}.wav", "mimeType": "audio/wav", "buffer": b"no notes"} for i in range(302)]
    page.set_input_files("#file", files)
    until(page, "document.getElementById('error').textContent.startsWith('The list holds 300 songs')")
    assert page.locator("#list button").count() == 300


HOSTILE_LINKS = [
    "!", b"", b"no deflated data", {"version": 2}, {"classes": ["a", "a"]}, {"labels": [2]}, {"labels": []},
    {"shares": [1]}, {"shares": [0, 0]}, {"shares": [1e9, 0]}, {"duration_s": 1e9}, {"peaks": ["<b>"]},
    {"raw": [[0]]}, {"title": 1}, {"thresholds": [0.5]}, {"thresholds": [0.5, 2]}, {"thresholds": "ab"},
    {"thresholds": [0, 0], "means": [0, 0], "labels": [4]},
    {"thresholds": [0, 0], "means": [0, "x"]}, {"thresholds": ["0", "0"], "means": [0, 0]}, {"unsure_margin": "0.1"},
    {"unsure_margin": []}, {"classes": ["silence", "b"]}, {"title": "x" * 10_000_000},
]  # fmt: skip


def test_hostile_links_show_a_sentence(service, open_service, until):
    good = {
        "version": 1, "title": "t", "model": "m", "duration_s": 1, "unsure_margin": 0, "classes": ["a", "b"],
        "labels": [0], "raw": [], "shares": [40, 23], "peaks": [],
    }  # fmt: skip
    page = open_service(service)
    for content in [*HOSTILE_LINKS, {}]:
        data = content
        if isinstance(content, dict):
            packer = zlib.compressobj(9, wbits=-15)
            data = packer.compress(json.dumps(good | content).encode()) + packer.flush()
        letters = data if isinstance(data, str) else base64.urlsafe_b64encode(data).decode().rstrip("=")
        page.evaluate("document.getElementById('error').textContent = ''")
        page.evaluate("(letters) => (location.hash = `timeline=${letters}`)", letters)
        if content == {}:  # the one that is not hostile
            until(page, "!document.getElementById('song').hidden")
            break
        until(page, "document.getElementById('error').textContent")
        assert page.locator("#error").inner_text() == "This link holds no timeline that can be read; ask for it again."
        assert page.locator("#song").is_hidden()


def test_an_unsure_song_says_between_what(service, open_service, until, shared):
    data = (shared / "audio" / "lets_go_fishin.ogg").read_bytes()
    verdict = Recognizer.load()(data).verdict
    assert verdict.startswith("unsure between ")
    page = open_service(service)
    choose(page, data, "fishin.ogg")
    until(page, DONE)
    assert page.locator("#verdict strong").inner_text() == verdict
    choose(page, data, "again.ogg")  # two songs are a list
    until(page, "document.querySelectorAll('#list button').length === 2")
    assert page.locator(".list-state").nth(0).inner_text() == verdict


def test_a_real_recording(service, open_service, until, shared):
    path = shared / "audio" / "brahms_hungarian_dance_5.ogg"
    page = open_service(service)
    drop(page, path.read_bytes(), path.name)
    until(page, DONE)
    timeline = Recognizer.load()(path)
    assert page.locator("#verdict strong").inner_text() == timeline.verdict
    assert page.locator(".timeline-run-label").all_inner_texts() == words_of(timeline)
    assert page.get_by_role("status").count() == 2  # what a screen reader says by itself


def test_the_verdict_and_the_runs_are_the_timelines(service, open_service, until, song):
    page = open_service(service)
    choose(page, song)
    until(page, DONE)
    timeline = Recognizer.load()(song)
    verdict = page.locator("#verdict").inner_text().replace("\u00a0", " ")
    assert timeline.verdict in verdict
    assert f"{timeline.overall[timeline.dominant]:.0%}".replace("%", " %") in verdict
    runs = page.locator(".timeline-run-label").all_inner_texts()
    assert runs == words_of(timeline)
    assert page.title() == "song \u2013 genreline"


def test_seeking_moves_sound_cursor_and_numbers(service, open_service, until, song):
    page = open_service(service)
    choose(page, song)
    until(page, DONE)
    until(page, "document.getElementById('audio').readyState >= 1")
    page.click("#lanes")
    for place, second in ((".timeline-plot >> nth=0", 4.4), (".timeline-ribbon", 8.4)):
        page.locator(place).scroll_into_view_if_needed()
        box = page.locator(place).bounding_box()
        page.mouse.click(box["x"] + box["width"] * second / DURATION_S, box["y"] + box["height"] / 2)
        wait_for_second(page, until, second)
        assert page.locator(".timeline-slider").get_attribute("aria-valuenow") == str(int(second))
    page.mouse.move(0, 0)
    shown = [int(text.removesuffix("\u00a0%")) for text in page.locator(".timeline-at").all_inner_texts()[1:]]
    expected = Recognizer.load()(song).probabilities[8]
    np.testing.assert_allclose(shown, 100 * expected, atol=0.51)
    # The cursor is drawn where that second is, and the ribbon has the scale of the lanes.
    line = page.locator(".timeline-cursor").bounding_box()
    plot = page.locator(".timeline-plot").first.bounding_box()
    assert (line["x"] + line["width"] / 2 - plot["x"]) / plot["width"] == pytest.approx(8.4 / DURATION_S, abs=0.01)
    wave = page.locator(".timeline-ribbon").bounding_box()
    assert (wave["x"], wave["width"]) == pytest.approx((plot["x"], plot["width"]), abs=1)


def test_a_run_plays_from_its_start(service, open_service, until, song):
    page = open_service(service)
    choose(page, song)
    until(page, DONE)
    until(page, "document.getElementById('audio').readyState >= 3")
    last = page.locator("#runs button").last
    start_s = float(last.get_attribute("data-start-s"))
    last.click()
    until(page, f"document.getElementById('audio').currentTime > {start_s} + 0.05")
    assert last.get_attribute("aria-current") == "true"
    until(page, f"document.querySelector('.timeline-slider').ariaValueNow >= {int(start_s)}")


def test_playing_draws_once_a_frame_however_often_it_is_sought_in(service, open_service, until, song):
    page = open_service(service)
    choose(page, song)
    until(page, DONE)
    until(page, "document.getElementById('audio').readyState >= 3")
    page.locator("#runs button").first.click()
    until(page, "!document.getElementById('audio').paused")
    asked = page.evaluate(
        """() => new Promise((resolve) => {
          const [audio, ask] = [document.getElementById("audio"), window.requestAnimationFrame.bind(window)];
          for (let i = 0; i < 20; i++) audio.dispatchEvent(new Event("seeked"));
          let [frames, follows] = [0, 0];
          window.requestAnimationFrame = (callback) => {
            follows += callback.name === "follow";
            return ask(callback);
          };
          const count = () => (++frames < 10 ? ask(count) : resolve(follows));
          ask(count);
        })"""
    )
    assert 1 <= asked <= 12


def test_another_model_hears_the_same_song(service, open_service, until, song):
    page = open_service(service)
    choose(page, song)
    until(page, DONE)
    page.select_option("#model", "course-fnn")
    until(page, "document.getElementById('status').textContent.includes('course-fnn')")
    expected = Recognizer.load("course-fnn")(song)
    assert page.locator(".timeline-name").all_inner_texts() == [in_words(name) for name in expected.classes]
    assert page.locator("#verdict strong").inner_text() == expected.verdict
    page.click("#about")
    assert page.locator("#card h1").inner_text() == "course-fnn"
    assert page.locator("#card table").count() > 0
    page.keyboard.press("Escape")
    assert page.locator("#card").is_hidden()


# The whole seconds of a ribbon at whose foot there is a white line.
MARKED = """(i, durationS) => {
  const canvas = document.querySelectorAll('.timeline-ribbon')[i];
  const copy = new OffscreenCanvas(canvas.width, 1).getContext('2d');
  copy.drawImage(canvas, 0, 11 - canvas.height);
  const { data } = copy.getImageData(0, 0, canvas.width, 1);
  const isWhite = (second) => data[4 * Math.floor(((second + 0.4) / durationS) * canvas.width) + 2] === 255;
  return Array.from({ length: Math.floor(durationS) }, (_, second) => second).filter(isWhite);
}"""


def test_two_models_side_by_side(service, open_service, until, shared):
    """The second has the first's scale and cursor, and its own verdict; a third takes its place."""
    path = shared / "audio" / "brahms_hungarian_dance_5.ogg"
    page = open_service(service)
    choose(page, path.read_bytes(), path.name)
    until(page, DONE)
    first = Recognizer.load()(path)
    for name in ("course-fnn", "genres7-cnn"):
        page.select_option("#second-model", name)
        until(page, f"document.getElementById('agreement').textContent.includes('{name}')")
        second = Recognizer.load(name)(path)
        differs = (np.array(first.labels) != second.labels) & ~first.is_silent
        share = f"{1 - np.mean(differs[~first.is_silent]):.0%}".replace("%", "\N{NO-BREAK SPACE}%")
        assert f"genres8-resnet and {name} agree on {share} of" in page.locator("#agreement").inner_text()
        for i in range(2):
            until(
                page, f"({MARKED})({i}, {first.duration_s}).join() === '{','.join(map(str, np.flatnonzero(differs)))}'"
            )
        assert page.locator("#first-model, #second-name").all_inner_texts() == ["genres8-resnet", name]
        assert page.locator("#second-verdict strong").inner_text() == in_words(second.dominant)
        assert page.locator("#verdict strong").inner_text() == in_words(first.dominant)
    sliders = page.get_by_role("slider", name="time", exact=True)
    sliders.nth(1).focus()
    page.keyboard.press("End")
    page.keyboard.press("+")
    until(page, "[...document.querySelectorAll('.timeline-slider')].every((slider) => slider.ariaValueNow === '45')")
    axes = page.locator(".timeline-axis")
    until(page, "[...document.querySelectorAll('.timeline-axis')].every((axis) => axis.textContent.startsWith('0:2'))")
    assert axes.nth(0).inner_text() == axes.nth(1).inner_text()
    assert not violations(page)
    page.select_option("#second-model", "")
    assert page.locator("#second").is_hidden()
    until(page, f"({MARKED})(0, {first.duration_s}).length === 0")


def test_both_ribbons_are_in_sight_on_a_phone(service, open_service, until, song):
    page = open_service(service, **{**PHONE, "viewport": {"width": 390, "height": 844}}, reduced_motion="reduce")
    choose(page, song)
    until(page, DONE)
    page.select_option("#second-model", "course-fnn")
    until(page, "document.getElementById('agreement').textContent")
    sides = page.evaluate(
        """() => [...document.querySelectorAll(".timeline-ribbon")].map((ribbon) => {
          const { top, bottom } = ribbon.getBoundingClientRect();
          return [top, bottom];
        })"""
    )
    assert all(0 <= top < bottom <= 844 for top, bottom in sides), sides
    assert page.evaluate(FITS)
    assert violations(page) == []


def test_a_second_model_that_fails_leaves_the_first(service, open_service, open_page, until, song):
    page = open_service(service)
    choose(page, song)
    until(page, DONE)
    verdict = page.locator("#verdict").inner_text()
    open_page.harmless.append("503")
    page.route("**/v1/timeline", lambda route: route.fulfill(**BUSY))
    page.select_option("#second-model", "course-fnn")
    until(page, "document.getElementById('second-verdict').textContent === 'all are busy'")
    assert page.locator("#verdict").inner_text() == verdict
    assert page.locator("#error").inner_text() == ""
    assert page.locator(".timeline").count() == 1
    page.unroute("**/v1/timeline")
    page.select_option("#second-model", "genres7-cnn")
    until(page, "document.getElementById('agreement').textContent.includes('genres7-cnn')")


def test_every_format_can_be_kept(service, open_service, open_page, until, song, tmp_path):
    page = open_service(service)
    choose(page, song, "My <b>song.wav")
    until(page, DONE)
    timeline = Recognizer.load()(song)
    kept = {}
    for button in page.locator("#downloads button").all():
        with page.expect_download() as download:
            button.click()
        kept[button.get_attribute("data-format")] = download.value.path().read_bytes()
        assert download.value.suggested_filename.endswith(f".{button.get_attribute('data-format')}")
    assert list(kept) == ["csv", "json", "txt", "jams", "png", "html"]
    rows = list(csv.DictReader(io.StringIO(kept["csv"].decode())))
    assert [row["label"] for row in rows] == list(timeline.labels)
    read = Timeline.from_json(kept["json"].decode())
    assert read.title == "My <b>song"
    np.testing.assert_allclose(read.probabilities, timeline.probabilities, atol=1e-4)
    labels = [line.split("\t")[2] for line in kept["txt"].decode().splitlines()]
    assert labels == [run.label for run in timeline.runs()]
    assert jams.load(io.StringIO(kept["jams"].decode()), validate=False).file_metadata.duration == DURATION_S
    height, width, _ = matplotlib.image.imread(io.BytesIO(kept["png"])).shape
    assert width > height > 300
    (tmp_path / "player.html").write_bytes(kept["html"])
    player = open_page((tmp_path / "player.html").as_uri())
    until(player, "document.getElementById('sound').readyState >= 1")  # its sound was not sent again
    assert player.evaluate("document.getElementById('sound').duration") == pytest.approx(DURATION_S, abs=0.1)
    assert player.locator("h1").inner_text() == "My <b>song"


def test_what_is_wrong_with_a_file_is_said(service, open_service, until, song):
    page = open_service(service)
    choose(page, b"these are no notes " * 100, "notes.mp3", "audio/mpeg")
    until(page, "document.getElementById('error').textContent")
    assert page.locator("#error").inner_text().startswith("notes.mp3: not an audio file that can be decoded")
    assert page.locator("#error").get_attribute("role") == "alert"
    until(page, "document.getElementById('song').hidden")
    assert violations(page) == []
    choose(page, song)  # and it goes on
    until(page, DONE)
    assert page.locator("#error").inner_text() == ""


def test_a_name_is_never_markup(service, open_service, until, song):
    page = open_service(service)
    choose(page, song, "<img src=x onerror=document.title='owned'>.wav")
    until(page, DONE)
    assert page.locator("#title").inner_text() == "<img src=x onerror=document.title='owned'>"
    assert page.locator("img").count() == 0
    assert page.title() != "owned"


def test_two_tabs_at_once(service, open_service, until, song, sound):
    first, second = open_service(service), open_service(service)
    choose(first, song, "first.wav")
    choose(second, sound(31), "second.wav")
    second.select_option("#model", "course-fnn")
    until(first, DONE)
    until(second, f"{DONE} && document.getElementById('status').textContent.includes('course-fnn')")
    assert "over 0:12" in first.locator("#verdict").inner_text()
    assert "over 0:31" in second.locator("#verdict").inner_text()
    assert first.locator(".timeline-name").count() == 8
    assert second.locator(".timeline-name").count() == 4


def test_the_keyboard_is_enough(service, open_service, until):
    """An example is chosen, heard, sought in, played and kept, and the card read, without a pointer."""
    page = open_service(service)
    stops = []

    def tab_to(selector):
        for _ in range(60):
            page.keyboard.press("Tab")
            stops.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
            if page.evaluate(f"document.activeElement.matches({json.dumps(selector)})"):
                return
        raise AssertionError(f"{selector} is not among {stops}")

    tab_to("#file")
    tab_to("#record")
    tab_to(".example")
    page.keyboard.press("Enter")
    until(page, DONE)
    tab_to("#about")
    page.keyboard.press("Enter")
    page.locator("#card-text h1").wait_for()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "about"
    tab_to(".timeline-slider")
    until(page, "document.getElementById('audio').readyState >= 1")
    for key, second in (("ArrowUp", 10), ("ArrowRight", 11), ("End", 90), ("Home", 0)):
        page.keyboard.press(key)
        wait_for_second(page, until, second)
    for _ in range(2):  # it is held down
        page.keyboard.down("Space")
    page.keyboard.up("Space")
    until(page, "!document.getElementById('audio').paused")
    page.keyboard.press("Space")
    until(page, "document.getElementById('audio').paused")
    tab_to("#runs button")
    page.keyboard.press("Enter")
    until(page, "!document.getElementById('audio').paused")
    tab_to("#downloads button")
    with page.expect_download():
        page.keyboard.press("Enter")


@pytest.mark.parametrize(
    "settings",
    [{}, {"color_scheme": "dark"}, PHONE, {**PHONE, "color_scheme": "dark"}, {"forced_colors": "active"}],
    ids=["desktop", "dark", "phone", "dark phone", "forced colours"],
)
def test_axe_finds_nothing(service, open_service, until, song, settings):
    page = open_service(service, reduced_motion="reduce", **settings)  # what is fading in has little contrast
    assert violations(page) == []
    choose(page, song)
    until(page, DONE)
    assert violations(page) == []
    page.click("#about")
    page.locator("#card-text h1").wait_for()
    assert violations(page) == []


@pytest.mark.parametrize("width", [320, 360])
def test_a_phone_shows_everything(service, open_service, until, song, width):
    page = open_service(service, **{**PHONE, "viewport": {"width": width, "height": 740}})
    choose(page, song, "a_name_without_any_space_that_is_longer_than_the_screen_is_wide.wav")
    until(page, DONE)
    assert page.evaluate(FITS)
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, select, .button")].filter((each) => each.checkVisibility())
          .filter((each) => each.getBoundingClientRect().height < 40).map((each) => each.outerHTML)"""
    )
    assert small == []  # fingers are large
    until(page, "document.getElementById('audio').readyState >= 1")
    box = page.locator(".timeline-slider").bounding_box()
    page.locator(".timeline-slider").scroll_into_view_if_needed()
    page.locator(".timeline-slider").tap(position={"x": box["width"] / 2, "y": 60})
    wait_for_second(page, until, DURATION_S / 2)


def test_the_microphone_is_heard(service, open_service, until):
    page = open_service(service, permissions=["microphone"])
    page.click("#record")
    until(page, "document.getElementById('record').ariaPressed === 'true'")
    until(page, "document.getElementById('level').value > 0.3")  # it beeps
    until(page, "document.querySelector('.timeline-known')?.getAttribute('d')")  # its seconds come while it records
    assert page.locator("#clock").inner_text() >= "0:01"
    assert page.locator("#play").is_hidden()
    assert page.locator("#record").get_attribute("aria-pressed") == "true"
    page.click("#record")
    until(page, DONE)
    assert page.locator("#title").inner_text() == "Recording"
    assert page.locator("#play").is_visible()
    assert page.locator("#runs button").count() >= 1


def test_a_recording_goes_on_beside_an_example(service, open_service, until):
    page = open_service(service, permissions=["microphone"])
    page.click("#record")
    until(page, "document.querySelector('.timeline-known')?.getAttribute('d')")
    page.select_option("#model", "course-fnn")  # for the songs to come
    page.locator(".example").first.click()
    assert page.locator("#level").is_hidden()
    assert page.locator("#play").is_visible()
    page.click("#record")
    until(page, "document.querySelector('#list .list-state')?.textContent.includes('%')")
    assert page.locator("#title").inner_text() == "Medley"
    page.locator("#list button").click()
    assert page.locator("#title").inner_text() == "Recording"
    assert page.locator("#error").inner_text() == ""


def test_a_double_click_on_record_asks_for_one_microphone(service, open_service, open_page, until):
    page = open_service(service, permissions=["microphone"])
    page.evaluate(
        """() => {
          const media = navigator.mediaDevices;
          const ask = media.getUserMedia.bind(media);
          window.tracks = [];
          const given = new Promise((resolve) => (window.give = resolve));
          media.getUserMedia = async (what) => {
            await given;
            const stream = await ask(what);
            window.tracks.push(...stream.getTracks());
            return stream;
          };
        }"""
    )
    page.dblclick("#record")
    page.evaluate("window.give()")
    until(page, "document.getElementById('record').ariaPressed === 'true'")
    page.click("#record")
    until(page, "document.getElementById('record').ariaPressed === 'false'")
    assert page.evaluate("window.tracks.map((track) => track.readyState)") == ["ended"]
    open_page.harmless.append("status of 422")  # the recording may be too short to hold any sound


# Requests to a path wait until release() is called in the page; `answers` counts those that have been answered since.
HOLD = """(path) => {
  const send = window.fetch.bind(window);
  const released = new Promise((resolve) => (window.release = resolve));
  window.answers = 0;
  window.fetch = async (url, options) => {
    if (!String(url).includes(path)) return send(url, options);
    await released;
    const response = await send(url, options);
    setTimeout(() => window.answers++, 50);
    return response;
  };
}"""


def test_what_is_kept_is_what_was_shown_when_it_was_asked_for(service, open_service, until, song, sound):
    page = open_service(service)
    choose(page, song, "first.wav")
    until(page, DONE)
    page.evaluate(HOLD, "v1/render")
    page.click("#downloads button[data-format=html]")
    choose(page, sound(5), "second.wav")
    until(page, DONE)
    with page.expect_download() as download:
        page.evaluate("window.release()")
    assert download.value.suggested_filename == "first.html"
    assert "first" in download.value.path().read_text()
    assert page.locator("#error").inner_text() == ""


def test_a_new_song_begins_without_the_last_ones_timeline(service, open_service, until, song, sound):
    page = open_service(service)
    choose(page, song)
    until(page, DONE)
    page.evaluate(HOLD, "v1/timeline")
    choose(page, sound(5), "second.wav")
    until(page, "document.getElementById('title').textContent === 'second'")
    assert page.locator(".timeline-winner").count() == page.locator("#runs button").count() == 0
    assert "not recognized yet" in page.locator(".timeline-readout").inner_text()
    page.evaluate("window.release()")
    until(page, DONE)


def test_a_song_chosen_before_the_page_is_ready_is_heard(service, open_service, open_page, until, song):
    page = open_service(service)
    open_page.harmless.append("/assets/icon.svg")  # whose request the reload may end
    page.add_init_script(f"({HOLD})('v1/limits')")
    page.reload()
    choose(page, song)
    page.evaluate("window.release()")
    until(page, DONE)
    assert page.locator("#title").inner_text() == "song"


@pytest.mark.parametrize("is_done", [False, True], ids=["before the end", "after it"])
def test_a_cut_connection_is_reported_unless_the_song_is_complete(service, open_service, until, song, is_done):
    page = open_service(service)
    page.evaluate(
        """(isDone) => {
          const start = { model: "m", classes: ["jazz", "rock"] };
          const run = { start_s: 0, end_s: 1, label: "jazz", confidence: 0.7 };
          const second = { ...run, probabilities: { jazz: 0.7, rock: 0.3 }, peaks: [0.5] };
          const whole = { title: "t", model: "m", duration_s: 1, dominant: "jazz", verdict: "jazz" };
          const summary = { ...whole, overall: second.probabilities, runs: [run] };
          const events = [["start", start], ["second", second], ...(isDone ? [["done", summary]] : [])];
          const text = events.map(([name, data]) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`).join("");
          window.fetch = async () => {
            const stream = new ReadableStream({
              start: (controller) => controller.enqueue(new TextEncoder().encode(text)),
              pull: (controller) => controller.error(new TypeError("network error")),
            }, { highWaterMark: 0 });
            return new Response(stream);
          };
        }""",
        is_done,
    )
    choose(page, song)
    if is_done:
        until(page, DONE)
        assert page.locator("#error").inner_text() == ""
        assert page.locator("#verdict strong").inner_text() == "jazz"
    else:
        until(page, "document.getElementById('error').textContent")
        assert page.locator("#error").inner_text() == "the connection was cut before the song was over; try again"
        assert page.locator("#song").is_visible()  # with the seconds so far
        assert page.locator("#progress").is_hidden()


def test_it_opens_without_a_network_and_says_what_it_can_do(service, open_service, open_page, until):
    page = open_service(service, service_workers="allow")
    until(page, "navigator.serviceWorker.controller")
    page.evaluate(
        "async () => { while (!(await caches.match(location.href))) await new Promise(requestAnimationFrame); }"
    )
    manifest = page.evaluate("fetch(document.querySelector('link[rel=manifest]').href).then((each) => each.json())")
    for icon in manifest["icons"]:
        assert page.request.get(f"{service.url}/assets/{icon['src']}").headers["content-type"] == icon["type"]
    page.context.set_offline(True)
    page.reload()
    page.locator(".example").first.click()
    assert page.locator("#verdict strong").inner_text() == "rock"
    page.reload()
    until(page, "document.getElementById('error').textContent.startsWith('This device is offline.')")
    assert violations(page) == []
    open_page.harmless += ["ERR_INTERNET_DISCONNECTED", "ERR_FAILED", "failed: "]


def test_a_first_load_that_fails_says_why(service, open_service, open_page, until):
    page = open_service(service)
    for answer, sentence in (
        (lambda route: route.abort(), "The service cannot be reached; songs can be recognized when it is back."),
        (lambda route: route.fulfill(**BUSY), "all are busy"),
    ):
        page.route("**/v1/models", answer)
        page.reload()
        until(page, "document.getElementById('error').textContent")
        assert page.locator("#error").inner_text() == f"{sentence} Try again"
        page.unroute("**/v1/models")
    page.click("#error button")
    until(page, "document.getElementById('model').options.length")
    assert page.locator("#error").inner_text() == ""
    open_page.harmless += ["status of 503", "ERR_FAILED", "failed: "]  # a reload ends what is loading


def test_a_card_that_cannot_be_had_is_told(service, open_service, open_page, until):
    page = open_service(service)
    page.route("**/card", lambda route: route.fulfill(status=503, body="Service Unavailable"))
    page.click("#about")
    until(page, "document.getElementById('error').textContent")
    assert page.locator("#error").inner_text() == "the service answered 503"
    assert page.locator("#card").is_hidden()
    open_page.harmless.append("status of 503")


def test_links_are_offered_only_where_they_are_fetched(service, strict, open_service, open_page, until):
    assert open_service(service).locator("#link").is_hidden()
    page = open_service(strict)
    page.fill("#url", f"http://127.0.0.1:{strict.port}/v1/examples/blues")
    page.click("#link button")
    until(page, "document.getElementById('error').textContent")
    assert "public" in page.locator("#error").inner_text()
    drop_link(page, "http://127.0.0.2/song.mp3")
    until(page, "document.querySelectorAll('#list button').length === 2")
    until(page, "document.getElementById('error').textContent.includes('127.0.0.2')")
    open_page.harmless.append("status of 422")


def test_a_link_is_heard(lax, open_service, until):
    page = open_service(lax)
    page.fill("#url", f"{lax.url}/v1/examples/blues")
    page.click("#link button")
    until(page, DONE)
    assert page.locator("#title").inner_text() == "blues"
    assert page.locator("#play").is_hidden()
    page.select_option("#second-model", "genres7-cnn")  # which has it fetched again
    until(page, "document.getElementById('agreement').textContent.includes('genres7-cnn')")
    page.select_option("#second-model", "")
    page.locator(".timeline-slider").press("ArrowUp")
    page.select_option("#model", "course-fnn")
    until(page, "document.getElementById('status').textContent.includes('course-fnn')")
    assert page.locator(".timeline-slider").get_attribute("aria-valuenow") == "10"  # nothing plays, so it stays there
    page.select_option("#model", "genres8-resnet")
    until(page, "document.getElementById('status').textContent.includes('genres8-resnet')")
    assert "nothing to play here" in page.locator("#unplayable").inner_text()
    assert "over 0:30" in page.locator("#verdict").inner_text()


def test_the_interface_is_described_without_the_network(service, open_page, until):
    page = open_page(f"{service.url}/docs")
    page.locator("#operations-default-timeline").wait_for()
    assert page.locator(".opblock").count() >= 8
