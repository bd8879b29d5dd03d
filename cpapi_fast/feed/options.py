"""What can be chosen about a feed, checked once; every duration is in seconds of the client's `Clock`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from cpapi_fast.errors import ConfigError
from cpapi_fast.events import BackfillSource
from cpapi_fast.protocol.hours import DailyWindow
from cpapi_fast.ws.options import WsOptions

#: What to do about another login of the same user: look on and wait, or take the brokerage session back.
Competing = Literal["observe", "reclaim"]

#: What to do when the gateway never says that it listens.
ReadyFallback = Literal["subscribe", "reconnect"]


@dataclass(frozen=True, kw_only=True)
class FeedOptions:
    """Policies of one `Feed`. The defaults follow what is documented of the gateway, and its recordings.

    Args:
        competing: `observe` waits until the other login is gone; `reclaim` takes it back, which ends the other.
        ready_timeout_s: how long to wait for `system` with `success` on an open socket.
        ready_fallback: what follows then: `subscribe` all the same, or `reconnect`. Either is told as an event.
        keepalive_interval_s: how often to send `tic` on the socket and `/tickle` over REST.
        socket_timeout_s: without any frame for this long the socket counts as dead; heartbeats come every 10 s.
        renew_after_s: the age at which a market data subscription is asked for again, from and to: each renewal draws
            its own between the two, so that hundreds do not fall due together. The gateway ends one after 15 minutes.
        send_interval_s: the pause between two texts on the socket.
        answer_timeout_s: how long a subscribe may stay without any frame before it counts as stale.
        stale_factor: a subscription counts as stale after this many of its usual intervals without a frame ...
        stale_after_min_s: ... but not before this ...
        stale_after_max_s: ... and one that ticks faster than `stale_factor` times into it, after this at the latest.
        reconnect_base_s: the first pause before a reconnect is a random part of this; it doubles from try to try ...
        reconnect_max_s: ... up to this.
        nightly: the window of the day in which the gateway is reset and tries keep half of `reconnect_max_s` at least
            between them; None for none.
        login_poll_s: while a human has to log in, or another login holds the session: how often to look again.
        penalty_s: how long to leave the gateway alone after a 429 to the opening of the socket. After one over REST it
            is as long as the client's pacer sends nothing, which is 900 s.
        market_data_lines: how many `smd` the account may have at once.
        backfill: ask for bars of history for every gap in market data, and tell them as a `Backfill` after it: by `smh`
            on the socket, which has five places, or by `rest`; None does not.
        backfill_timeout_s: an `smh` that is not answered for so long has failed.
        overload: `consumers`: each consumer drops, conflates or halts by its own policy. `block`: consumers with the
            policy `block` may be made; a full one stops the socket from being read, which holds up every consumer.
        max_pending_frames: the bound of a consumer that gives none of its own.
        max_pending_bytes: the same in bytes.
        last_values: keep the latest value of every field for `last_value`; costs more than receiving a frame does.
        ws: limits and timeouts of each connection.
        seed: of the jitter; None draws one.

    Raises:
        ConfigError: a value that cannot be right.
    """

    competing: Competing = "observe"
    ready_timeout_s: float = 10.0
    ready_fallback: ReadyFallback = "subscribe"
    keepalive_interval_s: float = 60.0
    socket_timeout_s: float = 30.0
    renew_after_s: tuple[float, float] = (480.0, 530.0)
    send_interval_s: float = 0.05
    answer_timeout_s: float = 10.0
    stale_factor: float = 5.0
    stale_after_min_s: float = 2.5
    stale_after_max_s: float = 60.0
    reconnect_base_s: float = 1.0
    reconnect_max_s: float = 60.0
    nightly: DailyWindow | None = field(default_factory=DailyWindow.us_reset)
    login_poll_s: float = 30.0
    penalty_s: float = 900.0
    market_data_lines: int = 100
    backfill: BackfillSource | None = None
    backfill_timeout_s: float = 60.0
    overload: Literal["consumers", "block"] = "consumers"
    max_pending_frames: int = 100_000
    max_pending_bytes: int = 64 * 1024 * 1024
    last_values: bool = True
    ws: WsOptions = field(default_factory=WsOptions)
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            is_number = name.endswith(("_s", "_factor", "_lines", "_frames", "_bytes")) and name != "renew_after_s"
            if is_number and not (isinstance(value, (int, float)) and 0 < value < float("inf")):
                raise ConfigError(f"{name} must be a finite number above zero, not {value!r}")
            if name.endswith(("_lines", "_frames", "_bytes")) and (not isinstance(value, int) or value is True):
                raise ConfigError(f"{name} must be a whole number, not {value!r}")
        if self.competing not in get_args(Competing):
            raise ConfigError(f"competing must be 'observe' or 'reclaim', not {self.competing!r}")
        if self.ready_fallback not in get_args(ReadyFallback):
            raise ConfigError(f"ready_fallback must be 'subscribe' or 'reconnect', not {self.ready_fallback!r}")
        if self.backfill is not None and self.backfill not in get_args(BackfillSource):
            raise ConfigError(f"backfill must be 'smh', 'rest' or None, not {self.backfill!r}")
        if self.overload not in ("consumers", "block"):
            raise ConfigError(f"overload must be 'consumers' or 'block', not {self.overload!r}")
        # Of these nobody asks before something goes wrong, as at night: then it is too late to say so.
        if self.nightly is not None and not isinstance(self.nightly, DailyWindow):
            raise ConfigError(f"nightly must be a DailyWindow or None, not {type(self.nightly).__name__}")
        if not isinstance(self.ws, WsOptions):
            raise ConfigError(f"ws must be WsOptions, not {type(self.ws).__name__}")
        if self.seed is not None and not isinstance(self.seed, int):
            raise ConfigError(f"seed must be a whole number or None, not {type(self.seed).__name__}")
        ages = self.renew_after_s
        if not (
            isinstance(ages, (tuple, list))
            and len(ages) == 2
            and all(isinstance(age, (int, float)) for age in ages)
            and 0 < ages[0] <= ages[1] < 900
        ):
            raise ConfigError(
                f"renew_after_s must be two ages above zero and below 900 s, where the gateway ends a stream, not "
                f"{self.renew_after_s!r}"
            )
        if self.stale_after_min_s > self.stale_after_max_s:
            raise ConfigError("stale_after_min_s must not be above stale_after_max_s")
