"""Signal handlers that end the current work by raising an exception."""

import os
import signal
from collections.abc import Callable
from types import FrameType

_AGAIN_S = 0.01


def raising(error: Callable[[int], BaseException]) -> Callable[[int, FrameType | None], None]:
    """A handler that raises `error(signal number)`, but not inside a callback with which libsndfile reads a file.

    An exception there would only be printed and libsndfile would continue, so the handler runs again a little later.
    """

    def act(number: int, frame: FrameType | None) -> None:
        place = frame
        while place:
            if place.f_code.co_name.startswith("vio_") and os.path.basename(place.f_code.co_filename) == "soundfile.py":
                signal.signal(signal.SIGALRM, lambda _, later: act(number, later))
                signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
                return
            place = place.f_back
        raise error(number)

    return act
