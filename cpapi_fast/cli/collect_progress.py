"""Progress of `collect` on stderr: a table on a terminal with rich, otherwise a line every few seconds.

A thread reads the status of the run four times a second. It adds no work to the frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from cpapi_fast.collect.reports import CollectStatus, size_text
from cpapi_fast.events import FeedState
from cpapi_fast.outputs.quotes import LatestQuote

from .rates import Rates
from .screen import LineScreen, Screen, TerminalScreen

if TYPE_CHECKING:
    from types import TracebackType

    from cpapi_fast.feed import SubscriptionStatus

_TABLE_INTERVAL_S: Final = 0.25
_LINE_INTERVAL_S: Final = 5.0

#: How many stale instruments a line names.
_MAX_NAMES: Final = 3

#: How many lines of the terminal are not rows: title, header, borders, footer.
_TABLE_BORDER_LINES: Final = 8


def age_s(quote: LatestQuote, now_ns: int) -> float:
    """The seconds since the last frame of an instrument."""
    return max(0.0, (now_ns - quote.received_ns) / 1e9)


def plain_line(status: CollectStatus, frames_per_s: float, bytes_per_s: float, now_ns: int) -> str:
    """The status of a run as one line."""
    frames = status.connection.frames_received if status.connection else 0
    nbytes = status.connection.bytes_received if status.connection else 0
    parts = [
        f"{status.elapsed_s:7.1f} s",
        status.state,
        f"{frames:,} frames ({frames_per_s:,.0f}/s)",
        f"{size_text(nbytes)} ({size_text(bytes_per_s)}/s)",
    ]
    if status.latest:
        oldest = max(status.latest, key=lambda quote: -quote.received_ns)
        parts.append(f"{len(status.latest)} instruments, oldest {oldest.name} {age_s(oldest, now_ns):.1f} s ago")
    stale = [name for name, known in status.subscriptions.items() if known.state is FeedState.STALE]
    if stale:
        parts.append(f"{len(stale)} stale ({', '.join(stale[:_MAX_NAMES])}{' …' if len(stale) > _MAX_NAMES else ''})")
    if status.gaps:
        parts.append(f"{status.gaps:,} gaps")
    if status.dropped:
        parts.append(f"{status.dropped:,} dropped")
    if status.queued_bytes:
        parts.append(f"{size_text(status.queued_bytes)} waiting for the disk")
    if status.advice:
        parts.append(f"action: {status.advice}")
    return "  ".join(parts)


class Progress:
    """Shows the status of a run, from entering the `with` block to leaving it.

    Args:
        sample: returns the current status; called from another thread.
        stream: where to show it.
        names: names the options of the command in a text of the library.
        interval_s: the time between two lines where there is no terminal.
    """

    def __init__(
        self,
        sample: Callable[[], CollectStatus],
        stream: TextIO,
        names: Callable[[str], str] = str,
        *,
        interval_s: float = _LINE_INTERVAL_S,
    ) -> None:
        self._sample: Callable[[], CollectStatus] = lambda: _named(sample(), names)
        self._rates = Rates()
        terminal = TerminalScreen.on(stream, self._table, interval_s=_TABLE_INTERVAL_S)
        self._screen: Screen = terminal or LineScreen(stream, lambda: self._line(self._sample()), interval_s)

    @property
    def is_ended(self) -> bool:
        """Whether nothing more is shown."""
        return self._screen.is_restored

    def notice(self, text: str) -> None:
        """Print a line that stays on the screen."""
        self._screen.notice(text)

    def __enter__(self) -> Self:
        self._rates.update(time.monotonic(), 0, 0)
        self._screen.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._screen.__exit__(kind, error, traceback)

    def _line(self, status: CollectStatus) -> str:
        connection = status.connection
        frames, nbytes = (connection.frames_received, connection.bytes_received) if connection else (0, 0)
        rates = self._rates.update(time.monotonic(), frames, nbytes)
        return plain_line(status, *rates, time.time_ns())

    def _table(self, _width: int, height: int) -> Any:
        """One row per instrument, and the progress line below them."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        status = self._sample()
        table = Table(title="cpapi-fast collect", title_justify="left")
        table.add_column("instrument")
        table.add_column("state")
        for name in ("last", "bid", "ask", "frames", "age"):
            table.add_column(name, justify="right")
        table.add_column("6509")
        now_ns = time.time_ns()
        room = max(3, height - _TABLE_BORDER_LINES)
        quotes = {quote.name: quote for quote in status.latest}
        rows = [quotes.get(name) or LatestQuote(name) for name in status.subscriptions]
        rows += [quote for quote in status.latest if quote.name not in status.subscriptions]
        for quote in rows[:room]:
            numbers = ("" if value is None else f"{value:,.10g}" for value in (quote.last, quote.bid, quote.ask))
            age = f"{age_s(quote, now_ns):.1f} s" if quote.rows else ""
            state = _state_text(status.subscriptions.get(quote.name))
            table.add_row(Text(quote.name), state, *numbers, f"{quote.rows:,}", age, quote.availability or "")
        more = len(rows) - room
        footer = [Text(f"… and {more} more")] if more > 0 else []
        return Group(table, *footer, Text(self._line(status)))


def _named(status: CollectStatus, names: Callable[[str], str]) -> CollectStatus:
    return replace(status, advice=names(status.advice)) if status.advice else status


def _state_text(known: SubscriptionStatus | None) -> str:
    if known is None:
        return ""
    return f"{known.state.value}, gap" if known.is_in_gap else known.state.value
