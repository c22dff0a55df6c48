"""Decoding and predicting at the same time: neither needs Python's lock for long."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import Empty, Queue
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The items in their order, each made in a thread while the one before it is used. At most two wait.

    What making an item raises is raised here in its place. A caller that stops early does not wait for the thread.
    """
    made: Queue[tuple[Item, ...] | BaseException] = Queue(maxsize=1)
    is_abandoned = threading.Event()

    def make() -> None:
        try:
            for item in items:
                made.put((item,))
                if is_abandoned.is_set():
                    return
            made.put(())
        except BaseException as error:  # it belongs to the caller, whatever it is
            made.put(error)

    threading.Thread(target=make, daemon=True).start()
    try:
        while got := made.get():
            if isinstance(got, BaseException):
                raise got
            yield got[0]
    finally:
        is_abandoned.set()
        with suppress(Empty):
            made.get_nowait()  # makes room, so that the thread can end
