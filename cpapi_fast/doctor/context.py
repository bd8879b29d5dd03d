"""DiagnosisContext: the options and earlier results that the steps of one diagnosis share; results of steps."""

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

from .diagnosis import Outcome, Problem
from .observer import SocketObserver

USER_AGENT: Final = f"cpapi_fast/{__version__}"


class StepResult(NamedTuple):
    """The result of a step: a `Finding` without the step and its duration."""

    outcome: Outcome
    found: str
    advice: str = ""
    problem: Problem | None = None
    facts: Mapping[str, Any] = {}


def ok(found: str, **facts: Any) -> StepResult:
    """The result of a step that passed."""
    return StepResult(Outcome.OK, found, facts=facts)


def warning(found: str, advice: str, **facts: Any) -> StepResult:
    """The result of a step that passed with a reservation."""
    return StepResult(Outcome.WARNING, found, advice, facts=facts)


def failure(problem: Problem, found: str, advice: str, **facts: Any) -> StepResult:
    """The result of a step that failed."""
    return StepResult(Outcome.FAILURE, found, advice, problem, facts)


class DiagnosisContext:
    """The state of one diagnosis.

    Args:
        base: the gateway's base URL.
        tls: which certificate to trust.
        conid: the target of the instrument whose quotes are requested, such as `265598@NYSE`.
        timeout_s: how long one step waits at most, in seconds of the clock.
        init: whether to open the brokerage session when it is not open, taking it from another login if necessary.
        clock: the clock of all timers, which is also compared with the gateway's clock.

    Attributes:
        ssl_context: the context of the TLS policy; None before the step `tls`, and for http.
        ticket: the response to `/tickle`, or the error in its place; set by the step `rest`.
        cookie: the value of the socket's `Cookie` header; set by the step `session`.
        auth: the state of the brokerage session; set by the step `connected`.
        ws: the socket; set by the step `websocket`.
        stack: closes at the end what the steps opened.
        observer: what the socket has received.
        response_times_s: how long each response took, in seconds of the clock.
        date_leads_s: by how many seconds this clock is ahead of each response's `Date` header.
    """

    ticket: SessionTicket | NotAuthenticatedError
    cookie: str
    auth: AuthStatus
    ws: WsClient

    def __init__(self, base: BaseUrl, *, tls: Tls, conid: str, timeout_s: float, init: bool, clock: Clock) -> None:
        self.base: Final = base
        self.tls: Final = tls
        self.conid: Final = conid
        self.timeout_s: Final = timeout_s
        self.init: Final = init
        self.clock: Final = clock
        self.ssl_context: ssl.SSLContext | None = None
        self.stack: Final = AsyncExitStack()
        self.observer: Final = SocketObserver(clock, f"smd+{conid}")
        self.response_times_s: Final[list[float]] = []
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
    def address(self) -> str:
        """Host and port, for messages."""
        host = f"[{self.base.host}]" if ":" in self.base.host else self.base.host
        return f"{host}:{self.base.port}"

    async def request(self, method: str, path: str, body: dict[str, bool] | None = None) -> RestResponse:
        """Send one request and record its duration and `Date`. Raises what `RestTransport.request` raises."""
        started_s = self.clock.monotonic_s()
        response = await self._rest.request(method, path, body)
        now_ns = self.clock.time_ns()
        self.response_times_s.append(self.clock.monotonic_s() - started_s)
        date_s = _date_s(response.date)
        if date_s is not None:
            # The header has whole seconds; half a second later is right on average.
            self.date_leads_s.append(now_ns / 1e9 - date_s - 0.5)
        return response

    async def _ssl_context(self) -> ssl.SSLContext | None:
        return self.ssl_context


def _date_s(text: str) -> float | None:
    """The header `Date` in seconds since the Unix epoch; None when it is invalid."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


def first_sentence(error: CpapiError) -> str:
    """Return the problem in an error's text, without the advice that follows it."""
    return str(error).partition(". ")[0].rstrip(".")


def result_of(error: CpapiError, context: DiagnosisContext) -> StepResult:
    """Return the failure for an error, for steps that have nothing more specific to report."""
    found = first_sentence(error)
    origin = context.base.origin
    status = getattr(error, "status", None)
    if isinstance(error, NotAuthenticatedError):
        return failure(Problem.LOGIN_NEEDED, found, f"Log in at {origin} in a browser, then run this command again.")
    if isinstance(error, StatusError) and status == 429:
        return failure(
            Problem.RATE_LIMITED,
            f"{error.path} returned status 429: all programs together exceed 10 requests per second",
            "Stop every program that uses this gateway and wait 15 minutes. Until then it refuses every request.",
        )
    if isinstance(error, StatusError) and status == 403:
        return failure(
            Problem.FORBIDDEN,
            f"{error.path} returned status 403: the gateway refuses this machine's address",
            "Add this machine's address to ips/allow in the gateway's conf.yaml, then restart the gateway.",
        )
    if isinstance(error, StatusError) and status is not None and status >= 500:
        return failure(
            Problem.GATEWAY_ERROR,
            f"{error.path} returned status {status}",
            "Wait: around the nightly reset this lasts ten minutes. If it lasts longer, restart the gateway.",
        )
    if isinstance(error, (StatusError, RedirectError, DecodeError)):
        return failure(
            Problem.NOT_A_GATEWAY,
            found,
            f"Open {origin} in a browser and check that it is a Client Portal gateway and that you are logged in.",
        )
    if isinstance(error, CertificateError):
        return failure(Problem.TLS, found, "Run this command again: the certificate changed during the diagnosis.")
    if isinstance(error, ConfigError):
        return failure(Problem.USAGE, str(error), "Correct the option.")
    return failure(
        Problem.NO_RESPONSE, found, "Check whether the gateway is busy or hangs. If it does not recover, restart it."
    )
