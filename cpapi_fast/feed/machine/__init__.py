"""The policy of a feed as a pure state machine: inputs go in, actions come out.

The machine has no clock, performs no I/O and draws its jitter from a seed. Its decisions are a function of its inputs,
so tests simulate a year in seconds, and a recorded run of a user can be replayed exactly.

Inputs are methods of `Machine`. Each returns the actions that follow from it. The time is part of each input. The
numbers of received frames are an input as well: `Machine.observe` takes them over before the input that needs them,
and `Machine.topics_due` says which topics a tick needs. Nothing in here reads a counter or a clock.

One object has one reason to change, and owns the state that it changes::

    machine.py                         every input: which objects handle it, and when the next tick is due
    actions.py, advice.py              the types of inputs and actions; what a user should do about each cause

    session/
        session_lifecycle.py           the steps to a session over REST, and what follows from each failure
        session_calls.py               the calls that wait for a response, the keepalive, the time of the next try
        connection_lifecycle.py        the phases of the socket and of the brokerage session on it
        socket_timeout.py              whether an open socket still delivers frames
        retry_policy.py                how long to wait before the next try
        state_reporter.py              the state of the feed, and the event for each change

    subscriptions/
        subscription_manager.py        which subscriptions exist, and what follows from each frame and timer
        subscription_requests.py       what is sent for them, and what the replies show
        staleness.py                   how long each may be quiet, and when to check it
        gaps.py                        which data is missing
        subscription_state.py          the record of one subscription, in one part for each of the three above
        interval_estimator.py          the usual interval of its ticks, and its staleness limit
        resubscribe_behaviour.py       how the gateway treats a repeated subscribe
        send_queue.py, timers.py       what waits to be sent; what is due when

The session side informs the subscriptions of three things only (`ConnectionUser`): subscribes are accepted, the
connection has ended, send this text. The subscriptions inform the session side through the return values of their
methods, which `Machine` passes on: data was received, a subscribe was refused, all market data is stale.
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
