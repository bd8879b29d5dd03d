"""The REST client of a gateway: its options, its connections, login state, session and accounts."""

from __future__ import annotations

import re
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType, TracebackType
from typing import Final

import orjson

from cpapi_fast._version import __version__
from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.contract_cache import ContractCache
from cpapi_fast.errors import (
    CertificateError,
    ConfigError,
    HeaderRefusedError,
    UsageError,
)
from cpapi_fast.loop import LoopOwner, required_loop
from cpapi_fast.option_values import check_positive, check_whole

from .endpoints.contracts import ContractRequests
from .endpoints.live_orders import LiveOrders
from .endpoints.market_data import MarketDataRequests
from .keepalive import Keepalive
from .pacing import RestPacer
from .responses import RestResponse
from .session import Accounts, AuthStatus, SessionTicket, check_open, competing_error, parse_logout
from .stats import ClientStats
from .tls import Tls
from .transport import MAX_BODY_BYTES, RestTransport
from .trust import Trust
from .urls import BaseUrl

_USER_AGENT: Final = re.compile(r"[!-~]([ -~]{0,254}[!-~])?")


class Client(ContractRequests, MarketDataRequests):
    """The REST client of one gateway. Use it as `async with Client(...) as client`, or call `aclose`.

    It connects with the first request. All durations are seconds of `clock`. A client belongs to the event loop in
    which it is first used; there its methods may run concurrently, and in another loop they raise UsageError.

    Args:
        base_url: the gateway's REST base, such as `https://localhost:5000/v1/api`.
        tls: the policy for the gateway's certificate, for REST and WebSocket; `Tls.verify()` by default.
        user_agent: the `User-Agent` header; `cpapi_fast/<version>` by default.
        connect_timeout_s: the time limit for name resolution, TCP and TLS.
        total_timeout_s: the time limit for a whole request.
        max_body_bytes: the longest body of a response, which bounds the memory of a request. A longer one raises
            DecodeError.
        clock: the clock of all timers.
        pacer: delays requests to stay below the gateway's rate limits. By default each client has its own pacer; the
            clients of one gateway should share one. The time limits do not include the wait for the pacer.
        contract_cache: keeps lists, terms and schedules of contracts in files; None requests them each time.

    Raises:
        ConfigError: the URL or another option is invalid.
    """

    def __init__(
        self,
        base_url: str,
        *,
        tls: Tls | None = None,
        user_agent: str | None = None,
        connect_timeout_s: float = 5.0,
        total_timeout_s: float = 30.0,
        max_body_bytes: int = MAX_BODY_BYTES,
        clock: Clock = SYSTEM_CLOCK,
        pacer: RestPacer | None = None,
        contract_cache: ContractCache | None = None,
    ) -> None:
        if not isinstance(contract_cache, ContractCache | None):
            raise ConfigError(f"contract_cache must be a ContractCache or None, not {type(contract_cache).__name__}")
        super().__init__(clock, contract_cache)
        self._url: Final = BaseUrl.parse(base_url)
        self._tls: Final = Tls.verify() if tls is None else tls
        if not isinstance(self._tls, Tls):
            raise ConfigError(
                f"tls must be Tls.verify(), .ca_file(), .pinned() or .insecure(), not {type(tls).__name__}"
            )
        if self._url.scheme == "http" and self._tls.mode in ("pinned", "ca_file"):
            raise ConfigError("an http:// URL uses no certificate, but one is given. Use https://, or omit tls.")
        for name, value in (("connect_timeout_s", connect_timeout_s), ("total_timeout_s", total_timeout_s)):
            check_positive(name, value, "seconds")
        check_whole("max_body_bytes", max_body_bytes, "bytes")
        #: The `User-Agent` header for REST and WebSocket.
        self.user_agent: Final = f"cpapi_fast/{__version__}" if user_agent is None else user_agent
        if not isinstance(self.user_agent, str) or _USER_AGENT.fullmatch(self.user_agent) is None:
            raise HeaderRefusedError("user_agent must be printable ASCII of at most 256 characters")
        #: Delays requests to stay below the gateway's rate limits.
        self.pacer: Final = RestPacer(clock) if pacer is None else pacer
        if self.pacer.clock is not clock:
            raise ConfigError("the pacer has another clock than the client. Pass the same clock to both.")
        self._connect_timeout_s: Final = connect_timeout_s
        self._owner: Final = LoopOwner("a client")
        self._rest: Final = RestTransport(
            self._url,
            self._tls,
            ssl_context=self.ssl_context,
            on_refused=self.certificate_refused,
            user_agent=self.user_agent,
            connect_timeout_s=connect_timeout_s,
            total_timeout_s=total_timeout_s,
            max_body_bytes=max_body_bytes,
            clock=clock,
            pacer=self.pacer,
            owner=self._owner,
        )
        self._trust: Final = Trust(self._tls, self._url.host, self._url.port)
        self._keepalives: Final[set[Keepalive]] = set()
        self._is_closed = False
        self._responses = 0
        self._odd: Final[Counter[str]] = Counter()

    # Properties

    @property
    def base_url(self) -> str:
        """The normalized REST base: lower-case host, no default port, no trailing slash."""
        return str(self._url)

    @property
    def origin(self) -> str:
        """Scheme, host and port of the gateway: the `Origin` header."""
        return self._url.origin

    @property
    def ws_url(self) -> str:
        """The URL of the gateway's WebSocket."""
        return self._url.ws_url

    @property
    def has_answered(self) -> bool:
        """Whether a Client Portal gateway has answered at this URL. Until then, errors doubt the URL."""
        return self._rest.contact.has_gateway

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._is_closed

    @property
    def stats(self) -> ClientStats:
        """The counters of this client."""
        return ClientStats(
            responses=self._responses,
            odd_members=MappingProxyType(dict(self._odd)),
            by_status=MappingProxyType(dict(self._rest.outcomes.by_status)),
        )

    def __repr__(self) -> str:
        return f"Client({self.base_url!r}, tls={self._tls!r})"

    async def ssl_context(self) -> ssl.SSLContext | None:
        """Return the context of the TLS policy, which REST and WebSocket share; None for http.

        The trusted certificates are read again when their file has changed, and after a certificate was refused.
        Otherwise each call returns the same context.

        Raises:
            ConfigError, CertificateError, PinMismatchError, ConnectError, RequestTimeoutError: see `Tls.context`.
            UsageError: the client is closed, or belongs to another event loop.
        """
        self._check_usable()
        if self._url.scheme == "http":
            return None
        return await self._trust.context(timeout_s=self.clock.real_limit_s(self._connect_timeout_s))

    async def certificate_refused(self, context: ssl.SSLContext | None, error: CertificateError) -> CertificateError:
        """Return the error with what is wrong with a certificate that `context`, of `ssl_context`, has refused."""
        return await self._trust.refused(context, error, timeout_s=self.clock.real_limit_s(self._connect_timeout_s))

    # Requests

    async def tickle(self) -> SessionTicket:
        """Renew the session and return its id and state: `POST /tickle`.

        `ticket.session` is None if the gateway has no session.

        Raises:
            NotAuthenticatedError: status 401, a redirect to the login page, or the login page itself.
            RateLimitedError: status 429; or an earlier 429 less than 15 minutes ago, so that nothing was sent.
            PaceError: too many requests are waiting; this one was not sent.
            StatusError, RedirectError, DecodeError: another status, another redirect, or an unexpected body.
            TransportError: no response; the subclass states the reason.
            UsageError: the client is closed, or belongs to another event loop.
        """
        response = await self._request("POST", "/tickle")
        received_ns = time.time_ns()
        ticket = response.decode(lambda payload: SessionTicket.of_gateway(payload, response.raw, received_ns))
        self._rest.last_session = ticket.session
        self._note_odd("/tickle", ticket.odd)
        return ticket

    async def auth_status(self) -> AuthStatus:
        """Return the state of the brokerage session.

        Raises:
            CpapiError: like `tickle`.
        """
        return await self._request_auth_status("/iserver/auth/status")

    async def health(self) -> AuthStatus:
        """Return the state of the brokerage session if it is open, else raise.

        Another login that only competes for it raises no exception: see the attribute `competing` of the result.

        Raises:
            NoSessionError: the gateway is not connected to Interactive Brokers.
            CompetingSessionError: the brokerage session is not open because another login holds it.
            NotAuthenticatedError: the brokerage session is not open.
            CpapiError: like `tickle`.
        """
        path = "/iserver/auth/status"
        status = await self._request_auth_status(path)
        check_open(status, self.origin, path)
        return status

    async def accounts(self) -> Accounts:
        """Return the accounts. The gateway requires this request once per session before orders.

        Raises:
            CpapiError: like `tickle`.
        """
        accounts = (await self._request("GET", "/iserver/accounts")).decode(Accounts.parse)
        self._note_odd("/iserver/accounts", accounts.odd)
        return accounts

    async def prime_accounts(self) -> None:
        """Request the accounts as `accounts` does, for a gateway that requires it, and read nothing of a success.

        So a list of any length and shape will do.

        Raises:
            CpapiError: like `tickle`.
        """
        (await self._request("GET", "/iserver/accounts", is_body_needed=False)).check()

    async def live_orders(self) -> LiveOrders:
        """Return the orders of the brokerage session: working ones, and those that finished on this day.

        The gateway requires `accounts` or `prime_accounts` before, and allows one such request in 5 s; others wait.

        Raises:
            CpapiError: like `tickle`.
        """
        path = "/iserver/account/orders"
        found = (await self._request("GET", path)).decode(LiveOrders.parse)
        self._note_odd(path, found.odd)
        return found

    async def init_brokerage_session(self, *, compete: bool = True) -> AuthStatus:
        """Open the brokerage session of a logged-in user, and return its state.

        Args:
            compete: whether to take the brokerage session from another login of the same user.

        Raises:
            CompetingSessionError: another login still holds the brokerage session.
            CpapiError: like `tickle`.
        """
        path = "/iserver/auth/ssodh/init"
        body = orjson.dumps({"publish": True, "compete": bool(compete)})
        status = await self._request_auth_status(path, body)
        if status.is_held_elsewhere:
            raise competing_error(status, path)
        return status

    async def logout(self) -> bool:
        """End the session at the gateway, remove its cookies, and return whether the gateway confirms the logout.

        Raises:
            CpapiError: like `tickle`.
        """
        is_confirmed = (await self._request("POST", "/logout")).decode(parse_logout)
        self._rest.cookies.clear()
        return is_confirmed

    def spawn_keepalive(
        self, interval_s: float = 60.0, on_result: Callable[[SessionTicket | Exception], None] | None = None
    ) -> Keepalive:
        """Request `/tickle` every `interval_s` seconds of the clock until the client is closed.

        The first request is sent after one interval.

        Args:
            interval_s: the interval between requests.
            on_result: a plain function, called in the event loop with each ticket or error. Its exceptions are passed
                to the loop's exception handler.

        Returns:
            The keepalive, whose `stop` ends it earlier.

        Raises:
            ConfigError: the interval is not a finite number above zero, or `on_result` is not a plain function.
            UsageError: the client is closed, or this is not its event loop.
        """
        required_loop("a keepalive")
        self._check_usable()
        self._keepalives.difference_update([keepalive for keepalive in self._keepalives if not keepalive.is_running])
        keepalive = Keepalive(self.tickle, interval_s=interval_s, clock=self.clock, on_result=on_result)
        self._keepalives.add(keepalive)
        return keepalive

    async def aclose(self) -> None:
        """Stop the keepalives and close the connections. The gateway's session stays open. Idempotent.

        Raises:
            UsageError: the client belongs to another event loop.
        """
        if not self._is_closed:
            self._owner.check()
        self._is_closed = True
        while self._keepalives:
            await self._keepalives.pop().stop()
        await self._rest.close()

    async def __aenter__(self) -> Client:
        self._check_usable()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _check_usable(self) -> None:
        if self._is_closed:
            raise UsageError("this client is closed. Create a new one.")
        self._owner.check()

    async def _request_auth_status(self, path: str, body: bytes | None = None) -> AuthStatus:
        status = (await self._request("POST", path, body)).decode(AuthStatus.parse)
        self._note_odd(path, status.odd)
        return status

    async def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        is_body_needed: bool = True,
        is_repeatable: bool = True,
    ) -> RestResponse:
        how = {"is_body_needed": is_body_needed, "is_repeatable": is_repeatable}
        response = await self._rest.request(method, path, body, query=query, **how)
        self._responses += 1
        return response

    def _note_session(self, path: str, payload: object) -> None:
        if path == "/logout":
            self._rest.cookies.clear()
        elif path == "/tickle" and isinstance(payload, dict) and isinstance(payload.get("session"), str):
            self._rest.last_session = payload["session"]

    def _note_odd(self, path: str, names: Iterable[str]) -> None:
        self._odd.update(f"{path} {name}" for name in names)
