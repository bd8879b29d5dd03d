"""Notifications of systemd, received on a real socket."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from cpapi_fast.cli.service.systemd import ServiceNotifier

if sys.platform == "win32":
    pytest.skip("there is no systemd", allow_module_level=True)


def receiver(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address.replace("@", "\0", 1))
    listener.settimeout(60)
    return listener


def drained(listener: socket.socket) -> list[bytes]:
    found: list[bytes] = []
    listener.setblocking(False)
    try:
        while True:
            found.append(listener.recv(4096))
    except BlockingIOError:
        return found
    finally:
        listener.settimeout(60)


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "abstract" and sys.platform != "linux":
        return str(tmp_path / "n")
    return str(tmp_path / "n") if request.param == "path" else f"@cpapi-fast-{uuid.uuid4().hex}"


@pytest.fixture
def listener(address: str) -> Iterator[socket.socket]:
    with receiver(address) as found:
        yield found


async def test_what_systemd_is_told(address: str, listener: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": str(os.getpid())}
    with ServiceNotifier(environment, lambda: "streaming of U1234567\nREADY=0") as notifier:
        status = r"STATUS=streaming of [redacted]\nREADY=0"
        assert listener.recv(4096).decode().split("\n") == [status, "WATCHDOG=1"]
        notifier.ready()
        assert listener.recv(4096).decode().split("\n") == ["READY=1", status]
        for _ in range(2):
            assert (await asyncio.to_thread(listener.recv, 4096)).decode().endswith("WATCHDOG=1")
        drained(listener)
        # The loop does not run, so nothing is sent.
        time.sleep(0.5)  # noqa: ASYNC251
        assert drained(listener) == []
        notifier.stopping()
    assert drained(listener)[-1].startswith(b"STOPPING=1\n")


@pytest.mark.parametrize(
    "environment",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}, {"NOTIFY_SOCKET": "/no/such/socket"},
     {"NOTIFY_SOCKET": "@" + "x" * 500}, {"NOTIFY_SOCKET": "@no-such", "WATCHDOG_USEC": "x"}],
)  # fmt: skip
async def test_without_systemd_nothing_happens(environment: dict[str, str]) -> None:
    with ServiceNotifier(environment, lambda: "x") as notifier:
        notifier.ready()
        notifier.stopping()


async def test_a_socket_that_nobody_reads_never_blocks(address: str, listener: socket.socket) -> None:
    with ServiceNotifier({"NOTIFY_SOCKET": address}, lambda: "x" * 10_000) as notifier:
        for _ in range(50):
            notifier.ready()
    assert len(listener.recv(65536)) < 300


async def test_the_watchdog_of_another_process_is_none_of_ours(address: str, listener: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    with ServiceNotifier(environment, lambda: "x"):
        assert listener.recv(100) == b"STATUS=x"
