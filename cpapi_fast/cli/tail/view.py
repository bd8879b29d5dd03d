"""Tail: collects the values that `cpapi-fast tail` shows, and returns them as a `View`. No rendering."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cpapi_fast.cli.rates import Rates
from cpapi_fast.cli.table import cut
from cpapi_fast.clock import Clock
from cpapi_fast.events import Backfill, Cause, FeedEvent, FeedState, Gap, Standstill, StateChange
from cpapi_fast.feed.feed_reading import FeedReading
from cpapi_fast.frames.batch import Batch
from cpapi_fast.printable import printable
from cpapi_fast.protocol.availability import Availability
from cpapi_fast.protocol.fields import FIELDS
from cpapi_fast.protocol.instruments import market_data_topic

#: How many events are kept.
_EVENTS: Final = 100

#: Longer values are cut.
_VALUE_LENGTH: Final = 24

#: A field is fresh for this long after it was received.
_FRESH_S: Final = 1.0

_SYMBOL, _AVAILABILITY = "55", "6509"

#: Column heads of common fields. All others have their key in `protocol.fields` as the head.
_LABELS: Final = {
    "31": "last",
    "84": "bid",
    "86": "ask",
    "85": "ask size",
    "88": "bid size",
    "87": "volume",
    "7059": "last size",
    "83": "change %",
}


def label(code: str) -> str:
    """The column head of a field."""
    if code in _LABELS:
        return _LABELS[code]
    return FIELDS[code].key if code in FIELDS else code


@dataclass(frozen=True, slots=True)
class Row:
    """The current state of one subscription.

    Attributes:
        name: the target of the subscription: `265598`, `265598@NYSE`.
        symbol: its ticker symbol; empty until it is known.
        values: the latest value of each column; empty before the first. They stay when the connection is lost.
        fresh: which values were received within the last second.
        availability: the meaning of field 6509 in a word; empty until it is known.
        age_s: seconds since the last frame; None before the first.
        state: the state of the subscription.
        is_in_gap: whether data is missing now.
        ticks: how many frames were received, without replies to subscribes.
        gaps: how many gaps were reported.
    """

    name: str
    symbol: str
    values: tuple[str, ...]
    fresh: tuple[bool, ...]
    availability: str
    age_s: float | None
    state: FeedState
    is_in_gap: bool
    ticks: int
    gaps: int


@dataclass(frozen=True, slots=True)
class View:
    """The values to show at one moment.

    Attributes:
        where: the gateway's URL.
        state: the state of the feed.
        state_age_s: seconds since the state was entered.
        cause, detail, advice: the cause of the state, its details (may be empty), and what a user should do.
        next_try_s: seconds until the next attempt to connect; None if none is scheduled.
        frames, frames_per_s: frames received over all connections, and their rate.
        gaps: how many gaps were reported, over all subscriptions.
        connections: how many sockets were opened.
        columns: the heads of the value columns.
        rows: the subscriptions, in the order of the command line.
        events: the last events as texts, the newest last.
    """

    where: str
    state: FeedState
    state_age_s: float
    cause: Cause
    detail: str
    advice: str
    next_try_s: float | None
    frames: int
    frames_per_s: float
    gaps: int
    connections: int
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    events: tuple[str, ...]


class Tail:
    """Observes a feed. Pass `on_item` to `Feed.on_batch`, and call `view` for each drawing.

    Args:
        feed: the feed.
        conids: the subscribed instruments, in the order of the rows.
        columns: the codes of the fields to show.
        clock: the clock of the client.
        where: the gateway's URL.
        names: names the options of the command in a text of the library.
    """

    def __init__(
        self,
        feed: FeedReading,
        conids: Sequence[int | str],
        columns: Sequence[str],
        *,
        clock: Clock,
        where: str,
        names: Callable[[str], str] = str,
    ) -> None:
        self._feed: Final = feed
        self._conids: Final = tuple(conids)
        self._columns: Final = tuple(columns)
        self._labels: Final = tuple(map(label, columns))
        self._clock: Final = clock
        self._where: Final = where
        self._names: Final = names
        self._rates: Final = Rates()
        self._gaps: Final[Counter[str | None]] = Counter()
        self._events: Final[deque[str]] = deque(maxlen=_EVENTS)
        self._events_seen = 0
        self._since_s = clock.monotonic_s()
        self._change: StateChange | None = None

    def on_item(self, item: Batch | FeedEvent) -> None:
        """Record an event. Batches are ignored, because the feed keeps the last value of each field."""
        if isinstance(item, Batch):
            return
        if isinstance(item, Gap):
            self._gaps[item.subscription] += 1
        elif isinstance(item, StateChange) and item.subscription is None:
            self._change = item
            if item.state is not item.previous:
                self._since_s = self._clock.monotonic_s()
        self._events.append(self._names(event_text(item, self._clock.time_ns())))
        self._events_seen += 1

    @property
    def events_seen(self) -> int:
        """How many events were recorded. `view().events` has the last 100."""
        return self._events_seen

    def view(self) -> View:
        """A view of the current state."""
        now_s = self._clock.monotonic_s()
        stats, change = self._feed.stats, self._change
        per_s, _ = self._rates.update(now_s, stats.connection.frames_received, 0)
        return View(
            where=self._where,
            state=self._feed.state,
            state_age_s=now_s - self._since_s,
            cause=Cause.STARTED if change is None else change.cause,
            detail="" if change is None else self._names(printable(change.detail)),
            advice="" if change is None else self._names(change.advice),
            next_try_s=self._feed.next_try_s,
            frames=stats.connection.frames_received,
            frames_per_s=per_s,
            gaps=sum(self._gaps.values()),
            connections=stats.connections,
            columns=self._labels,
            rows=tuple(row for conid in self._conids if (row := self._row(conid)) is not None),
            events=tuple(self._events),
        )

    def _row(self, conid: int | str) -> Row | None:
        topic = market_data_topic(conid)
        status = self._feed.status_of(topic)
        if status is None:
            return None
        quote = self._feed.quote(conid)
        values, fresh = [], []
        for code in self._columns:
            # As received, with the marks of the gateway.
            values.append(shown(quote.raw.get(code, "")))
            age_s = quote.age_s(code)
            fresh.append(age_s is not None and age_s < _FRESH_S)
        letters = quote.raw.get(_AVAILABILITY)
        return Row(
            name=topic.removeprefix("smd+"),
            symbol=shown(quote.raw.get(_SYMBOL, "")),
            values=tuple(values),
            fresh=tuple(fresh),
            availability="" if letters is None else shown(Availability.parse(str(letters)).word),
            age_s=status.age_s,
            state=status.state,
            is_in_gap=status.is_in_gap,
            ticks=status.ticks,
            gaps=self._gaps[topic] + self._gaps[None],
        )


def shown(value: object) -> str:
    """A value as text for a terminal: at most 24 characters, each printable."""
    return cut(printable(str(value)), _VALUE_LENGTH)


def event_text(event: FeedEvent, now_ns: int) -> str:
    """An event as one line: time, feed or topic, and what happened."""
    if isinstance(event, StateChange):
        name = "feed" if event.subscription is None else event.subscription
        state, cause = words(event.state.value), words(event.cause.value)
        text = state if state == cause else f"{state}: {cause}"
        if event.detail:
            text += f": {printable(event.detail)}"
        return f"{time_text(event.time_ns)} {name} {text}"
    if isinstance(event, Gap):
        name = event.subscription or "all subscriptions"
        end_ns = event.first_good_ns
        length = "open end" if end_ns is None else f"{(end_ns - event.last_good_ns) / 1e9:,.1f} s"
        count = "" if event.frames_dropped is None else f", {event.frames_dropped:,} frames"
        time = time_text(now_ns if end_ns is None else end_ns)
        return f"{time} gap in {name}, {length}{count}: {words(event.cause.value)}"
    if isinstance(event, Standstill):
        time = time_text(event.start_ns + event.length_ns)
        return f"{time} feed standstill of {event.length_ns / 1e9:,.1f} s: {words(event.reason.value)}"
    return _backfill_text(event, now_ns)


def _backfill_text(event: Backfill, now_ns: int) -> str:
    text = f"{len(event.bars)} bars from {event.source}" if event.error is None else f"none ({printable(event.error)})"
    return f"{time_text(now_ns)} history for the gap in {event.gap.subscription or 'all subscriptions'}: {text}"


def words(value: str) -> str:
    """The value of a state or cause with spaces instead of underscores."""
    return value.replace("_", " ")


def time_text(time_ns: int) -> str:
    """A time as the local time of day."""
    return f"{datetime.fromtimestamp(time_ns / 1e9).astimezone():%H:%M:%S}"


def age_text(age_s: float | None) -> str:
    """A duration as a short text: `0.4 s`, `42 s`, `2 min`, `25 h`; `never` for None."""
    if age_s is None:
        return "never"
    if age_s < 9.95:
        return f"{max(age_s, 0.0):.1f} s"
    if age_s < 99.5:
        return f"{age_s:.0f} s"
    minutes = round(age_s / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{age_s / 3600:.0f} h"
