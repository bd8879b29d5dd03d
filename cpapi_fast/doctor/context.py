"""DiagnosisContext: the options and earlier results that the steps of one diagnosis share; results of steps."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

import orjson

from cpapi_fast._version import __version__
from cpapi_fast.clock import Clock
from cpapi_fast.errors import (
    CertificateError,
    ConfigError,
    CpapiError,
    NotAuthenticatedError,
    RateLimitedError,
    SessionError,
    TransportError,
)
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.response_table import Place, Wording, advice_for
from cpapi_fast.rest.pacing import RestPacer
from cpapi_fast.rest.responses import Contact, RestResponse
from cpapi_fast.rest.session import AuthStatus, SessionTicket
from cpapi_fast.rest.tls import Tls
from cpapi_fast.rest.transport import RestTransport
from cpapi_fast.rest.urls import BaseUrl
from cpapi_fast.ws.connection import WsClient

from .diagnosis import Outcome, Problem
from .observer import SocketObserver

USER_AGENT: Final = f"cpapi_fast/{__version__}"

#: The wording of the advice of a diagnosis.
DOCTOR_WORDING: Final = Wording(
    open_session="Open it: run this command with --init, or call Client.init_brokerage_session().",
    take_over=", or take the session over by running this command with --init",
    base_url="--url",
    accounts_first="Run this command again: it requests the accounts.",
    too_long="Check {base_url}: a Client Portal gateway sends shorter responses.",
)

#: The same with `--init`, which is then advised no more.
DOCTOR_INIT_WORDING: Final = replace(
    DOCTOR_WORDING, open_session="--init has not opened it: log in at {origin} in a browser again.", take_over=""
)


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
        odd_members: members of responses that had an unexpected type and that nobody needs, by path and name.
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
        self.odd_members: Final[Counter[str]] = Counter()
        self._rest: Final = RestTransport(
            base,
            tls,
            ssl_context=self._ssl_context,
            user_agent=USER_AGENT,
            connect_timeout_s=timeout_s,
            total_timeout_s=timeout_s,
            clock=clock,
            pacer=RestPacer(clock),
            asks_tws=True,
        )
        self.stack.push_async_callback(self._rest.close)

    @property
    def real_timeout_s(self) -> float:
        """`timeout_s` in real seconds."""
        return self.clock.real_limit_s(self.timeout_s)

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return self.base.address

    @property
    def contact(self) -> Contact:
        """Whether a gateway has answered."""
        return self._rest.contact

    async def request(self, method: str, path: str, body: dict[str, bool] | None = None) -> RestResponse:
        """Send one request and record its duration and `Date`. Raises what `RestTransport.request` raises."""
        started_s = self.clock.monotonic_s()
        encoded = None if body is None else orjson.dumps(body)
        response = await self._rest.request(method, path, encoded)
        now_ns = self.clock.time_ns()
        self.response_times_s.append(self.clock.monotonic_s() - started_s)
        date_s = _date_s(response.headers.get("date", ""))
        if date_s is not None:
            # The header has whole seconds; half a second later is right on average.
            self.date_leads_s.append(now_ns / 1e9 - date_s - 0.5)
        return response

    def note_odd(self, path: str, names: Iterable[str]) -> None:
        """Count members of an unexpected type."""
        self.odd_members.update(f"{path} {name}" for name in names)

    async def _ssl_context(self) -> ssl.SSLContext | None:
        return self.ssl_context


def _date_s(text: str) -> float | None:
    """The header `Date` in seconds since the Unix epoch; None when it is invalid."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return None


#: The class of failure of each meaning of a response.
PROBLEMS: Final[Mapping[Meaning, Problem]] = {
    Meaning.LOGIN_REQUIRED: Problem.LOGIN_NEEDED,
    Meaning.BROKERAGE_CLOSED: Problem.NOT_AUTHENTICATED,
    Meaning.COMPETING: Problem.COMPETING,
    Meaning.ACCOUNTS_FIRST: Problem.GATEWAY_ERROR,
    Meaning.ADDRESS_REFUSED: Problem.FORBIDDEN,
    Meaning.FORBIDDEN: Problem.FORBIDDEN,
    Meaning.UPGRADE_REFUSED: Problem.WEBSOCKET,
    Meaning.UPGRADE_UNANSWERED: Problem.WEBSOCKET,
    Meaning.RATE_LIMITED: Problem.RATE_LIMITED,
    Meaning.SERVER_ERROR: Problem.GATEWAY_ERROR,
    Meaning.PROXY_ERROR: Problem.GATEWAY_ERROR,
    Meaning.TIMED_OUT: Problem.GATEWAY_ERROR,
    Meaning.GONE: Problem.GATEWAY_ERROR,
    Meaning.BAD_REQUEST: Problem.GATEWAY_ERROR,
    Meaning.REFUSED: Problem.GATEWAY_ERROR,
    Meaning.NOT_FOUND: Problem.NOT_A_GATEWAY,
    Meaning.REDIRECT: Problem.NOT_A_GATEWAY,
    Meaning.NOT_A_GATEWAY: Problem.NOT_A_GATEWAY,
    Meaning.AIRPLAY: Problem.NOT_A_GATEWAY,
    Meaning.TWS_API: Problem.NOT_A_GATEWAY,
    Meaning.CAPTIVE_PORTAL: Problem.NOT_A_GATEWAY,
    Meaning.HANGS_UP: Problem.NOT_A_GATEWAY,
    Meaning.WRONG_SCHEME: Problem.TLS,
    Meaning.NO_ANSWER: Problem.NO_RESPONSE,
    Meaning.TOO_LONG: Problem.NOT_A_GATEWAY,
    Meaning.UNEXPECTED_BODY: Problem.NOT_A_GATEWAY,
}


def advice_of(meaning: Meaning, context: DiagnosisContext) -> str:
    """Return what to do about a response, in the words of the doctor."""
    if meaning is Meaning.WRONG_SCHEME:
        # As it can be pasted.
        scheme, _, rest = str(context.base).partition("://")
        return f"Pass --url {'http' if scheme == 'https' else 'https'}://{rest}"
    place = Place(context.base.origin, context.base.path, is_known=context.contact.has_gateway)
    return advice_for(meaning, place, DOCTOR_INIT_WORDING if context.init else DOCTOR_WORDING)


def quoted(words: str) -> str:
    """Return the gateway's words as the end of a sentence; empty without words."""
    return f'; the gateway says: "{words}"' if words else ""


def problem_of(error: CpapiError) -> str:
    """Return the problem in an error's text, without the advice that follows it."""
    advice = getattr(error, "advice", "")
    return str(error).removesuffix(advice).rstrip(" .") if advice else str(error).partition(". ")[0].rstrip(".")


def result_of(error: CpapiError, context: DiagnosisContext) -> StepResult:
    """Return the failure for an error, for steps that have nothing more specific to report."""
    found = problem_of(error)
    if isinstance(error, (SessionError, TransportError)) and error.meaning is not None:
        meaning = error.meaning
        if isinstance(error, RateLimitedError):
            found = f"{error.path} returned status 429: all programs together exceed 10 requests per second"
        return failure(PROBLEMS[meaning], found, advice_of(meaning, context), meaning=meaning.value)
    if isinstance(error, CertificateError):
        return failure(Problem.TLS, found, "Run this command again: the certificate changed during the diagnosis.")
    if isinstance(error, ConfigError):
        return failure(Problem.USAGE, str(error), "Correct the option.")
    return failure(
        Problem.NO_RESPONSE, found, "Check whether the gateway is busy or hangs. If it does not recover, restart it."
    )
