"""Options of a simulated gateway, validated on creation."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from cpapi_fast.clock import MAX_SPEED, MIN_SPEED
from cpapi_fast.errors import ConfigError
from cpapi_fast.option_values import check_flag, check_positive, check_whole

from .certificate import Certificate

_FLAGS: Final = (
    "tls",
    "is_logged_in",
    "has_brokerage",
    "require_origin",
    "enforce_pacing",
    "replies_to_renewals",
    "refuse_orders_until_accounts",
    "keep_log",
)

#: How the gateway responds to REST calls without a login. All four were observed.
LoggedOutResponse = Literal["unauthorized", "redirect", "html", "json"]

#: How many received texts a connection keeps.
MAX_TEXTS = 100_000

#: The three frames that follow authentication; their order varies between builds.
BURST_FRAMES = ("system", "act", "sts")


@dataclass(frozen=True, kw_only=True)
class SimulatorOptions:
    """Options of a `SimulatedGateway`. Durations are seconds of its clock, `speed` times as fast as real time.

    Attributes:
        host: the address to listen on.
        port: the port to listen on; 0 chooses a free one.
        tls: True serves https and wss; False serves http and ws, as a gateway with `listenSsl: false` does.
        certificate: the certificate; None creates a self-signed one.
        certificate_file: a PEM file with the key and the certificate, so that a pin stays valid when the gateway is
            started again. It is created if it does not exist.
        seed: the same seed and the same order of subscribes give the same frames, apart from their times.
        speed: how many seconds of the gateway's clock pass in a real second.
        is_logged_in: whether a user is logged in when the gateway starts.
        has_brokerage: whether the brokerage session is open when the gateway starts.
        logged_out_response: `unauthorized` (401), `redirect` (302 to the login page), `html` (a login page with status
            200) or `json` (status 200 with `authenticated:false` from auth/status and `{"error":...}` from the rest).
        require_origin: respond with 401 to a REST call whose `Origin` is not the gateway's own.
        enforce_pacing: respond with 429 above the documented request rates; ten requests in a second start a penalty of
            15 minutes.
        idle_timeout_s: without REST calls for this long the brokerage session ends; None for no timeout.
        user: the user name in `system` and `sts`.
        accounts: the accounts; the first one is selected.
        ready_delay_s: time from authentication to `system` with `success`; None never sends the opening burst.
            Subscribes that arrive earlier are ignored without a reply.
        opening_burst: the order of the opening burst.
        heartbeat_interval_s: time between two `system.hb`.
        tic_replies: how many equal replies a `tic` gets.
        conids: the conids that have a market, all others are inactive; None gives every conid a market.
        inactive_conids: conids that are unknown or no longer traded: they send `N/A` and `-` and never tick.
        rate: market data frames per second over all sockets, spread evenly and off the 500 ms grid; None for the
            gateway's usual conflation to 500 ms.
        stream_lifetime_s: how long an `smd` stream lasts after its last subscribe.
        market_data_lines: how many `smd` streams may be active at once; a further subscribe is ignored without a reply
            (inferred, not recorded).
        tick_intervals: conid to seconds between its ticks. Those conids tick at fixed intervals on the 500 ms grid,
            whatever `rate` is; all others tick at random.
        replies_to_renewals: whether a repeated `smd` gets a pair of snapshots, as recorded. It renews the stream either
            way.
        history_slots: how many `smh` may be open at once.
        refuse_orders_until_accounts: refuse `sor` with code 500 until `/iserver/accounts` was called.
        replay: a file whose lines are sent to every socket after the opening burst; or a capture or a folder of
            captures, whose data frames are sent to every socket from its first subscribe on, in place of invented
            ones: at the recorded pace in seconds of the clock, or at `rate`.
        write_buffer_limit_bytes: how many unsent bytes a socket may have; further frames are dropped and counted.
            Market data is conflated long before.
        max_texts_per_s: how many texts a client may send within a second; one more resets the socket, as was reported
            of TLS writers when thousands of subscribes were sent at once. None for no limit.
        keep_sent: how many of the last payloads a connection keeps, for tests.
        keep_log: append every written data frame to `SimulatedGateway.log`, which grows until it is cleared.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls: bool = True
    certificate: Certificate | None = None
    certificate_file: str | os.PathLike[str] | None = None
    seed: int = 0
    speed: float = 1.0

    is_logged_in: bool = True
    has_brokerage: bool = True
    logged_out_response: LoggedOutResponse = "unauthorized"
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
    inactive_conids: frozenset[int] = frozenset()
    rate: float | None = None
    stream_lifetime_s: float = 600.0
    market_data_lines: int = 100
    tick_intervals: Mapping[int, float] | None = None
    replies_to_renewals: bool = True
    history_slots: int = 5
    refuse_orders_until_accounts: bool = False

    replay: str | os.PathLike[str] | None = None
    write_buffer_limit_bytes: int = 4 * 1024 * 1024
    max_texts_per_s: int | None = None
    keep_sent: int = 1_000
    keep_log: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.host, str) or not _is_host(self.host):
            raise ConfigError(
                "host must be an address or a host name, such as 127.0.0.1, or 0.0.0.0 for all addresses, not "
                f"{str(self.host)[:40]!r}"
            )
        if type(self.port) is not int or not 0 <= self.port <= 65535:
            raise ConfigError(f"port must be from 0 (any free one) to 65535, not {self.port!r}")
        if self.logged_out_response not in get_args(LoggedOutResponse):
            choices = ", ".join(get_args(LoggedOutResponse))
            raise ConfigError(f"logged_out_response must be one of {choices}, not {self.logged_out_response!r}")
        if sorted(self.opening_burst) != sorted(BURST_FRAMES):
            raise ConfigError(f"opening_burst must contain {', '.join(BURST_FRAMES)} once each")
        if self.certificate_file is not None:
            if not isinstance(self.certificate_file, (str, os.PathLike)):
                raise ConfigError(f"certificate_file must be a path, not {type(self.certificate_file).__name__}")
            if self.certificate is not None:
                raise ConfigError("give certificate or certificate_file, not both")
            if self.tls is False:
                raise ConfigError("certificate_file needs TLS, which is off")
        if not self.accounts:
            raise ConfigError("accounts must name at least one account")
        for name in ("speed", "heartbeat_interval_s", "stream_lifetime_s", "rate", "idle_timeout_s"):
            value = getattr(self, name)
            if value is not None or name not in ("rate", "idle_timeout_s"):
                check_positive(name, value)
        if not MIN_SPEED <= self.speed <= MAX_SPEED:
            raise ConfigError(f"speed must be from {MIN_SPEED:f} to {MAX_SPEED:,.0f}, not {self.speed!r}")
        for conid, interval_s in (self.tick_intervals or {}).items():
            check_positive(f"tick_intervals of {conid}", interval_s)
        if self.ready_delay_s is not None and not (
            type(self.ready_delay_s) in (int, float) and self.ready_delay_s == 0
        ):
            check_positive("ready_delay_s", self.ready_delay_s)
        if self.max_texts_per_s is not None:
            check_whole("max_texts_per_s", self.max_texts_per_s)
            if self.max_texts_per_s >= MAX_TEXTS:
                raise ConfigError(f"max_texts_per_s must be at most {MAX_TEXTS - 1}, not {self.max_texts_per_s!r}")
        for name in ("tic_replies", "market_data_lines", "history_slots", "write_buffer_limit_bytes", "keep_sent"):
            check_whole(name, getattr(self, name), least=0)
        for name in _FLAGS:
            check_flag(name, getattr(self, name))


def _is_host(host: str) -> bool:
    """Whether a text can be the host of a URL and of a certificate: ASCII, and no part of a name is too long."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return re.fullmatch(r"[0-9A-Za-z_.:%-]+", host) is not None
