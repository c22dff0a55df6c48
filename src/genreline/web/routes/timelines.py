"""The routes that recognize a song and return its timeline."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from genreline.web.formats import MEDIA_TYPES, Format, accepted, accepted_format, attachment
from genreline.web.pool import Job
from genreline.web.problems import Problem, problem, responses
from genreline.web.schemas import EXAMPLE_TIMELINE, TimelineSchema
from genreline.web.service import Service, cancel_on_disconnect, client_of
from genreline.web.uploads import Upload, body_of, form_of, link_of, media_type, uploaded

HEARTBEAT_S = 10  # a stream sends something at least this often, or proxies close it
EVENTS = "text/event-stream"
_TIMELINE_TEXT = (
    "The timeline in the format that `Accept` names: JSON unless it names another; or, as text/event-stream, as it is "
    "recognized: `start`, a `second` for each second, and `done` with the song's summary, or `error` with a problem. A "
    "model that looks at a second's neighbours sends every second again before `done`, as all of the song makes it: it "
    "replaces the one before. Of a song that is cut, damaged or too long, what could be read comes with a sentence in "
    "`incomplete` (in other formats than JSON, in the header Timeline-Incomplete)."
)
_SCHEMAS: dict[Format, dict[str, Any]] = {
    "jams": {"type": "object"},
    "png": {"type": "string", "format": "binary"},
}
_FILES = {
    media_type: {"schema": _SCHEMAS.get(each, {"type": "string"})}
    for each, media_type in MEDIA_TYPES.items()
    if each != "json"
}
_REFUSALS = responses(400, 403, 406, 408, 413, 415, 422, 429, 507)
_TIMELINE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": _TIMELINE_TEXT,
        "headers": {
            "Timeline-Incomplete": {
                "description": "Why the timeline ends before the song does. JSON has it as `incomplete`.",
                "schema": {"type": "string"},
            }
        },
        "content": {EVENTS: {"schema": {"type": "string"}}, **_FILES},
    },
    **_REFUSALS,
}


def _body(media_type: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    """The OpenAPI entry of a route's body."""
    content = {media_type: {"schema": schema}}
    return {"requestBody": {"required": True, "description": description, "content": content}}


def preferred_type(request: Request) -> str:
    """The media type of the answer. Raises Problem 400 or 406 before the body is read."""
    return accepted(request, [*MEDIA_TYPES.values(), EVENTS])


