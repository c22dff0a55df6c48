"""The player and its timeline in a real browser: what one sees, hears, clicks and types."""

import io
import itertools
import re

import av
import numpy as np
import pytest
import soundfile

from genreline.audio.decode import decode
from genreline.audio.encode import playable
from genreline.errors import AudioError
from genreline.predict.player import renderer, save_player, to_html
from genreline.predict.timeline import Timeline, format_time, in_words

pytestmark = pytest.mark.slow

CLASSES = ("blues", "classical", "hiphop", "rock_metal_hardrock")
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
DURATION_S = 19.5


def sound(duration_s=DURATION_S, rate_hz=16000, form="WAV", **settings):
    buffer = io.BytesIO()
    times_s = np.arange(int(duration_s * rate_hz)) / rate_hz
    soundfile.write(buffer, 0.3 * np.sin(2 * np.pi * 440 * times_s), rate_hz, format=form, **settings)
    return buffer.getvalue()


def song(classes=CLASSES, title="Frozen", seconds=20, less_s=0.5):
    """Stretches of five seconds, of each class in turn, the winner at 0.61."""
    winners = np.arange(seconds) // 5 % len(classes)
    rows = np.full((seconds, len(classes)), 0.39 / (len(classes) - 1))
    rows[np.arange(seconds), winners] = 0.61
    return Timeline(tuple(classes), rows, seconds - less_s, title, "tiny")


@pytest.fixture
def player(open_page, until, tmp_path):
    """Open the player of a timeline, its sound ready."""

    def player(timeline=None, source=None, **settings):
        save_player(timeline or song(), source or sound(), tmp_path / "song.html")
        page = open_page((tmp_path / "song.html").as_uri(), **settings)
        until(page, "document.getElementById('sound').readyState >= 3")
        page.wait_for_selector(".timeline-tick")
        return page

    return player


def now_s(page):
    return page.evaluate("document.getElementById('sound').currentTime")


def cursor_share(page):
    """Where the cursor's middle is, as a share of a lane's width."""
    return page.evaluate(
        "() => { const box = (name) => document.querySelector(name).getBoundingClientRect();"
        " const [line, all] = [box('.timeline-cursor'), box('.timeline-plot')];"
        " return (line.left + line.width / 2 - all.left) / all.width; }"
    )


@pytest.fixture
def wait_for_second(until):
    """Wait until the sound is there, within 0.3 s."""
    return lambda page, second: until(page, f"Math.abs(document.getElementById('sound').currentTime - {second}) < 0.3")


def shown(page):
    """The numbers beside the lanes: the time that they are of, and each class's."""
    head, *shares = page.locator(".timeline-at").all_inner_texts()
    return head, [int(re.sub(r"\D", "", share)) for share in shares]


def test_the_sound_plays_and_the_cursor_moves_with_it(player, until):
    page = player()
    slider = page.locator(".timeline-slider")
    assert slider.get_attribute("role") == "slider"
    assert slider.get_attribute("aria-valuetext") == "0:00, blues 61\u00a0%"
    assert float(slider.get_attribute("aria-valuemax")) == DURATION_S
    page.keyboard.press("Space")
    until(page, "document.getElementById('sound').currentTime > 1.5")
    assert not page.evaluate("document.getElementById('sound').paused")
    page.keyboard.press("Space")
    until(page, "document.getElementById('sound').paused")
    until(page, "document.querySelector('.timeline-slider').ariaValueNow >= 1")
    assert cursor_share(page) == pytest.approx(now_s(page) / DURATION_S, abs=0.02)


def test_a_pause_before_the_sound_has_begun_is_no_error(player, until):
    page = player()
    press = "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: ' ', bubbles: true}));"
    load = "document.getElementById('sound').load();"
    page.evaluate(f"() => {{ {load} {press} {press} setTimeout(() => (window.later = true), 100) }}")
    until(page, "window.later")  # what goes wrong in a promise is a complaint of the page's, which fails the test
    assert page.evaluate("document.getElementById('sound').paused")


def test_a_click_and_a_drag_seek(player, wait_for_second):
    page = player()
    box = page.locator(".timeline-plot").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 12.2 / DURATION_S, box["y"] + 20)
    wait_for_second(page, 12.2)
    assert cursor_share(page) == pytest.approx(12.2 / DURATION_S, abs=0.01)
    assert page.locator(".timeline-slider").get_attribute("aria-valuetext") == "0:12, hiphop 61\u00a0%"
    page.mouse.move(box["x"] + 10, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 6.5 / DURATION_S, box["y"] - 90)  # outside too, while it is held
    page.mouse.up()
    wait_for_second(page, 6.5)
    page.mouse.move(box["x"] + 10, box["y"] + 20)
    assert now_s(page) == pytest.approx(6.5, abs=0.3)


