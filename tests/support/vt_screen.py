"""The screen of a terminal: what a person sees after a program has written text and the usual control codes."""

from __future__ import annotations

import re
import unicodedata

_CODE = re.compile(r"\x1b\[([?]?)([0-9;]*)([A-Za-z])|\x1b\][^\x07]*\x07|\x1b[78=>]")


class VtScreen:
    """A screen of a fixed size, as a VT100 has it: text wraps at the right edge, and scrolls at the lower one.

    Attributes:
        scrolled: the lines that have left the screen at the top, oldest first.
    """

    def __init__(self, columns: int, lines: int) -> None:
        self.columns = columns
        self.height = lines
        self.scrolled: list[str] = []
        self._rows: list[list[str]] = [self._blank() for _ in range(lines)]
        self._row = self._column = 0
        self._rest = ""
        self._saved: tuple[list[list[str]], int, int] | None = None

    @property
    def lines(self) -> list[str]:
        """The visible lines, without spaces at their ends."""
        return ["".join(row).rstrip() for row in self._rows]

    @property
    def text(self) -> str:
        """The visible lines, without empty ones at the end."""
        return "\n".join(self.lines).rstrip("\n")

    def resize(self, columns: int, lines: int) -> None:
        """Change the size as xterm does: lines are cut, and the top is scrolled off if the cursor would be lost."""
        while self._row >= lines:
            self._scroll()
            self._row -= 1
        self._rows = [(row + [" "] * columns)[:columns] for row in self._rows[:lines]]
        self.columns, self.height = columns, lines
        self._rows += [self._blank() for _ in range(lines - len(self._rows))]
        self._column = min(self._column, columns - 1)

    def feed(self, data: bytes) -> None:
        """Write what a program has written. A code or character that is incomplete is kept for the next call."""
        text = self._rest + data.decode("utf-8", "surrogateescape")
        at = 0
        while at < len(text):
            character = text[at]
            if character == "\x1b":
                match = _CODE.match(text, at)
                if match is None:
                    break
                self._control(match)
                at = match.end()
                continue
            self._put(character)
            at += 1
        self._rest = text[at:]

    def _blank(self) -> list[str]:
        return [" "] * self.columns

    def _scroll(self) -> None:
        self.scrolled.append("".join(self._rows.pop(0)).rstrip())
        self._rows.append(self._blank())

    def _new_line(self) -> None:
        if self._row == self.height - 1:
            self._scroll()
        else:
            self._row += 1

    def _put(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._new_line()
        elif character.isprintable():
            width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            if self._column + width > self.columns:
                self._column = 0
                self._new_line()
            self._rows[self._row][self._column : self._column + width] = [character, *[""] * (width - 1)]
            self._column += width

    def _control(self, match: re.Match[str]) -> None:
        private, parameters, letter = match[1], match[2], match[3]
        if letter is None:
            return
        numbers = [int(number) if number else 0 for number in (parameters or "").split(";")]
        first = max(numbers[0], 1)
        if private and numbers[0] == 1049:
            self._alternate(is_on=letter == "h")
        elif letter == "H":
            self._row = min(first, self.height) - 1
            self._column = min(max(numbers[1], 1) if len(numbers) > 1 else 1, self.columns) - 1
        elif letter in "AF":
            self._row = max(self._row - first, 0)
        elif letter in "BE":
            self._row = min(self._row + first, self.height - 1)
        elif letter == "C":
            self._column = min(self._column + first, self.columns - 1)
        elif letter == "D":
            self._column = max(min(self._column, self.columns - 1) - first, 0)
        elif letter == "G":
            self._column = min(first, self.columns) - 1
        elif letter == "K":
            self._erase(self._row, numbers[0])
        elif letter == "J":
            for row in range(self._row + 1, self.height) if numbers[0] == 0 else range(self.height):
                self._rows[row] = self._blank()
            if numbers[0] == 0:
                self._erase(self._row, 0)
        if letter in "EF":
            self._column = 0

    def _erase(self, row: int, how: int) -> None:
        start, stop = {0: (self._column, self.columns), 1: (0, self._column + 1), 2: (0, self.columns)}[how]
        for column in range(start, min(stop, self.columns)):
            self._rows[row][column] = " "

    def _alternate(self, *, is_on: bool) -> None:
        if is_on:
            self._saved = (self._rows, self._row, self._column)
            self._rows, self._row, self._column = [self._blank() for _ in range(self.height)], 0, 0
        elif self._saved is not None:
            self._rows, self._row, self._column = self._saved
            self._saved = None
