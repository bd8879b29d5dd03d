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
        """The value of the FrameKind; OTHER while undecided."""
    @property
    def conid(self) -> int:
        """The contract id, or -1."""
    @property
    def topic_start(self) -> int:
        """Where the topic starts in the text, or -1."""
    @property
    def topic_length(self) -> int:
        """The number of bytes of the topic."""

def classify_bytes(data: bytes | bytearray | memoryview) -> Classification:
    """Find the route of one message without decoding it.

    No content raises. The cost does not depend on the length of `data` when the topic is the last or the first key of
    the object.

    Args:
        data: one whole message, bytes-like.
    """

def route_topic(topic: bytes) -> tuple[int, int]:
    """Return the kind and the contract id that a topic alone implies; the id is -1 where the topic has none."""
