"""Reads the events file of a run: each event with the number of frames before it"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from cpapi_fast.errors import ConfigError
from cpapi_fast.events import (
    Backfill,
    Bar,
    Cause,
    Certainty,
    FeedEvent,
    FeedState,
    Gap,
    Standstill,
    StandstillReason,
    StateChange,
)
from cpapi_fast.files.captured_rows import CapturedRows, DroppedFrames
from cpapi_fast.outputs.run_events import EVENT_KINDS

#: A longer line is no event.
_MAX_LINE_BYTES: Final = 64 * 1024 * 1024
#: The last time of an event: int64, as that of a frame.
_LAST_NS: Final = 2**63 - 1


class RecordedEvent(NamedTuple):
    """An event of a run.

    Attributes:
        row: how many frames of the captures of the run are before it.
        event: the event.
    """

    row: int
    event: FeedEvent


def read_events(paths: list[Path]) -> list[RecordedEvent]:
    """Return the events of one run, in order.

    An incomplete last line, which a killed process leaves, is left out. So are lines of other types than those of a
    feed: what happened to files and outputs, instruments that joined, and the numbers of orders in lists. Frames that
    the capture dropped are a gap at their place.

    Args:
        paths: the events files of the run, oldest first.

    Raises:
        ConfigError: a file cannot be read, or a line is no event.
    """
    found: list[RecordedEvent] = []
    rows = CapturedRows()
    for path in paths:
        try:
            with path.open("rb") as file:
                number = 0
                while line := file.readline(_MAX_LINE_BYTES):
                    number += 1
                    if line.endswith(b"\n"):
                        event = _event_of(line, path, number)
                        if event is None:
                            continue
                        if isinstance(event, DroppedFrames):
                            rows.add(event)
                        else:
                            found.append(event)
        except OSError as error:
            raise ConfigError(f"cannot read the events {path}: {error.strerror or error}") from error
    found += [RecordedEvent(one.end_row, one.gap) for one in rows.dropped]
    # Each line is written after the one before it, so this changes the order of damaged files only.
    found.sort(key=lambda recorded: recorded.row)
    # Lines count the frames of the whole stream.
    return [RecordedEvent(rows.captured(row), event) for row, event in found]


def _event_of(line: bytes, path: Path, number: int) -> RecordedEvent | DroppedFrames | None:
    try:
        members = orjson.loads(line)
        row, make = members["row"], _MAKERS.get(members["type"])
        if type(row) is not int or row < 0:
            raise ValueError("its row is no whole number")
        return DroppedFrames.of(members) if make is None else RecordedEvent(row, make(members))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ConfigError(f"line {number} of {path} is no event: {type(error).__name__}: {error}") from error


def _ns(value: object) -> int:
    """A time or a length in ns. A wrong one would stop a replay at the recorded pace for years."""
    if type(value) is not int or not 0 <= value <= _LAST_NS:
        raise ValueError("a time is no whole number of ns from 1970 to 2262")
    return value


def _state(members: dict[str, Any]) -> StateChange:
    return StateChange(
        time_ns=_ns(members["time_ns"]),
        state=FeedState(members["state"]),
        previous=FeedState(members["previous"]),
        cause=Cause(members["cause"]),
        advice=str(members["advice"]),
        subscription=_text_or_none(members["subscription"]),
        detail=str(members.get("detail", "")),
    )


def _gap(members: dict[str, Any]) -> Gap:
    first_good_ns, dropped = members["first_good_ns"], members.get("frames_dropped")
    return Gap(
        subscription=_text_or_none(members["subscription"]),
        last_good_ns=_ns(members["last_good_ns"]),
        first_good_ns=None if first_good_ns is None else _ns(first_good_ns),
        cause=Cause(members["cause"]),
        frames_dropped=None if dropped is None else int(dropped),
        certainty=Certainty(members["certainty"]),
    )


def _standstill(members: dict[str, Any]) -> Standstill:
    return Standstill(_ns(members["start_ns"]), _ns(members["length_ns"]), StandstillReason(members["reason"]))


def _backfill(members: dict[str, Any]) -> Backfill:
    source, error = members["source"], members.get("error")
    if source not in ("smh", "rest"):
        raise ValueError("its source is unknown")
    bars = tuple(
        Bar(
            int(bar["start_ns"]),
            *(float(bar[name]) for name in ("open", "high", "low", "close", "volume")),
        )
        for bar in members["bars"]
    )
    return Backfill(_gap(members["gap"]), bars, source, _text_or_none(error))


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)


_MAKERS: Final[Mapping[str, Callable[[dict[str, Any]], FeedEvent]]] = {
    EVENT_KINDS[StateChange]: _state,
    EVENT_KINDS[Gap]: _gap,
    EVENT_KINDS[Standstill]: _standstill,
    EVENT_KINDS[Backfill]: _backfill,
}
