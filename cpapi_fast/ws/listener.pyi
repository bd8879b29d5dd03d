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
        max_frame_bytes: the limit for one frame that picows has, too.
        max_message_bytes: the limit for the fragments of one message together.
        deliver: called with each finished `Batch`: one per socket read that had frames, several for a read of more
            than 256 KiB. It must not raise.
        on_close: called once with (code, reason) when the peer's CLOSE frame was read and answered.
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
        reads: socket reads that had at least one message.
        malformed: messages that are not JSON.
        pings: PING frames.
        pongs: PONG frames.
        fragments: frames that were a part of a message.
        frames_after_end: data frames after CLOSE or a violation; they are not delivered.
        frames_sunk: those of `frames_received` that were passed to a sink.
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
        """Lend every message to `sink` from now on, or with None, copy messages into batches again."""
    def start_close(self, code: int, reason: str) -> bool:
        """Send CLOSE; return False when it is too late. Frames are delivered until the peer's CLOSE arrives."""
    def abandon(self) -> None:
        """Drop the connection, now or as soon as it opens. For an attempt to connect that was cancelled."""
