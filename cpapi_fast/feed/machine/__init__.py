"""The policy of a feed as a pure state machine: inputs go in, actions come out.

The machine has no clock, performs no I/O and draws its jitter from a seed. Its decisions depend on its inputs only, so
tests simulate a year in seconds, and the recorded run of a user can be replayed exactly.

An input is a method of `Machine` that takes the current time and returns actions: what to send, what to request over
REST, which event to emit. The driver (`feed/driver`) calls the inputs and carries out the actions. `Machine.due_s` is
the time of the next timer input, `Machine.tick`. The counts of received frames are passed to `Machine.observe` before
an input that needs them; `Machine.topics_due` returns the topics whose counts a tick needs.

The two folders are the two halves of the machine. To follow one frame or failure, start at its input in `machine.py`.
Each class owns the state that it changes::

    machine.py                         every input: which objects handle it, and when the next tick is due
    actions.py                         the types of inputs and actions
    advice.py                          what a user should do about each cause

    session/
        session_lifecycle.py           the steps to a session over REST, and what follows from each failure
        session_calls.py               the calls without a response yet, the keepalive, the time of the next try
        connection_lifecycle.py        the phases of the socket and of the brokerage session on it
        socket_timeout.py              whether an open socket still delivers frames
        retry_policy.py                how long to wait before the next try
        state_reporter.py              the state of the feed, and the event for each change

    subscriptions/
        subscription_manager.py        which subscriptions exist, and what follows from each frame and timer
        subscription_requests.py       what is sent for them, and what the replies show
        staleness.py                   how long each may be quiet, and when to check it
        gaps.py                        which data is missing
        revival.py                     whether replies prove that a stream runs, and when to revive it
        subscription_state.py          the record of one subscription, in parts with one owner each
        interval_estimator.py          the usual interval of its ticks, and its staleness limit
        resubscribe_behaviour.py       how the gateway treats a repeated subscribe
        send_queue.py                  the texts to send, at a limited rate
        timers.py                      when each subscription is checked or renewed

`session` calls three methods of `subscriptions` (`ConnectionUser`): subscribe to everything, drop everything, send a
text. `subscriptions` never calls `session`: its methods return whether data was received, a subscribe was refused, or
all market data is stale, and `Machine` passes that on.
"""

from __future__ import annotations

from .actions import (
    Action,
    Activity,
    Call,
    CallKind,
    CloseSocket,
    Emit,
    Failure,
    Moment,
    OpenSocket,
    Send,
    SessionFacts,
    Unwatch,
    Watch,
)
from .machine import Machine
from .subscriptions.subscription_state import SubscriptionSpec, SubscriptionState

__all__ = [
    "Action",
    "Activity",
    "Call",
    "CallKind",
    "CloseSocket",
    "Emit",
    "Failure",
    "Machine",
    "Moment",
    "OpenSocket",
    "Send",
    "SessionFacts",
    "SubscriptionSpec",
    "SubscriptionState",
    "Unwatch",
    "Watch",
]
