"""The steps over the WebSocket: readiness, session state, heartbeats, a quote, and the clocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from cpapi_fast.errors import CpapiError
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.availability import Availability
from cpapi_fast.protocol.fields import DEFAULT_FIELDS
from cpapi_fast.protocol.members import Members, Words
from cpapi_fast.protocol.topics import MarketDataFields
from cpapi_fast.redaction import preview
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.options import WsOptions

from .context import (
    USER_AGENT,
    DiagnosisContext,
    StepResult,
    advice_of,
    failure,
    ok,
    quoted,
    result_of,
    warning,
)
from .diagnosis import Problem

#: The default fields without the volume; the symbol (a dash marks an unknown conid), and the availability.
_FIELDS: Final = MarketDataFields((*(code for code in DEFAULT_FIELDS if code != "87"), "55", "6509"))

#: The gateway sends a heartbeat every 10 seconds. A missing one is a failure only after this time.
HEARTBEATS_DUE_S: Final = 12.0

#: From these differences between the clocks on, the step reports a warning or a failure.
SKEW_WARNING_S: Final = 2.0
SKEW_FAILURE_S: Final = 20.0

#: A response that takes this long is reported as a warning.
_SLOW_RESPONSE_S: Final = 2.0

_SAME_AT_UPGRADE: Final = frozenset({Problem.RATE_LIMITED, Problem.FORBIDDEN})

#: How long to wait for the peer's CLOSE frame.
_CLOSE_TIMEOUT_S: Final = 1.0


async def websocket(context: DiagnosisContext) -> StepResult:
    """Check that the upgrade to a WebSocket succeeds."""
    try:
        context.ws = ws = await WsClient.open(
            context.base.ws_url,
            headers=[("Cookie", context.cookie), ("User-Agent", USER_AGENT)],
            ssl_context=context.ssl_context,
            clock=context.clock,
            options=WsOptions(
                open_timeout_s=context.timeout_s, close_timeout_s=min(_CLOSE_TIMEOUT_S, context.timeout_s)
            ),
        )
    except CpapiError as error:
        result = result_of(error, context)
        # The exit code tells the step. These two classes are the same at each step.
        problem = result.problem if result.problem in _SAME_AT_UPGRADE else Problem.WEBSOCKET
        return result._replace(problem=problem)
    context.stack.push_async_callback(ws.close)
    ws.on_batch(context.observer.on_batch)
    return ok("the socket is open")


async def ready(context: DiagnosisContext) -> StepResult:
    """Check that the gateway sends `system` with `success`; it loses what is sent before that."""
    observer = context.observer
    if await _until(context, lambda: observer.is_ready):
        return ok("the gateway accepts subscriptions")
    if (ended := _ended(context)) is not None:
        return ended
    login = f"Log in at {context.base.origin} in a browser again."
    if observer.is_waiting_for_session:
        return failure(
            Problem.NOT_READY,
            "the gateway waits for a session: it does not accept the one that /tickle returned",
            login,
        )
    return failure(
        Problem.NOT_READY,
        f"the socket is open, but no `system` with `success` came within {context.timeout_s:g} s "
        f"({observer.frames} other frames), so the gateway would lose subscribes",
        f"{login} If that does not help, restart the gateway.",
    )


async def sts(context: DiagnosisContext) -> StepResult:
    """Check that the socket reports the same session state as REST."""
    observer = context.observer
    is_reported = await _until(context, lambda: "authenticated" in (observer.sts or {}))
    if (ended := _ended(context)) is not None:
        return ended
    if not is_reported:
        result = warning(
            "the socket does not report the session state", "Ignore this warning as long as quotes arrive."
        )
    else:
        reported = Members(observer.sts, [])
        words = Words(reported.words())
        said = quoted(words.shown)
        is_closed = reported.flag("authenticated") is False
        if reported.flag("competing") or (is_closed and words.meaning is Meaning.COMPETING):
            return failure(
                Problem.COMPETING,
                f"the socket reports that another login of this user holds the brokerage session{said}",
                advice_of(Meaning.COMPETING, context),
            )
        if reported.flag("connected") is False:
            return failure(
                Problem.NOT_CONNECTED,
                f"the socket reports that the gateway is not connected to Interactive Brokers{said}",
                f"Log in at {context.base.origin} in a browser again.",
            )
        if is_closed:
            return failure(
                Problem.NOT_AUTHENTICATED,
                f"the socket reports that the brokerage session is not open{said}",
                advice_of(Meaning.BROKERAGE_CLOSED, context),
            )
        result = ok("the socket reports connected and authenticated")
    # Sent in this step, so that the quote arrives while the next step waits for a heartbeat.
    subscription = await context.ws.subscribe_market_data(context.conid, _FIELDS)
    context.stack.push_async_callback(subscription.cancel)
    return result


async def heartbeat(context: DiagnosisContext) -> StepResult:
    """Check that a heartbeat arrives."""
    observer = context.observer
    if await _until(context, lambda: bool(observer.heartbeat_leads_s)):
        return ok("a heartbeat arrived; one is due every 10 s")
    if (ended := _ended(context)) is not None:
        return ended
    found = f"no heartbeat within {context.timeout_s:g} s; one is due every 10 s"
    if context.timeout_s < HEARTBEATS_DUE_S:
        return warning(found, f"Wait longer: pass --timeout {HEARTBEATS_DUE_S + 3:g}")
    return failure(
        Problem.NO_HEARTBEAT,
        found,
        f"Log in at {context.base.origin} in a browser again. If that does not help, restart the gateway.",
    )


async def tick(context: DiagnosisContext) -> StepResult:
    """Check that a quote arrives and that it is live by its availability field (6509)."""
    observer, conid = context.observer, context.conid
    topic = f"smd+{conid}"

    def is_refused() -> bool:
        return any(error.get("topic") == topic for error in observer.errors)

    await _until(context, lambda: observer.has_price or observer.is_unknown or is_refused() or _is_withheld(context))
    if observer.has_price:
        return _quote_result(context)
    if observer.is_unknown:
        return failure(Problem.NO_DATA, f"the gateway has no instrument {conid}", "Pass another --conid.")
    if is_refused():
        refusal = next(error for error in observer.errors if error.get("topic") == topic)
        return failure(
            Problem.NO_DATA,
            f"the gateway refused the subscription: {preview(str(refusal.get('error')))}",
            "Pass another --conid.",
        )
    if _is_withheld(context):
        return _withheld(context)
    if (ended := _ended(context)) is not None:
        return ended
    if observer.quote is None:
        return failure(
            Problem.NO_DATA,
            f"no frame of {conid} within {context.timeout_s:g} s, and no refusal",
            "End other programs that use market data of this user: all of its market data lines (100 by default) may "
            "be in use.",
        )
    return failure(
        Problem.NO_DATA,
        f"the frames of {conid} have no price",
        "Pass the --conid of an instrument that trades now.",
        availability=_availability(context).letters,
    )


def _availability(context: DiagnosisContext) -> Availability:
    letters = (context.observer.quote or {}).get("6509")
    return Availability.parse(letters if isinstance(letters, str) else "")


def _is_withheld(context: DiagnosisContext) -> bool:
    return not _availability(context).has_data


def _withheld(context: DiagnosisContext) -> StepResult:
    availability = _availability(context)
    is_agreement = availability.letters[:1] in ("O", "i")
    return failure(
        Problem.NO_DATA,
        f"{context.conid} is {availability.meaning} (6509 is {availability.letters})",
        "Sign the market data API acknowledgement in Client Portal, under Settings."
        if is_agreement
        else "Subscribe to the data in Client Portal, under Settings, or pass another --conid.",
        availability=availability.letters,
    )


def _quote_result(context: DiagnosisContext) -> StepResult:
    conid = context.conid
    availability = _availability(context)
    quote = context.observer.quote or {}
    if not availability.letters:
        return warning(
            f"a quote of {conid} arrived without its availability (field 6509), so it may be delayed",
            "Check your market data subscriptions in Client Portal, under Settings.",
            availability=None,
        )
    found = f"a quote of {conid} arrived, {availability.meaning} (6509 is {availability.letters})"
    if not availability.has_data:
        return _withheld(context)
    if not availability.is_live:
        return warning(
            found,
            "Subscribe to live quotes in Client Portal, under Settings."
            if availability.word == "delayed"
            else "Run this command again while the instrument trades.",
            availability=availability.letters,
        )
    last = quote.get("31")
    is_halted = isinstance(last, str) and last.startswith("H")
    if is_halted:
        return warning(f"{found}, and trading is halted", "Pass another --conid.", availability="H")
    return ok(found, availability=availability.letters)


async def clock(context: DiagnosisContext) -> StepResult:
    """Compare this machine's clock with the gateway's."""
    by_heartbeats = min(context.observer.heartbeat_leads_s, key=abs, default=None)
    by_date = min(context.date_leads_s, key=abs, default=None)
    lead_s = by_heartbeats if by_heartbeats is not None else by_date
    facts = {
        "heartbeat_lead_s": None if by_heartbeats is None else round(by_heartbeats, 3),
        "date_lead_s": None if by_date is None else round(by_date, 1),
    }
    if lead_s is None:
        return warning("no heartbeat and no Date header gave the gateway's time", "", **facts)
    source = "by its heartbeats" if by_heartbeats is not None else "by the Date header of its responses"
    found = (
        f"this machine's clock is {abs(lead_s):,.1f} s {'ahead of' if lead_s > 0 else 'behind'} the gateway's, {source}"
    )
    advice = "Set this machine's clock by NTP (timedatectl set-ntp true)."
    if abs(lead_s) >= SKEW_FAILURE_S:
        return failure(Problem.CLOCK, found, advice, **facts)
    if abs(lead_s) >= SKEW_WARNING_S:
        return warning(found, advice, **facts)
    return ok(f"within {max(abs(lead_s), 0.1):.1f} s of the gateway's, {source}", **facts)


async def pace(context: DiagnosisContext) -> StepResult:
    """Report the number of requests and the slowest response."""
    times_s = context.response_times_s
    slowest_s = max(times_s)
    odd = dict(context.odd_members)
    facts = {"requests": len(times_s), "slowest_response_s": round(slowest_s, 4), "odd_members": odd}
    found = f"{len(times_s)} requests, slowest response {slowest_s * 1000:,.0f} ms"
    if odd:
        found += f", members of unexpected types: {', '.join(odd)}"
    if slowest_s >= _SLOW_RESPONSE_S:
        return warning(found, "Check whether the gateway's machine is busy or far away.", **facts)
    return ok(f"{found}; the limit is 10 requests per second", **facts)


async def _until(context: DiagnosisContext, condition: Callable[[], bool]) -> bool:
    ended = asyncio.ensure_future(_end_of(context.ws))
    try:
        return await context.observer.until(condition, ended, context.timeout_s)
    finally:
        ended.cancel()


async def _end_of(ws: WsClient) -> None:
    try:
        await ws.wait_closed()
    except CpapiError:
        return


def _ended(context: DiagnosisContext) -> StepResult | None:
    """The failure for a socket that has ended; None while it is open."""
    ws = context.ws
    if ws.is_open:
        return None
    advice = f"Log in at {context.base.origin} in a browser again. Then look for another program with this login."
    if ws.close_code is not None:
        reason = f" ({preview(ws.close_reason)})" if ws.close_reason else ""
        return failure(Problem.WEBSOCKET, f"the gateway closed the socket with code {ws.close_code}{reason}", advice)
    return failure(Problem.WEBSOCKET, "the connection was lost without a CLOSE frame", advice)
