"""Feed: the policy of `machine` on a real gateway, and the consumers of what comes.

The files::

    failures.py    what went wrong, in the machine's words
    filling.py     history for its gaps, where that is asked for
    frames.py      what frames say about the connection itself
    driver.py      machine, socket, REST and timers, tied together
    status.py      what it says of itself when asked
    waiting.py     tasks that wait for a state
    feed.py        Feed: what users call
"""

from __future__ import annotations

from .feed import Feed, FeedSubscription
from .status import FeedStats, LastField, LastValue, SubscriptionStatus

__all__ = ["Feed", "FeedStats", "FeedSubscription", "LastField", "LastValue", "SubscriptionStatus"]
