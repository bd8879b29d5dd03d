"""A client that is closed leaves no socket, also when a server does not end TLS."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from cpapi_fast.rest.sockets import Sockets
from cpapi_fast.simulator.certificate import Certificate
from tests.support.loops import LOOPS, run


@pytest.fixture(scope="module")
def mute_port() -> Iterator[int]:
    """The port of a TLS server that opens connections, and never sends or closes anything after that."""
    context = Certificate.make().server_context()
    listener = socket.create_server(("127.0.0.1", 0))
    accepted = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted.append(context.wrap_socket(listener.accept()[0], server_side=True))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    # Only this ends a blocked accept.
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()
    for one in accepted:
        one.close()


async def leave_a_connection(port: int, sockets: Sockets) -> socket.socket:
    """Open a TLS connection and close it, which waits for the server to end TLS."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
    sock = sockets.new(address)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", port))
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=sock, ssl=context, server_hostname="")
    transport.close()
    await asyncio.sleep(0)
    return sock


@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_that_waits_for_the_end_of_tls_is_ended(loop: str, mute_port: int) -> None:
    async def main() -> None:
        sockets = Sockets()
        sock = await leave_a_connection(mute_port, sockets)
        assert sock.fileno() >= 0
        await sockets.end()
        assert sock.fileno() == -1

    run(main(), loop=loop)
    # A transport that is not closed is reported when it is freed, which is an error here.
    gc.collect()


@pytest.mark.parametrize("loop", LOOPS)
def test_sockets_that_never_connected_and_freed_ones_are_no_problem(loop: str) -> None:
    async def main() -> None:
        sockets = Sockets()
        sock = sockets.new((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 9)))
        sock.close()
        await sockets.end()

    run(main(), loop=loop)
