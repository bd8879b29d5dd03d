"""Rows of the tables of accounts: the updates in the messages of one topic, in columns of Python objects.

These messages are rare, some per second, so a row may cost tens of microseconds.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

import orjson

from cpapi_fast.messages.account import LedgerMessage, LedgerRow, PnlMessage, PnlRow, SummaryMessage, SummaryRow
from cpapi_fast.messages.member import JsonObject, Message
from cpapi_fast.messages.member_types import RowsMember
from cpapi_fast.messages.notices import ErrorMessage
from cpapi_fast.outputs.interface import import_arrow
from cpapi_fast.protocol.kinds import FrameKind

from .account_schema import AccountTable, AccountTableName, MemberColumn, account_table, account_table_schema
from .writer import MOST_TEXT_BYTES

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch

R = TypeVar("R", bound=JsonObject)

#: The kinds of the frames that may belong to these tables, as a pattern in the kinds of a batch.
_KINDS: Final = re.compile(b"[%c%c%c]" % (FrameKind.ORDER, FrameKind.PNL, FrameKind.OTHER))

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_INTEGERS: Final = range(-(2**63), 2**63)

#: How many accounts are noted.
_MOST_ACCOUNTS: Final = 1_000

#: The value of a member that is not there.
_MISSING: Final = object()


class Update(NamedTuple, Generic[R]):
    """One update in a message.

    Attributes:
        row: its object.
        received_ns: the receive time of its message, in ns since the Unix epoch.
        account: the account in the topic of the message or the name of the row; None without one.
        own: the values of the table's own columns after the account.
    """

    row: R
    received_ns: int
    account: str | None
    own: tuple[Any, ...] = ()


class AccountRows(Generic[R]):
    """Collects the rows of one table of accounts until they are taken as record batches. Not thread-safe.

    Attributes:
        text_bytes: about how many bytes of texts the collected rows hold.
        mismatches: how many values of each column were not of its kind, as a dict of the columns with any. A value that
            rows keep from an earlier update counts once.
        malformed: how many updates are no row: those that are no object, and messages that cannot be read or have no
            updates where they have to be.
        repeated: how many updates repeated what a row has.
        left_out: how many updates have values that later rows do not have: without an id, without room for another id,
            or too large.
        accounts: the accounts by topic or name of which an update was collected, at most 1,000.

    Args:
        name: the table.
        channel: the start of the topics whose messages it takes.
        message_class: the class of the messages.
        rows_member: the member of the messages with the updates.
    """

    def __init__(
        self, name: AccountTableName, channel: str, message_class: type[Message], rows_member: RowsMember[R]
    ) -> None:
        self.text_bytes = 0
        self.mismatches: Final[dict[str, int]] = {}
        self.malformed = 0
        self.repeated = 0
        self.left_out = 0
        self.accounts: Final[set[str | None]] = set()
        self._table: Final[AccountTable] = account_table(name)
        self._schema: Final = account_table_schema(name)
        self._members: Final = self._table.members
        self._known: Final = frozenset(column.key for column in self._members)
        self._channel: Final = channel
        self._message_class: Final = message_class
        self._body_key: Final = rows_member.key
        self._rows_of: Final[Callable[[Message], tuple[R, ...]]] = rows_member.__get__
        #: What was not moved yet; None for an update that is no object.
        self._left: Final[deque[Update[R] | None]] = deque()
        self._columns: list[list[Any]] = [[] for _ in self._schema]

    # --- what a message contains ------------------------------------------------------------------

    def begin(self, batch: Batch) -> None:
        """Take the updates of a batch, which are then moved."""
        self._left.extend(self._updates(batch))

    def count(self, batch: Batch) -> int:
        """How many updates a batch has."""
        return sum(1 for _ in self._updates(batch))

    @property
    def left(self) -> int:
        """How many updates were not moved yet."""
        return len(self._left)

    def _updates(self, batch: Batch) -> Iterator[Update[R] | None]:
        for found in _KINDS.finditer(bytes(batch.kinds)):
            frame = batch[found.start()]
            topic = frame.topic
            if topic is not None and topic.partition("+")[0] == self._channel:
                yield from self._updates_of(frame.message)

    def _updates_of(self, message: Message | None) -> Iterator[Update[R] | None]:
        if isinstance(message, ErrorMessage):
            # A refusal of the subscribe, say. It has no update; the feed reports it and subscribes again.
            body = message.raw.get(self._body_key)
            yield from [None] * (len(body) if isinstance(body, (list, dict)) else body is not None)
            return
        if not isinstance(message, self._message_class):
            yield None
            return
        rows, entries = self._rows_of(message), message.raw.get(self._body_key)
        for row in rows:
            yield self._update_of(message, row)
        # One for each entry that is no object, and one for a message without entries where they have to be.
        is_odd = type(entries) is not (dict if self._message_class is PnlMessage else list)
        for _ in range(1 if is_odd else len(entries or ()) - len(rows)):
            yield None

    def _update_of(self, message: Message, row: R) -> Update[R]:
        return Update(row, message.received_ns, message.target or None)

    # --- rows -------------------------------------------------------------------------------------

    def _state_after(self, update: Update[R]) -> JsonObject | None:
        """The object whose members become the row of an update; None for no row, because it repeats one."""
        return update.row

    def _own_values(self, update: Update[R]) -> tuple[Any, ...]:
        """The values of the table's own columns after the account."""
        return update.own

    def move(self, limit: int, most_items: int = 1 << 62) -> int:
        """Make at most `limit` rows of at most `most_items` of what is left, and fewer if their texts are large.

        Returns:
            The number of new rows.
        """
        moved = 0
        end = len(self._left) - most_items
        while len(self._left) > max(end, 0) and moved < limit and self.text_bytes <= MOST_TEXT_BYTES:
            update = self._left.popleft()
            if update is None:
                self.malformed += 1
                continue
            row = self._state_after(update)
            if row is None:
                self.repeated += 1
                continue
            if len(self.accounts) < _MOST_ACCOUNTS:
                self.accounts.add(update.account)
            self._add(update, row)
            moved += 1
        return moved

    def _add(self, update: Update[R], row: JsonObject) -> None:
        account_keys = self._table.account_keys
        # An empty text is no account.
        named = (row.raw[key] for key in account_keys if type(row.raw.get(key)) is str and row.raw[key])
        account = next(named, update.account)
        others = {
            key: value
            for key, value in row.raw.items()
            if key not in self._known and (key not in account_keys or value not in ("", account))
        }
        sent = update.row.raw
        wrong_accounts = (others[key] for key in account_keys if key in sent and key in others)
        if any(type(value) is not str and value is not None for value in wrong_accounts):
            self._mismatch("account")
        values = [update.received_ns, _utf8(account), *self._own_values(update)]
        wrong = frozenset(row.problems)
        for column in self._members:
            value = _converted(row, column, wrong)
            if value is _MISSING:
                if column.key in sent:
                    self._mismatch(column.name)
                others[column.key] = row.raw[column.key]
                value = None
            values.append(value)
        values.append(self._text_of(others))
        for one, value in zip(self._columns, values, strict=True):
            one.append(value)
            if type(value) is str:
                self.text_bytes += len(value)

    def _text_of(self, others: dict[str, Any]) -> str | None:
        if not others:
            return None
        text = _json(others)
        if text is None:
            self._mismatch("other")
        return text

    def _mismatch(self, name: str) -> None:
        self.mismatches[name] = self.mismatches.get(name, 0) + 1

    def take(self) -> list[Any]:
        """Return the collected rows as a list of one `pyarrow.RecordBatch` or none, and begin with no rows."""
        if not len(self):
            return []
        pa = import_arrow("pyarrow")
        arrays = []
        for field, values in zip(self._schema, self._columns, strict=True):
            is_dictionary = pa.types.is_dictionary(field.type)
            array = pa.array(values, pa.string() if is_dictionary else field.type)
            arrays.append(array.dictionary_encode() if is_dictionary else array)
        self._clear()
        return [pa.RecordBatch.from_arrays(arrays, schema=self._schema)]

    def forget(self) -> None:
        """Forget all collected rows, and what is left."""
        self._left.clear()
        self._clear()

    def _clear(self) -> None:
        self._columns = [[] for _ in self._schema]
        self.text_bytes = 0

    def __len__(self) -> int:
        """The number of collected rows."""
        return len(self._columns[0])


