"""MachineRunner: calls the inputs of a machine, with the counts of received frames, and records each input."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, ParamSpec

from cpapi_fast.clock import Clock
from cpapi_fast.feed.decisions.decision_recorder import DecisionRecorder
from cpapi_fast.feed.machine import Action, Machine, Moment
from cpapi_fast.feed.tracked_topics import TrackedTopics

P = ParamSpec("P")


class MachineRunner:
    """Calls the inputs of one machine. All calls go through here, so that none is missing in the decision record.

    Args:
        machine: the machine.
        clock: the clock of its inputs.
        topics: has the counts of received frames.
        recorder: records each input with its actions; None records nothing.
    """

    def __init__(
        self, machine: Machine, clock: Clock, topics: TrackedTopics, recorder: DecisionRecorder | None
    ) -> None:
        self.machine: Final = machine
        self._clock: Final = clock
        self._topics: Final = topics
        self._recorder: Final = recorder

    def now(self) -> Moment:
        """The current time on all clocks of an input."""
        return Moment(self._clock.monotonic_s(), time.time_ns(), self._clock.time_ns())

    def topics_due(self, now: Moment, *topics: str) -> Iterable[str]:
        """These topics, and those that a tick at this time needs."""
        due = self.machine.topics_due(now.s, self._topics.tracker.last_s)
        return [*due, *topics] if topics else due

    def put(self, method: Callable[P, list[Action]], *args: P.args, **kwargs: P.kwargs) -> list[Action]:
        """Pass the counts of all topics to the machine, then call an input. Returns its actions."""
        return self.put_for(self.machine.subscriptions, method, *args, **kwargs)

    def put_for(
        self, topics: Iterable[str], method: Callable[P, list[Action]], *args: P.args, **kwargs: P.kwargs
    ) -> list[Action]:
        """The same as `put`, with the counts of some topics only."""
        activity, last_frame_s = self._topics.activity(topics), self._topics.tracker.last_s
        self.machine.observe(activity, last_frame_s)
        if self._recorder is None:
            return method(*args, **kwargs)
        try:
            actions = method(*args, **kwargs)
        except Exception as error:
            self._recorder.record(method, args, kwargs, activity, last_frame_s, error)
            raise
        self._recorder.record(method, args, kwargs, activity, last_frame_s, actions)
        return actions