def test_a_tap_on_a_phone_seeks_and_nothing_overflows(player, wait_for_second):
    page = player(song(classes=("a_very_long_name_of_a_genre_without_any_space_in_it", *CLASSES)), **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    box = page.locator(".timeline-plot").first.bounding_box()
    assert box["width"] > 300
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 30)
    wait_for_second(page, DURATION_S / 2)


def test_keys_seek(player, wait_for_second):
    page = player()
    page.locator(".timeline-slider").focus()
    expected = 0.0
    for key, second in [
        ("ArrowRight", 1), ("ArrowUp", 11), ("ArrowLeft", 10), ("Shift+ArrowLeft", 0), ("ArrowLeft", 0),
        ("PageUp", 10), ("End", DURATION_S), ("ArrowDown", 9.5), ("Shift+ArrowRight", DURATION_S), ("Home", 0),
    ]:  # fmt: skip
        page.keyboard.press(key)
        wait_for_second(page, second)
        expected = second / DURATION_S
        assert cursor_share(page) == pytest.approx(expected, abs=0.01), key
    page.keyboard.press("Control+ArrowRight")
    assert now_s(page) == pytest.approx(0)


def test_pointing_at_a_second_shows_its_probabilities(player):
    page = player()
    assert shown(page) == ("0:00", [61, 13, 13, 13])
    box = page.locator(".timeline-plot").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 16.5 / DURATION_S, box["y"] + 20)
    assert shown(page) == ("0:16", [13, 13, 13, 61])
    assert page.locator(".timeline-at.timeline-won").count() == 1
    assert now_s(page) == 0
    page.mouse.move(0, 0)
    assert shown(page) == ("0:00", [61, 13, 13, 13])
    page.locator(".timeline-slider").focus()
    page.keyboard.press("PageUp")
    assert shown(page) == ("0:10", [13, 13, 61, 13])


def test_a_run_in_the_list_plays_from_its_start(player, until):
    timeline = song()
    page = player(timeline)
    buttons = page.locator("#runs button")
    assert buttons.all_inner_texts() == [
        f"{start}\u2013{end}\n{in_words(label)}\n61\u00a0%"
        for (start, end), label in zip(
            itertools.pairwise(["0:00", "0:05", "0:10", "0:15", "0:19"]), CLASSES, strict=True
        )
    ]
    buttons.nth(2).click()
    until(page, "document.getElementById('sound').currentTime > 10.2")
    assert buttons.nth(2).get_attribute("aria-current") == "true"
    assert page.locator("[aria-current]").count() == 1


def bars(page, layer):
    """Each lane's bars in a layer: lists of (start, height, end)."""
    return [
        [tuple(map(float, bar)) for bar in re.findall(r"M([\d.]+) 1V([\d.e-]+)H([\d.]+)V1Z", path or "")]
        for path in page.locator(f".timeline-{layer}").evaluate_all("paths => paths.map(p => p.getAttribute('d'))")
    ]


