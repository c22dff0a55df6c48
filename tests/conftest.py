"""What several test files share: small data made on the spot, and the real data beside the project where it exists."""

import shutil
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

from genreline.data.layout import SETS, Dataset, Split, load_dataset, write_split

# Machines that test are often busy: no test fails for being slow.
hypothesis.settings.register_profile(
    "patient", max_examples=50, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")

SHARED = Path(__file__).parents[2] / "shared"
SHARED_BY = {
    "cluster": {"cluster"},
    "demo": {"finished_demo"},
    "music": {"tracks"},
    "librosa": {"librosa"},
}
"""Groups of tests by the fixtures that take seconds to make."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks
def pytest_collection_modifyitems(items):
    """Give the tests that share a costly fixture to one of pytest-xdist's workers (`--dist loadgroup`)."""
    for item in items:
        for group, fixtures in SHARED_BY.items():
            if fixtures & set(item.fixturenames):
                item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tests run side by side, one thread each."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared():
    """The folder of real data and recordings, which is not part of the project."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real data and recordings), which is not part of the project")
    return SHARED


def make_split(kind, rng, n, classes, tracks=True):
    """Random features whose mean depends on the class, so that a network can learn them."""
    shape = {"mfccs": (26,), "melgrams": (21, 128)}[kind]
    numbers = np.arange(n) % len(classes)
    means = np.random.default_rng(7).normal(0, 1, (len(classes), shape[-1]))
    X = rng.normal(0, 1, (n, *shape)) + means[numbers].reshape(n, *([1] * (len(shape) - 1)), shape[-1])
    names = np.array([f"track{i}" for i in numbers])
    columns = {"track": names, "start_s": np.arange(n).astype(str)} if tracks else None
    return Split(X.astype(np.float32), np.array(classes)[numbers], columns)


def write_course(root, sizes):
    """Write a dataset with three classes in both representations; `sizes` are the rows of train, val and test."""
    rng = np.random.default_rng(0)
    for kind in ("mfccs", "melgrams"):
        for name, n in zip(SETS, sizes, strict=True):
            write_split(root, name, kind, make_split(kind, rng, n, ["blues", "jazz", "rock"], tracks=False))
    return root


@pytest.fixture(scope="session")
def shared_course(tmp_path_factory):
    """The small dataset that the fixtures below give; never changed."""
    return write_course(tmp_path_factory.mktemp("course"), (96, 36, 45))


@pytest.fixture
def course(shared_course, tmp_path):
    """A small dataset on disk, the test's own; gives its root."""
    return shutil.copytree(shared_course, tmp_path / "course")


@pytest.fixture(scope="session")
def mfccs(shared_course) -> Dataset:
    """The MFCC half of the small dataset."""
    return load_dataset(shared_course, "mfccs")


@pytest.fixture(scope="session")
def melgrams(shared_course) -> Dataset:
    """The melgram half of the small dataset."""
    return load_dataset(shared_course, "melgrams")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, the system's own."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    sandbox = ["--no-sandbox", "--disable-gpu"]  # root has no sandbox; the pages are our own
    microphone = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]  # it hears beeps
    sound = [*microphone, "--mute-audio", "--autoplay-policy=no-user-gesture-required"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*quiet, *sandbox, *sound])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Open an address in a page of its own: open_page(url, **settings of Playwright's new_context).

    In the end no page may have complained on its console, or asked for anything beyond its own machine; a test that
    expects complaints takes them out of `open_page.complaints`, or, if they may come at any time, names a part of
    them in `open_page.harmless`.
    """
    contexts, complaints, harmless = [], [], ["Service Worker registration blocked by Playwright"]

    def open_page(url, **settings):
        context = browser.new_context(**{"service_workers": "block", **settings})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)  # busy machines are slow
        page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url[:200]}"))
        page.on("request", lambda request: None if is_local(request.url) else complaints.append(request.url[:200]))
        page.goto(url)
        return page

    def is_local(url):
        return url.startswith(("file:", "data:", "blob:", "http://127.0.0.1", "ws://127.0.0.1", "http://localhost"))

    open_page.complaints, open_page.harmless = complaints, harmless
    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in complaints if not any(part in text for part in harmless)] == []


@pytest.fixture
def until():
    """Wait until a JavaScript expression is true in a page: until(page, "window.ready").

    Playwright's wait_for_function has the page evaluate a text, which a strict Content-Security-Policy forbids.
    """

    def until(page, expression):
        page.evaluate(
            f"""() => new Promise((resolve, reject) => {{
              const timer = setTimeout(() => reject(new Error("not true within a minute")), 60000);
              const look = () => {{
                if (!({expression})) return void setTimeout(look, 20);
                clearTimeout(timer);
                resolve();
              }};
              look();
            }})"""
        )

    return until
