"""The description that the service shows of itself: what it offers to try works at the first click."""

import pytest

pytestmark = pytest.mark.slow

# What each operation answers to the arguments that are filled in already.
AT_ONCE = {
    "models": '[ { "name": ',
    "model_card": "<h1>genres8-resnet</h1>",
    "limits": '{ "max_bytes": 100000000',
    "examples": '[ { "name": "medley"',
    "healthz": '{ "status": "ok"',
    "metrics": "# HELP genreline_jobs",
    "render": "filename*=UTF-8''Example.json",
    "timeline": '{ "title": "song"',
}


def test_every_operation_works_at_the_first_click(open_page, service, song):
    page = open_page(f"{service.url}/docs")
    for operation, answer in AT_ONCE.items():
        block = page.locator(f"#operations-default-{operation}")
        block.locator(".opblock-summary-control").click()
        block.get_by_role("button", name="Try it out").click()
        if operation == "timeline":
            file = {"name": "song.wav", "mimeType": "audio/wav", "buffer": song}
            block.locator("input[type=file]").set_input_files(file)
        block.get_by_role("button", name="Execute").click()
        shown = block.locator(".live-responses-table tbody tr").first
        assert shown.locator(".response-col_status").inner_text().split()[0] == "200", operation
        assert answer in " ".join(shown.locator(".response-col_description").inner_text().split()), operation
        block.locator(".opblock-summary-control").click()
