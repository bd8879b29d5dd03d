"""Feed: connections, subscriptions and events of a market data feed, on the state machine of `machine`.

The files::

    tracker.pyx          counts the frames of each topic in C; which frames have to be inspected
    machine/             the state machine: inputs and the time go in, actions come out
    options.py           the options of a feed
    control_frames.py    what frames report about the connection
    failures.py          the errors of REST and sockets as failures that the machine knows
    last_values.pyx      the last value of every field
    backfill.py          history for gaps
    driver.py            ties the machine to the socket, REST and timers
    status.py            counters and statuses as users get them
    subscription.py      one subscription as users hold it
    consumers.py         the consumers of a feed
    state_waiters.py     tasks that wait for a state
    feed.py              Feed
"""

from __future__ import annotations

from .feed import Feed
from .status import FeedStats, LastField, LastValue, SubscriptionStatus
from .subscription import FeedSubscription

__all__ = ["Feed", "FeedStats", "FeedSubscription", "LastField", "LastValue", "SubscriptionStatus"]
