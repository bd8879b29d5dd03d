"""websocket-client, which blocks, and `json.loads` of every message."""

from __future__ import annotations

import json

import websocket

from benchmarks.contenders import Address, Drain
from benchmarks.work import Task

PACKAGES = ("websocket-client",)


async def connect(address: Address, task: Task) -> Drain:
    tls = {} if address.cafile is None else {"context": address.ssl_context}
    ws = websocket.create_connection(address.url, sslopt=tls)
    take = task.take_decoded()

    async def drain() -> int:
        ws.send("go")
        frames = 0
        while True:
            opcode, data = ws.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                break
            frames += 1
            try:
                decoded = json.loads(data)
            except ValueError:
                decoded = None
            take(decoded)
        return frames

    return drain
