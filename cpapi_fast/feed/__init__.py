"""Feed: the policy of `machine` on a real gateway, and the consumers of what comes.

The files::

    options.py             the policies that a user can choose
    tracked_topics.py      the topics of its subscriptions, counted by tracker.pyx
    machine_runner.py      gives the machine its inputs, and records them
    rest_calls.py          makes the machine's calls over REST
    socket_supervisor.py   opens and closes sockets
    frame_inspector.py     delivers frames, and inspects the few that concern the machine
    control_frames.py      reads the contents of those
    failures.py            the failures that correspond to errors
    driver.py              connects all of these: carries out the machine's actions, and sets its timer
    filling.py             history for its gaps, where that is requested
    status.py              what it reports when asked
    state_waiters.py       tasks that wait for a state
    feed.py                Feed: what users call
    decisions/             the decision record, and its replay
"""

from __future__ import annotations

from .decisions import Decision, replay_decisions
from .feed import Feed, FeedSubscription
from .status import FeedStats, LastField, LastValue, SubscriptionStatus

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
