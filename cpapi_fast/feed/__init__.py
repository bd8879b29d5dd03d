"""Feed: subscriptions that persist across connections, on the state machine in `machine`.

The files::

    options.py         the options of a feed
    tracker.pyx        counts the frames of each topic in C, and picks the frames to inspect
    last_values.pyx    the last value of every field
    tracked_topics.py  the topics of the subscriptions, with one slot each
    state/             quotes, orders, executions, accounts and session, merged
    machine/           the state machine: decides what to send, request and report
    decisions/         the decision record, and its replay
    backfill.py        history for gaps
    driver/            connects the machine to sockets, REST and timers
    status.py          counters, statuses and last values, as returned to users
    subscription.py    FeedSubscription, the handle of one subscription
    feed_consumers.py  the consumers of a feed
    feed_status.py     what a feed tells about itself
    feed_data.py       the current data, and callbacks for its changes
    feed_subscriptions.py  what a feed can subscribe to
    feed_reading.py    how a feed is read, and tasks that wait for its states
    state_waiters.py   tasks that wait for a state
    feed.py            Feed
"""

from __future__ import annotations

from .decisions import Decision, replay_decisions
from .feed import Feed
from .status import FeedStats, LastField, LastValue, SubscriptionStatus
from .subscription import FeedSubscription

__all__ = [
    "Decision",
    "Feed",
    "FeedStats",
    "FeedSubscription",
    "LastField",
    "LastValue",
    "SubscriptionStatus",
    "replay_decisions",
]
