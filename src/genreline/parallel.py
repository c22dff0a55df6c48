"""Map a function over items, unordered, on several processes of this machine or on the nodes of a Ray cluster."""

import ctypes
import functools
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any, TypeVar, cast

from genreline.errors import ConfigError, GenrelineError, first_line
from genreline.files import DISK_IS_FULL
from genreline.signals import raising

BASE_S, S_PER_MB = 60, 60
"""The processor time allowed for decoding and processing a file; a file that can be decoded needs less than a tenth."""

Item = TypeVar("Item")
Result = TypeVar("Result")

BACKENDS = ("processes", "ray")
_IN_FLIGHT = 3  # items handed over for each of Ray's CPUs: one at work, the others so that it never waits
_GRACE_S = 0.8  # for a worker to remove half-written files
_PR_SET_PDEATHSIG = 1  # of Linux' prctl
_RETRIES = 5  # of an item whose Ray worker or node died; one that kills its worker every time is an error


def n_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_unordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    jobs: int,
    backend: str = "processes",
    ray_address: str | None = None,
    processor_s: Callable[[Item], float] | None = None,
    lost: Callable[[Item, str], Result] | None = None,
) -> Generator[tuple[Item, Result], None, None]:
    """Yield (item, function(item)) as each is done; `function` must be importable by name, or a partial of such.

    Items are taken from `items` as workers become free, so there may be any number of them. An exception in the
    function or in the consumer of the results, or Ctrl-C, ends the work: processes get SIGTERM, which raises SystemExit
    in the function, and those that do not end within a second are killed. They also end with their parent, however it
    ends.

    Args:
        jobs: processes of this machine. On Ray, the cluster's CPUs count instead, unless Ray is started here.
        backend: "processes" or "ray". Ray repeats the items of a dead node on another node, so the function must be
            safe to repeat, and its inputs and outputs must have the same paths on all nodes.
        ray_address: of the cluster, as HOST:PORT. None is the one of RAY_ADDRESS or of this machine, or, where there
            is none, a Ray of `jobs` CPUs that is started here and ends with the work.
        processor_s: the seconds of processor time that an item may take; a process that takes more is killed (not on
            Windows, nor on Ray). Default: no limit.
        lost: gives the result of an item whose process died, from the item and the reason. Default: raise an error.

    Raises:
        ConfigError: no such backend, Ray is not installed, or no cluster answers.
        GenrelineError: a worker died, and there is no `lost`.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"backend {backend!r}: there is no such backend; choose {' or '.join(BACKENDS)}")
    if backend == "ray":
        yield from _on_ray(function, items, jobs, ray_address)
    else:
        yield from _on_processes(function, items, jobs, processor_s, lost)


def _on_processes(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    jobs: int,
    processor_s: Callable[[Item], float] | None,
    lost: Callable[[Item, str], Result] | None,
) -> Iterator[tuple[Item, Result]]:
    todo = iter(items)
    workers: dict[Connection, _Worker] = {}
    try:
        while True:
            for item in islice(todo, jobs - len(workers)):
                worker = _Worker(function)
                workers[worker.answers] = worker
                worker.give(item, processor_s and processor_s(item))
            if not workers:
                return
            done = []
            for answers in cast(list[Connection], wait(list(workers))):
                worker = workers[answers]
                item = worker.item
                try:
                    is_result, outcome = answers.recv()
                except EOFError as error:
                    del workers[answers]
                    reason = worker.why_it_died()
                    if lost is None:
                        raise GenrelineError(f"a worker process {reason}; try fewer --jobs") from error
                    done.append((item, lost(item, reason)))
                    continue
                if not is_result:
                    raise outcome
                done.append((item, outcome))
                for next_item in islice(todo, 1):
                    worker.give(next_item, processor_s and processor_s(next_item))
                    break
                else:
                    del workers[answers]
                    worker.dismiss()
            yield from done
    finally:
        _end(list(workers.values()))


class _Worker:
    """A process that does one item at a time.

    Attributes:
        answers: gives (whether it is a result, the result or the error) of each item, and ends when the process dies.
        item: what it is working on.
    """

    item: Any

    def __init__(self, function: Callable[[Any], Any]) -> None:
        # Forking a process in which torch has started threads can hang its child, so each worker starts afresh.
        context = multiprocessing.get_context("spawn")
        self.answers, theirs = context.Pipe()
        # Linux counts the thread that started a process as its parent.
        dies_with_us = threading.current_thread() is threading.main_thread()
        self._process = context.Process(target=_work, args=(theirs, function, dies_with_us), daemon=True)
        with _uninterruptible(), _without_main(function):
            self._process.start()
        theirs.close()

    def give(self, item: Any, processor_s: float | None) -> None:
        """Start an item."""
        self.item, self._processor_s = item, processor_s
        with suppress(BrokenPipeError):  # if it has died, `answers` says so
            self.answers.send((item, processor_s))

    def dismiss(self) -> None:
        """Let the process end: there is no more work for it."""
        self.answers.close()

    def why_it_died(self) -> str:
        """What happened, as the end of a sentence."""
        self._process.join()
        if self._processor_s is not None and self._process.exitcode == -getattr(signal, "SIGXCPU", 0):
            return f"took more than {self._processor_s:.0f} s of processor time"
        return "died (killed, or short of memory)"

    def terminate(self) -> None:
        """Ask the process to end."""
        self._process.terminate()

    def kill(self, after_s: float) -> None:
        """End the process if it is still running after `after_s` seconds."""
        self._process.join(after_s)
        self._process.kill()
        self._process.join()
        self.answers.close()


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + _GRACE_S
    for worker in workers:
        worker.kill(max(0.0, deadline - time.monotonic()))


@contextmanager
def _uninterruptible() -> Iterator[None]:
    """Processes started in the block are never interrupted: Ctrl-C reaches all processes of a terminal, and workers
    leave it to their parent."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_main(function: Callable[[Any], Any]) -> Iterator[None]:
    """Processes started in the block do not run the program's main file again, unless the function is defined there.

    A script of a few lines would otherwise start its work anew in each process, and have to prevent that by
    `if __name__ == "__main__"`.
    """
    while isinstance(function, functools.partial):
        function = function.func
    if getattr(function, "__module__", None) == "__main__":
        yield
        return
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")  # multiprocessing asks it for its file
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _work(items: Connection, function: Callable[[Any], Any], dies_with_parent: bool) -> None:
    """A worker's main function: it takes items until none are left, or until it is asked to end."""
    _start_worker(dies_with_parent)
    try:
        _work_off(items, function)
        code = 0
    except SystemExit:
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # at once: torch's teardown takes a while, and a signal in Python's would print a traceback


