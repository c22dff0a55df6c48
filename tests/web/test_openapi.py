"""The service is as its own description says: schemathesis makes requests of it, right ones and wrong ones."""

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance

from genreline.web.app import create_app

pytestmark = pytest.mark.slow

schema = schemathesis.openapi.from_dict(create_app().openapi())


@schema.parametrize()
@hypothesis.settings(max_examples=15, derandomize=True)
def test_every_route_answers_as_described(case, service):
    # A description cannot say what a song's bytes are, nor that probabilities sum to 1: refusing these is right.
    case.call_and_validate(base_url=service.url, timeout=120, excluded_checks=[positive_data_acceptance])


def test_every_route_is_described(service):
    paths = httpx.get(f"{service.url}/openapi.json").json()["paths"]
    assert paths == schema.raw_schema["paths"]
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
