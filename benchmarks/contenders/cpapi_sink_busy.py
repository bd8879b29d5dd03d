"""cpapi_fast, `ws.use_sink(sink)` in busy-poll mode: the loop never sleeps."""

from __future__ import annotations

from benchmarks.contenders import Address, Drain, cpapi_sink
from benchmarks.work import Task
from cpapi_fast.ws.options import WsOptions

PACKAGES = cpapi_sink.PACKAGES


async def connect(address: Address, task: Task) -> Drain:
    return await cpapi_sink.connect(address, task, WsOptions(busy_poll=True))
