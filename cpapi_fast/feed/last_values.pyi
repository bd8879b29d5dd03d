from typing import Any, final

from cpapi_fast.frames.batch import Batch

@final
class LastValues:
    """The last value of every field of every topic that was added, merged from its market data frames.

    What is kept is the text of each value; it is decoded by `get`.
    """

    @property
    def malformed(self) -> int:
        """How many frames were left out because they turned out not to be JSON."""
    def __init__(self) -> None: ...
    def add(self, topic: str) -> None:
        """Keep what comes of a topic from now on. Nothing changes for a topic that is there.

        Raises:
            SubscriptionError: it cannot be written in UTF-8, so no frame can have it.
        """
    def remove(self, topic: str) -> None:
        """Forget a topic and all its values; nothing where it is not there."""
    def update(self, batch: Batch, now_s: float) -> None:
        """Merge the market data of a batch, at the time `now_s`."""
    def get(self, topic: str) -> dict[str, tuple[Any, int, float]] | None:
        """The fields of a topic by their keys on the wire, `topic` itself left out; None when it was not added.

        Each is its value as JSON decodes it, and of the frame that brought it `received_ns` and the time of its update.
        A value that is not JSON (its frame was none, and nothing else showed it) is left out.
        """
