from collections.abc import Callable
from typing import final

from picows import WSListener, WSTransport

from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.frame import FrameCounters
from cpapi_fast.frames.sink import FrameSink

@final
class FrameListener(WSListener):
    """Turns the frames of one connection into batches.

    Args:
        counters: shared with every frame of the connection.
        max_frame_bytes: the limit for one frame, the same as picows has.
        max_message_bytes: the limit for all fragments of one message together.
        deliver: called with each finished `Batch`: one for each socket read with frames, several for a read of more
            than 256 KiB. It must not raise.
        on_close: called once with (code, reason) when the peer's CLOSE frame was read and a CLOSE frame was sent back.
        on_violation: called once with (code, text) when the listener closes because the peer violated the protocol.
        on_lost: called once, after every other call, with the exception that ended the connection, or None.
        on_write_paused: called with True when the socket's write buffer is full, with False when it has drained.
        on_sink_error: called with an exception that a sink raised. The sink gets the next frame unless `set_sink` is
            called.

    Attributes:
        transport: the picows transport; None before the upgrade and after the end.
        counters: the argument.
        frames_received: messages, each counted once; the fragments of a message count as one.
        bytes_received: their payload bytes.
        reads: socket reads with at least one message.
        malformed: messages that are not JSON.
        pings: PING frames.
        pongs: PONG frames.
        fragments: frames that were part of a fragmented message.
        frames_after_end: data frames after CLOSE or a violation; they are not delivered.
        frames_sunk: the part of `frames_received` that was passed to a sink.
    """

    @property
    def transport(self) -> WSTransport | None: ...
    @property
    def counters(self) -> FrameCounters: ...
    @property
    def frames_received(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def reads(self) -> int: ...
    @property
    def malformed(self) -> int: ...
    @property
    def pings(self) -> int: ...
    @property
    def pongs(self) -> int: ...
    @property
    def fragments(self) -> int: ...
    @property
    def frames_after_end(self) -> int: ...
    @property
    def frames_sunk(self) -> int: ...
    def __init__(
        self,
        counters: FrameCounters,
        max_frame_bytes: int,
        max_message_bytes: int,
        deliver: Callable[[Batch], None],
        on_close: Callable[[int, str], None],
        on_violation: Callable[[int, str], None],
        on_lost: Callable[[BaseException | None], None],
        on_write_paused: Callable[[bool], None],
        on_sink_error: Callable[[BaseException], None],
    ) -> None: ...
    def set_sink(self, sink: FrameSink | None) -> None:
        """Pass every message to `sink` from now on; None copies messages into batches again."""
    def start_close(self, code: int, reason: str) -> bool:
        """Send CLOSE, and return whether it was sent. Frames are delivered until the peer's CLOSE arrives.

        It is not sent if the connection has ended or CLOSE was sent before.
        """
    def abandon(self) -> None:
        """Disconnect now, or as soon as the connection opens, after an attempt to connect was cancelled."""
    def reply_before_refusal(self) -> None:
        """Reply to a CLOSE frame that picows has parsed but not passed on. Call it before picows sends CLOSE itself.

        A frame after CLOSE is ignored, even an invalid one. Without this, picows would send 1002 for it.
        """
