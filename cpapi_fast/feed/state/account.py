"""Rows of accounts by key, merged from sparse updates: profit and loss (`spl`), summary (`ssd`) and ledger (`sld`)"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final, Generic, TypeVar

from cpapi_fast.messages.account import LedgerMessage, LedgerRow, PnlMessage, PnlRow, SummaryMessage, SummaryRow

from .rows import CurrentRows, Rows, RowStore

#: The time of a row. A row in which only the time is new did not change.
_TIMESTAMP: Final = "timestamp"

#: The members of a row that are no values.
_NO_VALUE: Final = frozenset({"key", _TIMESTAMP, "rowType"})


class Pnl(PnlRow):
    """The profit and loss of one account or part of one, merged from its updates. It does not change.

    It has the attributes of a `PnlRow`. A member that an update does not have keeps its value.

    Attributes:
        raw: the merged members.
        name: the name of the row, such as `DU1234567.Core`.
        received_ns: the receive time of its last update, in ns since the Unix epoch.
        is_current: whether an update with a value arrived since the subscription was last interrupted.
    """

    __slots__ = ("is_current", "received_ns")

    def __init__(self, raw: dict[str, Any], name: str = "", received_ns: int = 0, *, is_current: bool = True) -> None:
        super().__init__(raw, name)
        self.received_ns: Final = received_ns
        self.is_current: Final = is_current

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (Pnl, self.raw, self.name, self.received_ns, self.is_current)

    def __repr__(self) -> str:
        # Without the name, which contains the account.
        return f"<Pnl, day {self.dpl}, unrealized {self.upl}{'' if self.is_current else ', not current'}>"


class PnlRows(Rows[str, Pnl]):
    """The rows of profit and loss by name, which the account alone finds as well."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Pnl:
        row = self._rows.get(key)
        if row is None and isinstance(key, str) and "." not in key:
            # The main row of an account; its name was also recorded without a word after the point.
            row = self._rows.get(f"{key}.Core") or self._rows.get(f"{key}.")
        if row is None:
            raise KeyError(key)
        return row


class AccountValue(SummaryRow):
    """One value of the summary of an account, merged from its updates. It does not change.

    It has the attributes of a `SummaryRow`. A member that an update does not have keeps its value.

    Attributes:
        raw: the merged members.
        account: the account.
        received_ns: the receive time of its last update, in ns since the Unix epoch.
        is_current: whether an update with a value arrived since the subscription was last interrupted.
    """

    __slots__ = ("account", "is_current", "received_ns")

    def __init__(
        self, raw: dict[str, Any], account: str = "", received_ns: int = 0, *, is_current: bool = True
    ) -> None:
        super().__init__(raw)
        self.account: Final = account
        self.received_ns: Final = received_ns
        self.is_current: Final = is_current

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (AccountValue, self.raw, self.account, self.received_ns, self.is_current)

    def __repr__(self) -> str:
        return f"<AccountValue {self.monetary_value}{'' if self.is_current else ', not current'}>"


class LedgerBalance(LedgerRow):
    """The balances of an account in one currency, merged from their updates. It does not change.

    It has the attributes of a `LedgerRow`. A member that an update does not have keeps its value.

    Attributes:
        raw: the merged members.
        account: the account.
        received_ns: the receive time of its last update, in ns since the Unix epoch.
        is_current: whether an update with a value arrived since the subscription was last interrupted.
    """

    __slots__ = ("account", "is_current", "received_ns")

    def __init__(
        self, raw: dict[str, Any], account: str = "", received_ns: int = 0, *, is_current: bool = True
    ) -> None:
        super().__init__(raw)
        self.account: Final = account
        self.received_ns: Final = received_ns
        self.is_current: Final = is_current

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (LedgerBalance, self.raw, self.account, self.received_ns, self.is_current)

    def __repr__(self) -> str:
        return f"<LedgerBalance, cash {self.cash_balance}{'' if self.is_current else ', not current'}>"


R = TypeVar("R", Pnl, AccountValue, LedgerBalance)

#: The topic and the key in it: the name of a row of profit and loss, or the `key` of a value or of balances.
Key = tuple[str, str]


def _rebuilt(row_class: type[R], raw: dict[str, Any], owner: str, received_ns: int, is_current: bool) -> R:
    return row_class(raw, owner, received_ns, is_current=is_current)


def _created(row_class: type[R], owner: str, received_ns: int, raw: dict[str, Any]) -> R:
    return row_class(raw, owner, received_ns)


class AccountRows(Generic[R]):
    """The rows of one kind, of all accounts.

    Attributes:
        store: the rows and their counts.

    Args:
        row_class: `Pnl`, `AccountValue` or `LedgerBalance`.
        most: how many rows to keep. Beyond that, the one that is not current for the longest time is removed; without
            such a one, the new row is left out.
    """

    def __init__(self, row_class: type[R], most: int) -> None:
        self._row_class: Final[type[R]] = row_class
        self.store: Final[RowStore[Key, R]] = RowStore(most, row_class)
        self._current: Final[CurrentRows[Key]] = CurrentRows()

    @property
    def snapshot(self) -> Rows[Key, R]:
        """The rows at this moment, by account and key; of profit and loss, by an empty text and name."""
        return self.store.snapshot

    @property
    def scopes(self) -> list[str]:
        """The accounts that have current rows; an empty text for those of profit and loss."""
        return self._current.scopes

    def update(self, message: PnlMessage | SummaryMessage | LedgerMessage) -> list[R]:
        """Merge a message, and return the rows that changed."""
        if isinstance(message, PnlMessage):
            return self._update("", ((row.name, row.name, row.raw) for row in message.rows), message.received_ns)
        account = message.target
        return self._update(account, ((row.key, account, row.raw) for row in message.rows), message.received_ns)

    def _update(self, scope: str, rows: Iterable[tuple[str | None, str, dict[str, Any]]], received_ns: int) -> list[R]:
        changed = []
        for name, owner, update in rows:
            text = self.store.checked(name)
            key = None if text is None else (scope, text)
            create = partial(_created, self._row_class, owner, received_ns)
            found = self.store.put_update(key, update, create, self._make_room)
            if found is None or key is None:
                continue
            before, row = found
            # A row without a change is sent with its key and time only, which says nothing about its values.
            if (before is None or not before.is_current) and update.keys() <= _NO_VALUE:
                row = self._row_class(row.raw, owner, received_ns, is_current=False)
                self.store.put(key, row)
            self._current.set(scope, key, is_current=row.is_current)
            if before is None or before.is_current != row.is_current or _is_new(before, row):
                changed.append(row)
        return changed

    def interrupt(self, scope: str) -> list[R]:
        """Mark the rows of an account as not current, or with an empty text those of P&L; return those that were."""
        changed = []
        for key in self._current.interrupt(scope):
            row = self.store.rows[key]
            owner = row.name if isinstance(row, Pnl) else row.account
            row = self._row_class(row.raw, owner, row.received_ns, is_current=False)
            self.store.put(key, row)
            changed.append(row)
        return changed

    def _make_room(self) -> bool:
        key = self._current.oldest_not_current
        if key is None:
            return False
        self._current.remove(key[0], key)
        self.store.evict(key)
        return True


def _is_new(before: R, now: R) -> bool:
    return {**before.raw, _TIMESTAMP: None} != {**now.raw, _TIMESTAMP: None}
