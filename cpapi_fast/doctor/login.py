"""The steps over REST: the gateway, the login and the brokerage session."""

from __future__ import annotations

import time
from typing import Any, Final

from cpapi_fast.errors import (
    CpapiError,
    DecodeError,
    HeaderRefusedError,
    NoSessionError,
    NotAuthenticatedError,
    StatusError,
    TransportError,
)
from cpapi_fast.meaning import Meaning
from cpapi_fast.rest.responses import RestResponse
from cpapi_fast.rest.session import Accounts, AuthStatus, SessionTicket

from .context import DiagnosisContext, StepResult, advice_of, failure, ok, problem_of, quoted, result_of, warning
from .diagnosis import Problem

#: The interval between two checks whether the brokerage session is open, in seconds of the clock.
_POLL_INTERVAL_S: Final = 1.0


async def rest(context: DiagnosisContext) -> StepResult:
    """Check that a gateway responds on this path."""
    try:
        response = await context.request("POST", "/tickle")
    except TransportError as error:
        if error.meaning is Meaning.WRONG_SCHEME:
            found = f"{context.address} speaks TLS, but the URL says http"
            return failure(Problem.TLS, found, advice_of(error.meaning, context))
        return result_of(error, context)
    try:
        context.ticket = response.decode(lambda body: SessionTicket.of_gateway(body, response.raw, time.time_ns()))
    except NotAuthenticatedError as error:
        # A gateway sent this; the next step reports it.
        context.ticket = error
    if isinstance(context.ticket, SessionTicket):
        context.note_odd("/tickle", context.ticket.odd)
    seconds = context.response_times_s[-1]
    return ok(f"/tickle responded within {seconds * 1000:.0f} ms", response_s=round(seconds, 4))


async def session(context: DiagnosisContext) -> StepResult:
    """Check that a user is logged in, so that a session exists."""
    advice = f"Log in at {context.base.origin} in a browser, then run this command again."
    ticket = context.ticket
    if isinstance(ticket, NotAuthenticatedError):
        return result_of(ticket, context)
    if ticket.session is None:
        found = f"/tickle returned no session: no user is logged in{quoted(ticket.words)}"
        return failure(Problem.LOGIN_NEEDED, found, advice)
    try:
        context.cookie = ticket.cookie_header()
    except HeaderRefusedError:
        return failure(Problem.LOGIN_NEEDED, "the session id from /tickle is not valid in a header", advice)
    expires_ms = ticket.sso_expires_ms
    left = "" if expires_ms is None else f", which expires in {expires_ms / 60_000:,.0f} minutes"
    return ok(f"the gateway has a session{left}", expires_ms=expires_ms)


async def connected(context: DiagnosisContext) -> StepResult:
    """Check that the gateway is connected to Interactive Brokers."""
    context.auth = status = await _request_status(context, "/iserver/auth/status")
    if status.connected is False and _is_held_elsewhere(context):
        # The next step tells why.
        return warning("the gateway reports no connection to Interactive Brokers", "")
    if status.connected is False:
        return failure(
            Problem.NOT_CONNECTED,
            f"the gateway is not connected to Interactive Brokers{quoted(status.words)}",
            f"Log in at {context.base.origin} in a browser. If you just did, wait a minute, or until the end of the "
            "nightly reset.",
            **_facts_of(status),
        )
    if status.connected is None:
        return ok("the gateway does not report whether it is connected to Interactive Brokers")
    return ok("the gateway is connected to Interactive Brokers")


async def competing(context: DiagnosisContext) -> StepResult:
    """Check that no other login of the same user holds the brokerage session."""
    status, ticket = context.auth, context.ticket
    if _is_held_elsewhere(context):
        words = status.words or (ticket.words if isinstance(ticket, SessionTicket) else "")
        found = f"another login of this user holds the brokerage session{quoted(words)}"
        if context.init:
            return warning(f"{found}; --init takes it over", "", **_facts_of(status))
        return failure(Problem.COMPETING, found, advice_of(Meaning.COMPETING, context), **_facts_of(status))
    if status.competing:
        return warning(
            "another login of this user competes for the brokerage session, which this gateway holds",
            "End the other login, or use a separate user name for this gateway.",
        )
    return ok("no other login holds the brokerage session")


