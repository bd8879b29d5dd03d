"""Market data in Parquet files: the table `ticks`, each frame as sent, and `quotes`, the state after each frame"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import ConfigError, UsageError
from cpapi_fast.events import FeedState, Gap, StateChange
from cpapi_fast.new_file import PRIVATE_MODE
from cpapi_fast.outputs.output_file import LostFiles
from cpapi_fast.outputs.run_events import RecordedEvent
from cpapi_fast.protocol.kinds import FrameKind

from .latest_quote import LatestQuote
from .rows import TableRows
from .schema import TableName, field_columns, table_schema
from .writer import TableWriter

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch

_MARKET_DATA: Final = int(FrameKind.MARKET_DATA)

#: The states of a feed without a connection that the gateway has confirmed.
UNCONNECTED: Final = frozenset({FeedState.DISCONNECTED, FeedState.CONNECTING, FeedState.OPEN})


class MarketDataWriter(TableWriter[TableRows]):
    """Writes market data frames as rows of Parquet files. Not thread-safe. Use `TicksWriter` or `QuotesWriter`.

    The files are `<stem>-20260102T143000.123456Z.parquet` and so on, with the time of their first row; the names sort
    in the order of the rows. A row counts as written when its file is finished, so the rows of up to `roll_interval_s`
    are pending. A market data frame whose payload is not JSON counts as dropped.

    Args:
        folder: the folder for the files; it must exist.
        stem: the start of the file names; the name of the table by default.
        fields: the keys or codes of the requested fields, each of which has a column; see `table_schema`.
        targets: the targets that were subscribed to; `latest` always has room for them, and for 1,000 others.
        run: a part of the file names after the time, so that a pattern can select the files; empty for none.
        roll_interval_s: a file is finished this long after its first row, in seconds of `clock`.
        roll_rows: a file is also finished after this many rows, at most 16,777,216.
        group_rows: how many rows are collected in memory before they are written to the unfinished file, at most
            16,777,216.
        lost_files: what to do when another program deletes, moves or changes an unfinished file: `recreate` continues
            in a new file, `fail` ends the writer with an error. The rows that cannot be read any more count as dropped.
        file_mode: the permissions of the files; by default, only their owner can read them.
        metadata: further metadata of the schema.
        clock: the clock of `roll_interval_s`.

    Raises:
        ConfigError: a number of rows or the interval is not a number in its range, `targets` or `fields` is one text,
            or `lost_files` is unknown.
        MissingDependencyError: pyarrow is not installed.
        SubscriptionError: a field is unknown.
        UsageError: the class is `MarketDataWriter` itself.
    """

    #: The name of the table.
    name: ClassVar[TableName]

    def __init__(
        self,
        folder: str | os.PathLike[str],
        stem: str | None = None,
        *,
        fields: Iterable[str | int] = (),
        targets: Iterable[str] = (),
        run: str = "",
        roll_interval_s: float = 300.0,
        roll_rows: int = 1_000_000,
        group_rows: int = 65_536,
        lost_files: LostFiles = "recreate",
        file_mode: int = PRIVATE_MODE,
        metadata: Mapping[str, str] = MappingProxyType({}),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not hasattr(self, "name"):
            raise UsageError("MarketDataWriter has no table of its own; use TicksWriter or QuotesWriter")
        for option, given in (("targets", targets), ("fields", fields)):
            # Each character of a text would be one.
            if isinstance(given, (str, bytes)):
                raise ConfigError(f"{option} must be a list of texts, such as ['265598'], not one text")
        self._latest: Final[dict[str, LatestQuote]] = {}
        #: By entry of the states: how many frames `_latest` includes.
        self._frames_seen: Final[dict[int, int]] = {}
        columns = tuple(fields)

        def make_rows(capacity: int) -> TableRows:
            codes = ((column.code, column.name) for column in field_columns(columns))
            return TableRows(codes, carries=self.name == "quotes", targets=targets, capacity=capacity)

        super().__init__(
            folder,
            stem,
            lambda: table_schema(self.name, columns),
            make_rows,
            run=run,
            roll_interval_s=roll_interval_s,
            roll_rows=roll_rows,
            group_rows=group_rows,
            lost_files=lost_files,
            file_mode=file_mode,
            metadata=metadata,
            clock=clock,
        )

    @property
    def latest(self) -> dict[str, LatestQuote]:
        """The latest values by target (`265598`, `265598@NYSE`), updated when read. Other threads may read it."""
        found, seen, states = self._latest, self._frames_seen, self._rows.states
        for entry in range(1, len(states)):
            values = states.latest(entry, seen.get(entry, 0))
            if values is not None:
                quote = LatestQuote(*values)
                seen[entry] = quote.rows
                found[quote.name] = quote
        return found

    @property
    def rows_unlisted(self) -> int:
        """How many rows are not in `latest`, because there was no room for their targets. The files have them."""
        return self._rows.states.unlisted

    def observe_event(self, event: RecordedEvent) -> None:
        """Take note of an event between two batches: no value is carried across a gap, or to another connection."""
        super().observe_event(event)
        if isinstance(event, Gap):
            self._rows.states.end_segments(event.subscription, event.first_good_ns)
        elif isinstance(event, StateChange) and event.subscription is None and event.state in UNCONNECTED:
            # Topics that nobody subscribed to have no gap.
            self._rows.states.end_segments(None)

    def _count_of(self, batch: Batch) -> int:
        return bytes(batch.kinds).count(_MARKET_DATA)

    def _drops(self) -> tuple[tuple[str, int], ...]:
        return ("malformed", self._rows.malformed), ("repeated snapshot", self._rows.repeated)


class TicksWriter(MarketDataWriter):
    """Writes the table `ticks`: one row per market data frame, as sent; see `MarketDataWriter`.

    A field that a frame does not have is null, except for the availability and the symbol, which every row has.
    """

    name = "ticks"
    unit = "ticks"


class QuotesWriter(MarketDataWriter):
    """Writes the table `quotes`: the whole state of a subscription after each frame; see `MarketDataWriter`.

    A value that a frame does not have is that of the row before. No value is carried across a gap or to another
    connection, where the column `segment` changes; pass the events of the feed to `observe_event`. The second of two
    equal snapshots, which the gateway sends after each subscribe, has no row, and counts as dropped.
    """

    name = "quotes"
    unit = "quotes"
