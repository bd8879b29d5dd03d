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
        max_frame_bytes: the limit that picows is told too.
        max_message_bytes: the most that the fragments of one message may add up to.
        deliver: called with each finished `Batch`: one per socket read that brought frames, several for a read of more
            than 256 KiB. It must not raise.
        on_close: called once with (code, reason) when the peer's CLOSE frame has been read and answered.
        on_violation: called once with (code, text) when this side closes because of what the peer sent.
        on_lost: called once, last of all, with the exception that ended the connection, or None.
        on_write_paused: called with True when the socket's write buffer is full, with False when it has drained.
        on_sink_error: called with what a sink raised; the sink is handed the next frame unless `set_sink` is called.
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
        """Lend every message to `sink` from now on; with None, copy them into batches again."""
    def start_close(self, code: int, reason: str) -> bool:
        """Send CLOSE; frames go on being delivered until the peer's CLOSE comes. False when it is too late to send."""
    def abandon(self) -> None:
        """Drop the connection, now or as soon as it opens: whoever asked for it is gone."""
