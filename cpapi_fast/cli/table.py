"""Tables and lines of styled text that fit a terminal of any size. What is cut ends with an ellipsis."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cpapi_fast.events import FeedState

from .screen import Line

#: Styles that rich understands.
GOOD, BUSY, BAD, DIM = "green", "yellow", "bold red", "dim"

#: The style of each state.
STATE_STYLES: Final = {
    FeedState.STREAMING: GOOD,
    FeedState.AUTHENTICATED: GOOD,
    FeedState.READY: BUSY,
    FeedState.OPEN: BUSY,
    FeedState.CONNECTING: BUSY,
    FeedState.DISCONNECTED: BAD,
    FeedState.LOGIN_REQUIRED: BAD,
    FeedState.COMPETING: BAD,
    FeedState.STALE: BAD,
}

#: The space between two columns.
BETWEEN: Final = "  "

#: Ends what is cut.
ELLIPSIS: Final = "…"

#: The name of a row has at least so many characters, and at most this part of the width.
_NAME_LENGTH: Final = 9
_NAME_PART: Final = 3


def ellipsis_of(encoding: str | None) -> str:
    """The ellipsis of a stream: one character if its encoding has it, otherwise three dots.

    Args:
        encoding: the encoding; None for a stream of characters.
    """
    try:
        ELLIPSIS.encode(encoding or "utf-8")
    except (LookupError, UnicodeEncodeError):
        return "..."
    return ELLIPSIS


def text_width(text: str) -> int:
    """How many columns of a terminal a text takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int, ellipsis: str = ELLIPSIS) -> str:
    """A text in at most `width` columns. If something is left out, it ends with the ellipsis, as far as that fits."""
    if text_width(text) <= width:
        return text
    room = width - text_width(ellipsis)
    if room < 0:
        return _start(text, width)
    return _start(text, room) + ellipsis


def _start(text: str, width: int) -> str:
    end = 0
    for character in text:
        width -= _character_width(character)
        if width < 0:
            break
        end += 1
    return text[:end]


def cut_line(line: Line, width: int, ellipsis: str = ELLIPSIS) -> Line:
    """A line in at most `width` columns, cut as `cut` does."""
    if sum(text_width(text) for text, _ in line) <= width:
        return [piece for piece in line if piece[0]]
    found: list[tuple[str, str]] = []
    room = max(width - text_width(ellipsis), 0)
    style = ""
    for text, style in line:
        piece = _start(text, room)
        room -= text_width(piece)
        if piece:
            found.append((piece, style))
        if piece != text:
            break
    found.append((_start(ellipsis, width), style))
    return found


def plain(line: Line) -> str:
    """A line without its styles."""
    return "".join(text for text, _ in line).rstrip()


@dataclass(frozen=True, slots=True)
class Column:
    """A column with its cells.

    Attributes:
        head: its head.
        cells: the text of each row.
        styles: the style of each cell.
        rank: on a narrow terminal, the columns with the highest rank are left out first.
        is_text: whether it is aligned to the left.
        is_name: whether its cells are names, which are cut if they take more than a third of the width.
    """

    head: str
    cells: Sequence[str]
    styles: Sequence[str]
    rank: int
    is_text: bool = False
    is_name: bool = False

    @property
    def width(self) -> int:
        """The columns of the terminal that it takes."""
        return max(map(text_width, (self.head, *self.cells)))


def table_lines(columns: Iterable[Column], width: int, ellipsis: str = ELLIPSIS) -> list[Line]:
    """The head and the rows of a table. Columns that do not fit are left out, those with the highest rank first."""
    most = max(width // _NAME_PART, _NAME_LENGTH)
    kept = _fitting([_with_cut_names(column, most, ellipsis) for column in columns], width)
    widths = [column.width for column in kept]
    found: list[Line] = [
        [(BETWEEN.join(_padded(column.head, column, size) for column, size in zip(kept, widths, strict=True)), "bold")]
    ]
    for row in range(max((len(column.cells) for column in kept), default=0)):
        line: list[tuple[str, str]] = []
        for column, size in zip(kept, widths, strict=True):
            line += [(BETWEEN, "")] if line else []
            line.append((_padded(column.cells[row], column, size), column.styles[row]))
        found.append(line)
    return [cut_line(line, width, ellipsis) for line in found]


def _with_cut_names(column: Column, most: int, ellipsis: str) -> Column:
    if not column.is_name:
        return column
    return replace(column, cells=[cut(cell, most, ellipsis) for cell in column.cells])


def _fitting(columns: list[Column], width: int) -> list[Column]:
    kept = list(columns)
    while len(kept) > 1 and sum(column.width for column in kept) + len(BETWEEN) * (len(kept) - 1) > width:
        kept.remove(max(kept, key=lambda column: column.rank))
    return kept


def _padded(text: str, column: Column, width: int) -> str:
    space = " " * (width - text_width(text))
    return text + space if column.is_text else space + text
