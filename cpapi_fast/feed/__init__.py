"""Feed: connections, subscriptions and events of a market data feed, on the state machine of `machine`.

The files::

    options.py             the options of a feed
    tracker.pyx            counts the frames of each topic in C; which frames have to be inspected
    last_values.pyx        the last value of every field
    tracked_topics.py      the topics of its subscriptions, with one slot each
    machine/               the state machine: inputs go in, actions come out
    decisions/             the decision record, and its replay
    machine_runner.py      gives the machine its inputs, and records them
    rest_calls.py          makes the machine's calls over REST
    socket_supervisor.py   opens and closes sockets
    backfill.py            history for gaps
    frame_inspector.py     delivers frames, and inspects the few that concern the machine
    control_frames.py      reads the contents of those
    failures.py            the failures that correspond to errors
    driver.py              connects all of these: carries out the machine's actions, and sets its timer
    status.py              counters and statuses as users get them
    subscription.py        one subscription as users hold it
    consumers.py           the consumers of a feed
    state_waiters.py       tasks that wait for a state
    feed.py                Feed
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
