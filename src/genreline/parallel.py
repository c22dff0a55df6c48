"""Map a function over items, unordered, on several processes of this machine or on the nodes of a Ray cluster."""

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from genreline.errors import ConfigError, GenrelineError, first_line
from genreline.files import DISK_IS_FULL

Item = TypeVar("Item")
Result = TypeVar("Result")

BACKENDS = ("processes", "ray")
_IN_FLIGHT = 3  # items handed over for each worker: one at work, the others so that it never waits
_RETRIES = 5  # of an item whose Ray worker or node died; one that kills its worker every time is an error


def map_unordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    jobs: int,
    backend: str = "processes",
    ray_address: str | None = None,
) -> Generator[tuple[Item, Result], None, None]:
    """Yield (item, function(item)) as each is done; `function` must be importable by name, or a partial of such.

    Items are taken from `items` as workers come free, so there may be any number of them. An error of the function, or
    of whoever takes the results, cancels what has not begun and is raised.

    Args:
        jobs: processes of this machine. On Ray, the cluster's CPUs count instead, unless Ray is started here.
        backend: "processes" or "ray". Ray does the items of a node that died again, on another: the function has to
            bear that, and its inputs and outputs must have the same paths on all nodes.
        ray_address: of the cluster, as HOST:PORT. None is the one of RAY_ADDRESS or of this machine, or, where there
            is none, a Ray of `jobs` CPUs that is started here and ends with the work.

    Raises:
        ConfigError: no such backend, Ray is not installed, or no cluster answers.
        GenrelineError: a worker died.
    """
    if backend not in BACKENDS:
        raise ConfigError(f"backend {backend!r}: there is none of this name; choose {' or '.join(BACKENDS)}")
    if backend == "ray":
        yield from _on_ray(function, items, jobs, ray_address)
    else:
        yield from _on_processes(function, items, jobs)


def _on_processes(
    function: Callable[[Item], Result], items: Iterable[Item], jobs: int
) -> Iterator[tuple[Item, Result]]:
    # Forking a process in which torch has started threads can hang its child, so each worker starts afresh.
    context = multiprocessing.get_context("spawn")
    todo = iter(items)
    running: dict[Future[Result], Item] = {}
    with ProcessPoolExecutor(jobs, context, initializer=_start_worker) as pool:
        try:
            while True:
                for item in islice(todo, _IN_FLIGHT * jobs - len(running)):
                    running[pool.submit(function, item)] = item
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        except BrokenProcessPool as error:
            raise GenrelineError("a worker process died (killed, or short of memory); try fewer --jobs") from error
        finally:
            for future in running:
                future.cancel()


def _start_worker() -> None:
    """Ctrl-C reaches all processes of a terminal: workers leave it to their parent. They end when the parent has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)  # a killed parent sends its workers nothing: they would wait forever


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
    """The library, which is large, and is imported by those alone who ask for it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do anyway; it warns otherwise
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
    """What a call of Ray's gives; its own troubles with sockets and files are none of our folders'."""
    try:
        return call(*args, **options)
    except OSError as error:
        way_out = "make room there" if error.errno in DISK_IS_FULL else "see the log files there"
        raise GenrelineError(
            f"ray: {error.strerror or first_line(error)}; {way_out} (/tmp/ray, or $RAY_TMPDIR), or use "
            f"--backend processes"
        ) from error


def _check_address(address: str) -> None:
    """OSError or ValueError at once where nobody listens; Ray would try for minutes."""
    if "://" not in address and address not in ("auto", "local"):
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=10).close()


def _result(ray: Any, reference: Any) -> Any:
    """A task's result, or its own error instead of Ray's account of it."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise GenrelineError(f"ray: a task was lost {_RETRIES + 1} times ({type(error).__name__})") from error
