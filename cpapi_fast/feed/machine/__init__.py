"""The policy of a feed as a pure state machine: inputs and the time go in, actions come out.

No clock, no I/O, no task in here, and no randomness but that of a seed: so a year can be simulated in seconds, and a
bug in the field be played again. `feed` drives it.

The files::

    actions.py    what it wants done, and the facts it is told
    backoff.py    how long to wait before the next try
    rhythm.py     how often a subscription ticks by itself, and when silence is too long
    lines.py      one subscription: what was sent, when it was heard, its hole
    sends.py      the paced queue of texts
    timers.py     when to look at which subscription
    streams.py    what is found out about how a gateway treats repeated subscribes
    asking.py     the texts of all subscriptions, and what their answers tell
    care.py       all subscriptions: added, replayed, renewed, judged by their silence
    pauses.py     how long to leave the gateway alone after which failure
    way.py        the way to data and back: the session, step by step
    machine.py    every input, every timer
"""

from __future__ import annotations

from .actions import (
    Action,
    Activity,
    Arm,
    Call,
    CallKind,
    CloseSocket,
    Disarm,
    Emit,
    Failure,
    Moment,
    OpenSocket,
    Send,
    SessionFacts,
)
from .machine import Machine
from .subscription_state import SubscriptionSpec, SubscriptionState

__all__ = [
    "Action",
    "Activity",
    "Arm",
    "Call",
    "CallKind",
    "CloseSocket",
    "Disarm",
    "Emit",
    "Failure",
    "Machine",
    "Moment",
    "OpenSocket",
    "Send",
    "SessionFacts",
    "SubscriptionSpec",
    "SubscriptionState",
]
