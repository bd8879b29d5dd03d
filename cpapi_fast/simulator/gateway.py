"""The simulated gateway: REST and WebSocket on one port, from start to end."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from aiohttp import web

from cpapi_fast.clock import Clock
from cpapi_fast.errors import ConfigError, UsageError

from . import frames, replay
from .certificate import LOCAL_HOSTS, Certificate
from .connection import Connection
from .faults import Faults
from .options import SimulatorOptions
from .outbox import SentFrame
from .pump import Pump
from .rest import BASE_PATH, SOCKET_PATH, Rest
from .world import ReceivedRequest, World

_DEFAULT_OPTIONS: Final = SimulatorOptions()
#: How often `wait_for` looks, in real seconds.
_GLANCE_S: Final = 0.002
#: How long requests under way may take when the gateway is closed, in real seconds.
_SHUTDOWN_S: Final = 0.5


class SimulatedGateway(Faults):
    """A Client Portal gateway that is not one: same calls, same frames, same quirks, invented prices.

    ::

        async with SimulatedGateway(SimulatorOptions(seed=7)) as gateway:
            ...  # connect to gateway.url, trusting gateway.certificate_path or pinning gateway.fingerprint

    Args:
        options: what it is like.
        clock: drives all its timers; None makes one with `options.speed`. Give it to the client under test as well, and
            the time of both is compressed alike.
    """

    def __init__(self, options: SimulatorOptions = _DEFAULT_OPTIONS, *, clock: Clock | None = None) -> None:
        self.options: Final = options
        self.clock: Final = clock if clock is not None else Clock(options.speed)
        self._world = World(options, self.clock)
        session = self._world.session
        session.announce = self._announce
        session.on_brokerage_end = self._drop_brokerage_subscriptions
        session.on_brokerage_open = lambda: self._tell_current([frames.act(options.accounts)])
        self._certificate: Certificate | None = None
        self._certificate_path: Path | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._port: int | None = None

    def __repr__(self) -> str:
        where = self.url if self._port is not None else "not started"
        return f"<SimulatedGateway {where}, {len(self.open_connections)} sockets>"

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self.options.host

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._port is None:
            raise UsageError("the gateway has no port before it is started")
        return self._port

    @property
    def url(self) -> str:
        """The base of the REST calls, `https://127.0.0.1:5000/v1/api`."""
        return f"http{'s' if self.options.tls else ''}://{self._authority}{BASE_PATH}"

    @property
    def ws_url(self) -> str:
        """The WebSocket, `wss://127.0.0.1:5000/v1/api/ws`."""
        return f"ws{'s' if self.options.tls else ''}://{self._authority}{SOCKET_PATH}"

    @property
    def _authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of the certificate, 64 hex digits; None without TLS."""
        return self._certificate.fingerprint if self._certificate is not None else None

    @property
    def certificate_pem(self) -> bytes | None:
        """The certificate; None without TLS."""
        return self._certificate.certificate_pem if self._certificate is not None else None

    @property
    def certificate_path(self) -> Path | None:
        """A file with the certificate, usable as a CA file until the gateway is closed; None without TLS."""
        return self._certificate_path

    @property
    def connections(self) -> deque[Connection]:
        """The sockets there have been, oldest first, open ones included."""
        return self._world.connections

    @property
    def open_connections(self) -> list[Connection]:
        """The sockets that are open now."""
        return self._world.open_connections

    @property
    def requests(self) -> deque[ReceivedRequest]:
        """The REST calls and upgrades received, oldest first."""
        return self._world.requests

    @property
    def log(self) -> list[SentFrame]:
        """The data frames written so far, oldest first, with `keep_log`; clear it as you like.

        Not in it: what was conflated or dropped, what is held back by `stop_answering`, and `send_bytes`.
        """
        return self._world.log

    @property
    def replay_done(self) -> asyncio.Event:
        """Set once a socket was sent the whole replay file."""
        return self._world.replay_done

    @property
    def session_id(self) -> str:
        """The session that `/tickle` tells now; for tests that have to know it, never for a log."""
        return self._world.session.id

    async def start(self) -> None:
        """Listen and live.

        Raises:
            ConfigError: the port is taken, the replay file cannot be read, or TLS is wanted without `cryptography`.
            UsageError: it was started before.
        """
        if self._runner is not None:
            raise UsageError("a gateway can be started once")
        if self.options.replay is not None:
            replay.check(self.options.replay)
        context = None
        if self.options.tls:
            self._certificate = self.options.certificate or Certificate.make((*LOCAL_HOSTS, self.host))
            context = self._certificate.server_context()
        application = Rest(self._world, "https" if self.options.tls else "http").application()
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.options.port, ssl_context=context).start()
        except OSError as error:
            await self._runner.cleanup()
            reason = error.strerror or str(error)
            raise ConfigError(
                f"cannot listen on {self.host} port {self.options.port}: {reason}; give another one, or 0 for any"
            ) from error
        self._port = self._runner.addresses[0][1]
        if self._certificate is not None:
            self._folder = tempfile.TemporaryDirectory(prefix="cpapi-fast-")
            self._certificate_path = self._certificate.write(self._folder.name)
        pump = Pump(self._world)
        self._spawn(pump.run_market())
        self._spawn(pump.run_heartbeats())

    async def aclose(self) -> None:
        """End every socket without a CLOSE frame and stop listening."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        self._world.close()
        for connection in self.open_connections:
            connection.outbox.reset()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = self._certificate_path = None
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                # A bug in the simulator must fail the test that embeds it, not leave a market that stands still.
                raise outcome

    async def __aenter__(self) -> SimulatedGateway:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def wait_for(self, condition: Callable[[], object], *, timeout_s: float = 5.0) -> None:
        """Wait until a condition on this gateway holds, looking every two milliseconds.

        Args:
            condition: called without arguments.
            timeout_s: real seconds.

        Raises:
            TimeoutError: it did not hold in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"not so within {timeout_s:g} s: {self!r}")
            await asyncio.sleep(_GLANCE_S)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(coroutine))

    def _announce(self, fragment: dict[str, Any]) -> None:
        self._tell_current([frames.sts_fragment(fragment)])

    def _tell_current(self, payloads: list[bytes]) -> None:
        for connection in self._world.open_connections:
            if connection.is_ready and connection.is_current:
                connection.send(payloads)

    def _drop_brokerage_subscriptions(self) -> None:
        for connection in self._world.open_connections:
            connection.topics.drop_brokerage()
