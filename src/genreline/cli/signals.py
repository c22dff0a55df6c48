"""Ctrl-C and SIGTERM end a command promptly, whatever it is doing."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from genreline.signals import raising

_PATIENCE_S = 1.0


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does, with another exit code."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM raises Terminated, Ctrl-C KeyboardInterrupt; while a decoder hangs, the process ends without them.

    Python handles a signal when the running C function returns, which a hung decoder never does. Until the command has
    cleaned up after the first signal, more of them change nothing for a second, and then end the process.
    """
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return
    arrived, write = os.pipe()
    os.set_blocking(write, False)
    stderr = os.dup(2)  # a decoder that hangs may have redirected it
    acted = threading.Event()

    def error(number: int) -> BaseException | None:
        if acted.is_set():
            return None
        acted.set()
        return Terminated() if number == signal.SIGTERM else KeyboardInterrupt()

    act = raising(error)

    def watch() -> None:
        with open(arrived, "rb", buffering=0) as signals:
            first_s = None
            while number := signals.read(1):
                if signal.getsignal(number[0]) is not act:  # a handler that was installed later takes precedence
                    continue
                is_late = first_s is not None and time.monotonic() - first_s > _PATIENCE_S
                if is_late or not acted.wait(_PATIENCE_S):
                    os.write(stderr, b"\ngenreline: interrupted\n")
                    os._exit(128 + number[0])
                first_s = first_s or time.monotonic()

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
        os.close(stderr)
