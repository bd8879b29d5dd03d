"""The knobs of one connection: validated once, frozen, every duration in seconds of the client's `Clock`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cpapi_fast.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class WsOptions:
    """Limits and policies of one `WsClient`.

    Args:
        open_timeout_s: the most that connecting, TLS and the upgrade may take together.
        close_timeout_s: how long `close()` waits for the peer's CLOSE before it cuts the connection.
        max_frame_bytes: a longer frame closes the connection with 1009.
        max_message_bytes: the same for the fragments of one message together.
        max_pending_bytes: in the pull forms, the socket is no longer read while this much waits unread.
        callback_errors: what happens when a callback of the push forms raises. `close`: the connection is closed with
            1011, frames after the failing one are counted as dropped, and `CallbackError` is raised from
            `wait_closed()`, the `async with` block and every later call that reads. `report`: the loop's exception
            handler is told, and the next frame or batch is handed over as if nothing had happened. Either way
            `stats.callback_errors` counts it.
        busy_poll: keep the loop from sleeping while the connection lives. A frame is then noticed sooner by the time
            that waking a thread takes, tens of microseconds; the price is one processor core at 100 %, all the time.
            Worth it only with a core to spare: beside busy neighbours it makes things slower.

    Raises:
        ConfigError: a limit that is not above zero, an unknown policy, or a switch that is no bool.
    """

    open_timeout_s: float = 10.0
    close_timeout_s: float = 5.0
    max_frame_bytes: int = 16 * 1024 * 1024
    max_message_bytes: int = 64 * 1024 * 1024
    max_pending_bytes: int = 8 * 1024 * 1024
    callback_errors: Literal["close", "report"] = "close"
    busy_poll: bool = False

    def __post_init__(self) -> None:
        for name in ("open_timeout_s", "close_timeout_s", "max_frame_bytes", "max_message_bytes", "max_pending_bytes"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ConfigError(f"{name} must be a finite number above zero, not {value!r}")
        for name in ("max_frame_bytes", "max_message_bytes"):
            if getattr(self, name) > 2**30:
                raise ConfigError(f"{name} must be at most 1 GiB: a batch addresses its bytes with 32 bits")
        if self.callback_errors not in ("close", "report"):
            raise ConfigError(f"callback_errors must be 'close' or 'report', not {self.callback_errors!r}")
        if not isinstance(self.busy_poll, bool):
            raise ConfigError(f"busy_poll must be True or False, not {self.busy_poll!r}")
