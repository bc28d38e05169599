"""Bursts of short work leave room for everything else."""

from __future__ import annotations

import asyncio

import pytest

from spark_verl.rollout.turns import Turns


def rounds_at_most(tasks: int, in_turn: bool) -> int:
    """How many of as many tasks, ready at once, ran between two rounds of somebody else's."""
    turns, ran, most = Turns(), 0, 0

    async def work() -> None:
        nonlocal ran
        if in_turn:
            await turns.take()
        ran += 1

    async def other() -> None:
        nonlocal most, ran
        for _ in range(3 * tasks):
            before = ran
            await asyncio.sleep(0)
            most = max(most, ran - before)

    async def main() -> None:
        await asyncio.gather(other(), *(work() for _ in range(tasks)))

    asyncio.run(main())
    assert ran == tasks
    return most


def test_one_at_a_time():
    assert rounds_at_most(50, in_turn=True) == 1
    assert rounds_at_most(50, in_turn=False) == 50


def test_a_task_that_was_cancelled_or_failed_holds_nobody_up():
    async def main() -> list[int]:
        turns, done = Turns(), []

        async def work(number: int) -> None:
            await turns.take()
            if number == 1:
                raise ValueError
            done.append(number)

        tasks = [asyncio.create_task(work(number)) for number in range(5)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return done

    assert asyncio.run(main()) == [0, 2, 4]


@pytest.mark.parametrize("times", [1, 3])
def test_several_turns_of_one_task(times):
    async def main() -> int:
        turns, done = Turns(), 0
        for _ in range(times):
            await turns.take()
            done += 1
        return done

    assert asyncio.run(asyncio.wait_for(main(), 60)) == times
