from collections.abc import Iterator
from typing import Any, final

from typing_extensions import Buffer

from cpapi_fast.protocol.kinds import FrameKind

@final
class FrameCounters:
    """What was found out about frames after they had been routed. Shared by all frames of one connection."""

    #: How often `payload` of a routed frame turned out not to be JSON.
    payload_errors: int
    #: How many payloads held invalid UTF-8 and were decoded with U+FFFD in its place.
    payloads_repaired: int

    def __init__(self) -> None: ...

@final
class Frame:
    """One message of the gateway: its route, and its bytes until somebody asks for more.

    A frame owns its bytes. Made by `classify`, by a `Batch`, or by a `WsClient`; not by calling the class.
    """

    @property
    def kind(self) -> FrameKind:
        """What the frame is, known without decoding it."""
    @property
    def raw(self) -> bytes:
        """The bytes as they were received, fragments joined."""
    @property
    def topic(self) -> str | None:
        """The topic's text, such as `smd+265598`; None when there is none."""
    @property
    def channel(self) -> str | None:
        """The finer word to route on: the topic up to its first `+` (`smd`, `sts`, `tic` ...).

        A frame without a topic is looked into (this decodes it): `error`, `result` or `message`, whichever key it has
        first in this order, else None.
        """
    @property
    def conid(self) -> int | None:
        """The contract id of a MARKET_DATA frame; 0 is a real value (combos). None for every other kind."""
    @property
    def target(self) -> str | None:
        """All after `smd+` when that is more than a conid (`265598@NYSE`, `28812380;;;1/1,2/-1`), else None."""
    @property
    def received_ns(self) -> int:
        """When the socket read that brought it returned, in ns since the Unix epoch; 0 when it came from no socket."""
    @property
    def payload(self) -> Any:
        """The decoded JSON, decoded on first use and kept; None for HEARTBEAT and MALFORMED.

        Raises:
            MalformedPayloadError: the route was found, but the text is not JSON. The bytes are its `raw`.
        """
    @property
    def error(self) -> str | None:
        """Why a MALFORMED frame is not JSON, in the decoder's words; None for every other kind."""
    def __len__(self) -> int:
        """How many bytes `raw` has."""

@final
class Batch:
    """All frames of one socket read, their bytes side by side in one arena that the batch owns.

    The columns are read-only memoryviews over the batch's own memory: nothing is copied, and a view keeps the memory
    alive. With n frames: `payloads` has all bytes one after the other, `offsets` n+1 int32, the others n entries. That
    is the layout of an Arrow record batch with a binary column.
    """

    @property
    def payloads(self) -> memoryview:
        """uint8: the payload bytes of all frames, one after the other."""
    @property
    def offsets(self) -> memoryview:
        """int32, n+1 entries: frame i is payloads[offsets[i]:offsets[i+1]]."""
    @property
    def kinds(self) -> memoryview:
        """uint8, n entries: the values of FrameKind."""
    @property
    def conids(self) -> memoryview:
        """int64, n entries: the conid, or -1 for a frame that has none (0 is a real conid)."""
    @property
    def received_ns(self) -> memoryview:
        """int64, n entries: ns since the Unix epoch, the same for all frames of one socket read."""
    @property
    def topic_starts(self) -> memoryview:
        """int32, n entries: where the topic's text starts in the frame's own bytes; -1 when it cannot be pointed at."""
    @property
    def topic_lengths(self) -> memoryview:
        """int32, n entries: the length of the topic's text; 0 with a start of -1 when there is no topic, -1 when the
        topic is written with escapes (`Frame.topic` decodes it)."""
    @property
    def nbytes(self) -> int:
        """How many payload bytes the batch holds."""
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Frame:
        """An owned frame: a copy of its bytes, so that keeping it does not keep the batch.

        Raises:
            IndexError: there is no such frame.
        """
    def __iter__(self) -> Iterator[Frame]: ...

@final
class BatchBuilder:
    """Fills batches frame by frame: what the listener does in C, for Python (tests, replay, tools)."""

    def __init__(self, counters: FrameCounters | None = None) -> None: ...
    def append(self, data: Buffer) -> None:
        """Copy and classify one frame."""
    def finish(self, received_ns: int) -> Batch | None:
        """Close the batch and hand it over; None when nothing was appended. The builder starts anew."""

def slice_of(batch: Batch, start: int, stop: int) -> Batch:
    """The frames from `start` up to `stop` (which is not one of them) as a batch of their own: a copy, unless that is
    the whole batch.

    Raises:
        IndexError: there are no such frames, or none between the two.
    """

def classify(data: Buffer, *, strict: bool = False) -> Frame:
    """Find out what one message is. Any bytes give a frame; never raises for content.

    Lazy (the default), the payload is not decoded when the topic can be found without. With `strict=True` it is decoded
    at once, and the kind is MALFORMED exactly when orjson refuses the text.

    Args:
        data: one whole message, bytes-like; copied.
        strict: decode now.
    """
