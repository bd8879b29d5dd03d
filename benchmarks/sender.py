"""Sends a corpus to one WebSocket as fast as the receiver reads: plain sockets, frames encoded in advance.

The sender has one port, plain or TLS. Every HTTP request gets status 200; `/tickle` returns a session and
`/iserver/accounts` an account. A WebSocket upgrade is accepted on any path. After the first bytes of the client, the
sender sends the corpus as binary frames and then a CLOSE frame. On a path below FEED it first sends the messages of a
gateway, and two snapshots for each subscribe to market data; the first other text starts the corpus. It prints one line
of JSON when it listens ({"port", "cafile"}), and one with its own times after the client has disconnected.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import socket
import ssl
import tempfile
import threading
import time
from array import array
from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, Final

from . import corpus, frames

CLOSE: Final = b"\x88\x02\x03\xe8"
#: Bytes of one `sendall`, large so that the sender's own cost per frame is negligible.
CHUNK_BYTES: Final = 4 * 1024 * 1024
TIMEOUT_S: Final = 120.0
#: Before a frame is due, the sender sleeps and then polls the clock for this time, so that no frame is late.
SPIN_NS: Final = 150_000
#: The path for a client that waits for the messages of a gateway, and subscribes.
FEED: Final = "/feed"

_AUTH_STATUS: Final = {"authenticated": True, "competing": False, "connected": True}
_TICKLE: Final = json.dumps({"session": frames.SESSION, "iserver": {"authStatus": _AUTH_STATUS}}).encode()
_ACCOUNTS: Final = json.dumps({"accounts": [frames.ACCOUNT], "selectedAccount": frames.ACCOUNT}).encode()


def read_request(connection: socket.socket) -> str:
    """Return the head of one HTTP request and drop its body; empty when the client has disconnected."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return ""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length:\s*(\d+)", head)
    missing = int(length[1]) - len(body) if length else 0
    while missing > 0:
        piece = connection.recv(missing)
        if not piece:
            return ""
        missing -= len(piece)
    return head.decode("latin-1")


def reply(connection: socket.socket, head: str) -> None:
    path = head.split(" ", 2)[1].partition("?")[0]
    body = {"tickle": _TICKLE, "accounts": _ACCOUNTS}.get(path.rpartition("/")[2], b"{}")
    fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    connection.sendall(b"HTTP/1.1 200 OK\r\n" + fields.encode() + b"\r\n" + body)


