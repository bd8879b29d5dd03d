"""Runs many frames or connections through real sockets and prints how much memory stays in use afterwards.

Run by test_leaks.py in a process of its own; prints one JSON line: the bytes that each round left behind.

    python leaks.py frames|connections LOOP COUNT LIMIT [leak]

A leak shows in every round, a cache that fills up does not: after a round that left less than LIMIT bytes for each
frame or connection nothing more is run, and at most three rounds are. With `leak` it keeps something on purpose: a
small object for every frame, or some bytes for every connection.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ctypes
import gc
import hashlib
import itertools
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import cpapi_fast
from cpapi_fast.errors import CallbackError, CpapiError
from cpapi_fast.frames.batch import Batch, slice_of
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.options import WsOptions
from tests.support import frames, loops

#: How many connections are open at the same time, to get their waits over with together.
ABREAST: Final = 100

#: A peer that answers no CLOSE is given up after a tenth of a second.
OPTIONS: Final = WsOptions(open_timeout_s=20.0, close_timeout_s=0.1, max_message_bytes=20_000)
#: A socket whose opening was cancelled is closed when the time to open it is over, not before.
IMPATIENT: Final = WsOptions(open_timeout_s=0.2)

TEXTS: Final = [text for text in frames.corpus() if text] + [frames.smd(conid) for conid in range(400)]
KEPT: Final[list[object]] = []


class Mallinfo2(ctypes.Structure):
    """The struct of malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def memory_meter() -> Callable[[], int]:
    """Return the bytes that C and Python have allocated or, where the system does not count them, Python's blocks.

    PYTHONMALLOC=malloc makes every Python object a block of malloc, which the C library (or AddressSanitizer in its
    place) accounts for exactly: what is free again is not counted, however much the process keeps for later.
    """
    if sys.platform != "win32":
        library = ctypes.CDLL(None)
        if hasattr(library, "__sanitizer_get_current_allocated_bytes"):
            allocated = library.__sanitizer_get_current_allocated_bytes
            allocated.restype = ctypes.c_size_t
            return allocated
        if hasattr(library, "mallinfo2"):
            mallinfo2 = library.mallinfo2
            mallinfo2.restype = Mallinfo2

            def in_use() -> int:
                state = mallinfo2()
                return state.uordblks + state.hblkhd

            return in_use
    # A block has some 64 bytes.
    return lambda: sys.getallocatedblocks() * 64


class Peer(asyncio.Protocol):
    """The server's side of a connection. It answers the upgrade, does what the path names, and keeps nothing.

    `/close` sends frames and CLOSE; `/open` sends frames and answers the client's CLOSE; `/deaf` answers nothing; the
    others end in the way of their name.
    """

    #: How many of them have a connection.
    open_count = 0

    def __init__(self, blast: bytes, times: int) -> None:
        self._blast, self._times = blast, times
        self._request = b""
        self._resumed: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        Peer.open_count += 1

    def connection_lost(self, error: Exception | None) -> None:
        Peer.open_count -= 1
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._resumed = asyncio.Event()

    def resume_writing(self) -> None:
        if self._resumed is not None:
            self._resumed.set()

    def data_received(self, data: bytes) -> None:
        if self._task is not None:
            # The only frames that a client sends here: CLOSE, and PONG.
            if self._path in (b"/open", b"/close") and data[0] & 0x0F == frames.CLOSE:
                self._transport.write(frames.ws_close(1000))
                self._transport.close()
            return
        self._request += data
        if not self._request.endswith(b"\r\n\r\n"):
            return
        self._path = self._request.split(b" ", 2)[1]
        if self._path == b"/refused":
            self._transport.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            self._transport.close()
        elif self._path != b"/silent":
            key = self._request.split(b"Sec-WebSocket-Key: ", 1)[1].split(b"\r\n", 1)[0]
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            self._transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self._task = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        for _ in range(self._times):
            self._transport.write(self._blast)
            if self._resumed is not None:
                await self._resumed.wait()
                self._resumed = None
        part, rest = frames.ws_fragments(b"x" * 30_000, [15_000])
        endings = {
            b"/close": frames.ws_ping(b"x" * 100) + frames.ws_close(1001, "going"),
            b"/violation": frames.ws_frame(b"{}", rsv=4),
            b"/refusable": b"\x83\x00",
            b"/too-big": part + rest,
            b"/cut": part,
            b"/reset": part,
        }
        self._transport.write(endings.get(self._path, b""))
        if self._path == b"/reset":
            self._transport.abort()
        elif self._path == b"/cut":
            self._transport.close()


