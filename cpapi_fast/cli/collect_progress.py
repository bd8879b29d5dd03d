"""Progress of `collect` on stderr: a table on a terminal with rich, otherwise lines on request.

`table` and `plain_line` are pure functions of the status. A thread reads the status of the run four times a second. It
adds no work to the frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from cpapi_fast.collect.reports import CollectStatus, size_text
from cpapi_fast.events import FeedState
from cpapi_fast.outputs.tables.latest_quote import LatestQuote
from cpapi_fast.protocol.availability import Availability

from .rates import Rates
from .screen import Line, LineScreen, Screen, TerminalScreen, missing_table, text_lines
from .table import BETWEEN, DIM, ELLIPSIS, STATE_STYLES, Column, cut_line, ellipsis_of, table_lines

if TYPE_CHECKING:
    from types import TracebackType

    from cpapi_fast.feed import SubscriptionStatus

_TABLE_INTERVAL_S: Final = 0.25
#: The time between two lines of progress.
LINE_INTERVAL_S: Final = 5.0

#: How many stale instruments a line names.
_MAX_NAMES: Final = 3

#: Below this height the head has no title.
_LOW: Final = 10

#: States of a run whose feed is closed.
_ENDED: Final = frozenset({"finishing the files", "ended"})

_STATES: Final = {state.value: style for state, style in STATE_STYLES.items()}


def age_s(quote: LatestQuote, now_ns: int) -> float:
    """The seconds since the last frame of an instrument."""
    return max(0.0, (now_ns - quote.received_ns) / 1e9)


def plain_line(status: CollectStatus, frames_per_s: float, bytes_per_s: float, now_ns: int) -> str:
    """The status of a run as one line."""
    parts = [f"{status.elapsed_s:7.1f} s", status.state, *_counters(status, frames_per_s, bytes_per_s)]
    if status.latest:
        oldest = max(status.latest, key=lambda quote: -quote.received_ns)
        name = status.symbols.get(oldest.name, oldest.name)
        parts.append(f"{len(status.latest)} instruments, oldest {name} {age_s(oldest, now_ns):.1f} s ago")
    parts += _troubles(status)
    if status.advice:
        parts.append(f"action: {status.advice}")
    return BETWEEN.join(parts)


def _counters(status: CollectStatus, frames_per_s: float, bytes_per_s: float) -> list[str]:
    frames = status.connection.frames_received if status.connection else 0
    nbytes = status.connection.bytes_received if status.connection else 0
    return [f"{frames:,} frames ({frames_per_s:,.0f}/s)", f"{size_text(nbytes)} ({size_text(bytes_per_s)}/s)"]


def _troubles(status: CollectStatus) -> list[str]:
    found = []
    stale = [name for name, known in status.subscriptions.items() if known.state is FeedState.STALE]
    if stale:
        found.append(f"{len(stale)} stale ({', '.join(stale[:_MAX_NAMES])}{' …' if len(stale) > _MAX_NAMES else ''})")
    if status.gaps:
        found.append(f"{status.gaps:,} gaps")
    if status.dropped:
        found.append(f"{status.dropped:,} dropped")
    if status.queued_bytes:
        found.append(f"{size_text(status.queued_bytes)} waiting for the disk")
    return found


def table(
    status: CollectStatus,
    frames_per_s: float,
    bytes_per_s: float,
    now_ns: int,
    *,
    width: int,
    height: int,
    ellipsis: str = ELLIPSIS,
) -> list[Line]:
    """The status of a run as at most `height` lines of at most `width` characters, with one row per instrument.

    The state and what a person has to do come first, then what is wrong, then the numbers, because the end of a line
    may be cut. Columns and rows that do not fit are left out. What is cut ends with `ellipsis`.
    """
    state = status.state.replace("_", " ").upper()
    counts = BETWEEN.join([*_troubles(status), *_counters(status, frames_per_s, bytes_per_s)])
    found: list[Line] = [] if height < _LOW else [[("cpapi-fast collect", "bold")]]
    found.append([(state, _STATES.get(status.state, "")), (f"{BETWEEN}{status.elapsed_s:.1f} s{BETWEEN}{counts}", "")])
    if status.advice:
        found.append([("action ", DIM), (status.advice, "")])
    rows = _rows(status)
    room = max(height - len(found) - 1, 1)
    if len(rows) > room:
        rows = rows[: max(room - 1, 1)]
    if rows:
        # At the end every subscription is closed, which says nothing about the data.
        known = {} if status.state in _ENDED else status.subscriptions
        found += table_lines(_columns(rows, known, status.symbols, now_ns), width, ellipsis)
    hidden = len(_rows(status)) - len(rows)
    if hidden:
        found.append([(f"{ellipsis} and {hidden} more", DIM)])
    return [cut_line(line, width, ellipsis) for line in found[:height]]


def _rows(status: CollectStatus) -> list[LatestQuote]:
    quotes = {quote.name: quote for quote in status.latest}
    rows = [quotes.get(name) or LatestQuote(name) for name in status.subscriptions]
    return rows + [quote for quote in status.latest if quote.name not in status.subscriptions]


def _columns(
    rows: list[LatestQuote], known: Mapping[str, SubscriptionStatus], symbols: Mapping[str, str], now_ns: int
) -> list[Column]:
    count = len(rows)
    plain = [""] * count
    states = [known.get(quote.name) for quote in rows]
    styles = ["" if state is None else STATE_STYLES[state.state] for state in states]
    # A mark shows without colours, and without the column of states, which data is not live.
    is_live = [state is None or state.state is FeedState.STREAMING for state in states]
    marks = [""] * count if all(is_live) else ["  " if live else " !" for live in is_live]
    ages = [f"{age_s(quote, now_ns):.1f} s" if quote.rows else "never" for quote in rows]
    availability = [Availability.parse(quote.availability or "").word if quote.availability else "" for quote in rows]
    names = [symbols.get(quote.name, "") for quote in rows]
    return [
        *([Column("symbol", names, ["bold"] * count, 1, is_text=True, is_name=True)] if symbols else []),
        Column("conid", [quote.name for quote in rows], ["bold"] * count, 0, is_text=True, is_name=True),
        Column("state", list(map(_state_text, states)), styles, 5, is_text=True),
        Column("last", [_price(quote.last, quote.last_prefix) for quote in rows], plain, 2),
        Column("bid", [_price(quote.bid) for quote in rows], plain, 3),
        Column("ask", [_price(quote.ask) for quote in rows], plain, 4),
        Column("frames", [f"{quote.rows:,}" for quote in rows], plain, 7),
        Column("age", [age + mark for age, mark in zip(ages, marks, strict=True)], plain, 1),
        Column("6509", availability, plain, 6, is_text=True),
    ]


def _price(value: float | None, prefix: str | None = None) -> str:
    """A price with the gateway's mark: C for the prior close, H while trading is halted."""
    return "" if value is None else f"{prefix or ''}{value:,.10g}"


