"""Tells systemd the state of a service with `sd_notify`: ready, still alive, stopping, and one line of status"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from cpapi_fast.printable import printable
from cpapi_fast.redaction import redact_accounts

#: How often the status is sent, in real seconds, unless the watchdog needs it more often.
_INTERVAL_S: Final = 5.0

#: The longest text of a status.
_MAX_STATUS: Final = 200


class ServiceNotifier:
    """Sends the state of a service to systemd while the event loop runs.

    The watchdog is told from the event loop, so that systemd restarts a service whose loop does not run. Without the
    socket of systemd in the environment, it does nothing. A datagram that systemd does not take is left out: it never
    blocks and never raises.

    Args:
        environment: the environment variables; `NOTIFY_SOCKET` names the socket, also an abstract one, and
            `WATCHDOG_USEC` the time limit of the watchdog.
        status: returns one line of text.
    """

    def __init__(self, environment: Mapping[str, str], status: Callable[[], str]) -> None:
        self._status: Final = status
        self._address: Final = _address(environment.get("NOTIFY_SOCKET", ""))
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        watchdog_s = _watchdog_s(environment)
        self._has_watchdog: Final = watchdog_s is not None
        # systemd recommends half of the limit.
        self._interval_s: Final = _INTERVAL_S if watchdog_s is None else min(_INTERVAL_S, watchdog_s / 2)

    def __enter__(self) -> Self:
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._on_timer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self) -> None:
        """Tell that the service has started."""
        self._send("READY=1", self._status_line())

    def stopping(self) -> None:
        """Tell that the service ends. The watchdog is told until the end."""
        self._send("STOPPING=1", self._status_line())

    def _on_timer(self) -> None:
        lines = [self._status_line()]
        if self._has_watchdog:
            lines.append("WATCHDOG=1")
        self._send(*lines)
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._on_timer)

    def _status_line(self) -> str:
        return f"STATUS={printable(redact_accounts(self._status()))[:_MAX_STATUS]}"

    def _send(self, *lines: str) -> None:
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto("\n".join(lines).encode("utf-8", "backslashreplace"), self._address)


def _address(name: str) -> str:
    """Return the address of the socket; `@` at its start stands for the null byte of an abstract one."""
    if not name.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return ""
    return f"\0{name[1:]}" if name.startswith("@") else name


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    text, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not text.isdecimal() or not int(text) or (process and process != str(os.getpid())):
        return None
    return int(text) / 1e6
