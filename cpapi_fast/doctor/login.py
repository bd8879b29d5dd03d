"""The steps over REST: is it a gateway, is somebody logged in, and whose is the brokerage session?"""

from __future__ import annotations

import time
from typing import Any, Final

from cpapi_fast.errors import (
    DecodeError,
    HeaderRefusedError,
    NotAuthenticatedError,
    RedirectError,
    StatusError,
    TransportError,
)
from cpapi_fast.protocol.shape import ShapeError
from cpapi_fast.rest.session import Accounts, AuthStatus, SessionTicket

from .examination import Examination, Outcome, failure, ok, outcome_of, warning
from .findings import Fault
from .network import speaks_tls, stranger

#: Members of an answer to `/tickle`, one of which tells a gateway from any other server that speaks JSON.
_TICKLE_MEMBERS: Final = frozenset({"session", "iserver", "ssoExpires", "collission", "error"})

#: How often to look whether the brokerage session is open, in seconds of the clock.
_GLANCE_S: Final = 1.0


async def rest(examination: Examination) -> Outcome:
    """Does a gateway answer at all, on this path?"""
    base = examination.base
    try:
        answer = await examination.ask("POST", "/tickle")
    except TransportError as error:
        return await _no_http(examination, error)
    took = f"/tickle answered within {examination.answer_times_s[-1] * 1000:.0f} ms"
    try:
        examination.ticket = answer.decode(lambda body: _ticket(body, answer.raw))
    except NotAuthenticatedError as error:
        # That is an answer of a gateway; the next step tells what it means.
        examination.ticket = error
    except StatusError as error:
        if error.status != 404:
            return outcome_of(error, examination)
        return failure(
            Fault.NOT_A_GATEWAY,
            f"nothing is at {base.path or '/'} (404)",
            f"give --url {base.origin}/v1/api"
            if base.path != "/v1/api"
            else f"look at {base.origin} in a browser: something else than a Client Portal gateway listens there",
        )
    except (RedirectError, DecodeError) as error:
        return outcome_of(error, examination)
    return ok(took, answer_s=round(examination.answer_times_s[-1], 4))


def _ticket(body: Any, raw: bytes) -> SessionTicket:
    if not isinstance(body, dict) or not _TICKLE_MEMBERS & body.keys():
        raise ShapeError("no member of a gateway's answer")
    return SessionTicket.parse(body, raw, time.time_ns())


async def _no_http(examination: Examination, error: TransportError) -> Outcome:
    base = examination.base
    if base.scheme == "http":
        if await speaks_tls(examination):
            url = str(base).replace("http://", "https://", 1)
            return failure(
                Fault.TLS,
                f"{examination.where} speaks TLS, and the URL says http",
                f"give --url {url}",
            )
        greeting = await stranger(examination)
        if greeting and not greeting.startswith(b"HTTP/"):
            return failure(
                Fault.NOT_A_GATEWAY,
                f"{examination.where} does not speak http",
                "correct the port in --url: something else listens there",
            )
    return outcome_of(error, examination)


async def session(examination: Examination) -> Outcome:
    """Is somebody logged in, so that there is a session?"""
    origin = examination.base.origin
    advice = f"log in at {origin} in a browser, then run this again"
    ticket = examination.ticket
    if isinstance(ticket, NotAuthenticatedError):
        return outcome_of(ticket, examination)
    if ticket.session is None:
        return failure(Fault.LOGIN_NEEDED, "/tickle answered without a session: nobody is logged in", advice)
    try:
        examination.cookie = ticket.cookie_header()
    except HeaderRefusedError:
        return failure(Fault.LOGIN_NEEDED, "the session id that /tickle gave cannot stand in a header", advice)
    expires_ms = ticket.sso_expires_ms
    left = "" if expires_ms is None else f", good for another {expires_ms / 60_000:,.0f} minutes"
    return ok(f"there is one{left}", expires_ms=expires_ms)


async def connected(examination: Examination) -> Outcome:
    """Does the gateway reach Interactive Brokers?"""
    examination.auth = status = await _ask_status(examination, "/iserver/auth/status")
    if not status.connected:
        return failure(
            Fault.NOT_CONNECTED,
            "the gateway is logged in to nothing: it does not reach Interactive Brokers",
            f"log in at {examination.base.origin} in a browser; if you just did, wait a minute or for the end of the "
            "nightly reset",
        )
    return ok("the gateway reaches Interactive Brokers")


async def competing(examination: Examination) -> Outcome:
    """Is the brokerage session with another login of the same user?"""
    status = examination.auth
    if status.competing and not status.authenticated:
        if examination.init:
            return warning("another login of this user has the brokerage session, and --init takes it over", "")
        return failure(
            Fault.COMPETING,
            "another login of this user (TWS, a phone, another gateway) has the brokerage session",
            "end that other login; or take the session away from it: run this with --init",
        )
    if status.competing:
        return warning(
            "another login of this user wants the brokerage session, which is here",
            "end that other login, or use a user name of its own for this gateway",
        )
    return ok("no other login has the brokerage session")


async def authenticated(examination: Examination) -> Outcome:
    """Is the brokerage session open? With `init` it is opened."""
    if examination.auth.authenticated:
        return ok("the brokerage session is open")
    if not examination.init:
        return failure(
            Fault.NOT_AUTHENTICATED,
            "somebody is logged in, and the brokerage session is not open",
            "open it: run this with --init, or call Client.init_brokerage_session()",
        )
    started_s = examination.clock.monotonic_s()
    await _ask_status(examination, "/iserver/auth/ssodh/init", {"publish": True, "compete": True})
    while True:
        status = await _ask_status(examination, "/iserver/auth/status")
        if status.authenticated:
            return ok("the brokerage session was opened, as --init asks")
        if examination.clock.monotonic_s() - started_s >= examination.timeout_s:
            return failure(
                Fault.NOT_AUTHENTICATED,
                f"the brokerage session did not open within {examination.timeout_s:g} s of asking for it",
                f"log in at {examination.base.origin} in a browser again",
            )
        await examination.clock.sleep(_GLANCE_S)


async def accounts(examination: Examination) -> Outcome:
    """Can the accounts be listed, as the gateway wants before orders?"""
    answer = await examination.ask("GET", "/iserver/accounts")
    try:
        found = answer.decode(Accounts.parse)
    except (StatusError, DecodeError) as error:
        outcome = outcome_of(error, examination)
        if outcome.fault is not Fault.NOT_A_GATEWAY:
            return outcome
        # By now it is known to be a gateway.
        return failure(
            Fault.GATEWAY_ERROR,
            outcome.found,
            f"log in at {examination.base.origin} in a browser again",
            **outcome.facts,
        )
    count = len(found.ids)
    if count == 0:
        return warning("the list of accounts is empty", "log in with a user that has an account", accounts=0)
    return ok(f"{count} account{'s' if count != 1 else ''}", accounts=count)


async def _ask_status(examination: Examination, path: str, body: dict[str, bool] | None = None) -> AuthStatus:
    return (await examination.ask("POST", path, body)).decode(AuthStatus.parse)
