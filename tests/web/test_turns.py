"""Whose turn it is."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from genreline.web.turns import Turns


def run(work):
    """In a thread, as a browser's tests keep a loop in the main one."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def order(turns, clients):
    """In which order clients that come at once have their turns."""
    served = []

    async def one(client):
        async with turns.place(client):
            served.append(client)
            await asyncio.sleep(0)

    async def all_of_them():
        await asyncio.gather(*(one(client) for client in clients))

    run(all_of_them())
    return "".join(served)


def test_turns_go_round():
    assert order(Turns(1), "aaaabbc") == "abacbaa"  # the first had its turn before the others came


def test_nobody_holds_more_than_the_half_while_others_wait():
    async def hold():
        turns, held = Turns(4), []

        async def one(client):
            async with turns.place(client):
                held.append(client)
                await asyncio.sleep(3600)

        tasks = [asyncio.create_task(one(client)) for client in "aaaaaaaa"]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert held == ["a"] * 4  # nobody else waits
        tasks += [asyncio.create_task(one("b")) for _ in range(4)]
        await asyncio.sleep(0)
        for task in tasks[:4]:
            task.cancel()
        for _ in range(4):
            await asyncio.sleep(0)
        assert sorted(held[4:]) == ["a", "a", "b", "b"]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert turns._free == 4
        assert not turns._held
        assert not turns._queues

    run(hold())


def test_nobody_holds_more_than_the_most_even_alone():
    async def hold():
        turns = Turns(2, most_each=1)
        async with turns.place("a"):
            late = asyncio.create_task(turns.place("a").__aenter__())
            await asyncio.sleep(0)
            assert not late.done()
            async with turns.place("b"):
                pass
        await late

    run(hold())
