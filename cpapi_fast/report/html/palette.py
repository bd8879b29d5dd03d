"""The colours of a report, which can be told apart on light and on dark ground, and with every kind of colour vision"""

from __future__ import annotations

from typing import Final

#: What is covered, and the bars of rates.
COVERED: Final = "#3a9d6e"
RATE: Final = "#3f87c6"
STANDSTILL: Final = "#8a7fc2"

#: The lines of lateness: their names, quantiles, colours and dashes.
QUANTILES: Final = (
    ("maximum", 1.0, "#b0413e", "dotted"),
    ("99 %", 0.99, "#d9a400", "dashed"),
    ("median", 0.5, RATE, "solid"),
)

#: The groups of causes: their names, colours and causes.
CAUSE_GROUPS: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "connection": (
        "#d55e00",
        frozenset(
            {
                *("connection_lost", "closed_by_gateway", "socket_silent", "protocol_violation", "unreachable"),
                *("gateway_error", "rate_limited", "refused", "upgrade_refused", "not_a_gateway", "ready_timeout"),
            }
        ),
    ),
    "session": (
        "#cc6fa5",
        frozenset(
            {"session_changed", "not_logged_in", "session_ended", "competing", "brokerage_closed", "forbidden"},
        ),
    ),
    "subscription": (
        "#d9a400",
        frozenset({"subscription_silent", "subscription_refused", "unsubscribed", "all_stale"}),
    ),
    "slow consumer": ("#b0413e", frozenset({"consumer_overflow"})),
}

#: A group for all other causes, and for the time between runs.
OTHER_GROUP: Final = ("other", "#9a6b4f")
BETWEEN_RUNS: Final = ("between runs", "#7d8590")

#: The colours of the states of a feed.
STATES: Final = {
    "streaming": "#3a9d6e",
    "authenticated": "#7fb99a",
    "ready": "#56a0b8",
    "open": "#5f8fc0",
    "connecting": "#d9a400",
    "disconnected": "#7d8590",
    "login_required": "#d55e00",
    "competing": "#cc6fa5",
    "stale": "#b0413e",
}
OTHER_STATE: Final = "#9a6b4f"

#: The colours of numbers of frames, from few to many.
HEAT: Final = (
    *("#2c5f8a", "#2f6f98", "#317fa3", "#3490ab", "#3ba0ae", "#48b0ac", "#5cbfa5", "#77cd9a"),
    *("#97d98e", "#b8e383", "#daeb7e", "#f7ef80"),
)


def group_of(cause: str) -> tuple[str, str]:
    """Return the name and the colour of the group of a cause."""
    for name, (colour, causes) in CAUSE_GROUPS.items():
        if cause in causes:
            return name, colour
    return BETWEEN_RUNS if cause == "not_running" else OTHER_GROUP