def _is_held_elsewhere(context: DiagnosisContext) -> bool:
    """Whether another login holds the brokerage session, by one of the two responses about it."""
    status, ticket = context.auth, context.ticket
    by_ticket = isinstance(ticket, SessionTicket) and ticket.is_held_elsewhere
    return status.is_held_elsewhere or (by_ticket and not status.authenticated)


async def authenticated(context: DiagnosisContext) -> StepResult:
    """Check that the brokerage session is open; with `init`, open it."""
    if context.auth.authenticated:
        return ok(f"the brokerage session is open{quoted(context.auth.words)}", **_facts_of(context.auth))
    if not context.init:
        return failure(
            Problem.NOT_AUTHENTICATED,
            f"a user is logged in, but the brokerage session is not open{quoted(context.auth.words)}",
            advice_of(Meaning.BROKERAGE_CLOSED, context),
            **_facts_of(context.auth),
        )
    started_s = context.clock.monotonic_s()
    opened = await _request_status(context, "/iserver/auth/ssodh/init", {"publish": True, "compete": True})
    while True:
        status = await _request_status(context, "/iserver/auth/status")
        if status.authenticated:
            return ok("--init opened the brokerage session")
        if context.clock.monotonic_s() - started_s >= context.timeout_s:
            said = quoted(status.words or opened.words)
            if status.is_held_elsewhere or opened.is_held_elsewhere:
                return failure(
                    Problem.COMPETING,
                    f"another login of this user still holds the brokerage session{said}",
                    advice_of(Meaning.COMPETING, context),
                    **_facts_of(status),
                )
            return failure(
                Problem.NOT_AUTHENTICATED,
                f"the brokerage session did not open within {context.timeout_s:g} s after the request{said}",
                f"Log in at {context.base.origin} in a browser again.",
                **_facts_of(status),
            )
        await context.clock.sleep(_POLL_INTERVAL_S)


async def accounts(context: DiagnosisContext) -> StepResult:
    """Check that the accounts can be listed, which the gateway requires before orders."""
    needless = "Ignore this warning: market data needs no list of accounts."
    try:
        response = await context.request("GET", "/iserver/accounts")
    except DecodeError as error:
        # Longer than the limit.
        return warning(problem_of(error), needless)
    try:
        response = await _with_bridge(context, response)
        # What a feed checks.
        response.check()
    except (StatusError, DecodeError) as error:
        result = result_of(error, context)
        if result.problem is not Problem.NOT_A_GATEWAY:
            return result
        # Earlier steps have shown that this is a gateway.
        return failure(
            Problem.GATEWAY_ERROR,
            result.found,
            f"Log in at {context.base.origin} in a browser again.",
            **result.facts,
        )
    try:
        found = response.decode(Accounts.parse)
    except DecodeError as error:
        return warning(problem_of(error), needless)
    context.note_odd("/iserver/accounts", found.odd)
    count = len(found.ids)
    if count == 0:
        return warning("the list of accounts is empty", "Log in as a user that has an account.", accounts=0)
    return ok(f"{count} account{'s' if count != 1 else ''}", accounts=count)


async def _with_bridge(context: DiagnosisContext, response: RestResponse) -> RestResponse:
    """The list of accounts, after opening the brokerage session with `init` if it is not open, whatever its state."""
    try:
        response.check()
    except NoSessionError:
        if not context.init:
            raise
    except CpapiError:
        return response
    else:
        return response
    await _request_status(context, "/iserver/auth/ssodh/init", {"publish": True, "compete": True})
    return await context.request("GET", "/iserver/accounts")


async def _request_status(context: DiagnosisContext, path: str, body: dict[str, bool] | None = None) -> AuthStatus:
    status = (await context.request("POST", path, body)).decode(AuthStatus.parse)
    context.note_odd(path, status.odd)
    return status


def _facts_of(status: AuthStatus) -> dict[str, Any]:
    """The gateway's words, and what they mean, for programs."""
    return {"words": status.words, "said": status.said and status.said.value} if status.words else {}
