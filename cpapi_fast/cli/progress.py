"""Live progress of the main job: a table on a terminal that has rich, else a plain line every few seconds.

It samples the run from a thread of its own, four times a second, and costs a frame nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TextIO

from cpapi_fast.collect.reports import CollectStatus, size_text
from cpapi_fast.events import FeedState
from cpapi_fast.outputs.quotes import LatestQuote

if TYPE_CHECKING:
    from types import TracebackType

    from cpapi_fast.feed import SubscriptionStatus

_TABLE_INTERVAL_S: Final = 0.25
_LINE_INTERVAL_S: Final = 5.0

#: Over how long a rate is measured.
_RATE_WINDOW_S: Final = 1.0

#: How many instruments a line names.
_MOST_NAMES: Final = 3

#: What stands around the rows of the table: title, header, frame, footer.
_TABLE_FURNITURE_LINES: Final = 8


class Rates:
    """Frames and bytes per second, from samples of counters that only grow."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, int, int]] = []

    def update(self, now_s: float, frames: int, nbytes: int) -> tuple[float, float]:
        """Add a sample; the rates over the last second, or over all there is."""
        self._samples.append((now_s, frames, nbytes))
        # The newest sample that is old enough is the one to measure from; those before it are of no more use.
        while len(self._samples) > 2 and now_s - self._samples[1][0] >= _RATE_WINDOW_S:
            del self._samples[0]
        start_s, start_frames, start_bytes = self._samples[0]
        span_s = now_s - start_s
        if span_s <= 0:
            return 0.0, 0.0
        return (frames - start_frames) / span_s, (nbytes - start_bytes) / span_s


def age_s(quote: LatestQuote, now_ns: int) -> float:
    """How many seconds ago something came for it."""
    return max(0.0, (now_ns - quote.received_ns) / 1e9)


def plain_line(status: CollectStatus, frames_per_s: float, bytes_per_s: float, now_ns: int) -> str:
    """Where the run stands, in one line."""
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
        parts.append(f"{len(stale)} stale ({', '.join(stale[:_MOST_NAMES])}{' …' if len(stale) > _MOST_NAMES else ''})")
    if status.gaps:
        parts.append(f"{status.gaps:,} gaps")
    if status.dropped:
        parts.append(f"{status.dropped:,} dropped")
    if status.queued_bytes:
        parts.append(f"{size_text(status.queued_bytes)} wait for the disk")
    if status.advice:
        parts.append(f"to do: {status.advice}")
    return "  ".join(parts)


class Progress:
    """Shows where a run stands, from entering the `with` block to leaving it.

    Args:
        sample: where the run stands now; called from another thread.
        stream: where to show it.
        interval_s: the pause between two plain lines.
    """

    def __init__(
        self, sample: Callable[[], CollectStatus], stream: TextIO, *, interval_s: float = _LINE_INTERVAL_S
    ) -> None:
        self._sample = sample
        self._stream = stream
        self._rates = Rates()
        self._done = threading.Event()
        self._table = _Table.on(stream)
        self._interval_s = interval_s if self._table is None else _TABLE_INTERVAL_S
        self._thread = threading.Thread(target=self._run, name="cpapi_fast progress", daemon=True)

    def notice(self, text: str) -> None:
        """Say something that stays on the screen."""
        with suppress(OSError, ValueError):
            if self._table is None:
                print(text, file=self._stream, flush=True)
            else:
                self._table.say(text)

    def __enter__(self) -> Progress:
        if self._table is not None:
            with suppress(OSError, ValueError):
                self._table.start()
        self._rates.update(time.monotonic(), 0, 0)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        if self._table is not None:
            with suppress(OSError, ValueError):
                self._show()
                self._table.stop()

    def _run(self) -> None:
        # Whoever watches may go away (a closed pipe or terminal): that ends the watching, not the run.
        with suppress(OSError, ValueError):
            while not self._done.wait(self._interval_s):
                self._show()

    def _show(self) -> None:
        status = self._sample()
        connection = status.connection
        frames, nbytes = (connection.frames_received, connection.bytes_received) if connection else (0, 0)
        rates = self._rates.update(time.monotonic(), frames, nbytes)
        if self._table is None:
            print(plain_line(status, *rates, time.time_ns()), file=self._stream, flush=True)
        else:
            self._table.show(status, plain_line(status, *rates, time.time_ns()))


def _state_text(known: SubscriptionStatus | None) -> str:
    if known is None:
        return ""
    return f"{known.state.value}, gap" if known.is_in_gap else known.state.value


class _Table:
    """The same with rich: one row per instrument, redrawn in place."""

    def __init__(self, console: Any, live: Any) -> None:
        self._console = console
        self._live = live
        self.start = live.start
        self.stop = live.stop

    @classmethod
    def on(cls, stream: TextIO) -> _Table | None:
        """A table on this stream; None when it is no terminal, or rich is not installed."""
        if not stream.isatty():
            return None
        try:
            from rich.console import Console
            from rich.live import Live
        except ImportError:
            return None

        class Screen(Console):
            def on_broken_pipe(self) -> None:
                """Fall silent. What rich does by default ends the process."""
                self.quiet = True

        console = Screen(file=stream)
        if not console.is_terminal or console.is_dumb_terminal:
            return None
        # We redraw ourselves; a thread of rich's own would only draw the same again.
        return cls(console, Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False))

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def show(self, status: CollectStatus, line: str) -> None:
        self._live.update(self._render(status, line), refresh=True)

    def _render(self, status: CollectStatus, line: str) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(title="cpapi-fast collect", title_justify="left")
        table.add_column("instrument")
        table.add_column("state")
        for name in ("last", "bid", "ask", "frames", "age"):
            table.add_column(name, justify="right")
        table.add_column("6509")
        now_ns = time.time_ns()
        room = max(3, self._console.height - _TABLE_FURNITURE_LINES)
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
        return Group(table, *footer, Text(line))
