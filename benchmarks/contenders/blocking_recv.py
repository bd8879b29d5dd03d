"""A blocking `socket.recv` in Python that only finds the frames: the limit for a client without an event loop."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from base64 import b64encode
from urllib.parse import urlsplit

from benchmarks.contenders import Address, Drain
from benchmarks.work import Task

PACKAGES = ()
GO = b"\x82\x82\0\0\0\0go"


def open_socket(address: Address) -> socket.socket | ssl.SSLSocket:
    parts = urlsplit(address.url)
    host, port = parts.hostname or "", parts.port or 0
    plain = socket.create_connection((host, port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    context = address.ssl_context
    connection = plain if context is None else context.wrap_socket(plain, server_hostname=host)
    head = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    key = b64encode(os.urandom(16)).decode()
    connection.sendall(f"{head}Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    response = b""
    while not response.endswith(b"\r\n\r\n"):
        response += connection.recv(1)
    return connection


async def connect(address: Address, task: Task) -> Drain:
    connection = await asyncio.to_thread(open_socket, address)
    stamp = task.stamp if task.job == "latency" else task.held.append

    async def drain() -> int:
        connection.sendall(GO)
        frames, data = 0, b""
        while True:
            piece = connection.recv(262_144)
            data = data + piece if data else piece
            position, end = 0, len(data)
            while end - position >= 2:
                length, start = data[position + 1], position + 2
                if length == 126:
                    length, start = int.from_bytes(data[start : start + 2], "big"), start + 2
                elif length == 127:
                    length, start = int.from_bytes(data[start : start + 8], "big"), start + 8
                if end < start + length:
                    break
                if data[position] == 0x88:
                    connection.close()
                    return frames
                frames += 1
                stamp(None)
                position = start + length
            data = data[position:]
            if not piece:
                raise ConnectionError("the sender disconnected without a CLOSE frame")

    return drain
