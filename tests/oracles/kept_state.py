"""A model of the kept state: dictionaries that are merged member by member, and searched from the start each time."""

from __future__ import annotations

from typing import Any, Final

from cpapi_fast.feed.state import KeptState
from cpapi_fast.frames.frame import Frame
from tests.oracles.messages import WRONG, value_of

_ORDER_ID: Final = "orderId"
_FINISHED: Final = ("Filled", "Cancelled")


class Model:
    """What is kept of each kind, as lists of rows in the order of their first update.

    Args:
        most: how many rows there may be of each kind.
    """

    def __init__(self, most: int) -> None:
        self.most: Final = most
        #: By kind: key, members, whether it is current, and the members that arrived since the last interruption.
        self.rows: Final[dict[str, list[list[Any]]]] = {kind: [] for kind in ("sor", "str", "spl", "ssd", "sld")}
        #: By kind and key: when the row became current.
        self._since: Final[dict[tuple[str, Any], int]] = {}
        self._count = 0
        #: By id: the trade time of an execution, and its number; all of those there ever were; those removed.
        self._times: Final[dict[str, tuple[int, int]]] = {}
        self._all_times: Final[list[tuple[int, int]]] = []
        self._removed_ms: Final[list[int]] = []
        #: The orders that finished, in that order.
        self._finished: Final[list[Any]] = []
        #: By kind: the rows that are not current, in the order in which they became so.
        self._not_current: Final[dict[str, list[Any]]] = {kind: [] for kind in self.rows}
        self.left_out = 0
        self.evicted = 0

    def put(self, payload: dict[str, Any]) -> list[tuple[Any, dict[str, Any], bool]]:
        """Merge a message; return the rows that changed, as they are after their update."""
        topic = payload["topic"]
        kind, _, account = topic.partition("+")
        entries = payload.get("result" if kind in ("ssd", "sld") else "args")
        if entries is not None and not isinstance(entries, dict if kind == "spl" else list):
            self.left_out += 1
        if kind == "spl":
            updates = list(entries.items()) if isinstance(entries, dict) else []
        else:
            updates = [(None, entry) for entry in entries] if isinstance(entries, list) else []
        changed = []
        for name, update in updates:
            if not isinstance(update, dict):
                self.left_out += 1
                continue
            key = self._key(kind, account, name, update)
            if key is None:
                self.left_out += 1
                continue
            row = next((row for row in self.rows[kind] if row[0] == key), None)
            if kind == "str":
                update = _with_known_commission(row, update)
            if row is None:
                if not (self._has_room_for_execution(update) if kind == "str" else self._has_room(kind)):
                    self.left_out += 1
                    continue
                row = [key, {}, None, set()]
                self.rows[kind].append(row)
            before, was_current = dict(row[1]), row[2]
            for member, value in update.items():
                row[1][member] = value
                if kind != "sor" or value is not None:
                    row[3].add(member)
            row[2] = _is_current(kind, row, before)
            if kind == "sor":
                self._note_end(row)
            if kind == "str":
                self._note_time(key, update)
            self._note_current(kind, row)
            if was_current is not row[2] or _without_time(kind, before) != _without_time(kind, row[1]):
                changed.append((key, dict(row[1]), row[2]))
        return changed

    def interrupt(self, kind: str, account: str | None = None) -> list[tuple[Any, dict[str, Any], bool]]:
        changed = []
        for row in self.rows[kind]:
            if account is not None and row[0][0] != account:
                continue
            row[3].clear()
            is_final = kind == "str" or (kind == "sor" and row[1].get("status") in _FINISHED)
            if row[2] and not is_final:
                row[2] = False
                changed.append((row[0], dict(row[1]), False))
        for row in sorted(self.rows[kind], key=lambda row: self._since.get((kind, row[0]), 0)):
            self._note_current(kind, row)
        return changed

    @staticmethod
    def _key(kind: str, account: str, name: str | None, update: dict[str, Any]) -> Any:
        if kind == "sor":
            order_id = update.get(_ORDER_ID)
            number = value_of(_INTEGER, order_id)
            return None if number is WRONG else number
        text = {"str": update.get("execution_id"), "spl": name}.get(kind, update.get("key"))
        if not isinstance(text, str) or not text:
            return None
        return text if kind == "str" else ("", text) if kind == "spl" else (account, text)

    def _note_end(self, row: list[Any]) -> None:
        is_finished = row[1].get("status") in _FINISHED
        if is_finished and row[0] not in self._finished:
            self._finished.append(row[0])
        elif not is_finished and row[0] in self._finished:
            self._finished.remove(row[0])

    def _note_current(self, kind: str, row: list[Any]) -> None:
        waiting = self._not_current[kind]
        if row[2]:
            if row[0] in waiting:
                waiting.remove(row[0])
            self._count += 1
            if kind == "sor" and row[1].get("status") in _FINISHED:
                self._since.pop((kind, row[0]), None)
            else:
                self._since.setdefault((kind, row[0]), self._count)
        else:
            self._since.pop((kind, row[0]), None)
            if row[0] not in waiting:
                waiting.append(row[0])

    def _note_time(self, key: str, update: dict[str, Any]) -> None:
        time_ms = _time_ms(update)
        if key not in self._times:
            self._count += 1
            latest_ms = max((known_ms for known_ms, _ in self._all_times), default=0)
            self._times[key] = (max(latest_ms, 0) if time_ms is None else time_ms, self._count)
        elif time_ms is not None:
            self._times[key] = (time_ms, self._times[key][1])
        self._all_times.append(self._times[key])

    def _has_room_for_execution(self, update: dict[str, Any]) -> bool:
        if len(self.rows["str"]) < self.most:
            return True
        time_ms = _time_ms(update)
        key = min(self._times, key=lambda key: self._times[key])
        earliest_ms = self._times[key][0]
        if time_ms is not None and (time_ms < earliest_ms or any(time_ms <= removed for removed in self._removed_ms)):
            return False
        del self._times[key]
        self._removed_ms.append(earliest_ms)
        self.rows["str"] = [row for row in self.rows["str"] if row[0] != key]
        self.evicted += 1
        return True

    def _has_room(self, kind: str) -> bool:
        rows = self.rows[kind]
        if len(rows) < self.most:
            return True
        finished = self._finished if kind == "sor" else []
        key = finished.pop(0) if finished else next(iter(self._not_current[kind]), None)
        if key is None:
            return False
        rows[:] = [row for row in rows if row[0] != key]
        self._since.pop((kind, key), None)
        if key in self._not_current[kind]:
            self._not_current[kind].remove(key)
        self.evicted += 1
        return True