def _work_off(items: Connection, function: Callable[[Any], Any]) -> None:
    while True:
        try:
            item, processor_s = items.recv()
        except EOFError:
            return
        if processor_s is not None:
            _limit_processor_time(processor_s)
        try:
            answer: tuple[bool, Any] = (True, function(item))
        except Exception as error:
            error.add_note(traceback.format_exc())
            answer = (False, error)
        try:
            items.send(answer)
        except BrokenPipeError:
            return
        except Exception as error:  # it cannot be pickled
            items.send((False, GenrelineError(f"a worker's answer cannot be sent ({error}): {answer[1]!r}")))


def _start_worker(dies_with_parent: bool) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, raising(lambda _: SystemExit(1)))  # so that what is half-written is removed
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and dies_with_parent:
        # By the kernel, because a decoder that hangs may keep every Python thread from running.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)  # a killed parent sends its workers nothing: they would wait forever


def decoding_s(path: str | os.PathLike[str]) -> float:
    """The seconds of processor time after which a file's decoder counts as hung, for `map_unordered`."""
    try:
        return BASE_S + S_PER_MB * os.path.getsize(path) / 1e6
    except OSError:
        return BASE_S


def _limit_processor_time(seconds: float) -> None:
    """Let the system kill this process when it has taken so much processor time from now on."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        limit = math.ceil(time.process_time() + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))


def _on_ray(
    function: Callable[[Item], Result], items: Iterable[Item], jobs: int, address: str | None
) -> Iterator[tuple[Item, Result]]:
    ray = _ray()
    connected = ray.is_initialized()
    if not connected:
        _connect(ray, jobs, address)
    # A plain task by item. Results are small and stay with this process, so a node that dies takes none with it.
    task = ray.remote(num_cpus=1, max_retries=_RETRIES)(_call)
    todo = iter(items)
    running: dict[Any, Item] = {}
    shipped = _asked(ray.put, function)
    try:
        while True:
            n_cpus = max(1, int(_asked(ray.cluster_resources).get("CPU", 1)))  # nodes come and go
            for item in islice(todo, max(0, _IN_FLIGHT * n_cpus - len(running))):
                running[_asked(task.remote, shipped, item)] = item
            if not running:
                return
            done, _ = _asked(ray.wait, list(running), num_returns=1)
            for reference in done:
                yield running.pop(reference), _result(ray, reference)
    finally:
        for reference in running:
            ray.cancel(reference)
        if not connected:
            ray.shutdown()


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)


def _ray() -> Any:
    """The Ray library, which is large and therefore only imported when it is used."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report usage to its developers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's future default; without it Ray warns
    try:
        import ray
    except ImportError as error:
        raise ConfigError("backend ray: Ray is not installed; pip install genreline[ray]") from error
    return ray


def _connect(ray: Any, jobs: int, address: str | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        if address:
            _check_address(address)
        ray.init(address=address or "auto", **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        if address:
            raise ConfigError(f"ray: no cluster answers at {address}; `ray status` on its head shows one") from error
        _asked(ray.init, address="local", num_cpus=jobs, include_dashboard=False, **quiet)


def _asked(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """The result of a call to Ray. An error in Ray's own sockets and files gets a message that names Ray's folder."""
    try:
        return call(*args, **options)
    except OSError as error:
        way_out = "make room there" if error.errno in DISK_IS_FULL else "see the log files there"
        raise GenrelineError(
            f"ray: {error.strerror or first_line(error)}; {way_out} (/tmp/ray, or $RAY_TMPDIR), or use "
            f"--backend processes"
        ) from error


def _check_address(address: str) -> None:
    """Raise OSError or ValueError at once if nothing listens there; Ray would try for minutes."""
    if "://" not in address and address not in ("auto", "local"):
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=10).close()


def _result(ray: Any, reference: Any) -> Any:
    """A task's result; raises the task's own error instead of Ray's wrapper."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise GenrelineError(f"ray: a task was lost {_RETRIES + 1} times ({type(error).__name__})") from error
