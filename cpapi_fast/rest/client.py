"""REST towards the gateway: login state, session, and history; never live market data."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Final, SupportsIndex

from cpapi_fast._version import __version__
from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import (
    CompetingSessionError,
    ConfigError,
    HeaderRefusedError,
    NoSessionError,
    NotAuthenticatedError,
    UsageError,
)
from cpapi_fast.protocol.history import History, HistorySource, bar_length_s, check_period, rest_source, start_time_text
from cpapi_fast.protocol.topics import market_data_target

from .keepalive import Keepalive
from .pacing import RestPacer
from .session import Accounts, AuthStatus, SessionTicket, parse_logout
from .tls import Tls
from .transport import RestTransport
from .urls import BaseUrl

_USER_AGENT: Final = re.compile(r"[!-~]([ -~]{0,254}[!-~])?")


class Client:
    """One gateway over REST. Use it as `async with Client(...) as client`, or call `aclose`.

    Nothing is connected before the first call. All durations are seconds of `clock`. One client belongs to one event
    loop; its methods may run at the same time.

    Args:
        base_url: the gateway's REST base, such as `https://localhost:5000/v1/api`.
        tls: which certificate to trust, for REST and WebSocket alike.
        user_agent: what to send as User-Agent; `cpapi_fast/<version>` unless given.
        connect_timeout_s: the time for name resolution, TCP and TLS.
        total_timeout_s: the time for a whole request.
        clock: the clock of all timers.
        pacer: gives each request its turn, and is one of this client's own unless given; clients of one gateway share
            one. What a request waits for its turn is no part of its timeouts.

    Raises:
        ConfigError: the URL or another option cannot be right.
    """

    def __init__(
        self,
        base_url: str,
        *,
        tls: Tls | None = None,
        user_agent: str | None = None,
        connect_timeout_s: float = 5.0,
        total_timeout_s: float = 30.0,
        clock: Clock = SYSTEM_CLOCK,
        pacer: RestPacer | None = None,
    ) -> None:
        self._url: Final = BaseUrl.parse(base_url)
        self._tls: Final = Tls.verify() if tls is None else tls
        if not isinstance(self._tls, Tls):
            raise ConfigError(
                f"tls must be Tls.verify(), .ca_file(), .pinned() or .insecure(), not {type(tls).__name__}"
            )
        if self._url.scheme == "http" and self._tls.mode in ("pinned", "ca_file"):
            raise ConfigError("a certificate is given, but an http:// URL uses none; use https:// or leave out tls")
        for name, value in (("connect_timeout_s", connect_timeout_s), ("total_timeout_s", total_timeout_s)):
            if not 0.0 < value < float("inf"):
                raise ConfigError(f"{name} must be a finite number of seconds above zero, not {value!r}")
        #: What is sent as User-Agent, here and on the WebSocket.
        self.user_agent: Final = f"cpapi_fast/{__version__}" if user_agent is None else user_agent
        if not isinstance(self.user_agent, str) or _USER_AGENT.fullmatch(self.user_agent) is None:
            raise HeaderRefusedError("user_agent must be printable ASCII of at most 256 characters")
        #: The clock of all timers, which the WebSocket shares.
        self.clock: Final = clock
        #: What gives each request its turn.
        self.pacer: Final = RestPacer(clock) if pacer is None else pacer
        if self.pacer.clock is not clock:
            raise ConfigError("the pacer runs on another clock than the client; give both the same")
        self._connect_timeout_s: Final = connect_timeout_s
        self._rest: Final = RestTransport(
            self._url,
            self._tls,
            ssl_context=self.ssl_context,
            user_agent=self.user_agent,
            connect_timeout_s=connect_timeout_s,
            total_timeout_s=total_timeout_s,
            clock=clock,
            pacer=self.pacer,
        )
        self._context: ssl.SSLContext | None = None
        self._context_lock: Final = asyncio.Lock()
        self._keepalives: Final[set[Keepalive]] = set()
        self._is_closed = False

    # --- what it is -------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """The REST base in its normal form: lower-case host, no default port, no slash at the end."""
        return str(self._url)

    @property
    def origin(self) -> str:
        """Scheme, host and port of the gateway: what goes into `Origin`."""
        return self._url.origin

    @property
    def ws_url(self) -> str:
        """Where the gateway's WebSocket is."""
        return self._url.ws_url

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._is_closed

    def __repr__(self) -> str:
        return f"Client({self.base_url!r}, tls={self._tls!r})"

    async def ssl_context(self) -> ssl.SSLContext | None:
        """The context of the TLS policy, made once and used for REST and WebSocket alike; None for http.

        Raises:
            ConfigError, CertificateError, PinMismatchError, ConnectError, RequestTimeoutError: see `Tls.context`.
            UsageError: the client is closed.
        """
        self._check_open()
        if self._url.scheme == "http":
            return None
        async with self._context_lock:
            if self._context is None:
                timeout_s = self.clock.real_s(self._connect_timeout_s)
                self._context = await self._tls.context(self._url.host, self._url.port, timeout_s=timeout_s)
            return self._context

    # --- what it asks -----------------------------------------------------------------------------

    async def tickle(self) -> SessionTicket:
        """Keep the session alive and learn its id and state.

        A ticket without a session (`ticket.session is None`) is an answer too.

        Raises:
            NotAuthenticatedError: 401, a redirect to the login page, or the login page itself.
            RateLimitedError: the answer is 429, or one was in the last 15 minutes, and then nothing was sent.
            PaceError: too many requests wait for their turn; this one was not sent.
            StatusError, RedirectError, DecodeError: another status, another redirect, a body of another shape.
            TransportError: no answer; its subclasses tell why.
            UsageError: the client is closed.
        """
        answer = await self._rest.request("POST", "/tickle")
        received_ns = time.time_ns()
        ticket = answer.decode(lambda payload: SessionTicket.parse(payload, answer.raw, received_ns))
        self._rest.last_session = ticket.session
        return ticket

    async def auth_status(self) -> AuthStatus:
        """Ask for the state of the brokerage session. Raises as `tickle` does."""
        return await self._ask_auth_status("/iserver/auth/status")

    async def health(self) -> AuthStatus:
        """Ask whether the brokerage session is usable, and raise when it is not.

        A competing login is no error here: `competing` of the answer tells.

        Raises:
            NoSessionError: the gateway is not connected to its backend.
            NotAuthenticatedError: it is, but the brokerage session is not open.
            CpapiError: as `tickle` does.
        """
        path = "/iserver/auth/status"
        status = await self._ask_auth_status(path)
        if not status.connected:
            raise NoSessionError(
                f"the gateway at {self.origin} is not connected to Interactive Brokers; wait for it, or log in at "
                f"{self.origin} in a browser",
                path=path,
            )
        if not status.authenticated:
            raise NotAuthenticatedError(
                f"the gateway at {self.origin} has no open brokerage session; call init_brokerage_session(), or log in "
                f"at {self.origin} in a browser",
                path=path,
            )
        return status

    async def accounts(self) -> Accounts:
        """List the accounts, as the gateway wants once per brokerage session before orders. Raises as `tickle` does."""
        return (await self._rest.request("GET", "/iserver/accounts")).decode(Accounts.parse)

    async def history(
        self,
        conid: SupportsIndex,
        *,
        period: str,
        bar: str,
        exchange: str | None = None,
        outside_rth: bool = False,
        start_time: datetime | None = None,
        source: HistorySource = "trades",
    ) -> History:
        """Ask for bars of the past, at most 1,000 of them; five such requests run at once, others wait their turn.

        Args:
            conid: IB's contract id.
            period: how long, up to now or `start_time`: `1min` to `30min`, `1h` to `8h`, `1d` to `1000d`, `1w` to
                `792w`, `1m` to `182m` (months), `1y` to `15y`.
            bar: how long each bar is: `1min 2min 3min 5min 10min 15min 30min 1h 2h 3h 4h 8h 1d 1w 1m`.
            exchange: for one venue's data.
            outside_rth: whether bars from outside the regular trading hours are wanted too.
            start_time: where the period ends; now by default.
            source: what the bars are made of.

        Raises:
            SubscriptionError: one of these cannot be right. The gateway would silently use something else.
            CpapiError: as `tickle` does. A contract without history is a StatusError with status 500.
        """
        target = market_data_target(conid)
        market_data_target(conid, exchange)
        bar_length_s(bar)
        query = {
            "conid": target,
            "period": check_period(period),
            "bar": bar,
            "outsideRth": "true" if outside_rth else "false",
            "source": rest_source(source),
        }
        if exchange is not None:
            query["exchange"] = exchange
        if start_time is not None:
            query["startTime"] = start_time_text(start_time)
        return (await self._rest.request("GET", "/iserver/marketdata/history", query=query)).decode(History.parse)

    async def init_brokerage_session(self, *, compete: bool = True) -> AuthStatus:
        """Open the brokerage session of a login that has only the outer one.

        Args:
            compete: take the brokerage session away from another login of the same user.

        Raises:
            CompetingSessionError: another login holds it, and it was not taken away.
            CpapiError: as `tickle` does.
        """
        path = "/iserver/auth/ssodh/init"
        status = await self._ask_auth_status(path, {"publish": True, "compete": bool(compete)})
        if status.competing and not status.authenticated:
            raise CompetingSessionError(
                "another login of this user holds the brokerage session; end it, or take it over with "
                "init_brokerage_session(compete=True)",
                path=path,
            )
        return status

    async def logout(self) -> bool:
        """End the session at the gateway and forget its cookies; returns whether the gateway confirms it.

        Raises:
            CpapiError: as `tickle` does.
        """
        is_confirmed = (await self._rest.request("POST", "/logout")).decode(parse_logout)
        self._rest.cookies.clear()
        return is_confirmed

    def spawn_keepalive(
        self, interval_s: float = 60.0, on_result: Callable[[SessionTicket | Exception], object] | None = None
    ) -> Keepalive:
        """Tickle every `interval_s` seconds of the clock, the first time after one interval, until the client closes.

        Args:
            interval_s: the pause from tickle to tickle.
            on_result: called in the loop with each ticket or error; an exception of it goes to the loop's handler.

        Raises:
            ConfigError: the interval is not above zero.
            UsageError: the client is closed.
        """
        self._check_open()
        self._keepalives.difference_update([keepalive for keepalive in self._keepalives if not keepalive.is_running])
        keepalive = Keepalive(self.tickle, interval_s=interval_s, clock=self.clock, on_result=on_result)
        self._keepalives.add(keepalive)
        return keepalive

    async def aclose(self) -> None:
        """Stop the keepalives and close the connections. Again, it does nothing. The gateway's session stays open."""
        self._is_closed = True
        while self._keepalives:
            await self._keepalives.pop().stop()
        await self._rest.close()

    async def __aenter__(self) -> Client:
        self._check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _check_open(self) -> None:
        if self._is_closed:
            raise UsageError("this client is closed; make a new one")

    async def _ask_auth_status(self, path: str, body: dict[str, bool] | None = None) -> AuthStatus:
        return (await self._rest.request("POST", path, body)).decode(AuthStatus.parse)
