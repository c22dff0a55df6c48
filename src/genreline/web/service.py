"""What the routes share: the workers, admission of requests, and the counters."""

import asyncio
import io
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeVar

from fastapi import Request
from starlette.requests import HTTPConnection

from genreline.web.fetcher import Song, fetched
from genreline.web.limits import Limits
from genreline.web.metrics import Metrics
from genreline.web.pool import Job, Pool
from genreline.web.problems import Problem, overloaded
from genreline.web.security import Clients, household
from genreline.web.turns import Turns

Result = TypeVar("Result")


class Service:
    """One running service."""

    def __init__(self, limits: Limits, allow_urls: bool, models: Sequence[str] = ()) -> None:
        self.limits, self.allow_urls = limits, allow_urls
        self.pool = Pool(limits, models)
        self.metrics = Metrics(self.pool)
        self._admitted = 0
        self._clients = Clients(limits.per_client)
        self._fetches = Turns(2 * limits.workers, most_each=limits.workers)  # a link may take minutes to drip

    @contextmanager
    def admitted(self, request: HTTPConnection) -> Iterator[None]:
        """Let a job in, before its body is read. Raises Problem: 429 or 503, there are too many."""
        with self._clients.one(client_of(request)):
            self.pool.check_room()
            if self._admitted >= self.limits.admitted:
                raise overloaded()
            self._admitted += 1
            try:
                yield
            finally:
                self._admitted -= 1

    @asynccontextmanager
    async def fetched(self, request: Request, url: str) -> AsyncIterator[Song]:
        """The song that a URL leads to, which goes with the block.

        Raises Problem: 403 where no URLs are fetched, 503 where others are for too long.
        """
        if not self.allow_urls:
            raise Problem(403, "this service fetches no URLs; download the song and send the file")
        async with AsyncExitStack() as stack:
            turn = stack.enter_async_context(self._fetches.place(client_of(request)))
            try:
                async with asyncio.timeout(self.limits.fetch_wait_s):  # proxies wait for so long, and then fail
                    await cancel_on_disconnect(request, turn)
            except TimeoutError as error:
                raise overloaded() from error
            yield await cancel_on_disconnect(request, stack.enter_async_context(fetched(url, self.limits)))

    async def ask(self, kind: str, name: str, payload: bytes = b"", client: str = "", **options: Any) -> dict[str, Any]:
        """A worker's answer to a job that has one. Raises Problem."""
        job = Job({"kind": kind, "name": name, **options}, io.BytesIO(payload), len(payload), client)
        answer: dict[str, Any] = {}
        try:
            async with self.pool.job(job):
                async for answer in job.answers():
                    if answer["event"] == "error":
                        raise Problem(answer["status"], answer["detail"])
        finally:
            self.metrics.count(job)
        return answer

    def model_name(self, asked: str | None) -> str:
        """The name of an existing model: the one asked for, or the default. Raises Problem 422."""
        names = [str(model["name"]) for model in self.pool.models]
        if asked is None:
            return next(str(model["name"]) for model in self.pool.models if model["default"])
        if asked not in names:
            raise Problem(422, f"{asked[:80]}: no such model; choose one of {', '.join(names)}")
        return asked


def client_of(request: HTTPConnection) -> str:
    """Whose turn a request takes: its address, or the network of one customer."""
    return household(request.client.host if request.client else "")


async def cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of some work, which is cancelled if the client disconnects meanwhile (the body has been read).

    Raises:
        Problem: as the work does; 503, which no client reads, if it has disconnected.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Problem(503, "the client has disconnected")
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
