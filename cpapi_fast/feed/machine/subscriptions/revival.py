"""Whether the replies to probes prove that a stream still runs, and when a quiet stream has to be revived.

A gateway can answer a probe with the snapshot of a stream that has stopped. That reply looks like the one of an
instrument that does not change. So a subscription that had no tick between two replies is revived: it is unsubscribed
and subscribed again. The reply decides: data that is newer than before proves that the old stream had stopped; the old
stream again proves nothing at all.
"""

from __future__ import annotations

import enum
from typing import Final

from .subscription_state import SubscriptionState

#: The next revival in a quiet time is due when the subscription has been quiet for this many times as long.
_LATER: Final = 8.0
#: A subscription that ticks within this many usual intervals after a revival, and was quiet for at least so many before
#: it, may have been revived.
_SOON_INTERVALS: Final = 2.0
_LONG_INTERVALS: Final = 8.0


class RevivalResult(enum.Enum):
    """What the reply to a revival shows."""

    #: Nothing was missed, as far as can be known.
    QUIET = "quiet"
    #: The stream had stopped, and runs again.
    STOPPED = "stopped"
    #: The gateway sent the old stream's snapshot again: the stream does not run.
    FROZEN = "frozen"


def on_probe_reply(
    subscription: SubscriptionState, *, last_ns: int, last_s: float, is_newer: bool | None, is_same_stream: bool
) -> None:
    """Note a snapshot that replied to a subscribe for a stream that had been quiet.

    Args:
        subscription: the subscription.
        last_ns: when the data of the frame before the subscribe was new.
        last_s: when that frame was received, in seconds of the feed's clock.
        is_newer: whether the snapshot's data is newer; None if unknown.
        is_same_stream: whether it is a snapshot of the stream that was subscribed to.
    """
    state = subscription.revival
    if not is_same_stream:
        reset(subscription)
        return
    if not state.replies or subscription.ticks > state.ticks_at_reply:
        reset(subscription)
        state.from_ns, state.from_s = last_ns, last_s
        state.usual_s = subscription.staleness.interval.usual_s
    state.replies += 1
    state.was_reply_newer = is_newer
    state.ticks_at_reply = subscription.ticks


def on_snapshot(subscription: SubscriptionState) -> None:
    """Count a further frame of the snapshot: the frames of a batch are counted before the first is inspected."""
    state = subscription.revival
    state.ticks_at_reply = min(state.ticks_at_reply, subscription.ticks)


def reset(subscription: SubscriptionState) -> None:
    """Forget the replies, because the subscription ticks or has another stream."""
    state = subscription.revival
    if state.replies or state.is_frozen or state.soon_s:
        subscription.revival.clear()


def is_due(subscription: SubscriptionState, now_s: float) -> bool:
    """Whether the next subscribe of a quiet subscription should revive it."""
    state, interval = subscription.revival, subscription.staleness.interval
    if not state.replies or state.usual_s is None or subscription.ticks > state.ticks_at_reply:
        return False
    least_s = interval.limit_s if interval.is_infrequent else 0.0
    return now_s - state.from_s >= max(state.next_quiet_s, least_s)


def on_reply(
    subscription: SubscriptionState, stream_id: str | None, now_s: float, *, is_snapshot: bool, is_newer: bool | None
) -> RevivalResult:
    """Evaluate the reply to a revival.

    Args:
        subscription: the subscription.
        stream_id: the id of the reply's stream.
        now_s: the time of the feed's clock.
        is_snapshot: whether the reply is a snapshot.
        is_newer: whether its data is newer than that of the frame before; None if unknown.
    """
    state = subscription.revival
    if not is_snapshot:
        return RevivalResult.QUIET
    if is_newer is False and stream_id is not None and stream_id == subscription.request.stream_id_before_revival:
        state.is_frozen, state.frozen_id = True, stream_id
        return RevivalResult.FROZEN
    if not state.replies:
        return RevivalResult.QUIET
    was_frozen, state.is_frozen = state.is_frozen, False
    quiet_s = now_s - state.from_s
    state.next_quiet_s = _LATER * quiet_s
    state.ticks_at_reply = subscription.ticks
    if is_newer and (was_frozen or state.was_reply_newer is False):
        return RevivalResult.STOPPED
    if is_newer and state.usual_s is not None and quiet_s >= _LONG_INTERVALS * state.usual_s:
        # This gateway's snapshots have the time of the reply. Only ticks can show that the stream had stopped.
        state.soon_s = now_s + _SOON_INTERVALS * state.usual_s
    return RevivalResult.QUIET


def proves_nothing(
    subscription: SubscriptionState, stream_id: str | None, *, is_snapshot: bool, is_newer: bool | None
) -> bool:
    """Whether a frame of a frozen subscription is another snapshot of the old stream."""
    state = subscription.revival
    return state.is_frozen and is_snapshot and is_newer is not True and stream_id in (None, state.frozen_id)


def on_tick(subscription: SubscriptionState, now_s: float) -> int | None:
    """Note an inspected tick.

    Returns:
        When the last data before a revival was new, if the tick came so soon after it that the stream may have stopped
        before; else None.
    """
    state = subscription.revival
    from_ns = state.from_ns if now_s <= state.soon_s else None
    reset(subscription)
    return from_ns
