"""cpapi_fast, `feed.on_batch(callback)`: a Feed on top of `ws.on_batch`, without last values."""

from __future__ import annotations

from benchmarks.contenders import Address, Drain
from benchmarks.feeds import receive_pushed
from benchmarks.work import Task

PACKAGES = ("cpapi-fast", "picows")


async def connect(address: Address, task: Task) -> Drain:
    return await receive_pushed(address, task, last_values=False)
