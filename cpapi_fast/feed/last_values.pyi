from collections.abc import Iterable
from typing import Any, final

from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.topic_table import TopicTable

@final
class LastValues:
    """The last value of every field of every topic that was added, merged from its market data frames.

    A value is stored as the text of the frame; `get` decodes it. There is room for every key that was asked for or is
    in the catalogue, and for 256 other keys of at most 64 characters, over all topics. `left_out` counts the rest.

    Args:
        topics: the table whose slots `add`, `remove` and `get` take.
    """

    def __init__(self, topics: TopicTable) -> None: ...
    @property
    def malformed(self) -> int:
        """How many frames were left out because their payload is not JSON."""
    @property
    def left_out(self) -> int:
        """How many members of frames were left out, because there was no room for their keys."""
    def reserve(self, keys: Iterable[str]) -> None:
        """Keep room for these keys.

        Args:
            keys: keys on the wire as str, such as `31`.
        """
    def add(self, slot: int) -> None:
        """Keep the values of a slot from now on. Idempotent.

        Raises:
            UsageError: the slot has no topic.
        """
    def remove(self, slot: int) -> None:
        """Delete all values of a slot. Idempotent. Call it before the topic is removed from the table."""
    def update(self, batch: Batch, now_s: float) -> None:
        """Merge the market data frames of a batch.

        Args:
            batch: a finished batch.
            now_s: the time of the update, in seconds of any clock; `get` returns it with each value.
        """
    def get(self, slot: int) -> dict[str, tuple[Any, int, float]] | None:
        """Return the values of a slot.

        Returns:
            By key on the wire, `topic` itself left out: the value as JSON decodes it, and of the frame that brought it
            `received_ns` (ns since the Unix epoch) and the time of its update. A value that is not JSON, from a frame
            that was not and did not look like it, is left out. None when the slot was not added.
        """
