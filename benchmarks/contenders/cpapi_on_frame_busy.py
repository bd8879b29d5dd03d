"""cpapi_fast, `ws.on_frame(callback)` in busy-poll mode: the loop never sleeps."""

from __future__ import annotations

from benchmarks.contenders import Address, Drain, cpapi_on_frame
from benchmarks.work import Task
from cpapi_fast.ws.options import WsOptions

PACKAGES = cpapi_on_frame.PACKAGES


async def connect(address: Address, task: Task) -> Drain:
    return await cpapi_on_frame.connect(address, task, WsOptions(busy_poll=True))
