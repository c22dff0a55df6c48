"""The routes that list what the service offers: models, bounds, and music to try."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel

from genreline.web.assets import card, card_html
from genreline.web.examples import Example, load_examples
from genreline.web.formats import accepted
from genreline.web.problems import Problem, responses
from genreline.web.schemas import TimelineSchema
from genreline.web.service import Service

_CARD_TYPES = ["text/html", "text/markdown"]


class ModelInfo(BaseModel):
    """A model that recognizes songs; its card, in Markdown, states what it is good for."""

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


class ExampleInfo(BaseModel):
    """A piece of music that genreline composed, and the model that recognized it."""

    name: str
    title: str
    duration_s: float
    model: str


def catalog_routes(service: Service) -> APIRouter:
    """/v1/models, /v1/limits, /v1/examples."""
    router = APIRouter()
    pieces = load_examples()
    cached = {"Cache-Control": "max-age=3600"}

    @router.get("/v1/models", summary="The models, with their cards")
    async def models() -> list[ModelInfo]:
        return [ModelInfo(**{**model, "card": card_of(model)}) for model in service.pool.models]

    def card_of(model: dict[str, Any]) -> str:
        return model["card"] or card(model["name"])

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
        found = [model for model in service.pool.models if model["name"] == name]
        if not found:
            raise Problem(404, f"{name[:80]}: no such model")
        text = card_of(found[0])
        content = card_html(text) if media_type == "text/html" else text
        return Response(content, media_type=media_type, headers={"Vary": "Accept"})

    @router.get("/v1/limits", summary="What one request may ask")
    async def limits() -> Bounds:
        most = service.limits
        return Bounds(max_bytes=most.max_bytes, max_duration_s=most.max_duration_s, urls=service.allow_urls)

    def piece(name: str) -> Example:
        if name not in pieces:
            raise Problem(404, f"{name[:80]}: no such example; choose one of {', '.join(pieces)}")
        return pieces[name]

    @router.get("/v1/examples", summary="Music to try")
    async def examples() -> list[ExampleInfo]:
        return [ExampleInfo(name=name, **piece.summary) for name, piece in pieces.items()]

    @router.get(
        "/v1/examples/{name}",
        summary="A piece of music as an MP3 file",
        response_class=Response,
        responses={
            200: {"content": {"audio/mpeg": {"schema": {"type": "string", "format": "binary"}}}},
            **responses(404, 422),
        },
    )
    async def example(name: Annotated[str, Path(openapi_examples={"blues": {"value": "blues"}})]) -> Response:
        return Response(piece(name).audio, media_type="audio/mpeg", headers=cached)

    @router.get(
        "/v1/examples/{name}/timeline",
        summary="The timeline of a piece of music, with the waveform's outline",
        response_model=TimelineSchema,
        responses=responses(404, 422),
    )
    async def example_timeline(name: Annotated[str, Path(openapi_examples={"blues": {"value": "blues"}})]) -> Response:
        return Response(piece(name).timeline, media_type="application/json", headers=cached)

    return router