def _is_current(kind: str, row: list[Any], before: dict[str, Any]) -> bool:
    if kind == "str":
        return True
    if kind == "sor":
        was_final = row[2] and before.get("status") in _FINISHED
        is_confirmed = "status" in row[3] and bool({"filledQuantity", "remainingQuantity"} & row[3])
        return is_confirmed or bool(was_final and row[1].get("status") in _FINISHED)
    return bool(row[3] - {"key", "timestamp", "rowType"})


def _with_known_commission(row: list[Any] | None, update: dict[str, Any]) -> dict[str, Any]:
    known = None if row is None else value_of(_NUMBER, row[1].get("commission"))
    if known in (None, WRONG) or update.get("commission", "has none") not in (None, "", "-", "N/A"):
        return update
    return {member: value for member, value in update.items() if member != "commission"}


def _time_ms(update: dict[str, Any]) -> int | None:
    value = value_of(_INTEGER, update.get("trade_time_r"))
    return None if value is WRONG else value


class _Integer:
    """Selects the rule of an integer in `value_of`."""


_Integer.__name__ = "IntegerMember"
_INTEGER: Final[Any] = _Integer()


class _Number:
    """Selects the rule of a number."""


_Number.__name__ = "NumberMember"
_NUMBER: Final[Any] = _Number()


def _without_time(kind: str, members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if kind not in ("spl", "ssd", "sld") or name != "timestamp"}


class Twins:
    """A kept state and its model, driven together; every step compares all that can be read.

    Args:
        most: how many rows there may be of each kind.
    """

    def __init__(self, most: int) -> None:
        self.state: Final = KeptState(max_orders=most, max_executions=most, max_account_rows=most)
        self.model: Final = Model(most)
        self._changes: list[Any] = []
        self.state.on_change = lambda _kind, row: self._changes.append(row)

    def put(self, frame: Frame, payload: dict[str, Any]) -> None:
        self._changes.clear()
        self.state.on_subscription_frame(frame)
        self.state.flush()
        expected = self.model.put(payload)
        assert [(row.raw, getattr(row, "is_current", True)) for row in self._changes] == [
            (raw, is_current) for _, raw, is_current in expected
        ]
        self._compare()

    def interrupt(self, topics: set[str]) -> None:
        """Interrupt all subscriptions but these."""
        self._changes.clear()
        self.state.check_interruptions(topics.__contains__)
        self.state.flush()
        expected = self.model.interrupt("sor") if "sor" not in topics else []
        expected += self.model.interrupt("spl") if "spl" not in topics else []
        for kind in ("ssd", "sld"):
            for account in sorted({row[0][0] for row in self.model.rows[kind]}):
                if f"{kind}+{account}" not in topics:
                    expected += self.model.interrupt(kind, account)
        found = [(row.raw, row.is_current) for row in self._changes]
        assert sorted(map(repr, found)) == sorted(repr((raw, is_current)) for _, raw, is_current in expected)
        self._compare()

    def _compare(self) -> None:
        state = self.state
        snapshots = {
            "sor": state.orders.snapshot,
            "str": state.executions.snapshot,
            "spl": state.pnl.snapshot,
            "ssd": state.account_values.snapshot,
            "sld": state.ledger_balances.snapshot,
        }
        for kind, snapshot in snapshots.items():
            found = [(key, row.raw, getattr(row, "is_current", True)) for key, row in snapshot.items()]
            assert found == [tuple(row[:3]) for row in self.model.rows[kind]], kind
            for row in snapshot.values():
                # No value of a row raises, whatever it is.
                assert all(isinstance(path, str) for path in row.problems)
                assert repr(row)
        assert (state.rows_left_out, state.rows_evicted) == (self.model.left_out, self.model.evicted)
