"""Formats a `View` as lines of styled text, for a terminal of any size. Pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cpapi_fast.cli.screen import Line
from cpapi_fast.cli.table import BAD, BETWEEN, DIM, ELLIPSIS, GOOD, STATE_STYLES, Column, cut_line, table_lines
from cpapi_fast.events import FeedState

from .view import Row, View, age_text, words

_WITHOUT_SOCKET: Final = frozenset(
    {FeedState.DISCONNECTED, FeedState.CONNECTING, FeedState.LOGIN_REQUIRED, FeedState.COMPETING}
)

#: States that only a person can end.
_NEEDS_A_PERSON: Final = frozenset({FeedState.LOGIN_REQUIRED, FeedState.COMPETING})

#: Below this height the head is only the line with the state.
_LOW: Final = 10


def lines(view: View, width: int, height: int, ellipsis: str = ELLIPSIS) -> list[Line]:
    """The view as at most `height` lines of at most `width` characters.

    Columns that do not fit are left out, the least important first, and so are the last rows. The state of the feed,
    what a person has to do, the name of each row and its age are left out last. What is cut ends with `ellipsis`.
    """
    found = _head(view, is_low=height < _LOW)
    room = max(height - len(found) - 1, 1)
    rows = view.rows
    if len(rows) > room:
        rows = rows[: max(room - 1, 1)]
    found += table_lines(_columns(view, rows), width, ellipsis)
    hidden = len(view.rows) - len(rows)
    if hidden:
        found.append([(f"{ellipsis} and {hidden} more", DIM)])
    return [cut_line(line, width, ellipsis) for line in found[:height]]


def quote_line(row: Row, columns: Sequence[str], feed_state: FeedState, time: str) -> str:
    """A row as one line, for output without a terminal."""
    values = " ".join(
        f"{head.replace(' ', '_')}={value}" for head, value in zip(columns, row.values, strict=True) if value
    )
    parts = [time, row.name, row.symbol, values, row.availability, f"age {age_text(row.age_s)}"]
    if row.state is not FeedState.STREAMING:
        parts.append(state_word(row, feed_state))
    return " ".join(part for part in parts if part)


def state_line(view: View) -> str:
    """The state of the feed as one line: state, duration, cause, next attempt and advice."""
    line = f"{_state_text(view)}: {_reason_text(view)}"
    # The detail can be a sentence with its full stop.
    return f"{line.removesuffix('.')}; {view.advice}" if view.advice else line


def state_word(row: Row, feed_state: FeedState) -> str:
    """The state of a subscription: `streaming`, `stale`, `waiting`, `not subscribed` or `cut off`."""
    if row.state is FeedState.DISCONNECTED:
        return "cut off" if feed_state in _WITHOUT_SOCKET else "not subscribed"
    return "waiting" if row.state is FeedState.OPEN else words(row.state.value)


# The head


def _head(view: View, *, is_low: bool) -> list[Line]:
    style = STATE_STYLES[view.state]
    counts = (
        f"{BETWEEN}{view.frames_per_s:,.0f} frames/s{BETWEEN}{view.frames:,} frames"
        f"{BETWEEN}{view.gaps} gap{'' if view.gaps == 1 else 's'}"
        f"{BETWEEN}{view.connections} connection{'' if view.connections == 1 else 's'}"
    )
    state = [(_state_text(view), style), (counts, "")]
    if is_low:
        short: list[Line] = [[*state[:1], (f": {_reason_text(view)}", style)]]
        return [*short, [("action ", DIM), (view.advice, "")]] if view.state in _NEEDS_A_PERSON else short
    last = view.events[-1] if view.events else ""
    return [
        [("cpapi-fast tail  ", "bold"), (view.where, DIM)],
        state,
        [("cause  ", DIM), (_reason_text(view), "" if style == GOOD else style)],
        [("action ", DIM), (view.advice or "none", "")],
        [("last   ", DIM), (last, "")],
        [],
    ]


def _state_text(view: View) -> str:
    return f"{words(view.state.value).upper()} for {age_text(view.state_age_s)}"


def _reason_text(view: View) -> str:
    # The next attempt comes before the details, because the end of the line may be cut.
    if view.next_try_s is not None:
        again = f", next attempt in {age_text(view.next_try_s)}"
    else:
        again = ", trying now" if view.state is FeedState.DISCONNECTED else ""
    return f"{words(view.cause.value)}{again}{f': {view.detail}' if view.detail else ''}"


# The table


def _columns(view: View, rows: Sequence[Row]) -> list[Column]:
    """All columns, in order. Among the values, the first requested field is left out last."""
    is_live = [row.state is FeedState.STREAMING for row in rows]
    value_styles = [DIM if not live else "" for live in is_live]
    values = [
        Column(
            head,
            [row.values[place] for row in rows],
            [
                "bold" if row.fresh[place] and live else style
                for row, live, style in zip(rows, is_live, value_styles, strict=True)
            ],
            # Last, bid and ask are more important than the availability, the other fields less.
            2 + place if place < 3 else 5 + place,
        )
        for place, head in enumerate(view.columns)
    ]
    age_styles = ["" if live else BAD for live in is_live]
    state_words = [state_word(row, view.state) for row in rows]
    return [
        Column("conid", [row.name for row in rows], ["bold"] * len(rows), 0, is_text=True, is_name=True),
        Column("symbol", [row.symbol for row in rows], value_styles, 6, is_text=True),
        *values,
        Column("6509", [row.availability for row in rows], value_styles, 5, is_text=True),
        # The mark shows without colours which ages belong to data that is not live.
        Column("age", [_age(row) for row in rows], age_styles, 1),
        Column("state", state_words, [STATE_STYLES[row.state] for row in rows], 7, is_text=True),
        Column("ticks", [f"{row.ticks:,}" for row in rows], value_styles, 100),
        Column("gaps", [f"{row.gaps:,}" for row in rows], value_styles, 99),
    ]


def _age(row: Row) -> str:
    return f"{age_text(row.age_s)} {' ' if row.state is FeedState.STREAMING else '!'}"
