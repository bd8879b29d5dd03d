"""An HTTP server that records every byte it receives and sends scripted responses, for tests of the REST client."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable, Iterable
from types import TracebackType

from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.rest.pacing import RestPacer

#: Maps a request (head and body) to the bytes of the response; None closes the connection, b"" sends nothing.
Script = Callable[[bytes], "bytes | None"]

SESSION = "0123456789abcdef0123456789abcdef"

TICKLE = (
    b'{"session":"0123456789abcdef0123456789abcdef","ssoExpires":415890,"collission":false,"userId":123456789,'
    b'"hmds":{"error":"no bridge"},"iserver":{"authStatus":{"authenticated":true,"competing":false,"connected":true,'
    b'"message":"","MAC":"00:11:22:33:44:55","serverInfo":{"serverName":null,"serverVersion":null}}}}'
)


def http_response(
    body: bytes = b"", status: int = 200, headers: Iterable[str] = (), content_type: str = "application/json"
) -> bytes:
    """Return the bytes of an HTTP response; without the header when the content type is empty."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def unpaced(clock: Clock = SYSTEM_CLOCK) -> RestPacer:
    """A pacer without limits, for tests of something else."""
    return RestPacer(clock, requests_per_s=10_000, limits={})


class HttpServer:
    """One listening socket; plain, or TLS when given a context.

    Attributes:
        requests: every complete request, head and body.
        received: every byte, one entry per connection that finished its TLS handshake (or TCP's, when plain).
    """

    def __init__(
        self, script: Script | Iterable[bytes | None] | bytes, *, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        self.requests: list[bytes] = []
        self.received: list[bytearray] = []
        if isinstance(script, bytes):
            self._script: Script = lambda _request: script
        elif callable(script):
            self._script = script
        else:
            responses = iter(script)
            self._script = lambda _request: next(responses)
        self._tls = tls
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}/v1/api"

    @property
    def payload_bytes(self) -> int:
        """The number of bytes of application data received over all connections."""
        return sum(map(len, self.received))

    async def __aenter__(self) -> HttpServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, ssl=self._tls)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    async def settle(self) -> None:
        """Wait until bytes in transit between the sockets have arrived."""
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        received = bytearray()
        self.received.append(received)
        try:
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await self._respond_to_all(reader, writer, received)
        except asyncio.CancelledError:
            # The test is over; the stream's callback would report a cancelled task.
            pass
        finally:
            writer.transport.abort()

    async def _respond_to_all(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, received: bytearray
    ) -> None:
        pending = bytearray()
        while chunk := await reader.read(65536):
            received += chunk
            pending += chunk
            while (end := _request_end(pending)) is not None:
                request = bytes(pending[:end])
                del pending[:end]
                self.requests.append(request)
                reply = self._script(request)
                if reply is None:
                    return
                writer.write(reply)
                await writer.drain()


def _request_end(data: bytearray) -> int | None:
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", data[: head_end + 2])
    end = head_end + 4 + (int(length.group(1)) if length else 0)
    return end if len(data) >= end else None


def headers_of(request: bytes) -> dict[str, list[str]]:
    """The headers of a request by lower-case name, in order."""
    found: dict[str, list[str]] = {}
    for line in request.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        found.setdefault(name.lower(), []).append(value)
    return found
