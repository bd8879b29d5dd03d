from typing import Any, final

from typing_extensions import Buffer

from cpapi_fast.protocol.kinds import FrameKind

@final
class FrameCounters:
    """Counts what is found when the payloads of routed frames are decoded. Shared by all frames of one connection."""

    def __init__(self) -> None: ...
    @property
    def payload_errors(self) -> int:
        """How often `payload` of a routed frame was not JSON."""
    @property
    def payloads_repaired(self) -> int:
        """How many payloads had invalid UTF-8 and were decoded with U+FFFD in its place."""

@final
class Frame:
    """One message of the gateway: its route, its bytes, and its payload on demand.

    A frame owns a copy of its bytes. Frames come from `classify`, a `Batch` or a `WsClient`; the class cannot be
    called. Reading `kind`, `conid`, `topic` and `target` decodes no JSON, unless the topic is written with escapes.
    """

    @property
    def raw(self) -> bytes:
        """The bytes as they were received, fragments joined."""
    @property
    def kind(self) -> FrameKind:
        """What the frame is. Known without decoding it."""
    @property
    def topic(self) -> str | None:
        """The topic, such as `smd+265598`; None when the frame has none."""
    @property
    def channel(self) -> str | None:
        """The topic up to its first `+`, such as `smd`, `sts` or `tic`.

        For a frame without a topic, the first of the keys `error`, `result` and `message` that its payload has, else
        None. This decodes the payload.
        """
    @property
    def conid(self) -> int | None:
        """The contract id of a MARKET_DATA frame; None for every other kind. 0 is a real contract id (combos)."""
    @property
    def target(self) -> str | None:
        """What follows `smd+` when it is more than a conid (`265598@NYSE`, `28812380;;;1/1,2/-1`), else None."""
    @property
    def received_ns(self) -> int:
        """When the socket read that brought the frame returned, in ns since the Unix epoch; 0 without a socket."""
    @property
    def payload(self) -> Any:
        """The decoded JSON; None for HEARTBEAT and MALFORMED. Decoded on first use, then kept.

        Invalid UTF-8 is decoded with U+FFFD in its place.

        Raises:
            MalformedPayloadError: the payload is not JSON, although its route was found. The error has the bytes as
            `raw`.
        """
    @property
    def error(self) -> str | None:
        """Why a MALFORMED frame is not JSON, as the decoder reports it; None for every other kind."""
    def __len__(self) -> int:
        """The number of bytes of `raw`."""

def classify(data: Buffer, *, strict: bool = False) -> Frame:
    """Classify one message. Any bytes give a frame; no content raises.

    By default the payload is not decoded when the topic is found without that. With `strict=True` it is decoded at
    once, and the kind is MALFORMED exactly when orjson rejects the text.

    Args:
        data: one whole message, bytes-like; copied, unless it is `bytes`.
        strict: decode the payload now.
    """
