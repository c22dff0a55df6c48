"""The service is as its own description says: schemathesis makes requests of it, right ones and wrong ones."""

import httpx
import hypothesis
import pytest
import schemathesis


@pytest.fixture(scope="module")
def api(service):
    return schemathesis.openapi.from_url(f"{service.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@hypothesis.settings(max_examples=15, derandomize=True)
def test_every_route_answers_as_described(case):
    case.call_and_validate(timeout=120)


def test_every_route_is_described(service):
    paths = httpx.get(f"{service.url}/openapi.json").json()["paths"]
    assert set(paths) == {
        "/v1/timeline",
        "/v1/render",
        "/v1/models",
        "/v1/models/{name}/card",
        "/v1/limits",
        "/v1/examples",
        "/v1/examples/{name}",
        "/healthz",
        "/metrics",
    }
