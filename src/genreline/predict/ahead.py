"""Decoding and predicting at the same time: neither needs Python's lock for long."""

import threading
from collections.abc import Generator, Iterable
from contextlib import suppress
from queue import Empty, Queue
from typing import TypeVar

Item = TypeVar("Item")

_PATIENCE_S = 1.0


def ahead(items: Iterable[Item]) -> Generator[Item, None, None]:
    """The items in their order, each made in a thread while the one before it is used. At most two wait.

    What making an item raises is raised here in its place. A caller that stops early closes this generator, which lets
    the thread finish its item (it may be reading a file with stderr redirected), but waits no longer than a second: a
    decoder may hang.
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

    thread = threading.Thread(target=make, daemon=True)
    try:
        thread.start()
        while got := made.get():
            if isinstance(got, BaseException):
                raise got
            yield got[0]
    finally:
        is_abandoned.set()
        with suppress(Empty):
            made.get_nowait()  # makes room, so that the thread can end
        if thread.ident:  # Ctrl-C can come before it has started
            thread.join(_PATIENCE_S)
