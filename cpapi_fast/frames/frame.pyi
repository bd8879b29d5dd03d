from typing import Any, final

from typing_extensions import Buffer

from cpapi_fast.messages.member import Message
from cpapi_fast.protocol.kinds import FrameKind

@final
class FrameCounters:
    """Counts invalid payloads as they are decoded. All frames of one connection share one instance."""

    def __init__(self) -> None: ...
    @property
    def payload_errors(self) -> int:
        """How many payloads of frames with a route were not JSON."""
    @property
    def payloads_repaired(self) -> int:
        """How many payloads had invalid UTF-8, which was decoded as U+FFFD."""

@final
class Frame:
    """One message of the gateway: its route, its bytes, and its payload on demand.

    A frame owns a copy of its bytes. Frames come from `classify`, a `Batch` or a `WsClient`; the class cannot be
    called. Reading `kind`, `conid`, `topic` and `target` does not decode JSON, unless the topic has escapes.
    """

    @property
    def raw(self) -> bytes:
        """The bytes as received, with the fragments of a message joined."""
    @property
    def kind(self) -> FrameKind:
        """The kind of the frame (FrameKind). Reading it does not decode the payload."""
    @property
    def topic(self) -> str | None:
        """The topic, such as `smd+265598`; None if the frame has none."""
    @property
    def channel(self) -> str | None:
        """The topic up to its first `+`, such as `smd`, `sts` or `tic`.

        For a frame without a topic, it is the first of the keys `error`, `result` and `message` that the payload has,
        else None; this decodes the payload.
        """
    @property
    def conid(self) -> int | None:
        """The contract id of a MARKET_DATA frame; None for every other kind. 0 is a real contract id (combos)."""
    @property
    def target(self) -> str | None:
        """The text after `smd+` if it is more than a conid (`265598@NYSE`, `28812380;;;1/1,2/-1`), else None."""
    @property
    def received_ns(self) -> int:
        """The time at which the socket read returned, in ns since the Unix epoch; 0 for a frame without a socket."""
    @property
    def payload(self) -> Any:
        """The decoded JSON; None for HEARTBEAT and MALFORMED. Decoded on first use and then cached.

        Invalid UTF-8 is decoded as U+FFFD.

        Raises:
            MalformedPayloadError: the payload is not JSON, although a route was found. Its `raw` has the bytes.
        """
    @property
    def message(self) -> Message | None:
        """The message with typed members, of the class that belongs to its topic; None if it is not a JSON object.

        No content raises an exception. Each access creates a new object on the decoded payload. A number that is too
        large for a float is an int or a Decimal in the message, although `payload` raises for the frame.
        """
    @property
    def error(self) -> str | None:
        """The decoder's message for a MALFORMED frame; None for every other kind."""
    def __len__(self) -> int:
        """The number of bytes of `raw`."""

def classify(data: Buffer, *, strict: bool = False) -> Frame:
    """Classify one message and return its frame. No content raises an exception.

    By default the payload is decoded only if the classifier cannot find the topic, and the message is at most 2 MiB
    long; a longer one is then OTHER, without a topic. With `strict=True` it is decoded
    at once, and the kind is MALFORMED exactly if orjson rejects the text.

    Args:
        data: one whole message, bytes-like; copied, unless it is `bytes`.
        strict: decode the payload at once.

    Returns:
        The frame, with a `received_ns` of 0.
    """