def upgrade(connection: socket.socket, key: str) -> None:
    accept = b64encode(sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    connection.sendall(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")


def live(data: bytes) -> bytes:
    """Return frames with the current time in the place of `EVENT_MS`."""
    return data.replace(b"%d" % frames.EVENT_MS, b"%d" % (time.time_ns() // 1_000_000))


def blast(connection: socket.socket, name: str, repeats: int, *, is_live: bool = False) -> None:
    """Send the corpus `repeats` times, in large chunks; with `is_live`, each time with the time of sending."""
    once = b"".join(corpus.wire(name))
    if is_live:
        for _ in range(repeats):
            connection.sendall(live(once))
        connection.sendall(CLOSE)
        return
    per_chunk = max(1, CHUNK_BYTES // len(once))
    chunk = once * per_chunk
    for _ in range(repeats // per_chunk):
        connection.sendall(chunk)
    connection.sendall(once * (repeats % per_chunk) + CLOSE)


def paced(connection: socket.socket, name: str, count: int, burst: int, gap_us: int) -> array[int]:
    """Send `count` frames, `burst` at once every `gap_us`, and return the time just before the `send` of each."""
    wire = corpus.wire(name)
    chunks = [b"".join(wire[(start + i) % len(wire)] for i in range(burst)) for start in range(0, len(wire), burst)]
    stamps = array("q")
    due_ns = time.monotonic_ns()
    for turn in range(count // burst):
        due_ns += gap_us * 1_000
        while (left_ns := due_ns - time.monotonic_ns()) > 0:
            if left_ns > SPIN_NS:
                time.sleep((left_ns - SPIN_NS) / 1e9)
        now_ns = time.monotonic_ns()
        connection.sendall(chunks[turn % len(chunks)])
        stamps.extend([now_ns] * burst)
        # Do not catch up after a stall of the machine, because the next frames would be a burst.
        due_ns = max(due_ns, now_ns)
    connection.sendall(CLOSE)
    return stamps


def messages(connection: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Iterate over the client's frames: the first byte and the payload of each."""
    data = b""
    while piece := connection.recv(65536):
        data += piece
        while len(data) >= 6:
            length, head = data[1] & 0x7F, 6
            if length == 126:
                length, head = int.from_bytes(data[2:4], "big"), 8
            if len(data) < head + length:
                break
            mask = data[head - 4 : head] * (length // 4 + 1)
            yield data[0], bytes(byte ^ key for byte, key in zip(data[head : head + length], mask, strict=False))
            data = data[head + length :]


def greet(
    connection: socket.socket,
    texts: Iterator[tuple[int, bytes]],
    subscribes: int | None = None,
    *,
    is_live: bool = False,
) -> bool:
    """Send a gateway's messages until the client has subscribed, and return whether the corpus starts.

    It starts with the first text that is no subscribe to market data, or after this number of subscribes.
    """
    connection.sendall(corpus.encode(b'{"topic":"system","success":"benchmark"}'))
    connection.sendall(corpus.encode(json.dumps({"topic": "sts", "args": _AUTH_STATUS}).encode()))
    for first, text in texts:
        if first == CLOSE[0]:
            return False
        if not text.startswith(b"smd+"):
            return True
        topic = b"+".join(text.split(b"+", 2)[:2])
        snapshot = b'{"_updated":%d,"6509":"RB","31":"1.00","topic":"%s"}' % (frames.EVENT_MS, topic)
        connection.sendall(corpus.encode(live(snapshot) if is_live else snapshot) * 2)
        if subscribes is not None:
            subscribes -= 1
            if subscribes == 0:
                return True
    return False


def await_close(texts: Iterator[tuple[int, bytes]]) -> None:
    """Read until the client's CLOSE: closing a socket with unread bytes would discard what is still in transit."""
    for first, _ in texts:
        if first == CLOSE[0]:
            return


class Sender:
    """Serves one WebSocket, and REST requests on other connections, with a thread for each connection."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.times: dict[str, Any] = {}
        self.is_done = threading.Event()

    def serve(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        try:
            connection.settimeout(TIMEOUT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection if context is None else context.wrap_socket(connection, server_side=True) as secured:
                while head := read_request(secured):
                    key = re.search(r"(?im)^sec-websocket-key:\s*(\S+)", head)
                    if key is None:
                        reply(secured, head)
                        continue
                    upgrade(secured, key[1])
                    self.stream(secured, is_feed=head.split(" ", 2)[1].startswith(FEED))
                    return
        except OSError as error:
            # Some clients abort their REST connection. The error is reported, because it may be that of the WebSocket.
            self.times.setdefault("error", str(error))

    def stream(self, connection: socket.socket, *, is_feed: bool) -> None:
        given = self.arguments
        texts = messages(connection)
        try:
            if not (
                greet(connection, texts, given.subscribes, is_live=given.live) if is_feed else connection.recv(65536)
            ):
                return
            before, start_ns = resource.getrusage(resource.RUSAGE_SELF), time.monotonic_ns()
            if given.frames is None:
                blast(connection, given.corpus, given.repeats, is_live=given.live)
            else:
                stamps = paced(connection, given.corpus, given.frames, given.burst, given.gap_us)
                given.stamps.write_bytes(stamps.tobytes())
            wall_ns, after = time.monotonic_ns() - start_ns, resource.getrusage(resource.RUSAGE_SELF)
            cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            self.times = {"wall_ns": wall_ns, "cpu_ns": round(cpu_s * 1e9)}
            await_close(texts)
        finally:
            self.is_done.set()


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sender", description="Sends a corpus to one WebSocket.")
    parser.add_argument("--corpus", choices=corpus.FRAMES, required=True)
    parser.add_argument("--repeats", type=int, default=1, help="passes of the corpus, as fast as possible")
    parser.add_argument("--tls", action="store_true", help="TLS with a certificate made for this run")
    parser.add_argument("--live", action="store_true", help="put the time of sending into the frames of a market")
    parser.add_argument("--subscribes", type=int, help="start after this number of subscribes to market data")
    parser.add_argument("--frames", type=int, help="paced instead: number of frames")
    parser.add_argument("--burst", type=int, default=1, help="paced: frames sent at once")
    parser.add_argument("--gap-us", type=int, default=400, help="paced: the time between them")
    parser.add_argument("--stamps", type=Path, help="paced: file for the send times, int64 ns of CLOCK_MONOTONIC")
    given = parser.parse_args(arguments)
    if given.repeats < 1 or given.burst < 1 or given.gap_us < 0:
        parser.error("--repeats and --burst must be above zero, and --gap-us must not be below")
    if (given.frames is None) != (given.stamps is None):
        parser.error("--frames and --stamps go together")
    if given.frames is not None and (given.frames < 1 or given.frames % given.burst):
        parser.error("--frames must be a multiple of --burst")
    return given


def main() -> None:
    sender = Sender(parse())
    with tempfile.TemporaryDirectory(prefix="cpapi-fast-bench-") as folder:
        context, cafile = None, None
        if sender.arguments.tls:
            from .certificate import server_context

            context, cafile = server_context(Path(folder))
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(0.2)
        print(json.dumps({"port": listener.getsockname()[1], "cafile": cafile and str(cafile)}), flush=True)
        deadline_s = time.monotonic() + TIMEOUT_S
        while not sender.is_done.is_set() and time.monotonic() < deadline_s:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=sender.serve, args=(connection, context), daemon=True).start()
        print(json.dumps(sender.times), flush=True)


if __name__ == "__main__":
    main()
