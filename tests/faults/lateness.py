"""Measures how late the loop runs on a busy machine, to add to time limits."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

STEP_S = 0.02


class Lateness:
    """The largest lateness of the loop since the last call, in real seconds. Make it in a running loop."""

    def __init__(self) -> None:
        self._worst_s = 0.0
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def __aenter__(self) -> Lateness:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _watch(self) -> None:
        while True:
            start_s = time.monotonic()
            await asyncio.sleep(STEP_S)
            self._worst_s = max(self._worst_s, time.monotonic() - start_s - STEP_S)

    def take_s(self) -> float:
        worst_s, self._worst_s = self._worst_s, 0.0
        return worst_s

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
