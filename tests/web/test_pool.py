"""The pool of workers by itself, with real processes, most of which stand in for workers: a real one starts slowly."""

import asyncio
import io
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from genreline.web.limits import Limits
from genreline.web.pool import Job, Pool
from genreline.web.problems import Problem

pytestmark = pytest.mark.slow


def listen(data, **options):
    header = {"kind": "listen", "name": "song.wav", "title": "", "model": "course-fnn"}
    return Job(header | {"max_duration_s": 3600, "max_samples": 10**9} | options, io.BytesIO(data), len(data))


async def last_answer(pool, job):
    async with pool.job(job):
        return [answer async for answer in job.answers()][-1]


# Speaks as worker.py does. A job is a path: it is done when the file exists, or at once if there is no path.
STAND_IN = """
import json, os, signal, sys, time

is_cancelled = False

def cancel(*_):
    global is_cancelled
    is_cancelled = True

def send(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)

signal.signal(signal.SIGUSR1, cancel)
send("ready", models=[])
while line := sys.stdin.buffer.readline():
    is_cancelled = False
    path = sys.stdin.buffer.read(json.loads(line)["n_bytes"]).decode()
    send("start")
    while path and not os.path.exists(path) and not is_cancelled:
        time.sleep(0.005)
    if not is_cancelled:
        send("done", song={"duration_s": 1})
    send("end")
"""

# A worker that spins on every job, as a decoder does that never returns.
SPINNING = """
import sys
from genreline.web import worker

def spin(*_):
    while True:
        pass

worker.Worker._listen = spin
sys.argv[1:] = sys.argv[-1:]
worker.main()
"""


@pytest.fixture
def start_as_worker(monkeypatch):
    """Have the workers that start from now on run another program."""
    start = asyncio.create_subprocess_exec

    def start_as_worker(program_text):
        async def start_other(program, *arguments, **options):
            return await start(program, "-c", program_text, arguments[-1], **options)

        monkeypatch.setattr(asyncio, "create_subprocess_exec", start_other)

    return start_as_worker


@pytest.fixture
def stand_in(start_as_worker):
    """Have the workers that start from now on be stand-ins."""
    start_as_worker(STAND_IN)


def with_pool(limits, work):
    """Do `work` with a pool, which leaves no process. In a thread, as a browser's tests keep a loop in the main one."""

    async def start_work_stop():
        pool = Pool(limits)
        await pool.start()
        try:
            await work(pool)
        finally:
            await pool.stop()
            for pid in pool.pids:
                with pytest.raises(ProcessLookupError):
                    os.kill(pid, 0)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, start_work_stop()).result()


def test_a_job_that_is_cancelled_while_it_is_handed_over_frees_its_worker(stand_in):
    """A worker that waits for the rest of a job hears of nothing else."""

    async def work(pool):
        pids = pool.pids
        async with pool.job(listen(b"x" * 50_000_000)):
            while not pool.running:
                await asyncio.sleep(0)
        assert (await last_answer(pool, listen(b"")))["event"] == "done"
        assert (pool.pids, pool.replaced) == (pids, 0)

    with_pool(Limits(workers=1), work)


async def until(condition):
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.01)


def test_what_takes_too_long_is_ended_and_its_worker_replaced(stand_in):
    async def work(pool):
        (first,) = pool.pids
        late = await last_answer(pool, listen(b"/never"))
        assert late["event"] == "error"
        assert late["detail"] == "song.wav: takes more than the 0.3 s that are allowed; send a shorter one"
        await until(lambda: pool.pids not in ([], [first]))

    with_pool(Limits(workers=1, job_timeout_s=0.3), work)


def test_jobs_wait_for_a_worker_that_lives(stand_in):
    async def work(pool):
        for _ in range(3):  # nobody waits for these
            async with pool.job(listen(b"/never")):
                pass
        assert pool.waiting == 0
        (first,) = pool.pids
        async with pool.job(listen(b"")) as one, pool.job(listen(b"")):
            assert pool.waiting == 2
            with pytest.raises(Problem) as full:
                pool.check_room()
            assert full.value.status_code == 503
            assert [answer["event"] async for answer in one.answers()] == ["start", "done"]
        os.kill(first, signal.SIGKILL)  # while it has nothing to do, as the system may for its memory
        await until(lambda: not any(process.is_alive for process in pool._processes))
        assert (await last_answer(pool, listen(b"")))["event"] == "done"
        assert pool.pids != [first]

    with_pool(Limits(workers=1, queue=2), work)


def test_turns_go_round_by_client(stand_in, tmp_path):
    async def work(pool):
        ended = []

        async def one(client, release=b""):
            job = listen(release)
            job.client = client
            await last_answer(pool, job)
            ended.append(client)

        jobs = [asyncio.create_task(one("many", bytes(tmp_path / "release")))]
        await until(lambda: pool.running == 1)
        jobs += [asyncio.create_task(one("many")) for _ in range(5)]
        await until(lambda: pool.waiting == 5)
        jobs.append(asyncio.create_task(one("other")))
        await until(lambda: pool.waiting == 6)
        (tmp_path / "release").touch()
        await asyncio.gather(*jobs)
        assert ended == ["many", "other", *["many"] * 5]

    with_pool(Limits(workers=1), work)


def test_a_worker_that_spins_is_ended_by_the_system(start_as_worker, monkeypatch, song):
    """The pool's own clock is not needed for it."""
    start_as_worker(SPINNING)
    monkeypatch.setattr("genreline.web.pool._GRACE_S", -998)

    async def work(pool):
        (first,) = pool.pids
        answer = await last_answer(pool, listen(song))
        assert answer["status"] == 422
        await until(lambda: pool.pids not in ([], [first]))

    with_pool(Limits(workers=1, job_timeout_s=1000), work)


def test_no_worker_is_alive_without_a_live_process(stand_in):
    async def work(pool):
        (first,) = pool.pids
        os.kill(first, signal.SIGKILL)
        await until(lambda: not pool.pids)
        await until(lambda: pool.pids)  # replaced before a job asks for it

    with_pool(Limits(workers=1), work)
