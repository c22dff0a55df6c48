"""The service is as its own description says: schemathesis makes requests of it, right ones and wrong ones."""

import contextlib
import unittest

import httpx
import hypothesis
import pytest

from genreline.web.app import create_app

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def schema():
    import schemathesis  # here, because it takes long to import

    return schemathesis.openapi.from_dict(create_app().openapi())


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_every_route_answers_as_described(schema, service, mode):
    from schemathesis import GenerationMode
    from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

    for operation in schema.get_all_operations():

        @hypothesis.settings(max_examples=8, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck))
        @hypothesis.given(operation.ok().as_strategy(GenerationMode(mode)))
        def check(case):
            # No description says what a song's bytes are, nor that probabilities sum to 1: refusing these is right.
            excluded = [positive_data_acceptance]
            if case.path == "/v1/render":
                excluded.append(negative_data_rejection)  # what follows from the probabilities may be missing
            case.call_and_validate(base_url=service.url, timeout=120, excluded_checks=excluded)

        with contextlib.suppress(unittest.SkipTest, hypothesis.errors.Unsatisfiable):  # without arguments none is wrong
            check()


def test_every_route_is_described(schema, service):
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
        "/v1/examples/{name}/timeline",
        "/healthz",
        "/metrics",
    }
