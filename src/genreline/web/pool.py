"""A pool of worker processes that are warm: each has the models loaded, and does one job at a time.

A worker that dies, takes too long or does not end a cancelled job is killed and replaced; its job ends with an
error, and no other job notices. See worker.py for the protocol between them.
"""

import asyncio
import contextlib
import io
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, BinaryIO

from genreline.errors import GenrelineError
from genreline.web.limits import Limits
from genreline.web.problems import overloaded
from genreline.web.turns import Turns

_LINE_BYTES = 2**22  # longer than any legitimate line
_CONTENT_BYTES = 2**27
_START_TIMEOUT_S = 120
_CANCEL_TIMEOUT_S = 2
_GRACE_S = 5  # after which the system ends a worker if this process is gone
_CHUNK = 2**18

log = logging.getLogger("genreline.web")


class _BrokenError(Exception):
    """The worker has ended or violated the protocol; the text is for the client that sent the job."""


class Process:
    """One worker process; see worker.py."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        self._process, self._input, self._output = process, process.stdin, process.stdout
        self.models: list[dict[str, Any]] = []

    @classmethod
    async def start(cls, limits: Limits, models: Sequence[str] = ()) -> "Process":
        """A worker that is ready, with these model folders besides those that ship.

        Raises GenrelineError if it does not get that far.
        """
        process = cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "genreline.web.worker", str(limits.job_memory_bytes), *models),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                limit=_LINE_BYTES,
                start_new_session=True,  # Ctrl-C in a terminal is for the service, which then lets its workers end
            )
        )
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                process.models = (await process.answer())["models"]
        except (_BrokenError, TimeoutError) as error:
            await process.kill()
            raise GenrelineError("a worker process did not start; see above, and is there enough memory?") from error
        except BaseException:
            await process.kill()
            raise
        return process

    async def send(self, job: dict[str, Any], payload: BinaryIO) -> None:
        """Hand over a job and its payload, `job["n_bytes"]` of it."""
        try:
            self._input.write(json.dumps(job).encode() + b"\n")
            while chunk := payload.read(_CHUNK):
                self._input.write(chunk)
                await self._input.drain()
            await self._input.drain()
        except OSError as error:
            raise _BrokenError from error

    async def answer(self) -> dict[str, Any]:
        """The next answer, with its `content` where it has one."""
        try:
            answer: dict[str, Any] = json.loads(await self._output.readuntil(b"\n"))
            if answer["event"] == "content":
                if not 0 <= answer["n_bytes"] <= _CONTENT_BYTES:
                    raise _BrokenError
                answer["content"] = await self._output.readexactly(answer["n_bytes"])
        except (ValueError, KeyError, TypeError, EOFError, OSError, asyncio.LimitOverrunError) as error:
            raise _BrokenError from error
        return answer

    async def cancel(self) -> None:
        """End the current job. Raises _BrokenError if the worker does not within two seconds."""
        if hasattr(signal, "SIGUSR1"):
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGUSR1)
        try:
            async with asyncio.timeout(_CANCEL_TIMEOUT_S):
                while (await self.answer())["event"] not in ("end", "error"):
                    pass
        except TimeoutError as error:
            raise _BrokenError from error

    async def kill(self) -> None:
        """Kill the process, whatever it is doing."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def ended(self) -> None:
        """Return when the process has ended."""
        await self._process.wait()

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid


class Job:
    """A piece of work, from its admission on. Its answers are queued here, so that no client delays a worker."""

    def __init__(
        self, header: dict[str, Any], payload: BinaryIO | None = None, n_bytes: int = 0, client: str = ""
    ) -> None:
        self.header = {**header, "n_bytes": n_bytes}
        self.payload = payload or io.BytesIO()
        self.client = client
        self.outcome = "vanished"
        self.seconds = 0.0
        self.sound_s = 0.0
        self._answers: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def put(self, answer: dict[str, Any] | None) -> None:
        """Add an answer; None after the last."""
        if answer and answer["event"] == "done":
            self.sound_s = float(answer["song"]["duration_s"])
        self._answers.put_nowait(answer)

    async def answers(self, heartbeat_s: float = 3600) -> AsyncIterator[dict[str, Any]]:
        """The answers as they come; where none comes for `heartbeat_s`, one whose event is "waiting"."""
        while True:
            try:
                async with asyncio.timeout(heartbeat_s):
                    answer = await self._answers.get()
            except TimeoutError:
                answer = {"event": "waiting"}
            if answer is None:
                return
            yield answer


