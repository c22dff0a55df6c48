"""Ctrl-C and SIGTERM end a command promptly, whatever it is doing."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from genreline.signals import raising

_PATIENCE_S = 1.0


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does, with another exit code."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM raises Terminated, Ctrl-C KeyboardInterrupt; while a decoder hangs, the process ends without them.

    Python handles a signal when the running C function returns, which a hung decoder never does.
    """
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return
    arrived, write = os.pipe()
    os.set_blocking(write, False)
    acted = threading.Event()

    def error(number: int) -> BaseException:
        acted.set()
        return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()

    act = raising(error)

    def watch() -> None:
        with open(arrived, "rb", buffering=0) as signals:
            while number := signals.read(1):
                # A handler that was installed later takes precedence.
                if signal.getsignal(number[0]) is act and not acted.wait(_PATIENCE_S):
                    os.write(2, b"\ngenreline: interrupted\n")
                    os._exit(128 + number[0])

    before = {number: signal.signal(number, act) for number in (signal.SIGINT, signal.SIGTERM)}
    wakeup_fd = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(write)
