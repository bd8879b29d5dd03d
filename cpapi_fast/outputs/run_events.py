"""The events of a run that its outputs write, and the table of their kinds"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cpapi_fast.events import Backfill, FeedEvent, Gap, Standstill, StateChange
from cpapi_fast.messages.orders import OrderUpdate
from cpapi_fast.redaction import repr_without_accounts


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class DiskChange:
    """An event: an output became slower than the data, or has caught up.

    Attributes:
        time_ns: the time of the change, in ns since the Unix epoch.
        is_slow: True if the output became slower, because more than half of its bound waits; False if it has caught up,
            because at most an eighth waits again.
        policy: the policy for frames beyond the bound: `block`, `drop_oldest` or `drop_newest`.
        duration_s: how long the output was slow, in seconds of the client's clock; None when it became slower.
        output: the name of the output.
    """

    time_ns: int
    is_slow: bool
    policy: str
    duration_s: float | None = None
    output: str = ""


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class OutputGap:
    """An event: one output does not have some frames, because it was slower than the data or has failed.

    The other outputs have them. It is reported when the output gets the first frame after them, or ends.

    Attributes:
        time_ns: when it was noticed, in ns since the Unix epoch.
        output: the name of the output.
        reason: why they were dropped: `queue full`, `write error` or `flush deadline`.
        first_row: the number of frames in the stream before the first dropped one.
        frames_dropped: how many frames were dropped.
        events_dropped: how many events were dropped.
        last_good_ns: the receive time of the last frame before them, in ns since the Unix epoch; if there was none, of
            the first of them; None if only events were dropped before the first frame.
        first_good_ns: the receive time of the first frame after them; None if there was none.
    """

    time_ns: int
    output: str
    reason: str
    first_row: int
    frames_dropped: int
    events_dropped: int
    last_good_ns: int | None
    first_good_ns: int | None


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class OutputFailure:
    """An event: an output fails, or works again.

    Attributes:
        time_ns: the time, in ns since the Unix epoch.
        output: the name of the output.
        is_failing: True for the first failure, False when it has worked again for a while.
        on_failure: what follows: `stop`, `retry` or `drop`.
        error: the exception, without secrets.
        duration_s: how long it failed, in seconds of the client's clock; None for the first failure.
    """

    time_ns: int
    output: str
    is_failing: bool
    on_failure: str
    error: str = ""
    duration_s: float | None = None


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class FileChange:
    """An event: another program has deleted, moved or changed a file while it was written.

    Attributes:
        time_ns: the time when the change was noticed, in ns since the Unix epoch.
        path: the file.
        change: `deleted`, `moved` or `changed` (its size is not what was written).
        unit: what the file contains: `frames`, `quotes` or `events`.
        lost: how many of them are lost. Those in a moved file are not.
        policy: what follows: `recreate` (the next ones are in a new file) or `fail` (the run ends).
    """

    time_ns: int
    path: str
    change: str
    unit: str
    lost: int
    policy: str


@dataclass(frozen=True, slots=True)
class OrderList:
    """An event: the list of all orders, which the feed requested over REST after a subscribe to orders.

    The `repr` has only their number.

    Attributes:
        received_ns: when the response arrived, in ns since the Unix epoch.
        orders: the orders, without the members that an update had since the request: the update is at least as new.
            Id and account always stay.
    """

    received_ns: int
    orders: tuple[OrderUpdate, ...] = field(repr=False)

    def __repr__(self) -> str:
        return f"OrderList({len(self.orders)} orders)"


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class InstrumentsChange:
    """An event: instruments joined or left the run. One that leaves and returns has no data in between.

    Attributes:
        time_ns: the time of the change, in ns since the Unix epoch.
        added: the instruments that joined, as in the topics: `265598`, `265598@NYSE`.
        removed: those that left.
        symbols: the contracts of the symbols that joined, with the members of the line `symbols`.
    """

    time_ns: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    symbols: tuple[Mapping[str, Any], ...] = ()


#: The events that an output can write.
RecordedEvent = FeedEvent | DiskChange | FileChange | OrderList | InstrumentsChange | OutputGap | OutputFailure

#: The `type` of the line of each event in an events file. What reads these files knows every kind.
EVENT_KINDS: Final[Mapping[type, str]] = {
    StateChange: "state",
    Gap: "gap",
    Standstill: "standstill",
    Backfill: "backfill",
    DiskChange: "disk",
    FileChange: "file",
    OrderList: "order_list",
    InstrumentsChange: "instruments",
    OutputGap: "output_gap",
    OutputFailure: "output_failure",
}

#: The `type` of the first line of a file of a run with symbols, which is no event.
SYMBOLS_KIND: Final = "symbols"
