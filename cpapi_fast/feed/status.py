"""What a feed says of itself when it is asked: counters, subscriptions, last values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cpapi_fast.events import FeedState
from cpapi_fast.ws.stats import WsStats


class LastField(NamedTuple):
    """The latest value of one field.

    Attributes:
        value: as it stands on the wire: text, mostly, or a number.
        received_ns: when the frame that brought it was received.
        age_s: how long ago that was, in seconds of the feed's clock; steps of the machine's time do not change it.
    """

    value: Any
    received_ns: int
    age_s: float


class LastValue(Mapping[str, LastField]):
    """The merged quote of one subscription: the latest value of every field, by its code, each with its age.

    Attributes:
        topic: the subscription.
        is_current: whether the subscription streams now; False while it is stale, or the feed is without a connection.
    """

    def __init__(self, topic: str, fields: dict[str, LastField], *, is_current: bool) -> None:
        self.topic: Final = topic
        self.is_current: Final = is_current
        self._fields = fields

    def __getitem__(self, code: str) -> LastField:
        return self._fields[code]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        values = {code: field.value for code, field in self._fields.items()}
        return f"LastValue({self.topic!r}, {values!r}{'' if self.is_current else ', not current'})"


@dataclass(frozen=True, slots=True)
class SubscriptionStatus:
    """One subscription, now.

    Attributes:
        topic: its identity.
        state: DISCONNECTED (not sent on this connection yet), OPEN (sent, nothing heard), STREAMING, or STALE.
        frames: how many frames of it were received, answers to subscribes included; `ticks` without these.
        last_ns: when the last one was received; 0 before the first.
        age_s: how long ago that was; None before the first.
        usual_interval_s: how often it usually ticks, as far as that is known.
        renewals: how often it was renewed.
        is_in_gap: whether data is missing now.
    """

    topic: str
    state: FeedState
    frames: int
    ticks: int
    last_ns: int
    age_s: float | None
    usual_interval_s: float | None
    renewals: int
    is_in_gap: bool


@dataclass(frozen=True, slots=True)
class FeedStats:
    """What one feed has done.

    Attributes:
        connection: the counters of all its connections together.
        connections: how many there were.
        state_changes, gaps: events told, those of subscriptions included.
        renewals, probes, resubscribes: subscribes sent again: in time; to check a quiet subscription; without a reply.
        calls_failed: REST calls that failed.
        frames_untracked: market data frames of nothing that is subscribed to (any more).
    """

    connection: WsStats
    connections: int
    state_changes: int
    gaps: int
    renewals: int
    probes: int
    resubscribes: int
    calls_failed: int
    frames_untracked: int
