"""The options for limits and times of a feed and its connection, which a gateway of one's own may need."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cpapi_fast.redaction import shown

from .arguments import seconds, whole_number

if TYPE_CHECKING:
    from cpapi_fast.feed.options import FeedOptions


class _Limit(NamedTuple):
    # Without the `_s` of an option of the library: durations on the command line are in seconds.
    name: str
    parse: Callable[[str], Any]
    help: str


def _ages(text: str) -> tuple[float, float]:
    """Two numbers of seconds, `LOW,HIGH`. The library checks their order."""
    parts = text.split(",")
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"give two ages in seconds, such as 360,420, not {shown(text)}")
    return seconds(parts[0]), seconds(parts[1])


#: The options of `FeedOptions`, by their names there.
_FEED: Final[dict[str, _Limit]] = {
    "ready_timeout_s": _Limit("ready-timeout", seconds, "wait S seconds for `system` on an open socket (default: 10)"),
    "keepalive_interval_s": _Limit(
        "keepalive-interval", seconds, "send `tic` and request /tickle every S seconds (default: 60)"
    ),
    "socket_timeout_s": _Limit(
        "socket-timeout", seconds, "reconnect if the socket delivers nothing for S seconds (default: 30)"
    ),
    "stream_lifetime_s": _Limit(
        "stream-lifetime", seconds, "the gateway ends a subscription that is not renewed for S seconds (default: 600)"
    ),
    "renew_after_s": _Limit(
        "renew-after",
        _ages,
        "renew a subscription at an age between two ages in seconds, LOW,HIGH (default: 60 and 70 %% of "
        "--stream-lifetime)",
    ),
    "send_bytes_per_s": _Limit("send-bytes-per-s", seconds, "send at most N bytes of texts a second (default: 32768)"),
    "send_burst_bytes": _Limit(
        "send-burst-bytes", whole_number, "send at most N bytes of texts at one moment (default: 4096)"
    ),
    "answer_timeout_s": _Limit(
        "answer-timeout", seconds, "wait S seconds for the reply to a subscribe (default: 10)"
    ),
    "stale_factor": _Limit(
        "stale-factor", seconds, "an instrument is stale after N of its usual intervals (default: 5)"
    ),
    "stale_after_min_s": _Limit("stale-after-min", seconds, "but never before S seconds (default: 2.5)"),
    "stale_after_max_s": _Limit(
        "stale-after-max", seconds, "and after S seconds at the latest, if it ticks often (default: 60)"
    ),
    "reconnect_base_s": _Limit(
        "reconnect-base", seconds, "the first pause before a reconnect is at most S seconds (default: 1)"
    ),
    "reconnect_max_s": _Limit("reconnect-max", seconds, "a later pause is at most S seconds (default: 60)"),
    "login_poll_s": _Limit(
        "login-poll", seconds, "while a person has to log in, check every S seconds (default: 30)"
    ),
    "penalty_s": _Limit("penalty", seconds, "send nothing for S seconds after a 429 to the socket (default: 900)"),
}  # fmt: skip

#: The options of `WsOptions`.
_WS: Final[dict[str, _Limit]] = {
    "open_timeout_s": _Limit("open-timeout", seconds, "the time limit to open the socket (default: 10)"),
    "close_timeout_s": _Limit("close-timeout", seconds, "the time limit to close the socket (default: 5)"),
    "max_frame_bytes": _Limit("max-frame-bytes", whole_number, "a longer frame ends the connection (default: 16 MiB)"),
    "max_message_bytes": _Limit(
        "max-message-bytes", whole_number, "a longer message ends the connection (default: 64 MiB)"
    ),
}  # fmt: skip


#: The options of `Client`.
_CLIENT: Final[dict[str, _Limit]] = {
    "connect_timeout_s": _Limit("connect-timeout", seconds, "the time limit to connect for a request (default: 5)"),
    "total_timeout_s": _Limit("total-timeout", seconds, "the time limit of a request over REST (default: 30)"),
    "max_body_bytes": _Limit("max-body-bytes", whole_number, "a longer response is an error (default: 16 MiB)"),
}


def add_feed_tuning(parser: argparse.ArgumentParser, *, has_backfill: bool = False) -> None:
    """Add the options. The defaults follow the gateway's documentation.

    Args:
        parser: the parser of the command.
        has_backfill: whether the command requests history.
    """
    group = parser.add_argument_group(
        "limits of the connection", "the defaults follow the gateway's documentation; change them only with a reason"
    )
    for one in (*_FEED.values(), *_WS.values(), *_CLIENT.values()):
        letter = "LOW,HIGH" if one.parse is _ages else "S" if one.parse is seconds and "bytes" not in one.name else "N"
        group.add_argument(f"--{one.name}", type=one.parse, metavar=letter, help=one.help)
    group.add_argument(
        "--ready-fallback",
        choices=("subscribe", "reconnect"),
        help="what to do after --ready-timeout (default: subscribe)",
    )
    group.add_argument(
        "--busy-poll",
        action="store_true",
        help="prevent the event loop from sleeping: a frame arrives microseconds earlier, and one core is always busy",
    )
    if has_backfill:
        group.add_argument(
            "--backfill-timeout",
            type=seconds,
            metavar="S",
            help="wait S seconds for the reply to a request of history on the socket (default: 60)",
        )


def feed_options(args: argparse.Namespace) -> FeedOptions:
    """Return the options of the feed in the arguments.

    Raises:
        ConfigError: one of them is invalid.
    """
    from cpapi_fast.feed.options import FeedOptions
    from cpapi_fast.ws.options import WsOptions

    given = {
        name: value
        for name in ("competing", "market_data_lines", "backfill", "record_decisions")
        if (value := getattr(args, name, None)) is not None
    }
    if args.give_up_after is not None:
        given["give_up_after_s"] = args.give_up_after
    if args.nightly_reset is not None:
        given["nightly"] = args.nightly_reset[0]
    return FeedOptions(**given, **_tuned_feed(args), ws=WsOptions(**_tuned_ws(args)))


def _tuned_feed(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `FeedOptions` that are given, by name."""
    names = (*_FEED, "ready_fallback", "backfill_timeout_s")
    return _given(args, names)


def _tuned_ws(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `WsOptions` that are given, by name."""
    return _given(args, (*_WS, "busy_poll"))


def client_limits(args: argparse.Namespace) -> dict[str, Any]:
    """Return the limits of `Client` that are given, by name."""
    return _given(args, tuple(_CLIENT))


def _given(args: argparse.Namespace, names: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        limit = (_FEED | _WS | _CLIENT).get(name)
        dest = (limit.name if limit else name.removesuffix("_s")).replace("-", "_")
        value = getattr(args, dest, None)
        if value is not None and value is not False:
            found[name] = value
    return found
