"""Gaps in the data of subscriptions: when one opens, where it begins, and the event that reports it.

The subscription manager opens gaps when a connection is lost or reset and when a subscription becomes stale. The
subscription requests open one when a reply cannot show whether the stream had ended.
"""

from __future__ import annotations

from collections.abc import Callable

from cpapi_fast.events import Cause, Gap
from cpapi_fast.feed.machine.actions import Action, Emit

from .subscription_state import OpenGap, SubscriptionState


class Gaps:
    """Opens and closes the gaps of all subscriptions of one feed.

    Args:
        act: receives each action, in order.
    """

    def __init__(self, act: Callable[[Action], None]) -> None:
        self._act = act

    def open(self, subscription: SubscriptionState, last_good_ns: int, cause: Cause) -> None:
        """Open a gap, unless one is open already."""
        if subscription.open_gap is None:
            subscription.open_gap = OpenGap(last_good_ns, cause)

    def open_after_last_frame(self, subscription: SubscriptionState, cause: Cause) -> None:
        """Open a gap after the last frame, if data was expected. Frames sent from now on are not received."""
        if subscription.open_gap is not None and subscription.request.is_sent:
            subscription.open_gap.is_resubscribed = True
        if subscription.has_data or subscription.request.is_sent:
            last_good_ns = subscription.activity.last_ns or subscription.request.first_sent_ns
            self.open(subscription, last_good_ns, cause)

    def move_start(self, subscription: SubscriptionState, last_good_ns: int) -> None:
        """Move the start of an open gap to a frame that was received late, unless frames before it are missing."""
        gap = subscription.open_gap
        if gap is None:
            return
        if gap.is_resubscribed:
            # The frame ends this gap, and the next one begins after it.
            self.close(subscription, last_good_ns)
            self.open(subscription, last_good_ns, gap.cause)
        else:
            gap.last_good_ns = last_good_ns

    def close(self, subscription: SubscriptionState, first_good_ns: int | None) -> None:
        """Close and report the open gap, if there is one; without an end if `first_good_ns` is None."""
        gap, subscription.open_gap = subscription.open_gap, None
        if gap is not None:
            self._act(Emit(Gap(subscription.topic, gap.last_good_ns, first_good_ns, gap.cause)))
