"""Errors as application/problem+json (RFC 9457), with the sentence that the command line prints."""

import errno
import logging
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

MEDIA_TYPE = "application/problem+json"
_NOT_READ = {
    406,
    408,
    413,
    421,
    429,
    503,
    507,
}  # answered before the body has been read, so the connection is not used again


log = logging.getLogger("genreline.web")


class ProblemDetails(BaseModel):
    """What went wrong."""

    type: str = Field("about:blank", description="about:blank: the status names the kind of problem.")
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="One sentence: what is wrong with what, and what to do.")


class Problem(HTTPException):
    """A request that cannot be served, in one sentence; `retry_after_s` if trying again may help."""

    def __init__(self, status: int, detail: str, retry_after_s: int | None = None) -> None:
        headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
        super().__init__(status, detail, headers)


def overloaded() -> Problem:
    """The problem of a service that has no room for another job."""
    return Problem(503, "the service is overloaded; try again later", retry_after_s=10)


def problem(status: int, detail: str) -> dict[str, Any]:
    """The members of a problem document."""
    return ProblemDetails(
        type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=detail
    ).model_dump()


async def answer(request: Request, error: Exception) -> JSONResponse:
    """The response to any HTTP error, FastAPI's own included."""
    assert isinstance(error, HTTPException)
    return response_to(error)


def response_to(error: HTTPException) -> JSONResponse:
    """The response that says what is wrong."""
    headers = dict(error.headers or {})
    if error.status_code in _NOT_READ:
        headers["Connection"] = "close"
    content = problem(error.status_code, str(error.detail))
    return JSONResponse(content, error.status_code, headers, media_type=MEDIA_TYPE)


async def answer_invalid(request: Request, error: Exception) -> JSONResponse:
    """The response to arguments that FastAPI refuses."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return await answer(request, Problem(422, f"{first['loc'][-1]}: {first['msg']}"))


async def answer_full_disk(request: Request, error: Exception) -> JSONResponse:
    """The response where an upload does not fit on the disk. Raises the error if it is another one."""
    if not (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)):
        raise error
    log.error("the folder for temporary files is full")
    return await answer(request, Problem(507, "the service's disk is full; try again later", retry_after_s=30))


async def answer_nobody(request: Request, error: Exception) -> JSONResponse:
    """The response, which nobody reads, to a client that disconnected while it sent its body."""
    assert isinstance(error, ClientDisconnect)
    log.info("a client disconnected while it sent its request")
    return await answer(request, Problem(400, "the client has disconnected"))


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entry of each status that a route answers with a problem."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}