def test_lanes_show_the_probabilities_and_the_winner(player):
    timeline = song()
    page = player(timeline)
    assert page.locator(".timeline-name").all_inner_texts() == [in_words(name) for name in CLASSES]
    for i, (winning, losing) in enumerate(zip(bars(page, "winner"), bars(page, "bars"), strict=True)):
        heights = {int(start): 1 - top for start, top, _ in winning + losing}
        np.testing.assert_allclose([heights[s] for s in range(20)], timeline.probabilities[:, i], atol=1e-6)
        assert [int(start) for start, _, _ in winning] == list(range(5 * i, 5 * i + 5))
    means = [int(re.sub(r"\D", "", text)) for text in page.locator(".timeline-mean").all_inner_texts()[1:]]
    assert means == [round(100 * share) for share in timeline.overall.values()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lightness_alone_tells_the_layers_apart(player, scheme):
    page = player(color_scheme=scheme)
    fills = page.evaluate(
        "['known', 'tint', 'bars', 'winner'].map("
        "(layer) => getComputedStyle(document.querySelector('.timeline-' + layer)).fill)"
    )
    greys = [np.dot([int(part) for part in re.findall(r"\d+", fill)], [0.299, 0.587, 0.114]) for fill in fills]
    steps = np.abs(np.diff(greys))
    assert (steps > [20, 30, 60]).all()
    assert (np.diff(greys) < 0).all() if scheme == "light" else (np.diff(greys) > 0).all()


def test_the_browser_shows_what_python_computed(empty_page):
    rng = np.random.default_rng(3)
    rows = rng.dirichlet(np.full(4, 0.4), 400).astype(np.float32)
    timeline = Timeline(CLASSES, rows, 399.3)
    page = empty_page
    so_far, complete, second, last, none = page.evaluate(
        """(song) => {
          const view = new Timeline(document.body, { classes: song.classes, durationS: song.duration_s });
          for (const second of song.seconds.toReversed()) view.add([second]);  // in any order
          const soFar = [view.overall(), view.dominant()];
          view.setSummary(song);
          return [soFar, [view.overall(), view.dominant()], view.at(7.9), view.at(399.3), view.at(400)];
        }""",
        timeline.to_dict(),
    )
    for overall, dominant in (so_far, complete):
        assert dict(overall) == pytest.approx(timeline.overall, abs=1e-6)
        assert dominant == timeline.dominant
    assert (second["start_s"], second["end_s"], second["label"]) == (7, 8, timeline.labels[7])
    assert second["confidence"] == pytest.approx(timeline.confidence[7], abs=1e-6)
    assert last["start_s"] == 399
    assert none is None


def test_labels_and_means_are_taken_as_they_come(empty_page, until):
    """Numbers that do not belong together show which of them is drawn."""
    page = empty_page
    page.evaluate(
        """() => {
          window.view = new Timeline(document.body, { classes: ["a", "b"], durationS: 1 });
          view.add([{ start_s: 0, end_s: 1, label: "b", confidence: 0.3, probabilities: { a: 0.7, b: 0.3 } }]);
          view.setSummary({ overall: { a: 0.25, b: 0.75 }, dominant: "b" });
        }"""
    )
    until(page, "document.querySelectorAll('.timeline-winner')[1].getAttribute('d')")
    assert page.locator(".timeline-mean").all_inner_texts() == ["mean", "25\u00a0%", "75\u00a0%"]
    assert page.locator(".timeline-name.timeline-won").all_inner_texts() == ["b"]
    assert page.locator(".timeline-slider").get_attribute("aria-valuetext") == "0:00, b 30\u00a0%"
    page.evaluate("view.clear()")
    assert page.evaluate("view.dominant()") is None


def test_times_are_written_alike_in_browser_and_python(empty_page):
    page = empty_page
    times_s = [0, 7.9999999, 19.5, 59.999, 61, 3599.9, 3600, 10800.25]
    shown = page.evaluate("(times) => times.map((s) => [formatTime(s), formatTime(s, true)])", times_s)
    assert shown == [[format_time(second), format_time(second, hours=True)] for second in times_s]
    assert shown[2][0] == "0:19"


@pytest.fixture
def empty_page(open_page, until, tmp_path):
    """A page with nothing but the renderer, as another page would load it."""
    script = f"{renderer()};Object.assign(window, {{ Timeline, formatTime }})"
    (tmp_path / "empty.html").write_text(f"<!doctype html><body><script type=module>{script}</script>")
    page = open_page((tmp_path / "empty.html").as_uri())
    until(page, "window.Timeline")
    return page


def test_a_timeline_grows_with_its_seconds(empty_page, until):
    page = empty_page
    page.evaluate(
        """() => {
          window.sought = [];
          window.view = new Timeline(document.body, { onSeek: (second) => sought.push(second) });
          view.setClasses(["a", "__proto__"]);
        }"""
    )
    slider = page.locator(".timeline-slider")
    assert slider.get_attribute("aria-valuetext") == "0:00, not recognized yet"
    for second in range(3):
        page.evaluate(
            "(start_s) => view.add([{ start_s, end_s: start_s + 1, label: '__proto__', confidence: 0.8,"
            ' probabilities: JSON.parse(\'{"a": 0.2, "__proto__": 0.8}\') }])',
            second,
        )
        until(page, f"document.querySelectorAll('.timeline-winner')[1].getAttribute('d').includes('M{second} ')")
    assert float(slider.get_attribute("aria-valuemax")) == 30
    assert page.evaluate("[view.at(2).label, view.dominant()]") == ["__proto__", "__proto__"]
    page.evaluate("view.setDuration(2.5)")
    until(page, "document.querySelector('.timeline-slider').ariaValueMax === '2.5'")
    slider.focus()
    page.keyboard.press("End")
    assert page.evaluate("sought") == [2.5]
    page.evaluate("view.clear()")
    assert page.evaluate("[view.dominant(), view.at(0), view.cursorS]") == [None, None, 0]


def test_hours_are_drawn_in_columns_of_means(empty_page, until):
    page = empty_page
    page.evaluate(
        """() => {
          window.view = new Timeline(document.body, { classes: ["a", "b"], durationS: 10800 });
          const share = (i) => (i % 10 < 6 ? 0.9 : 0.1);
          view.add(Array.from({ length: 10800 }, (_, i) =>
            ({ start_s: i, end_s: i + 1, label: share(i) > 0.5 ? "a" : "b", confidence: 0.9,
               probabilities: { a: share(i), b: 1 - share(i) } })));
        }"""
    )
    until(page, "document.querySelector('.timeline-winner').getAttribute('d')")
    winning = bars(page, "winner")[0]
    assert 200 <= len(winning) <= 1100
    assert all(1 - top == pytest.approx(0.58) for _, top, _ in winning)
    assert (
        "the mean of 10 s" in page.locator(".timeline-key").inner_text()
        or "15 s" in page.locator(".timeline-key").inner_text()
    )
    assert page.locator(".timeline-tick").first.inner_text() == "0:00:00"


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&amp; $title ]]> <!--"


