"""The options of a feed, validated once; every duration is in seconds of the client's `Clock`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from cpapi_fast.errors import ConfigError
from cpapi_fast.events import BackfillSource
from cpapi_fast.option_values import check_flag, check_positive, check_whole
from cpapi_fast.protocol.hours import DailyWindow
from cpapi_fast.redaction import repr_without_accounts
from cpapi_fast.ws.options import WsOptions

#: What to do about another login of the same user: wait until it has ended, or take the brokerage session back.
Competing = Literal["observe", "reclaim"]

#: What to do if the gateway does not send `system`.
ReadyFallback = Literal["subscribe", "reconnect"]

#: A subscription is renewed at an age between these fractions of its lifetime.
_RENEWAL_PARTS: Final = (0.6, 0.7)


@repr_without_accounts
@dataclass(frozen=True, kw_only=True)
class FeedOptions:
    """Policies of one `Feed`. The defaults follow the gateway's documentation and recorded sessions.

    Args:
        competing: what to do about another login of the same user: `observe` waits until it ends; `reclaim` takes the
            brokerage session back, which ends the other login.
        ready_timeout_s: how long to wait for `system` with `success` on an open socket.
        ready_fallback: what to do after that time: `subscribe` anyway, or `reconnect`. Both emit an event.
        keepalive_interval_s: how often to send `tic` on the socket and `/tickle` over REST.
        socket_timeout_s: how long the socket may deliver nothing; the gateway sends a heartbeat every 10 s.
        stream_lifetime_s: after which time the gateway ends a market data subscription that is not renewed.
        renew_after_s: the lowest and the highest age at which a market data subscription is renewed. Each renewal
            draws its own age, so that hundreds are not due together. None for 60 % and 70 % of `stream_lifetime_s`,
            which is 360 and 420 s; the rest is left for a slow sender.
        send_bytes_per_s: how many bytes of texts to send on the socket in a second; each text counts 40 more. Bursts of
            thousands of texts have broken TLS connections.
        send_burst_bytes: how many of them to send at one moment after an idle time.
        answer_timeout_s: how long to wait for the reply to a subscribe before the subscription is stale.
        stale_factor: the staleness limit of a subscription, in its usual intervals between ticks.
        stale_after_min_s: the lowest staleness limit.
        stale_after_max_s: the highest staleness limit of a subscription that ticks at least `stale_factor` times in
            this time.
        reconnect_base_s: the bound of the first random pause before a reconnect; it doubles with each try.
        reconnect_max_s: the highest bound.
        nightly: the time of day of the gateway's reset, when the pauses are at least half of `reconnect_max_s`; None
            for no such time.
        give_up_after_s: end the feed after this long without data, at the start or later: consumers and `wait_for` then
            raise an error with the last cause. None (the default) for never, so that the feed continues after every
            login and every reset of the gateway.
        log_trouble: write to the logger `cpapi_fast`: each cause for which no data arrives, with what to do, each gap
            and each standstill as a warning; each other change of state, each retry with its time, and the return of
            data as INFO. False for a program that shows the events itself.
        login_poll_s: how often to check the session while the user has to log in or another login holds it.
        penalty_s: how long to send nothing after a 429 to the opening of the socket. After a 429 over REST it is as
            long as the client's pacer sends nothing, which is 900 s.
        market_data_lines: how many `smd` subscriptions the account may have at once.
        backfill: request bars of history for every gap in market data, and emit them as a `Backfill` after the gap:
            by `smh` on the socket, which serves five requests at once, or by `rest`; None requests nothing.
        backfill_timeout_s: how long an `smh` request may have no reply.
        overload: `consumers`: each consumer drops, conflates or halts by its own policy. `block` also allows consumers
            with the policy `block`: a full one stops the socket from being read, which delays every consumer.
        max_pending_frames: the bound of a consumer that is added without one.
        max_pending_bytes: the bound of such a consumer in bytes.
        last_values: keep the latest value of every field for `last_value`; this costs more than receiving a frame.
        kept_state: keep orders, executions and accounts for `orders`, `executions`, `pnl`, `account_summary` and
            `ledger`. False saves a program that reads none of them about 10 µs for each of their frames.
        max_orders: how many orders to keep for `orders`. Beyond that, the order that finished first is removed.
        max_executions: how many executions to keep for `executions`. Beyond that, the one with the earliest trade time
            is removed, or the new one is left out if it is earlier still.
        max_account_rows: how many rows to keep for each of `pnl`, `account_summary` and `ledger`. Beyond that, the one
            that is not current for the longest time is removed; if all are current, the new one is left out.
            `FeedStats` counts what is removed and left out.
        ws: limits and timeouts of each connection.
        seed: the seed of the jitter; None draws one.
        record_decisions: write the feed's inputs and decisions to this new file, which `replay_decisions` reads. It
            contains no session id, cookie, account or price. About 100 kB an hour for a few subscriptions.

    Raises:
        ConfigError: an invalid value.
    """

    competing: Competing = "observe"
    ready_timeout_s: float = 10.0
    ready_fallback: ReadyFallback = "subscribe"
    keepalive_interval_s: float = 60.0
    socket_timeout_s: float = 30.0
    stream_lifetime_s: float = 600.0
    renew_after_s: tuple[float, float] | None = None
    send_bytes_per_s: float = 32_768.0
    send_burst_bytes: int = 4_096
    answer_timeout_s: float = 10.0
    stale_factor: float = 5.0
    stale_after_min_s: float = 2.5
    stale_after_max_s: float = 60.0
    reconnect_base_s: float = 1.0
    reconnect_max_s: float = 60.0
    nightly: DailyWindow | None = field(default_factory=DailyWindow.us_reset)
    give_up_after_s: float | None = None
    log_trouble: bool = True
    login_poll_s: float = 30.0
    penalty_s: float = 900.0
    market_data_lines: int = 100
    backfill: BackfillSource | None = None
    backfill_timeout_s: float = 60.0
    overload: Literal["consumers", "block"] = "consumers"
    max_pending_frames: int = 100_000
    max_pending_bytes: int = 64 * 1024 * 1024
    last_values: bool = True
    kept_state: bool = True
    max_orders: int = 10_000
    max_executions: int = 10_000
    max_account_rows: int = 10_000
    ws: WsOptions = field(default_factory=WsOptions)
    seed: int | None = None
    record_decisions: str | Path | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith(("_lines", "_frames", "_bytes", "_orders", "_executions", "_rows")):
                check_whole(name, value)
            elif name == "renew_after_s" or (name == "give_up_after_s" and value is None):
                continue
            elif name.endswith(("_s", "_factor")):
                check_positive(name, value)
        check_flag("log_trouble", self.log_trouble)
        check_flag("last_values", self.last_values)
        check_flag("kept_state", self.kept_state)
        if self.competing not in get_args(Competing):
            raise ConfigError(f"competing must be 'observe' or 'reclaim', not {self.competing!r}")
        if self.ready_fallback not in get_args(ReadyFallback):
            raise ConfigError(f"ready_fallback must be 'subscribe' or 'reconnect', not {self.ready_fallback!r}")
        if self.backfill is not None and self.backfill not in get_args(BackfillSource):
            raise ConfigError(f"backfill must be 'smh', 'rest' or None, not {self.backfill!r}")
        if self.overload not in ("consumers", "block"):
            raise ConfigError(f"overload must be 'consumers' or 'block', not {self.overload!r}")
        # Checked here because they are used much later, for example at night.
        if self.nightly is not None and not isinstance(self.nightly, DailyWindow):
            raise ConfigError(f"nightly must be a DailyWindow or None, not {type(self.nightly).__name__}")
        if not isinstance(self.ws, WsOptions):
            raise ConfigError(f"ws must be WsOptions, not {type(self.ws).__name__}")
        if self.seed is not None and type(self.seed) is not int:
            raise ConfigError(f"seed must be a whole number or None, not {type(self.seed).__name__}")
        if self.record_decisions is not None and not isinstance(self.record_decisions, (str, Path)):
            raise ConfigError(f"record_decisions must be a path or None, not {type(self.record_decisions).__name__}")
        ages = self.renew_after_s
        if ages is not None and not (
            isinstance(ages, (tuple, list))
            and len(ages) == 2
            and all(type(age) in (int, float) for age in ages)
            and 0 < ages[0] <= ages[1] < self.stream_lifetime_s
        ):
            raise ConfigError(
                f"renew_after_s must be two ages above zero and below stream_lifetime_s, where the gateway ends a "
                f"stream ({self.stream_lifetime_s:g} s), not {self.renew_after_s!r}"
            )
        if self.stale_after_min_s > self.stale_after_max_s:
            raise ConfigError("stale_after_min_s must not be above stale_after_max_s")

    @property
    def renewal_ages_s(self) -> tuple[float, float]:
        """The lowest and the highest age at which a market data subscription is renewed, in seconds."""
        if self.renew_after_s is not None:
            return self.renew_after_s
        low, high = _RENEWAL_PARTS
        return low * self.stream_lifetime_s, high * self.stream_lifetime_s
