"""The service assembled. Start here; worker.py is where songs are predicted.

The process that answers holds no decoder and no model: it passes what clients send to worker processes, and their
answers to the clients.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import genreline
from genreline.web.assets import Assets
from genreline.web.limits import Limits
from genreline.web.problems import (
    Problem,
    ProblemDetails,
    answer,
    answer_full_disk,
    answer_invalid,
    answer_nobody,
    responses,
)
from genreline.web.routes.catalog import catalog_routes
from genreline.web.routes.live import live_routes
from genreline.web.routes.timelines import timeline_routes
from genreline.web.security import HEADERS, BodyLimits, KnownHosts, RejectCrossSite, SafeHeaders, log_briefly
from genreline.web.service import Service
from genreline.web.uploads import FORM_SCHEMA, Link


class Health(BaseModel):
    """Whether the service can predict songs."""

    status: str
    workers: int


class Head:
    """Answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as GET if it is HEAD, and the answer's head back."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, send_head)


class RootPath:
    """Sets the application's root path. Requests match with it and without, because proxies send either."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app, self._root_path = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the root path set."""
        await self._app({**scope, "root_path": self._root_path}, receive, send)


class Application(FastAPI):
    """The application; its description of itself has the schemas that no route names as FastAPI expects it."""

    def openapi(self) -> dict[str, Any]:
        """The description, as OpenAPI."""
        schema = super().openapi()
        schema["components"]["schemas"] |= {
            "Song": FORM_SCHEMA,
            "Link": Link.model_json_schema(),
            "ProblemDetails": ProblemDetails.model_json_schema(),
        }
        return schema


async def answer_bug(request: Request, error: Exception) -> Response:
    """The response where this service has a bug, whose traceback is logged. It passes by all that is added below."""
    response = await answer(request, Problem(500, "the service failed; tell its operator what you sent"))
    response.headers.update(HEADERS)
    return response


def create_app(
    limits: Limits | None = None,
    allow_urls: bool = False,
    root_path: str = "",
    host_names: Collection[str] = (),
    models: Sequence[str] = (),
) -> FastAPI:
    """The service as an ASGI application. Its lifespan starts and ends the worker processes.

    Args:
        limits: the bounds of requests.
        allow_urls: whether songs are fetched from URLs.
        root_path: the path at which a proxy serves it, such as /genres.
        host_names: names by which clients reach it, besides localhost.
        models: model folders that it offers besides those that ship; the first is the default.
    """
    limits = limits or Limits()
    service = Service(limits, allow_urls, models)
    assets = Assets()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().set_exception_handler(log_briefly)
        await service.pool.start()
        try:
            yield
        finally:
            await service.pool.stop()

    app = Application(
        title="genreline",
        version=genreline.__version__,
        description="Recognizes the genre of music second by second: the genre timeline of any song.",
        lifespan=lifespan,
        responses=responses(421, 500, 503),
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.add_exception_handler(Exception, answer_bug)
    app.add_exception_handler(HTTPException, answer)
    app.add_exception_handler(RequestValidationError, answer_invalid)
    app.add_exception_handler(OSError, answer_full_disk)
    app.add_exception_handler(ClientDisconnect, answer_nobody)
    app.add_middleware(BodyLimits, limits=limits)
    app.add_middleware(RejectCrossSite)
    app.add_middleware(KnownHosts, names=host_names)
    app.add_middleware(SafeHeaders)
    app.add_middleware(Head)
    app.add_middleware(RootPath, root_path=root_path.rstrip("/"))
    app.include_router(timeline_routes(service))
    app.include_router(live_routes(service))
    app.include_router(catalog_routes(service))

    @app.get("/healthz", summary="Whether the service can predict songs")
    async def healthz() -> Health:
        if not service.pool.pids:
            raise Problem(503, "no worker process is ready; try again later", retry_after_s=5)
        return Health(status="ok", workers=len(service.pool.pids))

    @app.get(
        "/metrics",
        summary="Counters for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return assets.response(request, "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return assets.response(request, "docs.html")

    @app.get("/sw.js", include_in_schema=False)
    async def service_worker(request: Request) -> Response:
        return assets.response(request, "sw.js")  # here, because it works for nothing above its own path

    @app.get("/assets/{name}", include_in_schema=False)
    async def asset(request: Request, name: str) -> Response:
        return assets.response(request, name)

    return app
