"""The options of one WebSocket connection, validated once and frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cpapi_fast.errors import ConfigError
from cpapi_fast.option_values import check_flag, check_positive, check_whole
from cpapi_fast.redaction import repr_without_accounts


@repr_without_accounts
@dataclass(frozen=True, kw_only=True)
class WsOptions:
    """Limits and policies of one `WsClient`. Durations are seconds of the client's clock.

    Args:
        open_timeout_s: the time limit for connecting, TLS and the upgrade together.
        close_timeout_s: how long `close()` waits for the peer's CLOSE frame before it disconnects.
        max_frame_bytes: a longer frame closes the connection with 1009.
        max_message_bytes: the limit for all fragments of one message together; a longer message closes the connection
            with 1009.
        max_pending_bytes: with pull, the socket is not read while the pending frames cost this many bytes or more.
        callback_errors: what happens if a callback or sink raises. `close`: the connection is closed with
            1011, later frames are counted as dropped, and `wait_closed()`, the `async with` block and every later read
            raise `CallbackError`. `report`: the exception is passed to the event loop's exception handler, and the
            callback gets the next frame or batch. `stats.callback_errors` counts both.
        busy_poll: prevents the event loop from sleeping while the connection is open. This saves the time to wake a
            thread, tens of microseconds per frame, and uses one processor core at 100 %. It helps only if a core is
            free; on a busy machine it increases the latency.

    Raises:
        ConfigError: a limit is not above zero, or a policy or flag is invalid.
    """

    open_timeout_s: float = 10.0
    close_timeout_s: float = 5.0
    max_frame_bytes: int = 16 * 1024 * 1024
    max_message_bytes: int = 64 * 1024 * 1024
    max_pending_bytes: int = 8 * 1024 * 1024
    callback_errors: Literal["close", "report"] = "close"
    busy_poll: bool = False

    def __post_init__(self) -> None:
        for name in ("open_timeout_s", "close_timeout_s"):
            check_positive(name, getattr(self, name))
        for name in ("max_frame_bytes", "max_message_bytes", "max_pending_bytes"):
            check_whole(name, getattr(self, name))
        for name in ("max_frame_bytes", "max_message_bytes"):
            if getattr(self, name) > 2**30:
                raise ConfigError(f"{name} must be at most 1 GiB, because the offsets in a batch have 32 bits")
        if self.callback_errors not in ("close", "report"):
            raise ConfigError(f"callback_errors must be 'close' or 'report', not {self.callback_errors!r}")
        check_flag("busy_poll", self.busy_poll)
