"""Signal handlers that end the current work by raising an exception."""

import os
import signal
from collections.abc import Callable
from types import FrameType

_AGAIN_S = 0.01


def raising(error: Callable[[int], BaseException | None]) -> Callable[[int, FrameType | None], None]:
    """A handler that raises what `error` returns for the signal's number, if anything.

    It does not raise inside a callback with which libsndfile reads a file: an exception there would only be printed and
    libsndfile would continue, so the handler runs again a little later.
    """

    def act(number: int, frame: FrameType | None) -> None:
        place = frame
        while place:
            if place.f_code.co_name.startswith("vio_") and os.path.basename(place.f_code.co_filename) == "soundfile.py":
                signal.signal(signal.SIGALRM, lambda _, later: act(number, later))
                signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
                return
            place = place.f_back
        if exception := error(number):
            raise exception

    return act
