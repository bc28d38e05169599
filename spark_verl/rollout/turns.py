"""Work that is short by itself and comes in bursts."""

from __future__ import annotations

import asyncio


class Turns:
    """One task at a time, and the event loop's other work in between.

    When an engine hands over many responses at once, their tasks are all ready in the same round of the event loop,
    which looks at nothing else (new requests, time-outs, the engine's next words) before it has run each of them.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def take(self) -> None:
        """Wait for the caller's turn, which lasts until it waits for something else."""
        await self._lock.acquire()
        # In the next round: whoever waits comes in the one after that.
        asyncio.get_running_loop().call_soon(self._lock.release)
