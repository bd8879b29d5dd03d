"""FeedLog: writes each change of state, gap, standstill and retry of a feed to the logger `cpapi_fast`, once each"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from cpapi_fast.events import Cause, FeedEvent, Gap, Standstill, StateChange
from cpapi_fast.loop import running_loop
from cpapi_fast.printable import printable
from cpapi_fast.redaction import redact, redact_accounts

#: The logger of this library.
LOGGER: Final = logging.getLogger("cpapi_fast")

#: The attribute of a log record with the facts of its event, as JSON types and without secrets.
FACTS: Final = "cpapi_fast"

#: Causes of gaps that the program has wanted.
_WANTED: Final = frozenset({Cause.STOPPED, Cause.UNSUBSCRIBED})

#: How many topics the text of a gap names. The facts name all of them.
_MAX_TOPICS: Final = 5

_NS_PER_S: Final = 1e9


class FeedLog:
    """Logs the events of one feed: gaps and standstills as warnings, changes of state and retries as INFO.

    The gaps that are reported together, with the same cause, are one record with all topics. A level that is not
    enabled costs one comparison for each event.

    Args:
        where: the feed in words, at the start of each text.
        next_try_s: the time until the next attempt, in seconds of the clock; None if none is scheduled.
    """

    def __init__(self, where: str, next_try_s: Callable[[], float | None] = lambda: None) -> None:
        self._where: Final = where
        self._next_try_s: Final = next_try_s
        self._gaps: Final[list[Gap]] = []

    def write(self, level: int, text: str, facts: dict[str, Any] | None = None) -> None:
        """Write one record.

        Args:
            level: the level of `logging`.
            text: what happened.
            facts: the facts of the record, if it is about an event.
        """
        LOGGER.log(level, "%s: %s", self._where, printable(text), extra={FACTS: facts or {"event": "notice"}})

    def on_event(self, event: FeedEvent) -> None:
        """Log an event that is no change of state."""
        if isinstance(event, Gap):
            self._on_gap(event)
        elif isinstance(event, Standstill):
            length_s = event.length_ns / _NS_PER_S
            facts = {"event": "standstill", "start": _time_text(event.start_ns), "seconds": length_s}
            text = f"standstill of {length_s:.1f} s ({event.reason.value}); what waited is late"
            self.write(logging.WARNING, text, {**facts, "reason": event.reason.value})

    def on_change(self, change: StateChange) -> None:
        """Log a change of state as INFO."""
        if LOGGER.isEnabledFor(logging.INFO):
            what = "" if change.subscription is None else f"{redact(change.subscription)} is "
            cause = change.cause.value.replace("_", " ")
            detail = f": {change.detail}" if change.detail else ""
            text = f"{what}{change.state.value.replace('_', ' ')} ({cause}{detail})"
            self.write(logging.INFO, text, self.facts_of(change))

    def on_next_try(self) -> None:
        """Log the time of the next attempt as INFO. Call it when it has changed."""
        wait_s = self._next_try_s()
        if wait_s is not None and LOGGER.isEnabledFor(logging.INFO):
            facts = {"event": "retry", "next_attempt_s": round(wait_s, 3)}
            self.write(logging.INFO, f"next attempt in {wait_s:.1f} s", facts)

    def facts_of(self, change: StateChange) -> dict[str, Any]:
        """Return the facts of a change of state."""
        wait_s = self._next_try_s()
        return {
            "event": "state_change",
            "state": change.state.value,
            "previous": change.previous.value,
            "cause": change.cause.value,
            "topic": None if change.subscription is None else redact(change.subscription),
            "detail": redact_accounts(change.detail),
            "advice": redact_accounts(change.advice),
            "next_attempt_s": None if wait_s is None else round(wait_s, 3),
        }

    def close(self) -> None:
        """Write what has not been written yet."""
        gaps, self._gaps[:] = list(self._gaps), []
        by_cause: dict[Cause, list[Gap]] = {}
        for gap in gaps:
            by_cause.setdefault(gap.cause, []).append(gap)
        for cause, ones in by_cause.items():
            self._write_gaps(cause, ones)

    def _on_gap(self, gap: Gap) -> None:
        self._gaps.append(gap)
        if len(self._gaps) == 1:
            # The gaps of all subscriptions are reported in one go.
            loop = running_loop()
            if loop is None:
                self.close()
            else:
                loop.call_soon(self.close)

    def _write_gaps(self, cause: Cause, gaps: list[Gap]) -> None:
        topics = ["all topics" if gap.subscription is None else redact(gap.subscription) for gap in gaps]
        start_ns = min(gap.last_good_ns for gap in gaps)
        ends = [gap.first_good_ns for gap in gaps if gap.first_good_ns is not None]
        end_ns = max(ends) if len(ends) == len(gaps) else None
        dropped = sum(gap.frames_dropped or 0 for gap in gaps)
        more = len(topics) - _MAX_TOPICS
        names = ", ".join(topics[:_MAX_TOPICS]) + (f" and {more} more" if more > 0 else "")
        length = "until the end" if end_ns is None else f"of {max(end_ns - start_ns, 0) / _NS_PER_S:.3f} s"
        lost = f", {dropped:,} frames dropped" if dropped else ""
        text = f"gap {length} from {_time_text(start_ns)} ({cause.value.replace('_', ' ')}{lost}): {names}"
        facts = {
            "event": "gap",
            "cause": cause.value,
            "topics": topics,
            "start": _time_text(start_ns),
            "end": None if end_ns is None else _time_text(end_ns),
            "frames_dropped": dropped,
            "certain": any(gap.certainty.value == "certain" for gap in gaps),
        }
        self.write(logging.INFO if cause in _WANTED else logging.WARNING, text, facts)


def _time_text(time_ns: int) -> str:
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % 1_000_000_000 // 1_000_000:03d}Z"
