"""What the steps of one examination share: the options, what was learned so far, and how a step says its outcome."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

from cpapi_fast._version import __version__
from cpapi_fast.clock import Clock
from cpapi_fast.errors import (
    CertificateError,
    ConfigError,
    CpapiError,
    DecodeError,
    NotAuthenticatedError,
    RedirectError,
    StatusError,
)
from cpapi_fast.rest.pacing import RestPacer
from cpapi_fast.rest.responses import RestResponse
from cpapi_fast.rest.session import AuthStatus, SessionTicket
from cpapi_fast.rest.tls import Tls
from cpapi_fast.rest.transport import RestTransport
from cpapi_fast.rest.urls import BaseUrl
from cpapi_fast.ws.connection import WsClient

from .findings import Fault, Status
from .watch import Watch

USER_AGENT: Final = f"cpapi_fast/{__version__}"


class Outcome(NamedTuple):
    """How a step went: a `Finding` without its step and time."""

    status: Status
    found: str
    advice: str = ""
    fault: Fault | None = None
    facts: Mapping[str, Any] = {}


def ok(found: str, **facts: Any) -> Outcome:
    """The step went well."""
    return Outcome(Status.OK, found, facts=facts)


def warning(found: str, advice: str, **facts: Any) -> Outcome:
    """It went well enough to go on."""
    return Outcome(Status.WARNING, found, advice, facts=facts)


def failure(fault: Fault, found: str, advice: str, **facts: Any) -> Outcome:
    """It is what is wrong."""
    return Outcome(Status.FAILURE, found, advice, fault, facts)


class Examination:
    """One gateway under examination.

    Args:
        base: where it is.
        tls: which certificate to trust.
        conid: the instrument to ask a quote of.
        timeout_s: the most that one step waits, in seconds of the clock.
        init: open the brokerage session where it is not open, away from another login if need be.
        clock: the clock of all timers, and the one that is compared with the gateway's.
    """

    def __init__(self, base: BaseUrl, *, tls: Tls, conid: int, timeout_s: float, init: bool, clock: Clock) -> None:
        self.base: Final = base
        self.tls: Final = tls
        self.conid: Final = conid
        self.timeout_s: Final = timeout_s
        self.init: Final = init
        self.clock: Final = clock
        #: The context of the TLS policy; None before the step `tls`, and for http.
        self.context: ssl.SSLContext | None = None
        #: What `/tickle` said, or why it said nothing.
        self.ticket: SessionTicket | NotAuthenticatedError
        #: The value of the `Cookie` header for the socket, from the step `session` on.
        self.cookie: str
        #: What the gateway says of the session, from the step `connected` on.
        self.auth: AuthStatus
        #: The socket, from the step `websocket` on.
        self.ws: WsClient
        #: What has to be closed at the end.
        self.stack: Final = AsyncExitStack()
        self.watch: Final = Watch(clock, f"smd+{conid}")
        #: How long each answer took, in seconds of the clock, and by how much this clock was ahead of its Date.
        self.answer_times_s: Final[list[float]] = []
        self.date_leads_s: Final[list[float]] = []
        self._rest: Final = RestTransport(
            base,
            tls,
            ssl_context=self._ssl_context,
            user_agent=USER_AGENT,
            connect_timeout_s=timeout_s,
            total_timeout_s=timeout_s,
            clock=clock,
            pacer=RestPacer(clock),
        )
        self.stack.push_async_callback(self._rest.close)

    @property
    def real_timeout_s(self) -> float:
        """`timeout_s` in real seconds."""
        return self.clock.real_s(self.timeout_s)

    @property
    def where(self) -> str:
        """Host and port, for messages."""
        host = f"[{self.base.host}]" if ":" in self.base.host else self.base.host
        return f"{host}:{self.base.port}"

    async def ask(self, method: str, path: str, body: dict[str, bool] | None = None) -> RestResponse:
        """Send one request; its time and its Date are noted. Raises as `RestTransport.request` does."""
        started_s = self.clock.monotonic_s()
        answer = await self._rest.request(method, path, body)
        now_ns = self.clock.time_ns()
        self.answer_times_s.append(self.clock.monotonic_s() - started_s)
        told_s = _date_s(answer.date)
        if told_s is not None:
            # It has whole seconds only: half a second later is right on average.
            self.date_leads_s.append(now_ns / 1e9 - told_s - 0.5)
        return answer

    async def _ssl_context(self) -> ssl.SSLContext | None:
        return self.context


def _date_s(text: str) -> float | None:
    """The header `Date` in seconds since the Unix epoch; None when it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


def outcome_of(error: CpapiError, examination: Examination) -> Outcome:
    """The failure that an error amounts to, where a step has nothing better to say."""
    # The errors say what happened, then what to do about it; a report wants the first part only.
    found = str(error).partition("; ")[0].rstrip(".")
    origin = examination.base.origin
    status = getattr(error, "status", None)
    if isinstance(error, NotAuthenticatedError):
        return failure(Fault.LOGIN_NEEDED, found, f"log in at {origin} in a browser, then run this again")
    if isinstance(error, StatusError) and status == 429:
        return failure(
            Fault.RATE_LIMITED,
            f"{error.path} answered 429: more requests than the gateway allows (10 a second over all programs)",
            "stop every program that uses this gateway and wait 15 minutes: until then each request is refused",
        )
    if isinstance(error, StatusError) and status == 403:
        return failure(
            Fault.FORBIDDEN,
            f"{error.path} answered 403: the gateway refuses this machine's address",
            "add this machine's address to ips/allow in the gateway's conf.yaml and restart the gateway",
        )
    if isinstance(error, StatusError) and status is not None and status >= 500:
        return failure(
            Fault.GATEWAY_ERROR,
            f"{error.path} answered {status}",
            "wait: around the nightly reset that lasts ten minutes; if it stays, restart the gateway",
        )
    if isinstance(error, (StatusError, RedirectError, DecodeError)):
        return failure(
            Fault.NOT_A_GATEWAY, found, f"look at {origin} in a browser: is it a Client Portal gateway, and logged in?"
        )
    if isinstance(error, CertificateError):
        return failure(Fault.TLS, found, "run this again: the certificate changed meanwhile")
    if isinstance(error, ConfigError):
        return failure(Fault.USAGE, str(error), "correct the option")
    return failure(Fault.NO_ANSWER, found, "look whether the gateway is busy or hangs; if it stays, restart it")