class Pool:
    """Workers, and the jobs that wait for them."""

    def __init__(self, limits: Limits, models: Sequence[str] = ()) -> None:
        self._limits, self._folders = limits, models
        self._turns = Turns(limits.workers)
        self._idle: asyncio.Queue[Process] = asyncio.Queue()
        self._processes: set[Process] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.models: list[dict[str, Any]] = []
        self._waiting: set[Job] = set()
        self.running = 0
        self.replaced = 0

    async def start(self) -> None:
        """Return when the first worker is ready; the others follow. Raises GenrelineError if it does not start."""
        self._add(first := await Process.start(self._limits, self._folders))
        self.models = first.models
        for _ in range(self._limits.workers - 1):
            self._spawn(self._start_another())

    async def stop(self) -> None:
        """End all processes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(process.kill() for process in self._processes))

    @property
    def pids(self) -> list[int]:
        """The process numbers of the workers that live."""
        return sorted(process.pid for process in self._processes if process.is_alive)

    @property
    def waiting(self) -> int:
        """How many jobs wait for a worker."""
        return len(self._waiting)

    def check_room(self) -> None:
        """Raise Problem 503 if as many jobs wait as may."""
        if self.waiting >= self._limits.queue:
            raise overloaded()

    @contextlib.asynccontextmanager
    async def job(self, job: Job, is_part: bool = False) -> AsyncIterator[Job]:
        """Run a job while the block reads its answers; leaving the block early cancels it. Raises Problem 503.

        A part of something that is under way already is let in, however many wait.
        """
        if not is_part:
            self.check_room()
        self._waiting.add(job)
        task = self._spawn(self._do(job))
        try:
            yield job
        finally:
            task.cancel()
            self._waiting.discard(job)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(task)

    async def _do(self, job: Job) -> None:
        async with self._turns.place(job.client):
            while not (process := await self._idle.get()).is_alive:  # the system may have killed it for its memory
                pass
            self._waiting.discard(job)
            await self._have_done(process, job)

    async def _have_done(self, process: Process, job: Job) -> None:
        self.running += 1
        begin = time.monotonic()
        header = {**job.header, "processor_s": self._limits.job_timeout_s + _GRACE_S}
        sending = self._spawn(process.send(header, job.payload))
        try:
            async with asyncio.timeout(self._limits.job_timeout_s):
                await self._talk(process, job, sending)
            self._idle.put_nowait(process)
        except asyncio.CancelledError:
            # A worker that waits for the rest of its job, which is there already, cannot hear that it is cancelled.
            await asyncio.wait({sending}, timeout=_CANCEL_TIMEOUT_S)
            self._spawn(self._recover(process))
            raise
        except TimeoutError:
            job.outcome = "timeout"
            allowed = f"{self._limits.job_timeout_s:g} s that are allowed"
            job.put(_error(503, f"{job.header['name']}: takes more than the {allowed}; send a shorter one"))
            self._spawn(process.kill())
        except Exception as error:  # it has ended, or breaks the protocol
            job.outcome = "crash"
            why = str(error) if isinstance(error, _BrokenError) else ""
            job.put(_error(422, why or f"{job.header['name']}: broke the decoder; convert it to another format"))
            self._spawn(process.kill())
        finally:
            if not sending.cancel() and not sending.cancelled():
                sending.exception()  # which asyncio would log if nobody took it
            self.running -= 1
            job.seconds = time.monotonic() - begin
            job.put(None)

    async def _talk(self, process: Process, job: Job, sending: asyncio.Task[None]) -> None:
        with contextlib.suppress(_BrokenError):  # it may have reported the reason before it ended
            await asyncio.shield(sending)
        while (answer := await process.answer())["event"] != "end":
            if answer["event"] == "crash":  # it could still report the reason
                raise _BrokenError(answer["detail"])
            job.put(answer)
            if answer["event"] == "error":
                job.outcome = "refused"
                return
        job.outcome = "done"

    async def _recover(self, process: Process) -> None:
        """Make a worker whose job was cancelled idle again, or replace it."""
        try:
            await process.cancel()
            self._idle.put_nowait(process)
        except _BrokenError:
            await process.kill()

    async def _replace_when_it_ends(self, process: Process) -> None:
        await process.ended()
        self._processes.discard(process)
        self.replaced += 1
        await self._start_another()

    async def _start_another(self) -> None:
        while True:
            try:
                self._add(await Process.start(self._limits, self._folders))
                return
            except (GenrelineError, OSError) as error:
                log.error("%s", error)
                await asyncio.sleep(5)

    def _add(self, process: Process) -> None:
        self._processes.add(process)
        self._idle.put_nowait(process)
        self._spawn(self._replace_when_it_ends(process))

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)  # asyncio itself keeps no reference
        task.add_done_callback(self._tasks.discard)
        return task


def _error(status: int, detail: str) -> dict[str, Any]:
    return {"event": "error", "status": status, "detail": detail}