async def read_all(ws: WsClient, form: str) -> int:
    """Read a connection to its end in one of the forms; how many frames there were."""
    count = 0
    views: list[object] = []

    def on_batch(batch: Batch) -> None:
        nonlocal count
        count += len(batch)
        if len(views) < 40:
            views.extend((batch.payloads, batch.conids, batch[0], slice_of(batch, len(batch) - 1, len(batch))))

    def on_frame(frame: cpapi_fast.Frame) -> None:
        nonlocal count
        count += 1
        if len(views) < 40:
            views.append(frame)

    def fail(_: object) -> None:
        raise RuntimeError("a callback's own fault")

    if form == "messages":
        async for frame in ws:
            on_frame(frame)
            if count % 16 == 0:
                with contextlib.suppress(cpapi_fast.MalformedPayloadError):
                    views.append(frame.payload)
                    views.append(frame.topic)
                del views[40:]
    elif form == "batches":
        async for batch in ws.batches():
            on_batch(batch)
    elif form == "raw":
        async for _ in ws.raw_stream():
            count += 1
    else:
        push = {"on_batch": on_batch, "on_frame": on_frame, "failing_batch": fail, "failing_frame": fail}[form]
        (ws.on_batch if "batch" in form else ws.on_frame)(push)
        await ws.wait_closed()
    return count


FORMS: Final = ("messages", "batches", "raw", "on_batch", "on_frame")

#: Every way to end: the path that the peer knows, and how the connection is read; None leaves it unread and closes.
ENDS: Final = (
    *(("/close", form) for form in (*FORMS, "failing_batch", "failing_frame")),
    *((path, form) for path in ("/violation", "/refusable", "/too-big", "/cut", "/reset") for form in FORMS[::2]),
    *(("/open", None), ("/deaf", None), ("/refused", None), ("/silent", None), ("/cut", None)),
)


async def one_connection(port: int, path: str, form: str | None, *, is_leaking: bool) -> None:
    """Open a connection, read and end it. The errors of this kind of end are expected."""
    url = f"ws://127.0.0.1:{port}{path}"
    if path == "/silent":
        # Nobody answers the upgrade, and the caller gives up.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(WsClient.open(url, options=IMPATIENT), 0.02)
        return
    opening = WsClient.open(url, options=OPTIONS)
    with contextlib.suppress(CpapiError, CallbackError):
        async with await opening as ws:
            if is_leaking:
                KEPT.append(bytearray(200))
            if form is not None:
                await read_all(ws, form)


async def all_closed() -> None:
    """Wait until every socket is closed, and until the last timer of a client has run."""
    while Peer.open_count:  # noqa: ASYNC110  there is no event for it
        await asyncio.sleep(0.01)
    await asyncio.sleep(2 * OPTIONS.close_timeout_s)


async def many_connections(count: int, *, is_leaking: bool) -> None:
    """`count` connections, some at a time, through every end there is."""
    ends = itertools.cycle(ENDS)
    blast = frames.ws_frames(TEXTS[:20])
    server = await asyncio.get_running_loop().create_server(lambda: Peer(blast, 1), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for start in range(0, count, ABREAST):
            some = [next(ends) for _ in range(min(ABREAST, count - start))]
            await asyncio.gather(*(one_connection(port, *end, is_leaking=is_leaking) for end in some))
        await all_closed()


async def many_frames(count: int, *, is_leaking: bool) -> None:
    """`count` frames over a few long connections, one for each form."""
    blast = frames.ws_frames(TEXTS)
    times = count // len(TEXTS) // len(FORMS) + 1
    server = await asyncio.get_running_loop().create_server(lambda: Peer(blast, times), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for form in FORMS:
            async with await WsClient.open(f"ws://127.0.0.1:{port}/close", options=OPTIONS) as ws:
                seen = await read_all(ws, form)
                assert seen == times * len(TEXTS), f"{form}: {seen} frames of {times * len(TEXTS)}"
                if is_leaking:
                    KEPT.extend(object() for _ in range(seen))
        await all_closed()


MOST_ROUNDS: Final = 3

ROUNDS: Final[dict[str, Callable[..., Awaitable[None]]]] = {"frames": many_frames, "connections": many_connections}


def main(what: str, loop: str, count: int, limit: float, *, is_leaking: bool) -> list[int]:
    """The bytes that each round left in use. Two shorter ones come first, to fill every cache and freelist."""
    meter = memory_meter()

    def measured(number: int) -> int:
        loops.run(ROUNDS[what](number, is_leaking=is_leaking), loop=loop, timeout_s=300.0)
        gc.collect()
        gc.collect()
        return meter()

    measured(count // 5)
    before = measured(count // 5)
    left: list[int] = []
    while len(left) < MOST_ROUNDS and (not left or left[-1] >= limit * count):
        after = measured(count)
        left.append(after - before)
        before = after
    return left


if __name__ == "__main__":
    _, what, loop, count, limit, *leak = sys.argv
    print(json.dumps(main(what, loop, int(count), float(limit), is_leaking=leak == ["leak"])))  # noqa: T201
