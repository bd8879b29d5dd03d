"""`cpapi-fast tail`: quotes on the terminal as they come; where there is no terminal, one line per change."""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import time
from contextlib import AsyncExitStack

from cpapi_fast.clock import Clock
from cpapi_fast.errors import ConfigError
from cpapi_fast.events import FeedState
from cpapi_fast.feed import Feed
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.loop import run as run_loop
from cpapi_fast.protocol.topics import MarketDataFields

from .gateway_source import check_source, open_client
from .signals import stopped_by_signals
from .tail import Screen, Tail, View, lines, plain, quote_line, state_line, time_text

#: Asked for besides what is shown: the ticker symbol.
_SYMBOL = "55"

#: How wide and how high the closing table may be where nobody says.
_WIDTH, _HEIGHT = 200, 10_000


def run(args: argparse.Namespace) -> int:
    """Run the command until Ctrl-C; returns the exit code."""
    if not args.conids:
        raise ConfigError("give at least one conid to subscribe to, such as --conids 265598")
    check_source(args)
    fields = MarketDataFields.from_codes(args.fields) if args.fields else MarketDataFields.default_l1()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A ticker symbol that this terminal has no letters for must not end the show.
        sys.stdout.reconfigure(errors="replace")
    run_loop(_run(args, fields), uvloop=False if args.asyncio else None)
    return 0


async def _run(args: argparse.Namespace, fields: MarketDataFields) -> None:
    stop = asyncio.Event()
    conids = tuple(dict.fromkeys(args.conids))
    async with AsyncExitStack() as stack:
        stack.enter_context(stopped_by_signals(stop.set))
        client = await open_client(args, stack)
        if args.ca_file is not None:
            # It is only read: a file that cannot be used is told at once, and not tried again and again.
            await client.ssl_context()
        feed = Feed(client, FeedOptions(competing=args.competing))
        tail = Tail(feed, conids, fields, clock=client.clock, where=client.base_url)
        feed.on_batch(tail.on_item)
        for conid in conids:
            await feed.subscribe_market_data(conid, MarketDataFields.from_codes([*fields, _SYMBOL]))
        await stack.enter_async_context(feed)
        stopping = Stopping(stop, client.clock, args.duration)
        screen = Screen.on(sys.stdout)
        if screen is None:
            await _print_lines(tail, stopping, args.interval or 1.0)
        else:
            await _draw(tail, stopping, args.interval or 0.25, screen)


class Stopping:
    """When to end: when asked to, or when the time is over."""

    def __init__(self, stop: asyncio.Event, clock: Clock, duration_s: float | None) -> None:
        self._stop = stop
        self._clock = clock
        self._end_s = None if duration_s is None else clock.monotonic_s() + duration_s

    async def within(self, seconds: float) -> bool:
        """Wait so many real seconds, or until the end if that comes before; whether it is the end."""
        if self._end_s is not None:
            seconds = min(seconds, self._clock.real_s(max(self._end_s - self._clock.monotonic_s(), 0.0)))
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return self._end_s is not None and self._clock.monotonic_s() >= self._end_s
        return True


async def _draw(tail: Tail, stopping: Stopping, interval_s: float, screen: Screen) -> None:
    with screen:
        screen.show(tail.view())
        while not await stopping.within(interval_s):
            screen.show(tail.view())
    if screen.is_free:
        # What was last seen stays in the terminal.
        for line in lines(tail.view(), screen.width, _HEIGHT):
            print(plain(line))


async def _print_lines(tail: Tail, stopping: Stopping, interval_s: float) -> None:
    log = Log()
    while True:
        is_end = await stopping.within(interval_s)
        for line in log.lines(tail.view(), tail.events_seen, time_text(time.time_ns())):
            print(line)
        sys.stdout.flush()
        if is_end:
            return


class Log:
    """What has changed from view to view, as lines."""

    def __init__(self) -> None:
        self._events_seen = 0
        self._state: FeedState | None = None
        self._rows: dict[str, tuple[int, tuple[str, ...]]] = {}

    def lines(self, view: View, events_seen: int, time: str) -> list[str]:
        """The events since the last call, the feed's state where it changed, and the rows that ticked."""
        new = min(events_seen - self._events_seen, len(view.events))
        self._events_seen = events_seen
        found = list(view.events[len(view.events) - new :])
        if view.state is not self._state:
            self._state = view.state
            # Of one that streams the events say it all.
            if view.state is not FeedState.STREAMING:
                found.append(f"{time} {state_line(view)}")
        for row in view.rows:
            now = (row.ticks, row.values)
            if any(row.values) and self._rows.get(row.name) != now:
                self._rows[row.name] = now
                found.append(quote_line(row, view.columns, view.state, time))
        return found
