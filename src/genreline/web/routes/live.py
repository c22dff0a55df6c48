"""The route that recognizes a sound while it is still being recorded, over a WebSocket.

The client sends samples as they come, and each second goes to a worker as a job of its own, in turn with everybody
else's. What must be known of the seconds before is kept here, so that any worker can take the next one.
"""

import asyncio
import io
import json
from typing import Any

import numpy as np
import soxr
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from numpy.typing import NDArray

from genreline.audio.seconds import RATE_HZ, SHORTEST_S
from genreline.web.pool import Job
from genreline.web.problems import Problem, problem
from genreline.web.service import Service, client_of

RATES_HZ = range(8000, 192_001)
_TITLE = "Recording"
_MOST_MESSAGES_A_S = 200  # browsers send ten


def live_routes(service: Service) -> APIRouter:
    """/v1/live."""
    router = APIRouter()

    @router.websocket("/v1/live")
    async def live(socket: WebSocket) -> None:
        """Recognize a sound as it comes; docs/deploy.md describes the messages."""
        await socket.accept()
        try:
            try:
                with service.admitted(socket):
                    await _Recording(service, socket).recognize()
            except Problem as error:
                await _send(socket, service, "error", problem(error.status_code, str(error.detail)))
            await socket.close()
        except (WebSocketDisconnect, TimeoutError):
            pass  # it has gone, or does not read

    return router


async def _send(socket: WebSocket, service: Service, event: str, data: dict[str, Any]) -> None:
    """Send an event. Raises TimeoutError if the client does not read."""
    text = json.dumps({"event": event, "data": data}, ensure_ascii=False, allow_nan=False)
    async with asyncio.timeout(service.limits.idle_timeout_s):
        await socket.send_text(text)


