"""`cpapi-fast tail`: shows quotes in a terminal; without a terminal, prints one line per change."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final

from cpapi_fast.clock import Clock
from cpapi_fast.console import say, say_at_end, tell
from cpapi_fast.errors import ConfigError
from cpapi_fast.events import Cause, FeedState
from cpapi_fast.feed import Feed
from cpapi_fast.feed.trouble import no_data_error
from cpapi_fast.loop import run as run_loop
from cpapi_fast.protocol.topics import MarketDataFields

from .feed_tuning import feed_options
from .gateway_source import check_source, open_client
from .screen import TerminalScreen, missing_table, text_lines
from .signals import stopped_by_signals
from .table import ellipsis_of
from .tail import Tail, View, lines, plain, quote_line, state_line, time_text

#: The field code of the ticker symbol, which is always requested.
_SYMBOL = "55"

#: The table that is printed at the end has every row, whatever the height of the terminal.
_UNLIMITED_HEIGHT: Final = 10_000

_TERMINAL_INTERVAL_S: Final = 0.25
_LINE_INTERVAL_S: Final = 1.0


def run(args: argparse.Namespace) -> int:
    """Run the command until Ctrl-C; returns the exit code.

    Raises:
        CpapiError: no quote arrived; the message has the last cause. An option is invalid.
    """
    if not args.conids:
        raise ConfigError("give at least one conid to subscribe to, such as --conids 265598")
    check_source(args)
    fields = MarketDataFields.from_codes(args.fields) if args.fields else MarketDataFields.default_l1()
    run_loop(_run(args, fields), uvloop=False if args.asyncio else None)
    return 0


async def _run(args: argparse.Namespace, fields: MarketDataFields) -> None:
    stop = asyncio.Event()
    conids = tuple(dict.fromkeys(args.conids))
    async with AsyncExitStack() as stack:
        stack.enter_context(stopped_by_signals(stop.set))
        client = await open_client(args, stack)
        if args.ca_file is not None:
            # Reads the file, so that an unusable one is an error at once instead of a reason to retry.
            await client.ssl_context()
        feed = Feed(client, replace(feed_options(args), log_trouble=False))
        tail = Tail(feed, conids, fields, clock=client.clock, where=client.base_url, names=args.names)
        feed.on_batch(tail.on_item)
        for conid in conids:
            await feed.subscribe_market_data(conid, MarketDataFields.from_codes([*fields, _SYMBOL]))
        await stack.enter_async_context(feed)
        end = EndCondition(stop, client.clock, args.duration, lambda: feed.error is not None)
        if not await draw_quotes(tail, end, args.interval or _TERMINAL_INTERVAL_S):
            await print_lines(tail, end, args.interval or _LINE_INTERVAL_S)
        if feed.error is not None:
            raise feed.error
        if all(feed.last_value(conid) is None for conid in conids):
            raise no_data_error("the command ended before any quote arrived", feed.trouble or feed.last_change)


class EndCondition:
    """Ends the command when `stop` is set, `duration_s` seconds of the clock have passed, or the feed has ended."""

    def __init__(
        self, stop: asyncio.Event, clock: Clock, duration_s: float | None, has_ended: Callable[[], bool]
    ) -> None:
        self._stop = stop
        self._has_ended = has_ended
        self._clock = clock
        self._end_s = None if duration_s is None else clock.monotonic_s() + duration_s

    async def within(self, seconds: float) -> bool:
        """Wait for `seconds` real seconds or until the end, whichever is first. Returns whether it is the end."""
        if self._end_s is not None:
            seconds = min(seconds, self._clock.real_s(max(self._end_s - self._clock.monotonic_s(), 0.0)))
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            if self._has_ended():
                return True
            return self._end_s is not None and self._clock.monotonic_s() >= self._end_s
        return True


async def draw_quotes(tail: Tail, end: EndCondition, interval_s: float) -> bool:
    """Draw on the terminal until the end; False if there is no terminal."""
    view = tail.view()

    ellipsis = ellipsis_of(sys.stdout.encoding)

    def draw(width: int, height: int) -> Any:
        return text_lines(lines(view, width, height, ellipsis))

    screen = TerminalScreen.on(sys.stdout, draw, is_alternate=True)
    if screen is None:
        if hint := missing_table(sys.stdout):
            tell(f"cpapi-fast: {hint}")
        return False
    with screen:
        screen.refresh()
        # If the terminal is closed, there is nothing to show, and nobody who would see it.
        while not await end.within(interval_s) and not screen.is_restored:
            view = tail.view()
            screen.refresh()
    if screen.is_restored:
        # The last table stays in the terminal.
        say_at_end(*map(plain, lines(tail.view(), screen.width, _UNLIMITED_HEIGHT, ellipsis)))
    return True


async def print_lines(
    tail: Tail, end: EndCondition, interval_s: float, now_ns: Callable[[], int] = time.time_ns
) -> None:
    """Print the changes until the end, each with the time `now_ns()`."""
    log = ChangeLog()
    while True:
        is_end = await end.within(interval_s)
        new = log.lines(tail.view(), tail.events_seen, time_text(now_ns()))
        if is_end:
            say_at_end(*new)
            return
        say(*new)


class ChangeLog:
    """The changes from view to view, as lines."""

    def __init__(self) -> None:
        self._events_seen = 0
        self._state: tuple[FeedState, Cause] | None = None
        self._rows: dict[str, tuple[int, tuple[str, ...]]] = {}

    def lines(self, view: View, events_seen: int, time: str) -> list[str]:
        """The new events, the state of the feed if it or its cause changed, and the rows that changed since then."""
        new = min(events_seen - self._events_seen, len(view.events))
        self._events_seen = events_seen
        found = list(view.events[len(view.events) - new :])
        if self._state != (view.state, view.cause):
            self._state = view.state, view.cause
            # The event already reports that the feed streams.
            if view.state is not FeedState.STREAMING:
                found.append(f"{time} {state_line(view)}")
        for row in view.rows:
            now = (row.ticks, row.values)
            if any(row.values) and self._rows.get(row.name) != now:
                self._rows[row.name] = now
                found.append(quote_line(row, view.columns, view.state, time))
        return found
