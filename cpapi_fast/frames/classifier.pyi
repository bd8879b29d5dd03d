from typing import Final, final

#: What the C classifier can answer: it found the route, it is sure that the text is not JSON, or orjson has to say.
ROUTED: Final[int]
NOT_JSON: Final[int]
UNDECIDED: Final[int]

@final
class Classification:
    """The result of the C classifier for one text, for tests. Frames are classified without it."""

    @property
    def verdict(self) -> int:
        """One of ROUTED, NOT_JSON and UNDECIDED."""
    @property
    def kind(self) -> int:
        """The value of the FrameKind; OTHER if the verdict is UNDECIDED."""
    @property
    def conid(self) -> int:
        """The contract id; -1 if there is none."""
    @property
    def topic_start(self) -> int:
        """The position of the topic in the text; -1 if it was not found."""
    @property
    def topic_length(self) -> int:
        """The number of bytes of the topic."""

def classify_bytes(data: bytes | bytearray | memoryview) -> Classification:
    """Find the route of one message without decoding it, for tests.

    No content raises an exception. If the topic is the last or the first key of the object, the cost does not depend on
    the length of `data`.

    Args:
        data: one whole message, bytes-like.
    """

def route_topic(topic: bytes) -> tuple[int, int]:
    """Return the value of the FrameKind and the contract id of a topic.

    Args:
        topic: the topic in UTF-8.

    Returns:
        The kind and the contract id; -1 for a topic without one.
    """
