"""`SimulatedGateway`: REST and WebSocket on one port, from start to close."""

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

from cpapi_fast.callbacks import check_callback, refuse_awaitable
from cpapi_fast.clock import Clock
from cpapi_fast.errors import ConfigError, UsageError
from cpapi_fast.loop import LoopOwner

from . import capture_replay, replay, system_frames
from .certificate import LOCAL_HOSTS, Certificate
from .connection_registry import ConnectionRegistry
from .faults import GatewayFaults
from .frame_writer import SentFrame
from .options import SimulatorOptions
from .publisher import Publisher
from .rest_routes import BASE_PATH, SOCKET_PATH, RestRoutes
from .server_connection import ServerConnection
from .state import GatewayState, ReceivedRequest

_DEFAULT_OPTIONS: Final = SimulatorOptions()
#: How often `wait_for` checks its condition, in real seconds.
_POLL_S: Final = 0.002
#: How long pending requests may take when the gateway is closed, in real seconds.
_SHUTDOWN_S: Final = 0.5


class SimulatedGateway:
    """A simulated Client Portal gateway: the same calls, frames and quirks, with invented prices.

    ::

        async with SimulatedGateway(SimulatorOptions(seed=7)) as gateway:
            ...  # connect to gateway.url, trusting gateway.certificate_path or pinning gateway.fingerprint

    Args:
        options: its options.
        clock: the clock of all its timers; None creates one with `options.speed`. Pass the same clock to the client
            under test, so that both run at the same speed.

    Attributes:
        options: its options.
        clock: its clock.
        faults: the faults that a test can inject.
    """

    def __init__(self, options: SimulatorOptions = _DEFAULT_OPTIONS, *, clock: Clock | None = None) -> None:
        self.options: Final = options
        self.clock: Final = clock if clock is not None else Clock(options.speed)
        self._state = GatewayState(options, self.clock)
        self._connections = ConnectionRegistry(self._state)
        self._owner: Final = LoopOwner("a simulated gateway")
        self._faults: Final = GatewayFaults(self._state, self._connections)
        session = self._state.session
        session.announce = lambda fragment: self._send_current([system_frames.sts_fragment(fragment)])
        session.on_brokerage_end = self._drop_brokerage_subscriptions
        session.on_brokerage_open = lambda: self._send_current([system_frames.act(options.accounts)])
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
    def faults(self) -> GatewayFaults:
        """The faults to inject.

        Raises:
            UsageError: called from another event loop or thread than that of the gateway, where they have no effect.
        """
        self._owner.check_end()
        return self._faults

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return self.options.host

    @property
    def port(self) -> int:
        """The port that it listens on.

        Raises:
            UsageError: the gateway is not started.
        """
        if self._port is None:
            raise UsageError("the gateway has no port before it is started")
        return self._port

    @property
    def url(self) -> str:
        """The base URL of the REST calls, such as `https://127.0.0.1:5000/v1/api`."""
        return f"http{'s' if self.options.tls else ''}://{self._authority}{BASE_PATH}"

    @property
    def ws_url(self) -> str:
        """The URL of the WebSocket, such as `wss://127.0.0.1:5000/v1/api/ws`."""
        return f"ws{'s' if self.options.tls else ''}://{self._authority}{SOCKET_PATH}"

    @property
    def _authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of the certificate as 64 hex digits; None without TLS."""
        return self._certificate.fingerprint if self._certificate is not None else None

    @property
    def certificate_pem(self) -> bytes | None:
        """The certificate in PEM form; None without TLS."""
        return self._certificate.certificate_pem if self._certificate is not None else None

    @property
    def certificate_path(self) -> Path | None:
        """A file with the certificate, usable as a CA file until the gateway is closed; None without TLS."""
        return self._certificate_path

    @property
    def connections(self) -> deque[ServerConnection]:
        """The last 100 connections, open or closed, oldest first."""
        return self._connections.recent

    @property
    def open_connections(self) -> list[ServerConnection]:
        """The connections that are open now."""
        return self._connections.open

    @property
    def requests(self) -> deque[ReceivedRequest]:
        """The last 10,000 REST requests and upgrades, oldest first."""
        return self._state.requests

    @property
    def log(self) -> list[SentFrame]:
        """The data frames written so far, oldest first. Empty without `SimulatorOptions.keep_log`.

        It does not contain frames that were conflated, dropped or held by `faults.stall`, nor `faults.send_bytes`. It
        grows until the caller clears it.
        """
        return self._state.log

    @property
    def replay_done(self) -> asyncio.Event:
        """Set once the whole replay file was sent on a socket."""
        return self._state.replay_done

    @property
    def session_id(self) -> str:
        """The session id that `/tickle` returns now. A secret: for tests only, never for a log."""
        return self._state.session.id

    async def start(self) -> None:
        """Start listening and publishing.

        Raises:
            ConfigError: the port is taken, the certificate file is not usable, or the replay file cannot be read or
                contains no frames.
            MissingDependencyError: TLS is on, and `cryptography` is not installed.
            UsageError: it was started before.
        """
        self._owner.check()
        if self._runner is not None:
            raise UsageError("a SimulatedGateway can be started only once")
        if self.options.replay is not None:
            self._state.replays_capture = capture_replay.is_capture(self.options.replay)
            (capture_replay if self._state.replays_capture else replay).check(self.options.replay)
        context = None
        if self.options.tls:
            hosts = (*LOCAL_HOSTS, self.host)
            if self.options.certificate_file is not None:
                self._certificate = Certificate.kept_in(self.options.certificate_file, hosts)
            else:
                self._certificate = self.options.certificate or Certificate.make(hosts)
            context = self._certificate.server_context()
        application = RestRoutes(self._state, self._connections, "https" if self.options.tls else "http").application()
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.options.port, ssl_context=context).start()
        except OSError as error:
            await self._runner.cleanup()
            reason = error.strerror or str(error)
            raise ConfigError(
                f"cannot listen on {self.host} port {self.options.port}: {reason}; choose another, or 0 for a free one"
            ) from error
        self._port = self._runner.addresses[0][1]
        if self._certificate is not None:
            self._folder = tempfile.TemporaryDirectory(prefix="cpapi-fast-")
            self._certificate_path = self._certificate.write(self._folder.name)
        publisher = Publisher(self._state, self._connections)
        self._spawn(publisher.run_market())
        self._spawn(publisher.run_heartbeats())

    async def aclose(self) -> None:
        """End every socket without a CLOSE frame, and stop listening.

        Raises:
            UsageError: called from another event loop than that of the gateway.
        """
        self._owner.check()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        self._state.close()
        for connection in self.open_connections:
            connection.writer.reset()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = self._certificate_path = None
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                # A bug in the simulator must fail the test, not stop the market unnoticed.
                raise outcome

    async def __aenter__(self) -> SimulatedGateway:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def wait_for(self, condition: Callable[[], object], *, timeout_s: float = 60.0) -> None:
        """Wait until a condition holds. It is checked every 2 ms.

        Args:
            condition: a plain function, called without arguments; holds when it returns something true.
            timeout_s: the time limit in real seconds.

        Raises:
            TimeoutError: it did not hold within `timeout_s`.
            ConfigError: the condition is not a plain function.
            CallbackError: it returned a coroutine or another awaitable, which is neither true nor false.
        """
        check_callback(condition, "the condition of wait_for")
        deadline_s = time.monotonic() + timeout_s
        while not (result := condition()):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"condition not met within {timeout_s:g} s: {self!r}")
            await asyncio.sleep(_POLL_S)
        refuse_awaitable(result)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(coroutine))

    def _send_current(self, payloads: list[bytes]) -> None:
        for connection in self._connections.current:
            connection.send(payloads)

    def _drop_brokerage_subscriptions(self) -> None:
        for connection in self._connections.open:
            connection.socket_subscriptions.drop_brokerage()
