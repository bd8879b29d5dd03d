"""Rows: what a feed keeps by key, bounded, with snapshots that can be read in any thread"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

from cpapi_fast.messages.member import JsonObject

K = TypeVar("K", bound=Hashable)
#: The class of the rows.
R = TypeVar("R", bound=JsonObject)

#: How many members a row may have, known and unknown. The gateway sends about 30.
MAX_MEMBERS: Final = 200

#: How many characters the keys and values of a row may have. The gateway sends less than 1000.
MAX_CHARACTERS: Final = 32 * 1024

#: How many characters a key of a row may have that is a text of the gateway.
MAX_KEY: Final = 200

_PLAIN: Final = frozenset({bool, float, type(None)})


class Rows(Mapping[K, R]):
    """The rows at one moment, by key; they do not change. The `repr` shows no key, because a key may be an account."""

    __slots__ = ("_rows",)

    def __init__(self, rows: dict[K, R]) -> None:
        self._rows: Final = rows

    def __getitem__(self, key: K) -> R:
        return self._rows[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"<{len(self._rows)} rows>"


class RowStore(Generic[K, R]):
    """The current rows by key, and snapshots of them. Changed in one thread only, and read in any.

    Attributes:
        rows: the current rows, in the order in which their keys were first put.
        left_out: how many updates were left out: without a key, too large, or without room.
        evicted: how many rows were removed to make room.

    Args:
        most: how many rows there may be.
    """

    def __init__(self, most: int) -> None:
        self.most: Final = most
        self.rows: Final[dict[K, R]] = {}
        self.left_out = 0
        self.evicted = 0
        self._version = 0
        self._snapshot: tuple[int, Rows[K, R]] = (0, Rows({}))

    @property
    def snapshot(self) -> Rows[K, R]:
        """The rows at this moment. Without a change in between, the same object is returned."""
        # The version is read before the rows. If another thread changes them in between, the next read copies again.
        version = self._version
        known = self._snapshot
        if known[0] != version:
            known = self._snapshot = (version, Rows(self.rows.copy()))
        return known[1]

    def put(self, key: K, row: R) -> None:
        """Add or replace a row."""
        self.rows[key] = row
        self._version += 1

    def evict(self, key: K) -> None:
        """Remove a row to make room."""
        del self.rows[key]
        self.evicted += 1
        self._version += 1

    @staticmethod
    def checked(name: str | None) -> str | None:
        """Return a text of the gateway if it can be a key; None if it is empty or too long."""
        return name if name and len(name) <= MAX_KEY else None

    def put_update(
        self,
        key: K | None,
        update: dict[str, Any],
        create: Callable[[dict[str, Any]], R],
        make_room: Callable[[], bool],
    ) -> tuple[R | None, R] | None:
        """Merge an update into its row.

        Args:
            key: the key of the row; None if the update has none that can be used.
            update: its members.
            create: creates a row from merged members.
            make_room: evicts a row, and returns whether it did, for a new row that is one too many.

        Returns:
            The row before, None for a new one, and the row now; None if the update was left out.
        """
        if key is None:
            self.left_out += 1
            return None
        before = self.rows.get(key)
        raw = merged(None if before is None else before.raw, update)
        if raw is None:
            self.left_out += 1
            return None
        if before is None and len(self.rows) >= self.most and not make_room():
            self.left_out += 1
            return None
        row = create(raw)
        self.put(key, row)
        return before, row


def merged(before: dict[str, Any] | None, update: dict[str, Any]) -> dict[str, Any] | None:
    """Merge the members of an update into those before, which are not changed.

    A member that the update does not have keeps its value; null is a value.

    Returns:
        The merged members; None if they are too many or too large.
    """
    raw = update if before is None else before | update
    if len(raw) > MAX_MEMBERS or sum(map(len, raw)) + sum(map(_size, raw.values())) > MAX_CHARACTERS:
        return None
    return raw


def _size(value: Any) -> int:
    if type(value) is str:
        return len(value)
    if type(value) in _PLAIN:
        return 8
    try:
        return len(repr(value))
    except (RecursionError, ValueError):
        return MAX_CHARACTERS + 1
