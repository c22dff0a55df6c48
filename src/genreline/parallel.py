"""Map a function over items, on several processes."""

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_unordered(
    function: Callable[[Item], Result], items: Iterable[Item], jobs: int
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, function(item)) as each is done, on `jobs` processes; `function` must be importable by name.

    An error of the function, or of whoever takes the results, cancels what has not begun and is raised.
    """
    # Forking a process in which torch has started threads can hang its child, so each worker starts afresh. Ctrl-C
    # reaches all processes of a terminal: the workers leave it to this one.
    context = get_context("spawn")
    with ProcessPoolExecutor(
        jobs, context, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    ) as pool:
        futures = {pool.submit(function, item): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            for future in futures:
                future.cancel()
