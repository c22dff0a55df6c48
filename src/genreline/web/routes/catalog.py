"""The routes that list what the service offers: models, bounds, and music to try."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel

from genreline.web.assets import card, card_html
from genreline.web.formats import accepted
from genreline.web.problems import Problem, responses
from genreline.web.service import Service

_CARD_TYPES = ["text/html", "text/markdown"]
EXAMPLES = {
    "medley": "A medley of four genres, 90 s",
    "blues": "Blues, 30 s",
    "classical": "Classical, 30 s",
    "pop": "Pop, 30 s",
    "rock": "Rock, 30 s",
}


class ModelInfo(BaseModel):
    """A model that recognises songs; its card, in Markdown, states what it is good for."""

    name: str
    default: bool
    classes: list[str]
    features: str
    metrics: dict[str, dict[str, Any]]
    card: str


class Bounds(BaseModel):
    """What one request may ask of this service."""

    max_bytes: int
    max_duration_s: int
    urls: bool


class Example(BaseModel):
    """A piece of music that genreline composed."""

    name: str
    title: str


def catalog_routes(service: Service) -> APIRouter:
    """/v1/models, /v1/limits, /v1/examples."""
    router = APIRouter()
    composed: dict[str, asyncio.Task[bytes]] = {}

    @router.get("/v1/models", summary="The models, with their cards")
    async def models() -> list[ModelInfo]:
        return [ModelInfo(**model, card=card(model["name"])) for model in service.pool.models]

    @router.get(
        "/v1/models/{name}/card",
        summary="A model's card, as HTML unless Accept names Markdown",
        response_class=Response,
        responses={
            200: {"content": {each: {"schema": {"type": "string"}} for each in _CARD_TYPES}},
            **responses(400, 404, 406, 422),
        },
    )
    async def model_card(
        request: Request, name: Annotated[str, Path(openapi_examples={"default": {"value": "genres8-resnet"}})]
    ) -> Response:
        media_type = accepted(request, _CARD_TYPES)
        if name not in [model["name"] for model in service.pool.models]:
            raise Problem(404, f"{name[:80]}: no such model")
        content = card_html(card(name)) if media_type == "text/html" else card(name)
        return Response(content, media_type=media_type, headers={"Vary": "Accept"})

    @router.get("/v1/limits", summary="What one request may ask")
    async def limits() -> Bounds:
        most = service.limits
        return Bounds(max_bytes=most.max_bytes, max_duration_s=most.max_duration_s, urls=service.allow_urls)

    @router.get("/v1/examples", summary="Music to try")
    async def examples() -> list[Example]:
        return [Example(name=name, title=title) for name, title in EXAMPLES.items()]

    @router.get(
        "/v1/examples/{name}",
        summary="A piece of music as a wav file, composed when it is first asked for",
        response_class=Response,
        responses={
            200: {"content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}},
            **responses(404, 422, 503),
        },
    )
    async def example(name: Annotated[str, Path(openapi_examples={"blues": {"value": "blues"}})]) -> Response:
        if name not in EXAMPLES:
            raise Problem(404, f"{name[:80]}: no such example; choose one of {', '.join(EXAMPLES)}")
        task = composed.get(name)
        if task is None or (task.done() and task.exception()):
            task = composed[name] = asyncio.create_task(service.work("compose", name))
        # Shielded: another client may wait for the same piece when this one has gone.
        return Response(await asyncio.shield(task), media_type="audio/wav")

    return router
