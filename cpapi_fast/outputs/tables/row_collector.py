"""RowCollector: the interface of what collects the rows of a table"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch


class RowCollector(Protocol):
    """Collects the rows of a table until they are taken as record batches.

    What is passed to it is moved in parts: each call of `move` makes rows of what is left. An item either becomes a
    row, or is counted by the writer's `_drops`.
    """

    @property
    def left(self) -> int:
        """How many items were not moved yet."""

    @property
    def text_bytes(self) -> int:
        """About how many bytes of texts the collected rows hold."""

    @property
    def mismatches(self) -> dict[str, int]:
        """How many values of each column were not of its kind, as a dict of the columns with any."""

    def begin(self, batch: Batch, /) -> object:
        """Take the items of a batch, which are then moved."""

    def move(self, limit: int, most_items: int = ..., /) -> int:
        """Make at most `limit` rows, of at most `most_items` of what is left. Returns the number of new rows."""

    def take(self) -> Iterable[Any]:
        """Return the collected rows as objects for `pyarrow.record_batch`, and begin with no rows."""

    def forget(self) -> None:
        """Forget all collected rows, and what is left."""

    def __len__(self) -> int:
        """The number of collected rows."""
