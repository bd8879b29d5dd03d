"""What a run needs before it opens files: options of its feed, a TLS policy that can work, and its contracts"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cpapi_fast.errors import (
    CompetingSessionError,
    CpapiError,
    DecodeError,
    LimitError,
    NoSessionError,
    NotAuthenticatedError,
    RequestTimeoutError,
    TransportError,
)
from cpapi_fast.events import FeedState
from cpapi_fast.feed.trouble import no_data_error
from cpapi_fast.limited_reporter import LimitedReporter
from cpapi_fast.meaning import Meaning
from cpapi_fast.outputs.tables.order_rows import MOST_KEPT
from cpapi_fast.protocol.contracts.symbols import ResolvedSymbol, SymbolQuery

from .options import CollectOptions
from .symbols import resolve_symbols

if TYPE_CHECKING:
    from cpapi_fast.feed import Feed
    from cpapi_fast.feed.options import FeedOptions
    from cpapi_fast.rest.client import Client

    from .notices import Notices

#: The pause between two tries while the gateway cannot answer, in seconds of the clock.
_RETRY_S: Final = 15.0
#: What is left of a time that is almost over, in seconds.
_LEAST_S: Final = 0.001


@dataclass(frozen=True)
class Preparation:
    """The result of `prepare`.

    Attributes:
        options: the options of the run, with the conids of all symbols, and with what is left of its duration.
        symbols: the contracts of the symbols, each once.
        waited_s: how long the symbols took, in seconds of the clock.
        resolved_ns: when they were resolved, in ns since the Unix epoch.
    """

    options: CollectOptions
    symbols: tuple[ResolvedSymbol, ...] = ()
    waited_s: float = 0.0
    resolved_ns: int = 0


async def prepare(
    client: Client, options: CollectOptions, report: Callable[[str], None], stop: asyncio.Event | None
) -> Preparation:
    """Check the TLS policy, and resolve the symbols of a run.

    Args:
        client: the client of the gateway.
        options: the options of the run.
        report: called with a line of text about what it waits for.
        stop: ends the waiting.

    Raises:
        LimitError: there are more instruments than market data lines.
        CpapiError: like `resolve_when_possible`; or the TLS policy can never work.
    """
    await _check_certificate(client, stop)
    if not options.symbols:
        return Preparation(options)
    check_lines(options)
    began_s = client.clock.monotonic_s()
    symbols = await resolve_when_possible(client, options, report, stop)
    resolved_ns, waited_s = time.time_ns(), client.clock.monotonic_s() - began_s
    # Several symbols may name one contract, which has one row then.
    by_conid: dict[int, ResolvedSymbol] = {}
    for one in symbols:
        by_conid.setdefault(one.conid, one)
    symbols = tuple(by_conid.values())
    conids = (*options.conids, *by_conid)
    duration_s = None if options.duration_s is None else max(options.duration_s - waited_s, _LEAST_S)
    return Preparation(replace(options, conids=conids, duration_s=duration_s), symbols, waited_s, resolved_ns)


def run_feed_options(options: CollectOptions, *, logs: bool) -> FeedOptions:
    """Return the options of the feed of a run.

    Args:
        options: the options of the run.
        logs: whether the feed writes to the log; otherwise the notices tell what it would write.
    """
    return replace(
        options.feed,
        overload="block",
        last_values=False,
        # Only then the feed requests the list of all orders. It knows at least the orders that the table does.
        kept_state=options.orders,
        max_orders=max(options.feed.max_orders, MOST_KEPT),
        give_up_after_s=options.give_up_after_s or options.feed.give_up_after_s,
        log_trouble=logs,
    )


async def require_data(feed: Feed, limit_s: float, waited_s: float, notices: Notices) -> None:
    """Raise an error if the feed has no data `limit_s` after the start of the run; otherwise run until cancelled.

    The feed itself measures this time from its own start, which is after the symbols were resolved.

    Args:
        feed: the feed, started.
        limit_s: the time, in seconds of the clock.
        waited_s: how much of it is over.
        notices: have the cause.
    """
    try:
        await feed.wait_for(FeedState.STREAMING, timeout_s=max(limit_s - waited_s, _LEAST_S))
    except RequestTimeoutError:
        pass
    else:
        await asyncio.Future()
    raise no_data_error(f"no data for {limit_s:g} s", notices.last_trouble or notices.last_change)


async def _check_certificate(client: Client, stop: asyncio.Event | None) -> None:
    """Raise the error of a TLS policy that can never work, before files are created."""
    checking = asyncio.create_task(client.ssl_context())
    stopping = asyncio.create_task((stop or asyncio.Event()).wait())
    try:
        await asyncio.wait((checking, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        checking.cancel()
        stopping.cancel()
        outcome, _ = await asyncio.gather(checking, stopping, return_exceptions=True)
    if isinstance(outcome, CpapiError) and not outcome.is_retryable:
        raise outcome


def check_lines(options: CollectOptions) -> None:
    """Check that there are not too many instruments, before each of them is requested.

    Two symbols may name one contract, so only those are counted that certainly do not.

    Raises:
        LimitError: there are more instruments than market data lines.
    """
    queries = map(SymbolQuery.parse, options.symbols)
    different = {(one.root, one.month, one.year[-1:]) if one.root else one.symbol for one in queries}
    count, most = max(len(different), len(options.conids)), options.feed.market_data_lines
    if count > most:
        raise LimitError(
            "market data lines",
            most=most,
            in_use=most,
            advice=f"Collect at most {most} instead of {count} instruments, or raise market_data_lines if the account "
            "has more.",
        )


async def resolve_when_possible(
    client: Client, options: CollectOptions, report: Callable[[str], None], stop: asyncio.Event | None
) -> tuple[ResolvedSymbol, ...]:
    """Resolve the symbols of a run, as soon as the gateway can answer.

    Without a login, or while the gateway is not reachable, it tries again, as a feed does.

    Args:
        client: the client of the gateway.
        options: the options of the run.
        report: called with a line of text about what it waits for.
        stop: ends the waiting.

    Raises:
        CpapiError: the gateway refuses the request; or `stop` was set, the duration is over, or there was no answer for
            `give_up_after_s`.
    """
    clock, notices = client.clock, LimitedReporter(report, client.clock)
    limits = (options.duration_s, options.give_up_after_s or options.feed.give_up_after_s)
    limit_s = min((limit for limit in limits if limit is not None), default=None)
    ends: dict[asyncio.Task[object], str] = {asyncio.create_task((stop or asyncio.Event()).wait()): "stopped"}
    if limit_s is not None:
        ends[asyncio.create_task(clock.sleep(limit_s))] = "the time was over"
    error: CpapiError | None = None
    try:
        while True:
            trying = asyncio.create_task(_resolved(client, options))
            if await _first(trying, ends):
                try:
                    return trying.result()
                except CpapiError as exc:
                    if not _may_pass(exc):
                        raise
                    error = exc
                # A little later than the end of a penalty, because a timer may fire a little early.
                retry_s = getattr(error, "retry_after_s", _RETRY_S - 1.0) + 1.0
                notices(f"the symbols are not resolved yet, next try in {retry_s:.0f} s: {error}")
                if await _first(asyncio.create_task(clock.sleep(retry_s)), ends):
                    continue
            raise _ended(next(why for task, why in ends.items() if task.done()), error)
    finally:
        notices.close()
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


def _may_pass(error: CpapiError) -> bool:
    """Whether another try may succeed without another command: as in a feed, also after a login or an odd body."""
    is_odd_body = isinstance(error, DecodeError) and error.meaning is Meaning.UNEXPECTED_BODY
    return error.is_retryable or is_odd_body or isinstance(error, (NotAuthenticatedError, CompetingSessionError))


async def _first(task: asyncio.Task[Any], ends: Iterable[asyncio.Task[object]]) -> bool:
    """Wait for a task, or for the end of the run, which cancels it. Returns whether the task has ended first."""
    try:
        await asyncio.wait((task, *ends), return_when=asyncio.FIRST_COMPLETED)
        return task.done()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _resolved(client: Client, options: CollectOptions) -> tuple[ResolvedSymbol, ...]:
    """Resolve the symbols, and open the brokerage session before if that is necessary and allowed."""
    reclaims = options.feed.competing == "reclaim"
    try:
        return await resolve_symbols(client, options.symbols)
    except CompetingSessionError:
        if not reclaims:
            raise
    except NoSessionError:
        pass
    await client.init_brokerage_session(compete=reclaims)
    return await resolve_symbols(client, options.symbols)


def _ended(why: str, error: CpapiError | None) -> CpapiError:
    """Return the error of a run that ended before its symbols were resolved, of the kind that fits the last error."""
    text = f"{why} before the symbols were resolved; nothing was collected{f': {error}' if error else ''}"
    if isinstance(error, (NotAuthenticatedError, CompetingSessionError)):
        return type(error)(text)
    return TransportError(text)
