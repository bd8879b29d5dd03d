from typing import Final, final

#: What the C classifier can answer: it found the route, it is sure that the text is not JSON, or orjson has to say.
ROUTED: Final[int]
NOT_JSON: Final[int]
UNDECIDED: Final[int]

@final
class Classification:
    """The answer of the C classifier for one text, as Python sees it (tests and the curious; frames do not need it)."""

    @property
    def verdict(self) -> int: ...
    @property
    def kind(self) -> int: ...
    @property
    def conid(self) -> int: ...
    @property
    def topic_start(self) -> int: ...
    @property
    def topic_length(self) -> int: ...

def classify_bytes(data: bytes | bytearray | memoryview) -> Classification:
    """Find the route of one frame without decoding it.

    Never raises for any content. The cost does not depend on the length of `data` when the topic is the last or the
    first key of the object.
    """

def route_topic(topic: bytes) -> tuple[int, int]:
    """Return (kind, conid) of one topic; conid is -1 where the topic has none."""