class PnlRows(AccountRows[PnlRow]):
    """The rows of profit and loss, as sent."""

    def __init__(self) -> None:
        super().__init__("pnl", "spl", PnlMessage, PnlMessage.rows)

    def _update_of(self, message: Message, row: PnlRow) -> Update[PnlRow]:
        return Update(row, message.received_ns, row.account or None, (_utf8(row.name),))


class SummaryRows(AccountRows[SummaryRow]):
    """The values of account summaries, as sent."""

    def __init__(self) -> None:
        super().__init__("account_summary", "ssd", SummaryMessage, SummaryMessage.rows)


class LedgerRows(AccountRows[LedgerRow]):
    """The balances by currency, as sent."""

    def __init__(self) -> None:
        super().__init__("ledger", "sld", LedgerMessage, LedgerMessage.rows)


def may_have_updates(batch: Batch) -> bool:
    """Whether a batch has frames that may belong to a table of accounts. Takes a fraction of a microsecond."""
    return _KINDS.search(bytes(batch.kinds)) is not None


def _converted(row: JsonObject, column: MemberColumn, wrong: frozenset[str]) -> Any:
    """The value of a member for its column; None for no value, `_MISSING` for one of another kind."""
    value = row.raw.get(column.key)
    if value is None:
        return None
    if column.type_name == "wire text":
        return _utf8(value) if type(value) is str else _MISSING
    if column.key in wrong:
        return _MISSING
    found = getattr(row, column.name)
    if column.type_name == "text":
        return _utf8(found)
    if column.type_name == "time":
        return None if found is None else (found - _EPOCH) // _MILLISECOND
    if column.type_name == "int64" and found is not None and found not in _INTEGERS:
        return _MISSING
    return found


def _utf8(text: str | None) -> str | None:
    """A text without half characters, which JSON escapes can have and Arrow cannot."""
    if text is None or text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _json(members: dict[str, Any]) -> str | None:
    """The JSON text of decoded members; None if there is none, because they are nested too deeply, say."""
    try:
        return orjson.dumps(members).decode()
    except TypeError:
        # Integers of more than 64 bits, numbers beyond float64, or half characters.
        try:
            return json.dumps(members, default=str, separators=(",", ":"))
        except (ValueError, RecursionError):
            return None
