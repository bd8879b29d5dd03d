"""Formats a `View` as lines of styled text, for a terminal of any size. Pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from cpapi_fast.cli.screen import Line
from cpapi_fast.events import FeedState

from .view import Row, View, age_text, words

_GOOD, _BUSY, _BAD, _DIM = "green", "yellow", "bold red", "dim"

_STATE_STYLES: Final = {
    FeedState.STREAMING: _GOOD,
    FeedState.AUTHENTICATED: _GOOD,
    FeedState.READY: _BUSY,
    FeedState.OPEN: _BUSY,
    FeedState.CONNECTING: _BUSY,
    FeedState.DISCONNECTED: _BAD,
    FeedState.LOGIN_REQUIRED: _BAD,
    FeedState.COMPETING: _BAD,
    FeedState.STALE: _BAD,
}

_WITHOUT_SOCKET: Final = frozenset(
    {FeedState.DISCONNECTED, FeedState.CONNECTING, FeedState.LOGIN_REQUIRED, FeedState.COMPETING}
)

#: Below this height the head is only the line with the state.
_LOW: Final = 10

_BETWEEN: Final = "  "


class _Column(NamedTuple):
    """A column with its cells. On a narrow terminal, the columns with the highest `rank` are left out first."""

    head: str
    cells: Sequence[str]
    styles: Sequence[str]
    rank: int
    is_text: bool = False

    @property
    def width(self) -> int:
        return max(len(self.head), *map(len, self.cells)) if self.cells else len(self.head)


def lines(view: View, width: int, height: int) -> list[Line]:
    """The view as at most `height` lines of at most `width` characters.

    Columns that do not fit are left out, the least important first, and so are the last rows. The state of the feed,
    the name of each row and its age are left out last.
    """
    found = _head(view, is_low=height < _LOW)
    room = max(height - len(found) - 1, 1)
    rows = view.rows
    if len(rows) > room:
        rows = rows[: max(room - 1, 1)]
    columns = _fitting(_columns(view, rows), width)
    found.append([(_BETWEEN.join(_pad(column.head, column) for column in columns), "bold")])
    for index in range(len(rows)):
        line: list[tuple[str, str]] = []
        for number, column in enumerate(columns):
            line += [(_BETWEEN, "")] if number else []
            line.append((_pad(column.cells[index], column), column.styles[index]))
        found.append(line)
    hidden = len(view.rows) - len(rows)
    if hidden:
        found.append([(f"... and {hidden} more", _DIM)])
    return [_cut_line(line, width) for line in found[:height]]


def plain(line: Line) -> str:
    """A line without its styles."""
    return "".join(text for text, _ in line).rstrip()


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
    style = _STATE_STYLES[view.state]
    counts = (
        f"{_BETWEEN}{view.frames_per_s:,.0f} frames/s{_BETWEEN}{view.frames:,} frames"
        f"{_BETWEEN}{view.gaps} gap{'' if view.gaps == 1 else 's'}"
        f"{_BETWEEN}{view.connections} connection{'' if view.connections == 1 else 's'}"
    )
    state = [(_state_text(view), style), (counts, "")]
    if is_low:
        return [[*state[:1], (f": {_reason_text(view)}", style)]]
    last = view.events[-1] if view.events else ""
    return [
        [("cpapi-fast tail  ", "bold"), (view.where, _DIM)],
        state,
        [("cause  ", _DIM), (_reason_text(view), "" if style == _GOOD else style)],
        [("action ", _DIM), (view.advice or "none", "")],
        [("last   ", _DIM), (last, "")],
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


def _columns(view: View, rows: Sequence[Row]) -> list[_Column]:
    """All columns, in order. Among the values, the first requested field is left out last."""
    is_live = [row.state is FeedState.STREAMING for row in rows]
    value_styles = [_DIM if not live else "" for live in is_live]
    values = [
        _Column(
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
    age_styles = ["" if live else _BAD for live in is_live]
    state_words = [state_word(row, view.state) for row in rows]
    return [
        _Column("conid", [row.name for row in rows], ["bold"] * len(rows), 0, is_text=True),
        _Column("symbol", [row.symbol for row in rows], value_styles, 6, is_text=True),
        *values,
        _Column("6509", [row.availability for row in rows], value_styles, 5, is_text=True),
        # The mark shows without colours which ages belong to data that is not live.
        _Column("age", [_age(row) for row in rows], age_styles, 1),
        _Column("state", state_words, [_STATE_STYLES[row.state] for row in rows], 7, is_text=True),
        _Column("ticks", [f"{row.ticks:,}" for row in rows], value_styles, 100),
        _Column("gaps", [f"{row.gaps:,}" for row in rows], value_styles, 99),
    ]


def _age(row: Row) -> str:
    return f"{age_text(row.age_s)} {' ' if row.state is FeedState.STREAMING else '!'}"


def _fitting(columns: list[_Column], width: int) -> list[_Column]:
    """The columns that fit."""
    kept = list(columns)
    while len(kept) > 1 and sum(column.width for column in kept) + len(_BETWEEN) * (len(kept) - 1) > width:
        kept.remove(max(kept, key=lambda column: column.rank))
    return kept


def _pad(text: str, column: _Column) -> str:
    return text.ljust(column.width) if column.is_text else text.rjust(column.width)


def _cut_line(line: Line, width: int) -> Line:
    found: list[tuple[str, str]] = []
    for text, style in line:
        piece = text[:width]
        width -= len(piece)
        if piece:
            found.append((piece, style))
    return found
