"""A gateway that does nothing but send, as fast as the receiver takes it: plain sockets, frames encoded beforehand.

Usage: python -m benchmarks.sender REPEATS

Prints its port, serves one WebSocket, waits for any byte of the client, sends the corpus
REPEATS times and a CLOSE frame, and prints its own times as JSON.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import resource
import socket
import sys
import time

from . import corpus

CLOSE = b"\x88\x02\x03\xe8"
CHUNK_REPEATS = 100


def read_head(connection: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return ""
        data += piece
    return data.decode("latin-1")


def upgrade(connection: socket.socket, head: str) -> None:
    key = re.search(r"(?im)^sec-websocket-key:\s*(\S+)", head)
    if key is None:
        raise AssertionError("no WebSocket upgrade")
    accept = hashlib.sha1((key[1] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + base64.b64encode(accept)
        + b"\r\n\r\n"
    )


def blast(connection: socket.socket, repeats: int) -> dict[str, float]:
    once = corpus.wire()
    chunk = once * CHUNK_REPEATS
    if not connection.recv(65536):
        raise AssertionError("the client left before the start")
    before, start_ns = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter_ns()
    for _ in range(repeats // CHUNK_REPEATS):
        connection.sendall(chunk)
    connection.sendall(once * (repeats % CHUNK_REPEATS) + CLOSE)
    wall_ns, after = time.perf_counter_ns() - start_ns, resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    while connection.recv(65536):  # the client's CLOSE, until it hangs up
        pass
    return {"wall_ns": wall_ns, "cpu_ns": cpu_s * 1e9}


def main() -> None:
    repeats = int(sys.argv[1])
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    listener.settimeout(60)
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        upgrade(connection, read_head(connection))
        print(json.dumps(blast(connection, repeats)), flush=True)


if __name__ == "__main__":
    main()
