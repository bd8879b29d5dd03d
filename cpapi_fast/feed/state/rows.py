"""Rows: what a feed keeps by key, bounded, with snapshots that can be read in any thread"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

from cpapi_fast.messages.member import JsonObject

K = TypeVar("K", bound=Hashable)
#: The class of the rows.
R = TypeVar("R", bound=JsonObject)

#: How many members a row may have, known and unknown. The gateway sends about 30.
MAX_MEMBERS: Final = 200

#: About how many bytes of memory the keys and values of a row may take. The gateway sends less than 1000.
MAX_BYTES: Final = 32 * 1024

#: How many bytes one value may take in a row that would be larger than that. The known members of a row are fewer than
#: 40, so they fit.
MAX_VALUE: Final = 512

#: About how many bytes an object takes besides its text: a text, a number, or an empty list or object.
NESTED_BYTES: Final = 64

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
        left_out: how many updates were left out: without a key, without room, or in part because they are too large.
        evicted: how many rows were removed to make room.

    Args:
        most: how many rows there may be.
        row_class: their class. Its members are kept if a row has more than it may have.
    """

    def __init__(self, most: int, row_class: type[R]) -> None:
        self.most: Final = most
        self._known: Final = frozenset(member.key for member in row_class.members().values())
        self.rows: Final[dict[K, R]] = {}
        self._sizes: Final[dict[K, int]] = {}
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
        self._sizes.pop(key, None)
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
        if before is None and len(self.rows) >= self.most and not make_room():
            self.left_out += 1
            return None
        # At most what the row takes, so that a row is measured as a whole only now and then.
        size = self._sizes.get(key, 0) + size_of(update)
        raw: dict[str, Any] | None = None
        if size <= MAX_BYTES:
            raw = update if before is None else before.raw | update
        if raw is None or len(raw) > MAX_MEMBERS:
            raw, is_whole = merged(None if before is None else before.raw, update, self._known)
            self.left_out += not is_whole
            size = size_of(raw)
        self._sizes[key] = size
        row = create(raw)
        self.put(key, row)
        return before, row


class CurrentRows(Generic[K]):
    """Which rows are current, by scope, so that an interruption costs only as much as it changes.

    A scope is what is interrupted together: the rows of one subscription. A row that is in neither group stays current.
    """

    def __init__(self) -> None:
        self._current: Final[dict[str, dict[K, None]]] = {}
        #: In the order in which they stopped being current.
        self._not_current: Final[dict[K, None]] = {}

    @property
    def scopes(self) -> list[str]:
        """The scopes that have current rows, sorted."""
        return sorted(self._current)

    @property
    def oldest_not_current(self) -> K | None:
        """The row that is not current for the longest time; None if all are current."""
        return next(iter(self._not_current), None)

    def set(self, scope: str, key: K, *, is_current: bool) -> None:
        """Note whether a row is current."""
        if is_current:
            self._not_current.pop(key, None)
            self._current.setdefault(scope, {})[key] = None
        else:
            self._discard_current(scope, key)
            self._not_current.setdefault(key)

    def remove(self, scope: str, key: K) -> None:
        """Note that a row is removed, or stays current whatever happens."""
        self._not_current.pop(key, None)
        self._discard_current(scope, key)

    def interrupt(self, scope: str) -> tuple[K, ...]:
        """Note that the rows of a scope are not current; return those that were."""
        stopped = self._current.pop(scope, {})
        self._not_current.update(stopped)
        return tuple(stopped)

    def _discard_current(self, scope: str, key: K) -> None:
        current = self._current.get(scope)
        if current is not None:
            current.pop(key, None)
            if not current:
                del self._current[scope]


def merged(
    before: dict[str, Any] | None, update: dict[str, Any], known: Collection[str]
) -> tuple[dict[str, Any], bool]:
    """Merge the members of an update into those before, which are not changed.

    A member that the update does not have keeps its value; null is a value. If the result is too large, the unknown
    members of the update and its large values are left out: such a member has no value from then on, so that an old one
    does not count as current. If that is not enough, only known members stay.

    Args:
        before: the members before.
        update: the members of the update.
        known: the keys of known members.

    Returns:
        The merged members, and whether all of the update is in them.
    """
    raw = update if before is None else before | update
    if _fits(raw):
        return raw, True
    kept = {key: value for key, value in update.items() if key in known and _size(value) <= MAX_VALUE}
    raw = {key: value for key, value in (before or {}).items() if key not in update} | kept
    if not _fits(raw):
        raw = {key: value for key, value in raw.items() if key in known and _size(value) <= MAX_VALUE}
    return raw, False


def _fits(raw: dict[str, Any]) -> bool:
    return len(raw) <= MAX_MEMBERS and size_of(raw) <= MAX_BYTES


def size_of(members: dict[str, Any]) -> int:
    """Return about how many bytes of memory the keys and values of an object take."""
    return sum(map(_text_size, members)) + sum(map(_size, members.values()))


def _text_size(text: str) -> int:
    return len(text) if text.isascii() else 4 * len(text)


def _size(value: Any) -> int:
    if type(value) is str:
        return _text_size(value)
    if type(value) is int:
        return 8 + value.bit_length() // 8
    if type(value) in _PLAIN:
        return 8
    # Without recursion, because values of the gateway may be deep.
    size, waiting = 0, [value]
    while waiting and size <= MAX_BYTES:
        value = waiting.pop()
        # Every value within another one is an object of its own.
        size += NESTED_BYTES
        if type(value) is str:
            size += _text_size(value)
        elif type(value) is int:
            size += value.bit_length() // 8
        elif type(value) is list:
            waiting.extend(value)
        elif type(value) is dict:
            size += NESTED_BYTES * len(value) + sum(map(_text_size, value))
            waiting.extend(value.values())
    return size
