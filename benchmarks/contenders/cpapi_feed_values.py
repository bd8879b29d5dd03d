"""cpapi_fast, `feed.on_batch(callback)` with the default options: the feed keeps the last value of every field."""

from __future__ import annotations

from benchmarks.contenders import Address, Drain
from benchmarks.feeds import receive_pushed
from benchmarks.work import Task

PACKAGES = ("cpapi-fast", "picows")


async def connect(address: Address, task: Task) -> Drain:
    return await receive_pushed(address, task, last_values=True)
