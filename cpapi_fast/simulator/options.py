"""What can be chosen about a simulated gateway, checked once."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from cpapi_fast.errors import ConfigError

from .certificate import Certificate

#: How a gateway answers REST calls of somebody who is not logged in; all four have been seen.
LoggedOutAnswer = Literal["unauthorized", "redirect", "html", "json"]

#: The three frames that follow authentication; their order varies between builds.
BURST_FRAMES = ("system", "act", "sts")


@dataclass(frozen=True, kw_only=True)
class SimulatorOptions:
    """The knobs of a `SimulatedGateway`. All durations are seconds of its clock, `speed` times as fast as real time.

    Attributes:
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        tls: serve https and wss; False serves http and ws, as a gateway with `listenSsl: false` does.
        certificate: the certificate to serve; None makes a fresh self-signed one.
        seed: the same seed and the same order of subscribes give the same frames apart from their times.
        speed: how many seconds of the gateway's clock pass in a real second.
        is_logged_in: whether somebody has logged in by browser when the gateway starts.
        has_brokerage: whether the brokerage session is open when the gateway starts.
        logged_out_answer: `unauthorized` (401), `redirect` (302 to the login page), `html` (a login page with status
            200) or `json` (status 200 with `authenticated:false` from auth/status and `{"error":...}` from the rest).
        require_origin: answer 401 to a REST call that does not carry the gateway's own origin in `Origin`.
        enforce_pacing: answer 429 above the documented request rates, and put the caller in the 15-minute penalty box.
        idle_timeout_s: without REST calls for this long the brokerage session ends; None never ends it.
        user: the user name that `system` and `sts` tell.
        accounts: the accounts; the first one is selected.
        ready_delay_s: how long after authentication `system` with `success` comes; None never sends the opening burst.
            Subscribes before it are dropped without a word.
        opening_burst: order of the opening burst.
        heartbeat_interval_s: time between two `system.hb`.
        tic_replies: how many equal replies a `tic` gets.
        conids: the conids that have a market, all others are dead; None gives every conid a market.
        dead_conids: conids that answer `N/A` and `-` and never tick.
        rate: market frames per second over all sockets, spread evenly (this leaves the 500 ms grid); None is the
            gateway's natural 500 ms conflation.
        stream_life_s: how long an `smd` lives after its last subscribe.
        market_data_lines: how many `smd` may live at once; one more is ignored in silence (inferred: nobody recorded
            the answer).
        tick_intervals: conid to seconds between its ticks, which are then regular and on the 500 ms grid, whatever
            `rate` says; conids that are not in it tick as they like.
        renewals_answered: whether an `smd` for a live stream is answered by a pair of snapshots, as recorded; it renews
            the stream either way.
        history_slots: how many `smh` may be open at once.
        refuse_orders_until_accounts: refuse `sor` with code 500 until `/iserver/accounts` was called.
        replay: file whose lines are sent, after the opening burst, to every socket.
        outbox_limit_bytes: how many unsent bytes a socket may hold; frames over it are dropped and counted, market data
            is conflated long before.
        keep_sent: how many of the last sent payloads a connection remembers for tests.
        keep_log: note every data frame that is written in `SimulatedGateway.log`, which grows until it is cleared.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls: bool = True
    certificate: Certificate | None = None
    seed: int = 0
    speed: float = 1.0

    is_logged_in: bool = True
    has_brokerage: bool = True
    logged_out_answer: LoggedOutAnswer = "unauthorized"
    require_origin: bool = False
    enforce_pacing: bool = False
    idle_timeout_s: float | None = 360.0
    user: str = "user1234"
    accounts: tuple[str, ...] = ("DU1234567",)

    ready_delay_s: float | None = 0.1
    opening_burst: tuple[str, ...] = BURST_FRAMES
    heartbeat_interval_s: float = 10.0
    tic_replies: int = 4

    conids: tuple[int, ...] | None = None
    dead_conids: frozenset[int] = frozenset()
    rate: float | None = None
    stream_life_s: float = 900.0
    market_data_lines: int = 100
    tick_intervals: Mapping[int, float] | None = None
    renewals_answered: bool = True
    history_slots: int = 5
    refuse_orders_until_accounts: bool = False

    replay: str | os.PathLike[str] | None = None
    outbox_limit_bytes: int = 4 * 1024 * 1024
    keep_sent: int = 1_000
    keep_log: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port must be from 0 (any free one) to 65535, not {self.port}")
        if self.logged_out_answer not in get_args(LoggedOutAnswer):
            choices = ", ".join(get_args(LoggedOutAnswer))
            raise ConfigError(f"logged_out_answer must be one of {choices}, not {self.logged_out_answer!r}")
        if sorted(self.opening_burst) != sorted(BURST_FRAMES):
            raise ConfigError(f"opening_burst must hold {', '.join(BURST_FRAMES)} once each, in the order to send them")
        if not self.accounts:
            raise ConfigError("accounts must name at least one account")
        for name in ("speed", "heartbeat_interval_s", "stream_life_s", "rate", "idle_timeout_s"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise ConfigError(f"{name} must be a finite number above zero, not {value!r}")
        for conid, interval_s in (self.tick_intervals or {}).items():
            if not 0.0 < interval_s < math.inf:
                raise ConfigError(f"tick_intervals of {conid} must be a finite number above zero, not {interval_s!r}")
        if self.ready_delay_s is not None and not 0.0 <= self.ready_delay_s < math.inf:
            raise ConfigError(f"ready_delay_s must be zero or more, or None for never, not {self.ready_delay_s!r}")
        for name in ("tic_replies", "market_data_lines", "history_slots", "outbox_limit_bytes", "keep_sent"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be zero or more, not {getattr(self, name)!r}")
