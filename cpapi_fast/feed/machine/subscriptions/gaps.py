"""Gaps in the data of subscriptions: when one opens, where it begins, whether frames are missing, and its event.

The subscription manager opens gaps when a connection is lost or reset and when a subscription becomes stale. The
subscription requests open one when a reply cannot show whether the stream had ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cpapi_fast.events import Cause, Certainty, Gap
from cpapi_fast.feed.machine.actions import Action, Emit

from .subscription_state import OpenGap, SubscriptionState

#: Frames are missing for certain only in a gap of this many usual intervals.
_CERTAIN_INTERVALS: Final = 2.0


class Gaps:
    """Opens and closes the gaps of all subscriptions of one feed.

    Args:
        act: receives each action, in order.
    """

    def __init__(self, act: Callable[[Action], None]) -> None:
        self._act = act

    def open(
        self, subscription: SubscriptionState, last_good_ns: int, cause: Cause, *, no_stream_from_s: float | None = None
    ) -> None:
        """Open a gap, unless one is open already.

        Args:
            subscription: the subscription.
            last_good_ns: when its last data was new.
            cause: the reason.
            no_stream_from_s: since when it is certain that no frame could arrive, in seconds of the feed's clock; None
                if it is not certain.
        """
        if subscription.open_gap is None:
            subscription.open_gap = OpenGap(last_good_ns, cause, no_stream_from_s)
        elif subscription.open_gap.no_stream_from_s is None:
            subscription.open_gap.no_stream_from_s = no_stream_from_s

    def open_after_last_frame(
        self, subscription: SubscriptionState, cause: Cause, *, no_stream_from_s: float | None = None
    ) -> None:
        """Open a gap after the last data, if data was expected. Frames sent from now on are not received."""
        if subscription.open_gap is not None and subscription.request.is_sent:
            subscription.open_gap.is_resubscribed = True
        if subscription.has_data or subscription.request.is_sent:
            last_good_ns = subscription.last_good_ns or subscription.request.first_sent_ns
            self.open(subscription, last_good_ns, cause, no_stream_from_s=no_stream_from_s)

    def move_start(self, subscription: SubscriptionState, last_good_ns: int) -> None:
        """Move the start of an open gap to a frame that came after it opened, unless data before it is missing."""
        gap = subscription.open_gap
        if gap is None:
            return
        if gap.is_resubscribed:
            # The frame ends this gap, and the next one begins after it.
            self.close(subscription, last_good_ns)
            self.open(subscription, last_good_ns, gap.cause, no_stream_from_s=gap.no_stream_from_s)
        else:
            gap.last_good_ns = last_good_ns

    def close(
        self,
        subscription: SubscriptionState,
        first_good_ns: int | None,
        *,
        now_s: float = 0.0,
        is_newer: bool | None = None,
    ) -> None:
        """Close and report the open gap, if there is one.

        Args:
            subscription: the subscription.
            first_good_ns: the receive time of the first frame after the gap; None if there is none.
            now_s: the time of the feed's clock.
            is_newer: whether the data of that frame is newer than the last before the gap; None if that is unknown.
        """
        gap, subscription.open_gap = subscription.open_gap, None
        if gap is None:
            return
        usual_s = subscription.staleness.interval.usual_s
        is_certain = (
            gap.no_stream_from_s is not None
            and is_newer is True
            and usual_s is not None
            and now_s - gap.no_stream_from_s >= _CERTAIN_INTERVALS * usual_s
        )
        certainty = Certainty.CERTAIN if is_certain else Certainty.POSSIBLE
        self._act(Emit(Gap(subscription.topic, gap.last_good_ns, first_good_ns, gap.cause, certainty=certainty)))