def test_hostile_names_are_text(player):
    page = player(song(classes=(HOSTILE, "b", "<b>c</b>", "{{d}}"), title=HOSTILE))
    page.on("dialog", lambda dialog: pytest.fail("a script of the title ran"))
    assert page.title() == " ".join(HOSTILE.split())
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.locator(".timeline-name").all_inner_texts() == [HOSTILE, "b", "<b>c</b>", "{{d}}"]
    assert page.locator("img").count() == 0
    assert page.locator("#runs button").count() == 4


def test_the_policy_keeps_foreign_scripts_out(open_page, tmp_path):
    text = to_html(song(), sound()).replace("<h1>", "<script>document.title = 'taken'</script><h1>", 1)
    (tmp_path / "song.html").write_text(text)
    page = open_page((tmp_path / "song.html").as_uri())
    page.wait_for_selector(".timeline-tick")
    assert page.title() == "Frozen"
    assert any("Content Security Policy" in complaint for complaint in open_page.complaints)
    open_page.complaints.clear()


@pytest.mark.parametrize(
    ("form", "settings", "mime"),
    [
        ("WAV", {}, "audio/wav"),
        ("FLAC", {}, "audio/flac"),
        ("OGG", {}, "audio/ogg"),
        ("OGG", {"subtype": "OPUS"}, "audio/ogg"),
        ("MP3", {}, "audio/mpeg"),
    ],
)
def test_what_browsers_play_is_embedded_as_it_is(player, form, settings, mime):
    data = sound(form=form, **settings)
    assert playable(data) == (data, mime, True)
    page = player(source=data)
    assert page.evaluate("document.getElementById('sound').duration") == pytest.approx(DURATION_S, abs=0.2)


@pytest.mark.parametrize(("form", "settings"), [("AIFF", {}), ("WAV", {"subtype": "ALAW"}), ("CAF", {})])
def test_what_browsers_do_not_play_is_encoded(player, form, settings, until):
    data = sound(form=form, **settings)
    encoded, mime, is_original = playable(io.BytesIO(data))
    assert (mime, is_original) == ("audio/mpeg", False)
    waveform, original = decode(encoded), decode(data)
    assert len(waveform) == pytest.approx(len(original), abs=8000 * 0.1)
    spectrum = np.abs(np.fft.rfft(waveform[8000:16000]))
    assert spectrum.argmax() == 440
    page = player(source=data)
    assert "re-encoded" in page.inner_text("body")
    page.keyboard.press("Space")
    until(page, "document.getElementById('sound').currentTime > 0.5")


def test_aac_in_mp4_is_embedded_as_it_is(player, tmp_path):
    with av.open(str(tmp_path / "a.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        samples = (0.3 * np.sin(2 * np.pi * 440 * np.arange(44100 * 20) / 44100)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(samples[None, : int(44100 * DURATION_S)], format="fltp", layout="mono")
        frame.rate = 44100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    data = (tmp_path / "a.m4a").read_bytes()
    assert playable(tmp_path / "a.m4a") == (data, "audio/mp4", True)
    page = player(source=tmp_path / "a.m4a")
    assert page.evaluate("document.getElementById('sound').duration") == pytest.approx(DURATION_S, abs=0.2)


def test_large_files_are_encoded_and_damaged_ones_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("genreline.audio.encode.MOST_BYTES", 100_000)
    data = sound(form="WAV")
    encoded = playable(data)
    assert (encoded.mime, encoded.is_original) == ("audio/mpeg", False)
    assert len(encoded.data) < len(data)
    monkeypatch.setattr("genreline.audio.encode.MOST_S", 15)
    with pytest.raises(AudioError, match="leave out html"):
        playable(data)
    with pytest.raises(AudioError, match="cannot be read"):
        playable(tmp_path / "nothing.wav")
