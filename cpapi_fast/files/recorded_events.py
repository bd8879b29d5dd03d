"""Reads the events of a run from its events files: the changes of state and gaps, on which the tables depend"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from heapq import merge
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from cpapi_fast.errors import ConfigError
from cpapi_fast.events import Cause, Certainty, FeedState, Gap, StateChange
from cpapi_fast.outputs.run_events import EVENT_KINDS, SYMBOLS_KIND, OutputGap

from .captured_rows import CapturedRows, DroppedFrames

#: The types of lines of the events files.
TYPES: Final = frozenset({*EVENT_KINDS.values(), SYMBOLS_KIND})


class EventLine(NamedTuple):
    """One line of an events file.

    Attributes:
        row: how many frames of the run are before the event.
        type: its type, such as `gap`.
        event: the event, if it is a change of state or a gap; None for others.
        lacking: the name of the output that does not have some frames, if the event says so; empty for others.
        dropped: the frames that the captures do not have, if they are that output.
    """

    row: int
    type: str
    event: StateChange | Gap | None
    lacking: str = ""
    dropped: DroppedFrames | None = None


def event_line(line: bytes) -> EventLine:
    """Parse one line.

    Raises:
        ValueError: it is no line of an events file.
    """
    found: dict[str, Any] = orjson.loads(line)
    try:
        row, kind = found["row"], found["type"]
        if type(row) is not int or row < 0 or kind not in TYPES:
            raise ValueError
        event = _event(kind, found)
        lacking = str(found["output"]) if kind == EVENT_KINDS[OutputGap] and found["frames_dropped"] else ""
        dropped = DroppedFrames.of(found)
    except (KeyError, TypeError, ValueError):
        # The error may show a value of the file.
        raise ValueError("its `row`, `type` or another value is not that of an event") from None
    if event is not None and not _has_types(found):
        raise ValueError("a value is not of the type that an event has")
    return EventLine(row, kind, event, lacking, dropped)


def _has_types(found: Mapping[str, Any]) -> bool:
    """Whether the values on which the tables depend are of the right types."""
    times = [found[name] for name in ("time_ns", "last_good_ns", "first_good_ns") if name in found]
    return isinstance(found["subscription"], str | None) and all(
        one is None or (type(one) is int and -(1 << 63) <= one < 1 << 63) for one in times
    )


def _event(kind: str, found: dict[str, Any]) -> StateChange | Gap | None:
    if kind == EVENT_KINDS[StateChange]:
        return StateChange(
            found["time_ns"],
            FeedState(found["state"]),
            FeedState(found["previous"]),
            Cause(found["cause"]),
            found["advice"],
            found["subscription"],
            found["detail"],
        )
    if kind == EVENT_KINDS[Gap]:
        return Gap(
            found["subscription"],
            found["last_good_ns"],
            found["first_good_ns"],
            Cause(found["cause"]),
            found["frames_dropped"],
            Certainty(found["certainty"]),
        )
    return None


def captured_rows(paths: Iterable[Path]) -> CapturedRows:
    """Which rows of the events and tables are in the captures, by the events files of one run.

    Raises:
        ConfigError: a file cannot be read.
    """
    rows = CapturedRows()
    for found in _lines(paths):
        if found.dropped is not None:
            rows.add(found.dropped)
    return rows


def recorded_events(paths: Sequence[Path], rows: CapturedRows) -> Iterator[EventLine]:
    """The changes of state and the gaps in files, in their order. Lines that cannot be read are left out.

    Where the captures have dropped frames, there is a gap too.

    Args:
        paths: the events files of one run, oldest first.
        rows: the rows of its captures. The rows of what is returned are those.

    Raises:
        ConfigError: a file cannot be read.
    """
    gaps = (EventLine(one.end_row, EVENT_KINDS[Gap], one.gap) for one in rows.dropped)
    events = (found for found in _lines(paths) if found.event is not None)
    for found in merge(events, gaps, key=lambda line: line.row):
        yield found._replace(row=rows.captured(found.row))


def _lines(paths: Iterable[Path]) -> Iterator[EventLine]:
    """The lines of files that can be read."""
    for path in paths:
        try:
            with path.open("rb") as file:
                for line in file:
                    with suppress(ValueError):
                        yield event_line(line)
        except OSError as exc:
            raise ConfigError(f"cannot read {path}: {exc.strerror or exc}") from exc
