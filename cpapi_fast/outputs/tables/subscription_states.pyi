from collections.abc import Iterable
from typing import final

@final
class SubscriptionStates:
    """The states of the subscriptions of one table. Not thread-safe, except for `latest`.

    The gateway can invent topics. Only those of `targets` and a number of others have a state of their own.

    Args:
        field_count: how many fields are carried forward.
        targets: the targets that were subscribed to, which always have a state.
        most_others: how many other targets have one.
        longest_target: how long the name of another target may be.
    """

    def __init__(
        self, field_count: int, targets: Iterable[str], most_others: int, longest_target: int
    ) -> None: ...
    @property
    def unlisted(self) -> int:
        """How many frames had topics for which there was no room."""
    def end_segments(self, topic: str | None, first_good_ns: int | None = None) -> None:
        """End the segment of a topic, or those of all topics for None: values before it are not carried on.

        Args:
            topic: the topic.
            first_good_ns: the receive time of the first frame after the gap, None if it is not known. If frames with
                an earlier time follow, the segment that begins with them ends before the first one with this time or a
                later one, because joined gaps are reported before frames that lie between them.
        """
    def latest(
        self, entry: int, frames_seen: int
    ) -> tuple[str, int, float | None, float | None, float | None, str | None, int, str | None] | None:
        """Return the latest values of an entry as a tuple, or None if it has no more frames than `frames_seen`.

        The values are the name, the receive time, last, bid and ask price, the availability, the number of frames, and
        the prefix of the last price (`C` or `H`); None for what is unknown.

        Raises:
            IndexError: there is no such entry.
        """
    def __len__(self) -> int:
        """The number of entries, of which entry 0 has no subscription."""
