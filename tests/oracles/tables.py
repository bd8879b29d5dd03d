"""The slow definition of the tables `ticks` and `quotes`: dicts, from the decoded payloads of single frames."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.events import FeedState, Gap, StateChange
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import Frame
from cpapi_fast.outputs.tables.schema import FieldColumn, field_columns
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.protocol.numbers import number_prefix, parse_number

#: The states of a feed without a connection to the gateway.
UNCONNECTED = (FeedState.DISCONNECTED, FeedState.CONNECTING, FeedState.OPEN)

#: A decoded value with its prefix.
Value = tuple[Any, str | None]


class SlowTable:
    """The rows of one table.

    Attributes:
        rows: the rows as dicts, times as int.
        dropped: how many frames have no row, by reason.
        mismatches: how many values were not of the kind of their column, by column.
    """

    def __init__(self, *, carries: bool, fields: Iterable[str | int] = ()) -> None:
        self.rows: list[dict[str, Any]] = []
        self.dropped: Counter[str] = Counter()
        self.mismatches: Counter[str] = Counter()
        self._carries = carries
        self._columns = field_columns(fields)
        self._symbols: dict[object, str] = {}
        self._states: dict[str, dict[str, Value]] = {}
        self._segments: dict[str, int] = {}
        self._last_segments: dict[str, int] = {}
        self._first_snapshots: dict[str, float] = {}
        #: By topic, None for all: when the last of the gaps that were reported so far ends.
        self._gap_ends: dict[str | None, int] = {}

    def put(self, item: Batch | Gap | StateChange) -> None:
        """Add the rows of a batch, or take note of an event."""
        if isinstance(item, StateChange):
            if item.subscription is None and item.state in UNCONNECTED:
                self._end(None)
            return
        if isinstance(item, Gap):
            self._end(item.subscription)
            if item.first_good_ns is not None:
                ends = self._gap_ends
                topics = {item.subscription} if item.subscription else {None, *ends}
                everywhere = ends.get(None, 0)
                ends.update({topic: max(item.first_good_ns, ends.get(topic, everywhere)) for topic in topics})
            return
        late_ns = [0] * len(item) if item.late_ns is None else list(item.late_ns)
        for frame, late in zip(item, late_ns, strict=True):
            if frame.kind is FrameKind.MARKET_DATA:
                self._add(frame, late)

    def _end(self, ended: str | None) -> None:
        for topic in list(self._states):
            if ended in (None, topic):
                del self._states[topic]
                self._segments.pop(topic, None)
                self._first_snapshots.pop(topic, None)

    def _add(self, frame: Frame, late_ns: int) -> None:
        try:
            payload = frame.payload
        except MalformedPayloadError:
            self.dropped["malformed"] += 1
            return
        topic = payload["topic"]
        if frame.received_ns >= self._gap_ends.setdefault(topic, self._gap_ends.get(None, 0)):
            # Joined gaps are reported before rows that lie between them.
            if self._gap_ends[topic]:
                self._end(topic)
            self._gap_ends[topic] = 0
        state = self._states.setdefault(topic, {})
        if topic not in self._segments:
            number = max(frame.received_ns, self._last_segments.get(topic, 0) + 1)
            self._segments[topic] = self._last_segments[topic] = number
        sent = {column.code: self._value(column, payload) for column in self._columns if column.code in payload}
        updated = sent.pop("_updated", (None, None))[0]
        if updated is not None and not is_time(updated):
            self.mismatches["updated"] += 1
        is_snapshot = sent.get("6509", (None, None))[0] is not None
        first = self._first_snapshots.pop(topic, None)
        if self._carries and is_snapshot and updated is not None and first == updated:
            nothing = (None, None)
            if all(state.get(code, nothing) == value for code, value in sent.items()):
                self.dropped["repeated snapshot"] += 1
                return
        if is_snapshot and updated is not None:
            self._first_snapshots[topic] = updated
        state.update(sent)
        # An instrument has one symbol, and a combination has one of its own.
        instrument = topic if ";" in topic else frame.conid
        symbol = sent.get("55", (None, None))[0]
        if symbol not in (None, "-"):
            self._symbols[instrument] = symbol
        values = dict(state) if self._carries else sent
        row: dict[str, Any] = {
            "received": frame.received_ns,
            "updated": _time(updated),
            "late_ns": late_ns,
            "conid": frame.conid,
            "symbol": self._symbols.get(instrument),
            "target": frame.target,
            "availability": state.get("6509", (None, None))[0],
        }
        if self._carries:
            row["segment"] = self._segments[topic]
        for column in self._columns[3:]:
            value, prefix = values.get(column.code, (None, None))
            row[column.name] = _converted(column, value)
            if column.code == "31":
                row["last_price_prefix"] = prefix
        self.rows.append(row)
        # Long texts are not carried forward.
        for code in [code for code, (value, _) in state.items() if is_long(value)]:
            del state[code]
        if is_long(self._symbols.get(instrument)):
            del self._symbols[instrument]

    def _value(self, column: FieldColumn, payload: dict[str, Any]) -> Value:
        value = payload[column.code]
        if column.type_name == "text":
            found, nothing = (value if isinstance(value, str) else None), value is None
        else:
            found, nothing = parse_number(value), value is None or value in ("", "-", "N/A")
        self.mismatches[column.name] += found is None and not nothing
        return found, None if column.type_name == "text" else number_prefix(value)


def is_long(value: object) -> bool:
    return isinstance(value, str) and len(value.encode()) > 1024


def is_time(updated: float) -> bool:
    """Whether a time in ms is in the years 1 to 9999."""
    return -62135596800000 <= math.floor(updated) <= 253402300799999


def _time(updated: float | None) -> int | None:
    return None if updated is None or not is_time(updated) else math.floor(updated)


def _whole(value: float) -> int | None:
    return None if abs(value) >= 2.0**53 else math.floor(value)


def _converted(column: FieldColumn, value: Any) -> Any:
    if value is None or column.type_name in ("text", "float64"):
        return value
    return value != 0.0 if column.type_name == "bool" else _whole(value)
