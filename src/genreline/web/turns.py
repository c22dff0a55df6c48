"""Which client is next for one of a few places: clients take turns, so that no one's requests delay another's."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Places that clients hold for a while.

    A free place goes to the waiting client that holds the fewest; of several, to the one whose turn was longest ago.

    Args:
        places: how many there are.
        most_each: how many one client may hold, even while no other waits. Default: all.
    """

    def __init__(self, places: int, most_each: int | None = None) -> None:
        self._free = places
        self._most_each = most_each or places
        self._held: Counter[str] = Counter()
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}  # in the order of their turns

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """Hold a place during the block, which begins when it is the client's turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(client, deque()).append(turn)
        self._grant()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._free += 1
                self._held[client] -= 1
                self._held += Counter()  # forgets those at zero
            else:
                self._leave(client, turn)
            self._grant(client)

    def _grant(self, last: str | None = None) -> None:
        while self._free:
            waiting = [client for client in self._queues if self._held[client] < self._most_each]
            if not waiting:
                return
            client = min(waiting, key=lambda client: (self._held[client], client == last))
            queue = self._queues.pop(client)
            turn = queue.popleft()
            if queue:
                self._queues[client] = queue  # at the end
            if not turn.cancelled():
                turn.set_result(None)
                self._free -= 1
                self._held[client] += 1

    def _leave(self, client: str, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(client)
        if queue and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._queues[client]
