"""Reads events files: state changes, gaps, standstills, and what happened to the files"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from cpapi_fast.printable import printable
from cpapi_fast.redaction import redact, redact_accounts

#: How much of a text from outside is kept, in characters.
_MAX_TEXT: Final = 300

_CONID: Final = re.compile(r"smd\+(\d{1,18})(?!\d)")

#: The times of events are within the years that a name of a file can have.
_TIMES_NS: Final = (0, 2**63 - 1)


def safe_text(text: object, *, is_error: bool = False) -> str:
    """Return a text of a file as one printable line without accounts, cut at 300 characters.

    Args:
        text: the text.
        is_error: whether it is the text of an error, from which whatever looks like a secret is removed too.
    """
    whole = str(text)[: 4 * _MAX_TEXT]
    shown = printable(redact(whole) if is_error else redact_accounts(whole))
    return shown if len(shown) <= _MAX_TEXT else f"{shown[:_MAX_TEXT]}…"


def conid_of(topic: str | None) -> int | None:
    """Return the conid of a topic of market data; None for other topics."""
    match = _CONID.match(topic) if topic is not None else None
    return None if match is None else int(match[1])


@dataclass
class RunEvents:
    """The events of one run.

    Attributes:
        states: the changes of the state of the feed: time, state, cause, advice, detail.
        gaps: the gaps as the lines have them.
        standstills: start and length in ns, and the reason.
        notices: changes of outputs and files: time, text, whether something was lost.
        symbols: the symbol of each conid, of a run with symbols.
        lost: how many items were lost with their files, by unit.
        dropped: how many frames each output does not have because it was too slow or failed.
        events: how many events could be read.
        backfills: how many of them are history for a gap.
        unknown: how many events have an unknown type.
        last_row: the highest number of frames before an event.
        first_ns: the first time of an event, in ns since the Unix epoch; None without events.
        last_ns: the last one.
    """

    states: list[tuple[int, str, str, str, str]] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    standstills: list[tuple[int, int, str]] = field(default_factory=list)
    notices: list[tuple[int, str, bool]] = field(default_factory=list)
    symbols: dict[int, str] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    events: int = 0
    backfills: int = 0
    unknown: int = 0
    last_row: int = 0
    first_ns: int | None = None
    last_ns: int | None = None


@dataclass(frozen=True)
class EventFileResult:
    """How far an events file could be read.

    Attributes:
        events: how many complete events it has.
        bad_lines: how many complete lines are no events.
        is_torn: whether its last line is incomplete.
        first_ns: the first time of an event, in ns since the Unix epoch; None without events.
        last_ns: the last one.
        error: why it cannot be read; empty if it can.
    """

    events: int = 0
    bad_lines: int = 0
    is_torn: bool = False
    first_ns: int | None = None
    last_ns: int | None = None
    error: str = ""


def read_events(path: Path, run: RunEvents) -> EventFileResult:
    """Add the events of a file to those of its run. A line that is no event is counted, and the others are read."""
    events = bad_lines = 0
    is_torn = False
    times: list[int] = []
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    is_torn = True
                    break
                try:
                    value = orjson.loads(line)
                    if value["type"] == "symbols":
                        _add_symbols(value["symbols"], run)
                        continue
                    time_ns = _time_of(value)
                    _add(value, time_ns, run)
                except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
                    bad_lines += 1
                    continue
                events += 1
                if time_ns is not None:
                    times.append(time_ns)
    except OSError as exc:
        return EventFileResult(error=exc.strerror or str(exc))
    run.events += events
    first_ns, last_ns = (min(times), max(times)) if times else (None, None)
    run.first_ns = min((one for one in (run.first_ns, first_ns) if one is not None), default=None)
    run.last_ns = max((one for one in (run.last_ns, last_ns) if one is not None), default=None)
    return EventFileResult(events, bad_lines, is_torn, first_ns, last_ns)


def _number(value: Any) -> int:
    if type(value) is not int or not _TIMES_NS[0] <= value <= _TIMES_NS[1]:
        raise ValueError("no time and no count")
    return value


def _time_of(event: dict[str, Any]) -> int | None:
    kind = event["type"]
    if kind == "gap":
        end = event["first_good_ns"]
        return _number(event["last_good_ns"]) if end is None else _number(end)
    if kind == "standstill":
        return _number(event["start_ns"] + event["length_ns"])
    if kind == "backfill":
        return _time_of({**event["gap"], "type": "gap"})
    if kind == "order_list":
        return _number(event["received_ns"])
    time_ns = event.get("time_ns")
    return None if time_ns is None else _number(time_ns)


def _add_symbols(symbols: list[dict[str, Any]], run: RunEvents) -> None:
    for one in symbols:
        run.symbols[_number(one["conid"])] = safe_text(one.get("symbol") or one.get("text") or "")


def _add(event: dict[str, Any], time_ns: int | None, run: RunEvents) -> None:
    kind = event["type"]
    row = _number(event["row"])
    if kind == "state":
        if event["subscription"] is None:
            state, cause, advice = (safe_text(event[name]) for name in ("state", "cause", "advice"))
            run.states.append((_number(time_ns), state, cause, advice, safe_text(event["detail"], is_error=True)))
    elif kind == "gap":
        dropped = event["frames_dropped"]
        run.gaps.append(
            {
                "topic": None if event["subscription"] is None else safe_text(event["subscription"]),
                "conid": conid_of(event["subscription"]),
                "cause": safe_text(event["cause"]),
                "start_ns": _number(event["last_good_ns"]),
                "end_ns": None if event["first_good_ns"] is None else _number(event["first_good_ns"]),
                "frames_dropped": None if dropped is None else _number(dropped),
                "is_certain": event["certainty"] == "certain",
            }
        )
    elif kind == "standstill":
        run.standstills.append((_number(event["start_ns"]), _number(event["length_ns"]), safe_text(event["reason"])))
    elif kind == "backfill":
        run.backfills += 1
    elif kind == "disk":
        run.notices.append((_number(time_ns), _disk_text(event), False))
    elif kind == "file":
        lost, unit = _number(event["lost"]), safe_text(event["unit"])
        run.lost[unit] = run.lost.get(unit, 0) + lost
        name = safe_text(Path(str(event["path"])).name)
        text = f"{name} was {safe_text(event['change'])} by another program; {lost:,} {unit} were lost"
        run.notices.append((_number(time_ns), text, lost > 0))
    elif kind == "output_gap":
        output = safe_text(event["output"])
        frames, dropped_events = _number(event["frames_dropped"]), _number(event["events_dropped"])
        run.dropped[output] = run.dropped.get(output, 0) + frames
        what = f"{frames:,} frames and {dropped_events:,} events" if dropped_events else f"{frames:,} frames"
        run.notices.append((_number(time_ns), f"{output} does not have {what} ({safe_text(event['reason'])})", True))
    elif kind == "output_failure":
        run.notices.append((_number(time_ns), _failure_text(event), bool(event["is_failing"])))
    elif kind == "instruments":
        _add_symbols(event["symbols"], run)
        run.notices.append((_number(time_ns), _instruments_text(event), False))
    elif kind != "order_list":
        run.unknown += 1
    run.last_row = max(run.last_row, row)


def _disk_text(event: dict[str, Any]) -> str:
    # Events of earlier versions do not name the output.
    output = safe_text(event.get("output") or "the disk")
    if event["is_slow"]:
        return f"{output} was slower than the data (policy {safe_text(event['policy'])})"
    return f"{output} has caught up after {float(event['duration_s'] or 0.0):,.1f} s"


def _instruments_text(event: dict[str, Any]) -> str:
    changes = (("joined", event["added"]), ("left", event["removed"]))
    return "; ".join(f"{safe_text(' '.join(names))} {what} the run" for what, names in changes if names)


def _failure_text(event: dict[str, Any]) -> str:
    output = safe_text(event["output"])
    if event["is_failing"]:
        return f"{output} failed ({safe_text(event['on_failure'])}): {safe_text(event['error'], is_error=True)}"
    return f"{output} works again after {float(event['duration_s'] or 0.0):,.1f} s"