def timeline_routes(service: Service) -> APIRouter:
    """/v1/timeline, /v1/timeline/url and /v1/render."""
    router = APIRouter()

    async def file_job(request: Request) -> AsyncIterator[Job]:
        """The job of a request with a file. It ends with the request, and so does what was uploaded."""
        async with AsyncExitStack() as stack:
            stack.enter_context(service.admitted(request))
            if media_type(request) != "multipart/form-data":
                raise Problem(
                    415, "send a form (multipart/form-data) with the song as `file`; a link goes to /v1/timeline/url"
                )
            upload = uploaded(await stack.enter_async_context(form_of(request)))
            yield await stack.enter_async_context(started(request, upload))

    async def link_job(request: Request) -> AsyncIterator[Job]:
        """The job of a request with a link. It ends with the request, and so does what was fetched."""
        async with AsyncExitStack() as stack:
            stack.enter_context(service.admitted(request))
            if media_type(request) != "application/json":
                raise Problem(415, "send JSON (application/json) with the song's `url`; a file goes to /v1/timeline")
            link = await link_of(request)
            model = service.model_name(link.model)
            song = await stack.enter_async_context(service.fetched(request, link.url))
            file = stack.enter_context(song.path.open("rb"))
            upload = Upload(file, song.path.stat().st_size, song.path.name, model, song.title)
            yield await stack.enter_async_context(started(request, upload))

    @asynccontextmanager
    async def started(request: Request, upload: Upload) -> AsyncIterator[Job]:
        header = {
            "kind": "listen",
            "name": upload.name,
            "title": upload.title,
            "model": service.model_name(upload.model),
            "max_duration_s": service.limits.max_duration_s,
            "max_samples": service.limits.max_samples,
        }
        job = Job(header, upload.file, upload.n_bytes, client_of(request))
        try:
            async with service.pool.job(job):
                yield job
        finally:
            service.metrics.count(job)

    async def answered(request: Request, media_type: str, job: Job) -> Response:
        """The timeline that a job makes, as a stream of events or whole, in the format of that type."""
        if media_type == EVENTS:
            headers = {"X-Accel-Buffering": "no", "Vary": "Accept"}
            return StreamingResponse(_events(job), media_type=EVENTS, headers=headers)
        song = await cancel_on_disconnect(request, _whole(job))
        body = json.dumps(song, ensure_ascii=False, allow_nan=False).encode()
        format = next(each for each in MEDIA_TYPES if MEDIA_TYPES[each] == media_type)
        headers = {"Vary": "Accept"}
        if "incomplete" in song:
            headers["Timeline-Incomplete"] = song["incomplete"].encode("ascii", "replace").decode()
        if format == "json":
            return Response(body, headers=headers, media_type=media_type)
        response = await rendered(request, body, format)
        response.headers.update(headers)
        return response

    async def rendered(request: Request, timeline: bytes, format: Format) -> Response:
        """A timeline, as JSON, in another format, to be saved as a file."""
        work = service.ask("render", "timeline", timeline, client_of(request), format=format)
        answer = await cancel_on_disconnect(request, work)
        headers = {"Content-Disposition": attachment(str(answer["title"]), format)}
        return Response(answer["content"], headers=headers, media_type=MEDIA_TYPES[format])

    @router.post(
        "/v1/timeline",
        summary="Recognize a song",
        response_model=TimelineSchema,
        responses=_TIMELINE_RESPONSES,
        openapi_extra=_body("multipart/form-data", {"$ref": "#/components/schemas/Song"}, "The song."),
    )
    async def timeline(
        request: Request, media_type: Annotated[str, Depends(preferred_type)], job: Annotated[Job, Depends(file_job)]
    ) -> Response:
        return await answered(request, media_type, job)

    @router.post(
        "/v1/timeline/url",
        summary="Fetch a song and recognize it",
        response_model=TimelineSchema,
        responses=_TIMELINE_RESPONSES,
        openapi_extra=_body("application/json", {"$ref": "#/components/schemas/Link"}, "Where the song is."),
        include_in_schema=service.allow_urls,
    )
    async def timeline_of_url(
        request: Request, media_type: Annotated[str, Depends(preferred_type)], job: Annotated[Job, Depends(link_job)]
    ) -> Response:
        return await answered(request, media_type, job)

    @router.post(
        "/v1/render",
        summary="A timeline in another format",
        response_class=Response,
        responses={
            200: {
                "description": "The timeline as a file.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TimelineSchema"}}, **_FILES},
            },
            **_REFUSALS,
        },
        openapi_extra=_body(
            "application/json",
            {"$ref": "#/components/schemas/TimelineSchema", "example": EXAMPLE_TIMELINE},
            "What /v1/timeline answered.",
        ),
    )
    async def render(
        request: Request,
        format: Annotated[Format | None, Query(description="Default: what Accept names, or JSON.")] = None,
    ) -> Response:
        format = format or accepted_format(request)
        with service.admitted(request):
            if media_type(request) != "application/json":
                raise Problem(415, "send the timeline as JSON (application/json)")
            return await rendered(request, await body_of(request, service.limits.max_timeline_bytes), format)

    return router


async def _events(job: Job) -> AsyncIterator[str]:
    """A job's answers as server-sent events (HTML standard, 9.2)."""
    async for answer in job.answers(HEARTBEAT_S):
        match answer:
            case {"event": "start"}:
                yield _event("start", {key: answer[key] for key in ("title", "model", "classes")})
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


async def _whole(job: Job) -> dict[str, Any]:
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
    return {**song, "seconds": list(seconds.values())}
