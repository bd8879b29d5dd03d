"""TableTopic: the rows of a table of market data as JSON objects, one record per row"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from cpapi_fast.events import Gap, StateChange
from cpapi_fast.outputs.interface import import_arrow
from cpapi_fast.outputs.run_events import RecordedEvent
from cpapi_fast.outputs.tables.market_data import UNCONNECTED
from cpapi_fast.outputs.tables.rows import TableRows
from cpapi_fast.outputs.tables.schema import TableName, field_columns, table_schema

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch

#: How many rows are made at a time: the cost of a call of Arrow is spread over them.
_GROUP_ROWS: Final = 4096


class Rows(NamedTuple):
    """Rows of a table: their receive times, conids, and JSON objects."""

    received_ns: list[int]
    conids: list[int]
    values: list[bytes]


class TableTopic:
    """Makes the rows of a table of market data, which are those of the Parquet files. Not thread-safe.

    A row is a JSON object with the columns of the table. Columns without a value are left out. Times are texts in UTC
    (ISO 8601), so that every warehouse reads them.

    Args:
        table: `ticks` or `quotes`.
        fields: the keys or codes of the requested fields.
        targets: the targets that were subscribed to.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        SubscriptionError: a field is unknown.
    """

    def __init__(self, table: TableName, fields: Iterable[str | int], targets: Iterable[str]) -> None:
        columns = tuple(fields)
        codes = ((column.code, column.name) for column in field_columns(columns))
        self._rows: Final = TableRows(codes, carries=table == "quotes", targets=targets, capacity=_GROUP_ROWS)
        self._schema: Final = table_schema(table, columns)
        self._pa: Final = import_arrow("pyarrow")
        self._compute: Final = import_arrow("pyarrow.compute")

    def __len__(self) -> int:
        """The number of rows that `take` returns."""
        return len(self._rows)

    def add(self, batch: Batch) -> Iterator[Rows]:
        """Make rows of the frames of a batch, and iterate over those that are complete groups."""
        self._rows.begin(batch)
        while self._rows.left:
            self._rows.move(_GROUP_ROWS - len(self._rows))
            if len(self._rows) >= _GROUP_ROWS:
                yield self.take()

    def observe_event(self, event: RecordedEvent) -> None:
        """Take note of an event: no value is carried across a gap, or to another connection."""
        if isinstance(event, Gap):
            self._rows.states.end_segments(event.subscription, event.first_good_ns)
        elif isinstance(event, StateChange) and event.subscription is None and event.state in UNCONNECTED:
            self._rows.states.end_segments(None)

    def take(self) -> Rows:
        """Return the rows since the last call."""
        pa, received, conids, values = self._pa, [], [], []
        for rows in self._rows.take():
            batch = pa.record_batch(rows, schema=self._schema)
            received += batch.column("received").cast(pa.int64()).to_pylist()
            conids += batch.column("conid").to_pylist()
            columns = {name: self._plain(batch.column(name)) for name in batch.schema.names}
            names = tuple(columns)
            values += [
                orjson.dumps({name: value for name, value in zip(names, row, strict=True) if value is not None})
                for row in zip(*columns.values(), strict=True)
            ]
        return Rows(received, conids, values)

    def _plain(self, column: Any) -> list[Any]:
        pa = self._pa
        if pa.types.is_timestamp(column.type):
            # The number of digits is that of the unit: ms or ns.
            column = self._compute.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
        elif pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        found: list[Any] = column.to_pylist()
        return found
