"""The slow definition of the tables of accounts: dicts, from the JSON of single frames."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
from collections import Counter
from typing import Any

from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.run_events import OrderList
from cpapi_fast.outputs.tables.account_schema import AccountTableName, account_table_schema
from cpapi_fast.protocol.numbers import parse_number

CHANNELS = {"orders": "sor", "executions": "str", "pnl": "spl", "account_summary": "ssd", "ledger": "sld"}

#: What the gateway sends where it has no value.
NOTHING = ("", "-", "N/A")

WRONG = object()

#: The columns that contain the text on the wire, although the messages have enums.
WIRE_TEXTS = ("status", "side")


def decoded(raw: bytes) -> Any:
    """The JSON of a frame as Python reads it; None if it is not JSON."""

    def number(text: str) -> Any:
        value = float(text)
        return value if math.isfinite(value) else decimal.Decimal(text)

    def constant(text: str) -> Any:
        raise ValueError(text)

    try:
        return json.loads(raw.decode("utf-8", "replace"), parse_float=number, parse_constant=constant)
    except ValueError:
        return None


class SlowAccountTable:
    """The rows of one table of accounts.

    Attributes:
        rows: the rows as dicts, times as int.
        dropped: how many updates have no row, by reason.
        mismatches: how many values were not of the kind of their column, by column.
        received: how many updates there were.
    """

    def __init__(self, name: AccountTableName) -> None:
        self.rows: list[dict[str, Any]] = []
        self.dropped: Counter[str] = Counter()
        self.mismatches: Counter[str] = Counter()
        self.received = 0
        self._name = name
        self._channel = CHANNELS[name]
        self._columns = [
            (field.name, field.metadata[b"key"].decode(), str(field.type))
            for field in account_table_schema(name)
            if b"key" in field.metadata
        ]
        self._executions: dict[str, dict[str, Any]] = {}
        self._orders: dict[int, dict[str, Any]] = {}
        self._segment: int | None = None
        self._last_segment = 0
        self._gap_end: int | None = None

    def put(self, item: Batch | Gap | StateChange | OrderList) -> None:
        """Add the rows of a batch or a list, or take note of an event."""
        if isinstance(item, Batch):
            for frame in item:
                topic = frame.topic
                if topic is not None and topic.split("+")[0] == self._channel:
                    self._add(decoded(frame.raw), frame.received_ns)
        elif self._name != "orders":
            return
        elif isinstance(item, OrderList):
            self._add_list(item)
        elif isinstance(item, Gap):
            if item.subscription in (None, "sor"):
                is_old = self._segment is None or self._segment > item.last_good_ns
                if item.cause is Cause.CONSUMER_OVERFLOW or not is_old:
                    self._end()
                    if item.first_good_ns is not None:
                        self._gap_end = max(self._gap_end or 0, item.first_good_ns)
        elif item.subscription is None:
            if item.state not in (FeedState.AUTHENTICATED, FeedState.STREAMING, FeedState.STALE):
                self._end()
        elif item.subscription == "sor" and item.state not in (FeedState.OPEN, FeedState.STREAMING):
            self._end()

    def _end(self) -> None:
        self._segment = None
        self._orders = {}

    def _begin(self, received_ns: int) -> None:
        if self._gap_end is not None and received_ns >= self._gap_end:
            self._end()
            self._gap_end = None
        if self._segment is None:
            self._segment = self._last_segment = max(received_ns, self._last_segment + 1)

    def _add_list(self, listed: OrderList) -> None:
        updates = [order.raw for order in listed.orders]
        for update in updates or [{}]:
            self.received += 1
            self._begin(listed.received_ns)
            row = self._merged_order(update)
            self._write(row, listed.received_ns, None, [self._segment, True], update)

    def _add(self, message: Any, received_ns: int) -> None:
        body = "result" if self._channel in ("ssd", "sld") else "args"
        if isinstance(message, dict) and isinstance(message.get("error"), str):
            # No update of an error has a row.
            updates = message.get(body)
            if isinstance(updates, (list, dict)):
                for _ in updates:
                    self._drop("malformed")
            elif updates is not None:
                self._drop("malformed")
            return
        is_right = isinstance(message, dict) and isinstance(message.get("topic"), str)
        if not is_right or message["topic"].split("+")[0] != self._channel:
            self._drop("malformed")
            return
        entries = message.get(body)
        target = message["topic"].partition("+")[2] or None
        if self._name == "pnl":
            if not isinstance(entries, dict):
                self._drop("malformed")
                return
            for name, entry in entries.items():
                if isinstance(entry, dict):
                    self.received += 1
                    self._write(entry, received_ns, name.split(".")[0] or None, [sound(name)], entry)
                else:
                    self._drop("malformed")
            return
        if not isinstance(entries, list):
            self._drop("malformed")
            return
        for entry in entries:
            if not isinstance(entry, dict):
                self._drop("malformed")
                continue
            if self._name == "orders":
                self.received += 1
                self._begin(received_ns)
                self._write(self._merged_order(entry), received_ns, None, [self._segment, False], entry)
            elif self._name == "executions":
                self._add_execution(entry, received_ns)
            else:
                self.received += 1
                self._write(entry, received_ns, target, [], entry)

    def _drop(self, reason: str) -> None:
        self.received += 1
        self.dropped[reason] += 1

    def _merged_order(self, update: dict[str, Any]) -> dict[str, Any]:
        number = integer(update.get("orderId"))
        if type(number) is not int:
            return update
        self._orders[number] = self._orders.get(number, {}) | update
        return self._orders[number]

    def _add_execution(self, update: dict[str, Any], received_ns: int) -> None:
        name = update.get("execution_id")
        if not isinstance(name, str) or not name or len(name) > 200:
            self.received += 1
            self._write(update, received_ns, None, [], update)
            return
        known = self._executions.get(name)
        has_commission = known is not None and parse_number(known.get("commission")) is not None
        if has_commission and update.get("commission", 0) in (None, *NOTHING):
            update = {key: value for key, value in update.items() if key != "commission"}
        merged = (known or {}) | update
        if merged == known:
            self._drop("repeated execution")
            return
        self._executions[name] = merged
        self.received += 1
        self._write(merged, received_ns, None, [], update)

    # --- one row ----------------------------------------------------------------------------------

    def _write(
        self, values: dict[str, Any], received_ns: int, account: str | None, own: list[Any], sent: dict[str, Any]
    ) -> None:
        # A wrong value that is carried forward counts once.
        account_keys = {"orders": ("acct", "account"), "executions": ("account", "accountCode")}.get(self._name, ())
        texts = [values[key] for key in account_keys if isinstance(values.get(key), str)]
        account = next(filter(None, texts), account)
        others = {
            key: value
            for key, value in values.items()
            if key not in [known for _, known, _ in self._columns]
            and (key not in account_keys or all(value != known for known in ("", account)))
        }
        wrong_accounts = [others[key] for key in account_keys if key in others and key in sent]
        if any(value is not None and not isinstance(value, str) for value in wrong_accounts):
            self.mismatches["account"] += 1
        names = [field.name for field in account_table_schema(self._name)]
        row = dict(zip(names, [received_ns, sound(account), *own], strict=False))
        for name, key, type_name in self._columns:
            value = self._value(name, key, type_name, values.get(key))
            if value is WRONG:
                self.mismatches[name] += key in sent
                others[key] = values[key]
                value = None
            row[name] = value
        row["other"] = others or None
        self.rows.append(row)

    def _value(self, name: str, key: str, type_name: str, value: Any) -> Any:
        if value is None:
            return None
        if type_name == "double":
            number = parse_number(value)
            return number if number is not None else nothing_or_wrong(value)
        if type_name == "bool":
            if isinstance(value, str):
                found = {"1": True, "true": True, "0": False, "false": False}.get(value)
                return nothing_or_wrong(value) if found is None else found
            return bool(value) if isinstance(value, (bool, int, float)) and value in (0, 1) else WRONG
        if type_name == "int64":
            found = integer(value)
            return WRONG if isinstance(found, int) and not -(2**63) <= found < 2**63 else found
        if type_name.startswith("timestamp"):
            found = integer(value)
            if not isinstance(found, int):
                return found
            ms = found * 1000 if key == "timestamp" else found
            try:
                datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms)
            except OverflowError:
                return WRONG
            return ms
        if name == "clearing_id" and type(value) is int and -(2**63) <= value < 2**64:
            return str(value)
        return sound(value) if isinstance(value, str) else WRONG


def integer(value: Any) -> Any:
    """A whole number; None for no value, or WRONG."""
    if isinstance(value, str):
        return int(value) if re.fullmatch("-?[0-9]{1,19}", value) else nothing_or_wrong(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else WRONG
    if value is None:
        return None
    return value if type(value) is int else WRONG


def nothing_or_wrong(value: Any) -> Any:
    """None if the value stands for none, otherwise WRONG."""
    return None if value in NOTHING else WRONG


def sound(text: Any) -> Any:
    """A text in which a half character is the replacement character."""
    return text if text is None else re.sub("[\ud800-\udfff]", "\ufffd", text)


def read_back(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a file with its `other` as an object, to compare it with a slow one."""
    return row | {"other": None if row["other"] is None else json.loads(row["other"])}


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A slow row with its `other` as JSON has it: decimals are texts."""
    return row | {"other": None if row["other"] is None else json.loads(json.dumps(row["other"], default=str))}
