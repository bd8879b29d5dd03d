"""The steps over the WebSocket: does it open, does the gateway listen, does a quote come, and are the clocks right?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from cpapi_fast.errors import CpapiError, HandshakeError
from cpapi_fast.protocol.availability import Availability
from cpapi_fast.protocol.fields import DEFAULT_FIELDS
from cpapi_fast.protocol.topics import MarketDataFields
from cpapi_fast.redaction import preview
from cpapi_fast.ws.connection import WsClient
from cpapi_fast.ws.options import WsOptions

from .examination import USER_AGENT, Examination, Outcome, failure, ok, outcome_of, warning
from .findings import Fault

#: The default fields without the volume; the symbol (a dash marks an unknown conid), and the availability.
_FIELDS: Final = MarketDataFields((*(code for code in DEFAULT_FIELDS if code != "87"), "55", "6509"))

#: The gateway sends one every ten seconds. Whoever waits less than this has not waited long enough.
HEARTBEATS_DUE_S: Final = 12.0

#: How far the clocks may be apart before it is worth a word, and before times of the data are plainly wrong.
SKEW_WARNING_S: Final = 2.0
SKEW_FAILURE_S: Final = 20.0

#: A gateway that takes this long for an answer is busy or far away.
_SLOW_ANSWER_S: Final = 2.0

#: How long to wait for the answer to a CLOSE frame.
_CLOSE_TIMEOUT_S: Final = 1.0


async def websocket(examination: Examination) -> Outcome:
    """Does the upgrade work?"""
    try:
        examination.ws = ws = await WsClient.open(
            examination.base.ws_url,
            headers=[("Cookie", examination.cookie), ("User-Agent", USER_AGENT)],
            ssl_context=examination.context,
            clock=examination.clock,
            options=WsOptions(
                open_timeout_s=examination.timeout_s, close_timeout_s=min(_CLOSE_TIMEOUT_S, examination.timeout_s)
            ),
        )
    except HandshakeError as error:
        return _refused_upgrade(examination, error)
    except CpapiError as error:
        outcome = outcome_of(error, examination)
        return failure(Fault.WEBSOCKET, outcome.found, outcome.advice)
    examination.stack.push_async_callback(ws.close)
    ws.on_batch(examination.watch.on_batch)
    return ok("the socket is open")


def _refused_upgrade(examination: Examination, error: HandshakeError) -> Outcome:
    found = str(error).partition("; ")[0]
    origin = examination.base.origin
    if error.status == 429:
        return failure(Fault.RATE_LIMITED, found, "stop every program that uses this gateway and wait 15 minutes")
    if error.status == 404:
        return failure(Fault.WEBSOCKET, found, f"give --url {origin}/v1/api")
    if error.status in (401, 403) or (error.status is not None and 300 <= error.status < 400):
        return failure(Fault.WEBSOCKET, found, f"log in at {origin} in a browser again")
    return failure(Fault.WEBSOCKET, found, "wait a minute and run this again; if it stays, restart the gateway")


async def ready(examination: Examination) -> Outcome:
    """Does the gateway say that it listens? Whatever is sent before that is lost."""
    watch = examination.watch
    if await _until(examination, lambda: watch.is_ready):
        return ok("the gateway says that it listens")
    if (ended := _ended(examination)) is not None:
        return ended
    login = f"log in at {examination.base.origin} in a browser again"
    if watch.is_waiting_for_session:
        return failure(
            Fault.NOT_READY, "the gateway waits for a session: it does not take the one that /tickle gave", login
        )
    return failure(
        Fault.NOT_READY,
        f"the socket is open, and no `system` with `success` within {examination.timeout_s:g} s "
        f"({watch.frames} other frames), so subscribes would be lost",
        f"{login}; if it stays, restart the gateway",
    )


async def sts(examination: Examination) -> Outcome:
    """Does the socket say the same of the session as REST?"""
    watch = examination.watch
    has_come = await _until(examination, lambda: "authenticated" in (watch.sts or {}))
    if (ended := _ended(examination)) is not None:
        return ended
    if not has_come:
        outcome = warning("the socket does not tell the state of the session", "nothing, as long as quotes come")
    else:
        said = watch.sts or {}
        if said.get("competing"):
            return failure(
                Fault.COMPETING,
                "the socket says that another login of this user has the brokerage session",
                "end that other login; or take the session away from it: run this with --init",
            )
        if said.get("connected") is False:
            return failure(
                Fault.NOT_CONNECTED,
                "the socket says that the gateway does not reach Interactive Brokers",
                f"log in at {examination.base.origin} in a browser again",
            )
        if said.get("authenticated") is False:
            return failure(
                Fault.NOT_AUTHENTICATED,
                "the socket says that the brokerage session is not open",
                "open it: run this with --init",
            )
        outcome = ok("the socket says connected and authenticated")
    # Here, so that the quote has come by the time that a heartbeat is due.
    subscription = await examination.ws.subscribe_market_data(examination.conid, _FIELDS)
    examination.stack.push_async_callback(subscription.cancel)
    return outcome


async def heartbeat(examination: Examination) -> Outcome:
    """Does the gateway show that the socket lives?"""
    watch = examination.watch
    if await _until(examination, lambda: bool(watch.heartbeats)):
        return ok("one came; they are due every 10 s")
    if (ended := _ended(examination)) is not None:
        return ended
    if examination.timeout_s < HEARTBEATS_DUE_S:
        return warning(
            f"none within {examination.timeout_s:g} s; they are due every 10 s",
            f"wait longer: --timeout {HEARTBEATS_DUE_S + 3:g}",
        )
    return failure(
        Fault.NO_HEARTBEAT,
        f"none within {examination.timeout_s:g} s; they are due every 10 s",
        f"log in at {examination.base.origin} in a browser again; if it stays, restart the gateway",
    )


async def tick(examination: Examination) -> Outcome:
    """Does a quote come, and how old is it by its own account?"""
    watch, conid = examination.watch, examination.conid
    topic = f"smd+{conid}"

    def is_refused() -> bool:
        return any(error.get("topic") == topic for error in watch.errors)

    await _until(examination, lambda: watch.has_price or watch.is_unknown or is_refused() or _is_withheld(examination))
    if watch.has_price:
        return _judge_quote(examination)
    if watch.is_unknown:
        return failure(Fault.NO_DATA, f"the gateway knows no instrument {conid}", "give another one with --conid")
    if is_refused():
        said = next(error for error in watch.errors if error.get("topic") == topic)
        return failure(
            Fault.NO_DATA,
            f"the subscribe was refused: {preview(str(said.get('error')).encode())}",
            "give another instrument with --conid",
        )
    if _is_withheld(examination):
        return _withheld(examination)
    if (ended := _ended(examination)) is not None:
        return ended
    if watch.quote is None:
        return failure(
            Fault.NO_DATA,
            f"no frame of {conid} within {examination.timeout_s:g} s, and no refusal",
            "end other programs with market data of this user: all of its market data lines (100 by default) may be "
            "in use",
        )
    return failure(
        Fault.NO_DATA,
        f"{conid} was answered without a price",
        "give an instrument that trades now with --conid",
        availability=_availability(examination).letters,
    )


def _availability(examination: Examination) -> Availability:
    letters = (examination.watch.quote or {}).get("6509")
    return Availability.parse(letters if isinstance(letters, str) else "")


def _is_withheld(examination: Examination) -> bool:
    return not _availability(examination).has_data


def _withheld(examination: Examination) -> Outcome:
    said = _availability(examination)
    is_agreement = said.letters[:1] in ("O", "i")
    return failure(
        Fault.NO_DATA,
        f"{examination.conid} is {said.meaning} (6509 is {said.letters})",
        "sign the market data API acknowledgement in Client Portal, under Settings"
        if is_agreement
        else "subscribe to the data in Client Portal, under Settings, or give another instrument with --conid",
        availability=said.letters,
    )


def _judge_quote(examination: Examination) -> Outcome:
    watch, conid = examination.watch, examination.conid
    said = _availability(examination)
    quote = watch.quote or {}
    if not said.letters:
        return warning(
            f"a quote of {conid} came, and does not say whether it is live (no 6509)",
            "nothing, as long as you know what you subscribed to",
            availability=None,
        )
    found = f"a quote of {conid} came, {said.meaning} (6509 is {said.letters})"
    if not said.has_data:
        return _withheld(examination)
    if not said.is_live:
        return warning(
            found,
            "for live quotes, subscribe to them in Client Portal, under Settings"
            if said.word == "delayed"
            else "run this again while the instrument trades",
            availability=said.letters,
        )
    last = quote.get("31")
    is_halted = isinstance(last, str) and last.startswith("H")
    if is_halted:
        return warning(f"{found}, and trading is halted", "give another instrument with --conid", availability="H")
    return ok(found, availability=said.letters)


async def clock(examination: Examination) -> Outcome:
    """Is this machine's clock the gateway's?"""
    by_heartbeats = min(examination.watch.heartbeats, key=abs, default=None)
    by_date = min(examination.date_leads_s, key=abs, default=None)
    lead_s = by_heartbeats if by_heartbeats is not None else by_date
    facts = {
        "heartbeat_lead_s": None if by_heartbeats is None else round(by_heartbeats, 3),
        "date_lead_s": None if by_date is None else round(by_date, 1),
    }
    if lead_s is None:
        return warning("neither a heartbeat nor a Date told the gateway's time", "nothing", **facts)
    how = "by its heartbeats" if by_heartbeats is not None else "by the Date of its answers"
    found = (
        f"this machine's clock is {abs(lead_s):,.1f} s {'ahead of' if lead_s > 0 else 'behind'} the gateway's, {how}"
    )
    advice = "set this machine's clock by NTP (timedatectl set-ntp true)"
    if abs(lead_s) >= SKEW_FAILURE_S:
        return failure(Fault.CLOCK, found, advice, **facts)
    if abs(lead_s) >= SKEW_WARNING_S:
        return warning(found, advice, **facts)
    return ok(f"within {max(abs(lead_s), 0.1):.1f} s of the gateway's, {how}", **facts)


async def pace(examination: Examination) -> Outcome:
    """How fast are the answers, and how many were asked for?"""
    times_s = examination.answer_times_s
    slowest_s = max(times_s)
    facts = {"requests": len(times_s), "slowest_answer_s": round(slowest_s, 4)}
    found = f"{len(times_s)} requests, the slowest answered within {slowest_s * 1000:,.0f} ms"
    if slowest_s >= _SLOW_ANSWER_S:
        return warning(found, "look whether the gateway's machine is busy or far away", **facts)
    return ok(f"{found}; 10 a second are allowed", **facts)


async def _until(examination: Examination, condition: Callable[[], bool]) -> bool:
    ended = asyncio.ensure_future(_end_of(examination.ws))
    try:
        return await examination.watch.until(condition, ended, examination.timeout_s)
    finally:
        ended.cancel()


async def _end_of(ws: WsClient) -> None:
    try:
        await ws.wait_closed()
    except CpapiError:
        return


def _ended(examination: Examination) -> Outcome | None:
    """The failure that a socket which ended meanwhile amounts to; None while it is open."""
    ws = examination.ws
    if ws.is_open:
        return None
    advice = f"log in at {examination.base.origin} in a browser again; then look for another program with this login"
    if ws.close_code is not None:
        said = f" ({preview(ws.close_reason.encode())})" if ws.close_reason else ""
        return failure(Fault.WEBSOCKET, f"the gateway closed the socket with code {ws.close_code}{said}", advice)
    return failure(Fault.WEBSOCKET, "the socket ended without a word of the gateway", advice)
