"""Checks what a client sends: a file in a form, or a URL in JSON."""

import codecs
import re
from contextlib import AbstractAsyncContextManager
from typing import BinaryIO, NamedTuple

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile

from genreline.web.problems import Problem

_MOST_JSON_BYTES = 16_384
_MOST_FIELD_BYTES = 4096
_NAME_LENGTH = 120
FORM_SCHEMA = {
    "type": "object",
    "title": "Song",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "The song, in any common format."},
        "model": {
            "type": "string",
            "description": "One of the models' names. Default: the service's default model.",
            "examples": ["genres8-resnet"],
        },
    },
}


class Link(BaseModel):
    """A song to be fetched."""

    model_config = ConfigDict(extra="forbid")
    url: str = Field(
        max_length=2048,
        description="Where the song, or the page that plays it, is.",
        examples=["https://www.youtube.com/watch?v=jNQXAC9IVRw"],
    )
    model: str | None = Field(
        None, description="One of the models' names. Default: the service's default model.", examples=["genres8-resnet"]
    )


class Upload(NamedTuple):
    """A song that came with the request, or by its link.

    `name` is the client's, made harmless; it names no file here. `title` is the song's, if it is not that of the name.
    """

    file: BinaryIO
    n_bytes: int
    name: str
    model: str | None
    title: str = ""


def media_type(request: Request) -> str:
    """The body's, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def harmless_name(name: str) -> str:
    """The last part of a path, on one line of at most 120 characters; browsers send its `"` as %22."""
    last = re.split(r"[/\\]", name)[-1].replace("%22", '"')
    printable = "".join(c for c in last if c.isprintable()).strip()
    return printable[-_NAME_LENGTH:] or "upload"


def uploaded(form: FormData) -> Upload:
    """The song in a form. Raises Problem 422 if the form does not follow FORM_SCHEMA."""
    file, model = form.get("file"), form.get("model")
    if not isinstance(file, UploadFile):
        raise Problem(422, "the form has no file; send the song as its field `file`, with a file name")
    if set(form) - {"file", "model"} or len(form.multi_items()) > len(form):
        raise Problem(422, "the form has unknown or repeated fields; send `file`, and optionally `model`, once each")
    if isinstance(model, UploadFile):
        raise Problem(422, "model: is a file; send a name")
    return Upload(file.file, file.size or 0, harmless_name(file.filename or ""), model)


def form_of(request: Request) -> AbstractAsyncContextManager[FormData]:
    """The form in a request; a file of more than 1 MB is in a temporary file without a name, until the block ends."""
    return request.form(max_files=1, max_fields=2, max_part_size=_MOST_FIELD_BYTES)


async def link_of(request: Request) -> Link:
    """The URL in a request. Raises Problem."""
    try:
        return Link.model_validate_json(await body_of(request, _MOST_JSON_BYTES))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the body"
        raise Problem(422, f"{place}: {first['msg']}; send an object with `url`, and optionally `model`") from error


async def body_of(request: Request, most_bytes: int) -> bytes:
    """The whole body, without a byte order mark. Raises Problem 413 if it is larger than `most_bytes`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most_bytes:
            raise Problem(413, f"the request exceeds the limit of {most_bytes} bytes; send less")
    return bytes(body).removeprefix(codecs.BOM_UTF8)