class Progress:
    """Shows the status of a run, from entering the `with` block to leaving it.

    Args:
        sample: returns the current status; called from another thread.
        stream: where to show it.
        names: names the options of the command in a text of the library.
        interval_s: the time between two lines where there is no table; None for no lines.
        has_table: whether a table may be drawn on a terminal.
    """

    def __init__(
        self,
        sample: Callable[[], CollectStatus],
        stream: TextIO,
        names: Callable[[str], str] = str,
        *,
        interval_s: float | None = LINE_INTERVAL_S,
        has_table: bool = True,
    ) -> None:
        self._sample: Callable[[], CollectStatus] = lambda: _named(sample(), names)
        self._rates = Rates()
        self._ellipsis = ellipsis_of(getattr(stream, "encoding", None))
        terminal = TerminalScreen.on(stream, self._table, interval_s=_TABLE_INTERVAL_S) if has_table else None
        self._screen: Screen = terminal or LineScreen(stream, lambda: self._line(self._sample()), interval_s)
        if has_table and terminal is None and (hint := missing_table(stream)):
            self._screen.notice(f"cpapi-fast: {hint}")

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
        return plain_line(status, *self._rates_of(status), time.time_ns())

    def _table(self, width: int, height: int) -> Any:
        status = self._sample()
        # One line less, so that the last notice stays visible above the table.
        shape = {"width": width, "height": max(height - 1, 1)}
        return text_lines(table(status, *self._rates_of(status), time.time_ns(), **shape, ellipsis=self._ellipsis))

    def _rates_of(self, status: CollectStatus) -> tuple[float, float]:
        connection = status.connection
        frames, nbytes = (connection.frames_received, connection.bytes_received) if connection else (0, 0)
        return self._rates.update(time.monotonic(), frames, nbytes)


def _named(status: CollectStatus, names: Callable[[str], str]) -> CollectStatus:
    return replace(status, advice=names(status.advice)) if status.advice else status


def _state_text(known: SubscriptionStatus | None) -> str:
    if known is None:
        return ""
    return f"{known.state.value}, gap" if known.is_in_gap else known.state.value
