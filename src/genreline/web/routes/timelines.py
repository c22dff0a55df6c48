"""The routes that recognise a song and return its timeline."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from genreline.web.pool import Job
from genreline.web.problems import Problem, problem, responses
from genreline.web.schemas import TimelineSchema
from genreline.web.service import Service, cancel_on_disconnect, client_of
from genreline.web.uploads import FORM_SCHEMA, Link, Upload, body_of, form_of, link_of, media_type, uploaded

HEARTBEAT_S = 10  # a stream sends something at least this often, or proxies close it
EVENTS = "text/event-stream"
Format = Literal["csv", "json", "txt", "jams", "png", "html"]
MEDIA_TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "txt": "text/plain",
    "jams": "application/vnd.jams+json",
    "png": "image/png",
    "html": "text/html",
}
_TIMELINE_TEXT = (
    "The timeline, as JSON; or, for clients that accept text/event-stream, as it is recognised: `start`, a `second` "
    "for each second, and `done` with the song's summary, or `error` with a problem. A model that looks at a second's "
    "neighbours sends every second again before `done`, as all of the song makes it: it replaces the one before."
)


def timeline_routes(service: Service) -> APIRouter:
    """/v1/timeline and /v1/render."""
    router = APIRouter()

    async def timeline_job(request: Request) -> AsyncIterator[Job]:
        """The job that a request asks for. It ends with the request, and so does what was uploaded."""
        async with AsyncExitStack() as stack:
            stack.enter_context(service.admitted(request))
            if media_type(request) == "application/json":
                link = await link_of(request)
                model = service.model_name(link.model)
                path = await stack.enter_async_context(service.fetched(request, link.url))
                file = stack.enter_context(path.open("rb"))
                upload = Upload(file, path.stat().st_size, path.name, model)
            elif media_type(request) == "multipart/form-data":
                upload = uploaded(await stack.enter_async_context(form_of(request)))
            else:
                raise Problem(415, "send a form (multipart/form-data) with the song as `file`, or JSON with its `url`")
            header = {
                "kind": "listen",
                "name": upload.name,
                "model": service.model_name(upload.model),
                "max_duration_s": service.limits.max_duration_s,
            }
            job = Job(header, upload.file, upload.n_bytes, client_of(request))
            stack.callback(service.metrics.count, job)
            yield await stack.enter_async_context(service.pool.job(job))

    @router.post(
        "/v1/timeline",
        summary="Recognise a song",
        response_model=TimelineSchema,
        responses={
            200: {"description": _TIMELINE_TEXT, "content": {EVENTS: {"schema": {"type": "string"}}}},
            **responses(400, 403, 408, 413, 415, 422, 429, 503),
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "multipart/form-data": {"schema": FORM_SCHEMA},
                    "application/json": {"schema": Link.model_json_schema()},
                },
            }
        },
    )
    async def timeline(request: Request, job: Annotated[Job, Depends(timeline_job)]) -> Response:
        if EVENTS in request.headers.get("accept", ""):
            return StreamingResponse(_events(job), media_type=EVENTS, headers={"X-Accel-Buffering": "no"})
        return await cancel_on_disconnect(request, _whole(job))

    @router.post(
        "/v1/render",
        summary="A timeline in another format",
        response_class=Response,
        responses={
            200: {
                "description": "The timeline as a file.",
                "content": {kind: {"schema": {"type": "string"}} for kind in MEDIA_TYPES.values()},
            },
            **responses(400, 403, 408, 413, 415, 422, 429, 503),
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "description": "What /v1/timeline answered.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TimelineSchema"}}},
            }
        },
    )
    async def render(request: Request, format: Annotated[Format, Query()]) -> Response:
        with service.admitted(request):
            if media_type(request) != "application/json":
                raise Problem(415, "send the timeline as JSON (application/json)")
            body = await body_of(request, service.limits.max_timeline_bytes)
            work = service.work("render", "timeline", body, client_of(request), format=format)
            content = await cancel_on_disconnect(request, work)
        headers = {"Content-Disposition": f'attachment; filename="timeline.{format}"'}
        return Response(content, headers=headers, media_type=MEDIA_TYPES[format])

    return router


async def _events(job: Job) -> AsyncIterator[str]:
    """A job's answers as server-sent events (HTML standard, 9.2)."""
    async for answer in job.answers(HEARTBEAT_S):
        match answer:
            case {"event": "start"}:
                yield _event("start", {key: answer[key] for key in ("model", "classes")})
            case {"event": "seconds", "seconds": seconds}:
                yield "".join(_event("second", second) for second in seconds)
            case {"event": "done", "song": song}:
                yield _event("done", song)
            case {"event": "error", "status": status, "detail": detail}:
                yield _event("error", problem(status, detail))
            case _:
                yield ": waiting\n\n"


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False, allow_nan=False)}\n\n"


async def _whole(job: Job) -> Response:
    """All of a job's answers together, as `Timeline.to_dict` returns them."""
    seconds: dict[float, dict[str, Any]] = {}  # by start: one that comes again replaces the one before
    song: dict[str, Any] = {}
    async for answer in job.answers():
        match answer:
            case {"event": "error", "status": status, "detail": detail}:
                raise Problem(status, detail)
            case {"event": "seconds", "seconds": more}:
                for second in more:
                    seconds[second["start_s"]] = {key: value for key, value in second.items() if key != "peaks"}
            case {"event": "done", "song": done}:
                song = done
    return JSONResponse({**song, "seconds": list(seconds.values())})