class _Recording:
    """A sound that comes in messages, and what is known of it."""

    def __init__(self, service: Service, socket: WebSocket) -> None:
        self._service, self._socket = service, socket
        self._limits = service.limits
        self._model = service.model_name(socket.query_params.get("model"))
        rate_hz = socket.query_params.get("rate_hz", "")
        if not (rate_hz.isdecimal() and len(rate_hz) < 7 and int(rate_hz) in RATES_HZ):
            raise Problem(422, f"rate_hz: must be from {RATES_HZ[0]} to {RATES_HZ[-1]} samples a second")
        self._rate_hz = int(rate_hz)
        self._resampler = soxr.ResampleStream(self._rate_hz, RATE_HZ, 1, dtype="float32")
        self._half = b""  # of a sample
        self._waveform = np.empty(0, np.float32)  # what has no row yet
        self._rows: list[list[float] | None] = []  # as workers send them; None is silence
        self._before: list[float] | None = None
        self._total = Job({"kind": "live"})

    async def recognize(self) -> None:
        """Recognize the sound until its end, which a text message announces. Raises Problem."""
        classes = next(each["classes"] for each in self._service.pool.models if each["name"] == self._model)
        await self._tell("start", {"title": _TITLE, "model": self._model, "classes": classes})
        try:
            is_whole = await self._take_all()
            await self._finish(is_whole)
            self._total.outcome = "done"
        except Problem:
            self._total.outcome = "refused"
            raise
        finally:
            self._service.metrics.count(self._total)

    async def _take_all(self) -> bool:
        """Take all messages, and recognize whole seconds; whether there was no more than is allowed."""
        loop = asyncio.get_running_loop()
        start_s, waited_s, n_messages = loop.time(), 0.0, 0
        n_left = self._limits.max_duration_s * RATE_HZ
        while True:
            begin_s = loop.time()
            pcm = await self._message()
            waited_s += loop.time() - begin_s
            n_messages += 1
            if n_messages > _MOST_MESSAGES_A_S * (5 + loop.time() - start_s):
                most = f"{_MOST_MESSAGES_A_S} messages a second"
                raise Problem(422, f"the sound comes in more than {most}; send larger ones")
            await asyncio.sleep(0)  # where the next message is there already, nobody else would have a turn
            waveform = self._resampled(pcm or b"", is_last=pcm is None)[:n_left]
            n_left -= len(waveform)
            self._waveform = np.concatenate([self._waveform, waveform])
            if n_seconds := len(self._waveform) // RATE_HZ:
                await self._recognize(n_seconds * RATE_HZ)
            if not n_left or pcm is None:
                return bool(n_left)
            if waited_s > self._limits.idle_timeout_s + 2 * self._total.header["n_bytes"] / (2 * self._rate_hz):
                raise Problem(408, "the sound comes at less than half its speed; record again, or send a file")

    async def _message(self) -> bytes | None:
        """The next samples; None at the end. Raises Problem 408 or 422."""
        try:
            async with asyncio.timeout(self._limits.idle_timeout_s):
                message = await self._socket.receive()
        except TimeoutError as error:
            raise Problem(408, "no sound came for a while; record again") from error
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        if message.get("text") == "end":
            return None
        pcm = message.get("bytes")
        if pcm is None:
            raise Problem(422, 'send binary messages of samples, and the text "end" at last')
        self._total.header["n_bytes"] += len(pcm)
        return bytes(pcm)

    def _resampled(self, pcm: bytes, is_last: bool) -> NDArray[np.float32]:
        """16-bit samples, whose messages may end within one, as a waveform at 8 kHz."""
        pcm = self._half + pcm
        n_whole = len(pcm) // 2 * 2
        self._half = pcm[n_whole:]
        waveform = np.frombuffer(pcm[:n_whole], "<i2").astype(np.float32) / np.float32(32768)
        resampled: NDArray[np.float32] = self._resampler.resample_chunk(waveform, last=is_last)
        return resampled

    async def _recognize(self, n_samples: int) -> None:
        """Have the next seconds recognized, and send them."""
        waveform, self._waveform = self._waveform[:n_samples], self._waveform[n_samples:]
        answer = await self._ask("live", waveform.tobytes(), start_s=len(self._rows), before=self._before)
        self._before = answer["before"]
        self._rows += answer["rows"]
        self._total.sound_s = len(self._rows)
        for second in answer["seconds"]:
            await self._tell("second", second)

    async def _finish(self, is_whole: bool) -> None:
        """Recognize what is left, and send all of the song."""
        if len(self._waveform) >= SHORTEST_S * RATE_HZ or (len(self._waveform) and not self._rows):
            n_rest = len(self._waveform)
            await self._recognize(n_rest)
            duration_s = len(self._rows) - 1 + n_rest / RATE_HZ
        else:
            duration_s = len(self._rows) + len(self._waveform) / RATE_HZ
        if not self._rows:
            raise Problem(422, "no sound came; is the microphone on?")
        self._total.sound_s = duration_s
        rows = json.dumps(self._rows).encode()
        answer = await self._ask("conclude", rows, title=_TITLE, duration_s=duration_s)
        song = answer["song"]
        if not is_whole:
            minutes = self._limits.max_duration_s / 60
            song["incomplete"] = f"{_TITLE}: was stopped after the {minutes:g} minutes that are allowed"
        for second in answer["seconds"]:
            await self._tell("second", second)
        await self._tell("done", song)

    async def _ask(self, kind: str, payload: bytes, **options: Any) -> dict[str, Any]:
        """A worker's answer to one job, all its seconds together. Raises Problem."""
        header = {"kind": kind, "name": _TITLE, "model": self._model, **options}
        job = Job(header, io.BytesIO(payload), len(payload), client_of(self._socket))
        whole: dict[str, Any] = {"seconds": []}
        async with self._service.pool.job(job, is_part=True):
            async for answer in job.answers():
                if answer["event"] == "error":
                    raise Problem(answer["status"], answer["detail"])
                seconds = whole["seconds"] + answer.get("seconds", [])
                whole |= answer | {"seconds": seconds}
        self._total.seconds += job.seconds
        return whole

    async def _tell(self, event: str, data: dict[str, Any]) -> None:
        await _send(self._socket, self._service, event, data)
