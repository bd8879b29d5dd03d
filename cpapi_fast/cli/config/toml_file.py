"""Reads a TOML file whose keys are options, with the line of each key and of each element of a list."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from .errors import SettingsError
from .text_file import read_text

#: The position in a message of `tomllib`.
_POSITION: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")

#: Only a line with one of these can end a statement of several lines.
_CLOSERS: Final = ("]", "}", '"""', "'''")


@dataclass(frozen=True)
class TomlEntry:
    """One key of a file.

    Attributes:
        key: the key, as written.
        value: its value.
        line: the line of the key, from 1.
        text: the lines of the whole statement.
    """

    key: str
    value: Any
    line: int
    text: str

    def line_of(self, element: object) -> int:
        """Return the line of an element of a list, or that of the key if the element is not on one line alone."""
        lines = [number for number, line in enumerate(self.text.splitlines()) if str(element) in line]
        return self.line + lines[0] if len(lines) == 1 else self.line


def read_toml(path: str) -> tuple[TomlEntry, ...]:
    """Return the keys of a file in their order.

    Raises:
        SettingsError: the file cannot be read, is not TOML, or has tables.
    """
    text = read_text(path)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError([_syntax_text(path, text, str(exc))]) from None
    except RecursionError:
        raise SettingsError([f"{path}: values are nested too deeply; each key is the name of an option"]) from None
    entries: list[TomlEntry] = []
    for first, lines in _statements(text.split("\n")):
        if lines[0].lstrip().startswith("["):
            problem = f"{path}:{first}: there are no tables; write each option as `key = value` on a line of its own"
            raise SettingsError([problem])
        source = "\n".join(lines)
        entries += (TomlEntry(key, value, first, source) for key, value in tomllib.loads(source).items())
    return tuple(entries)


def _statements(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the statements of a valid file, each with the number of its first line."""
    begin = 0
    while begin < len(lines):
        start = lines[begin].strip()
        if not start or start.startswith("#"):
            begin += 1
            continue
        end = begin + 1
        # No part of a statement up to the end of a line is a statement itself. `tomllib` decides where it ends.
        while end < len(lines) and not _is_whole(lines[begin:end]):
            end += 1
        yield begin + 1, lines[begin:end]
        begin = end


def _is_whole(lines: list[str]) -> bool:
    if len(lines) > 1 and not any(closer in lines[-1] for closer in _CLOSERS):
        return False
    try:
        tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError:
        return False
    return True


def _syntax_text(path: str, text: str, message: str) -> str:
    position = _POSITION.search(message)
    line = int(position[1]) if position else text.count("\n") + 1
    column = f", column {position[2]}" if position else ""
    what = _POSITION.sub("", message).removesuffix(" (at end of document)")
    return f'{path}:{line}: not TOML{column}: {what}; write texts in quotes, as in out = "/data"'
