from collections.abc import Iterable
from typing import final

from cpapi_fast.frames.batch import Batch

from .collected_rows import CollectedRows
from .subscription_states import SubscriptionStates

@final
class TableRows:
    """Collects rows of market data until they are taken as record batches. Not thread-safe, except for `latest`.

    Pass each batch to `begin`, then call `move` until `left` is 0, and `take` whenever there are enough rows.

    Args:
        fields: the members of frames to decode, each with the name of its column, in the order of the columns. The
            first six are `_updated`, `6509`, `55`, `31`, `84` and `86`.
        carries: whether each row is the whole state after its frame. Then a value that a frame does not have is that
            of the row before, in the same segment, unless it is a text of more than 1,024 bytes. And the second of the
            two snapshots after a subscribe is no row.
        targets: the targets that were subscribed to. They and 1,000 others have a state of their own; the rows of more
            targets contain the values of their own frame only.
        capacity: how many rows can be collected.

    Raises:
        ConfigError: the first fields are others, or `capacity` is below 1.
    """

    @property
    def states(self) -> SubscriptionStates:
        """The states of the subscriptions."""
    @property
    def malformed(self) -> int:
        """How many frames were not JSON, and have no row."""
    @property
    def repeated(self) -> int:
        """How many snapshots repeated the one before them, and have no row."""
    def __init__(
        self, fields: Iterable[tuple[str, str]], *, carries: bool, targets: Iterable[str] = (), capacity: int = 65536
    ) -> None: ...
    def begin(self, batch: Batch) -> int:
        """Decode a batch, whose rows are then moved, and return the number of its market data frames."""
    @property
    def text_bytes(self) -> int:
        """How many bytes of texts were received since the last `take`; rows that are collected hold them."""
    @property
    def left(self) -> int:
        """How many frames of the batch were not moved yet."""
    def forget(self) -> None:
        """Forget all collected rows, and what is left of the batch."""
    @property
    def mismatches(self) -> dict[str, int]:
        """How many values of each column were not of its kind, as a dict of the columns with any."""
    def move(self, limit: int, most_items: int = ...) -> int:
        """Make rows of the frames that are left, until there are `limit` more rows, or `most_items` frames were moved.

        Returns:
            The number of new rows.
        """
    def take(self) -> list[CollectedRows]:
        """Return the collected rows as a list of objects for `pyarrow.record_batch`, and begin with no rows."""
    def __len__(self) -> int:
        """The number of collected rows."""
