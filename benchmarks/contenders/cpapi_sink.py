"""cpapi_fast, `ws.use_sink(sink)`: a FrameSink in Cython, no Python object per frame."""

from __future__ import annotations

from benchmarks import digest
from benchmarks.build_native import native
from benchmarks.contenders import Address, Drain
from benchmarks.work import Task
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.options import WsOptions

PACKAGES = ("cpapi-fast", "picows")

#: P&L in the `common` dialect: without an account, and no `sld`.
COMMON_PNL = (b"spl", b"pnl", b"ssd")


async def connect(address: Address, task: Task, options: WsOptions | None = None) -> Drain:
    ws = await WsClient.open(address.url, ssl_context=address.ssl_context, options=options)
    sinks = native("sinks")
    task.has_full = True

    def check(kind: int, conid: int, topic: bytes | None) -> None:
        task.full.add(digest.route_bytes(kind, conid))
        is_wide = kind == digest.MARKET_DATA and not (topic or b"").removeprefix(b"smd+").isdigit()
        is_foreign = kind == digest.PNL and topic not in COMMON_PNL
        task.common.add(
            digest.route_bytes(digest.OTHER, -1) if is_wide or is_foreign else digest.route_bytes(kind, conid)
        )

    if task.job == "latency":
        sink = sinks.StampSink(task.expected_frames or 0)
    else:
        sink = sinks.CheckSink(check) if task.is_checked else sinks.RouteSink()
    ws.use_sink(sink)

    async def drain() -> int:
        await ws.send_text("go")
        await ws.wait_closed()
        if task.job == "latency":
            task.stamps.frombytes(sink.stamps())
        return int(sink.frames)

    return drain
