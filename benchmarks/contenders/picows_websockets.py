"""picows.websockets, the module of picows with the interface of websockets, and `orjson.loads` of every message."""

from __future__ import annotations

from picows import websockets

from benchmarks.contenders import Address, Drain, websockets_orjson
from benchmarks.work import Task

PACKAGES = ("picows", "orjson")


async def connect(address: Address, task: Task) -> Drain:
    return await websockets_orjson.connect(address, task, websockets.connect, max_queue=None)
