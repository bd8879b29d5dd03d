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

#: A number that Python does not read.
_DIGITS: Final = re.compile(r"[0-9_]{4300,}")

#: What decides where a statement of a valid file ends: texts and comments, brackets, and the ends of lines.
_TOKENS: Final = re.compile(
    r'''"""(?:[^"\\]|\\.|"(?!""))*"{3,5}|"(?:[^"\\\n]|\\.)*"|#[^\n]*|[\[{\]}\n]|'''
    r"""'''(?:[^']|'(?!''))*'{3,5}|'[^'\n]*'""",
    re.DOTALL,
)


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
    except ValueError:
        # Python's own limit for the digits of a number.
        raise SettingsError([_digits_text(path, text)]) from None
    except RecursionError:
        raise SettingsError([f"{path}: values are nested too deeply; each key is the name of an option"]) from None
    entries: list[TomlEntry] = []
    for first, source in _statements(text):
        if source.lstrip().startswith("["):
            problem = f"{path}:{first}: there are no tables; write each option as `key = value` on a line of its own"
            raise SettingsError([problem])
        entries += (TomlEntry(key, value, first, source) for key, value in tomllib.loads(source).items())
    return tuple(entries)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield the statements of a valid file in one pass, each with the number of its first line."""
    begin = depth = 0
    number = first = 1
    for token in _TOKENS.finditer(f"{text}\n"):
        one = token[0]
        if one in ("[", "{"):
            depth += 1
        elif one in ("]", "}"):
            depth -= 1
        elif one == "\n":
            number += 1
            if depth == 0:
                statement = text[begin : token.start()]
                if (start := statement.strip()) and not start.startswith("#"):
                    yield first, statement
                begin, first = token.end(), number
        else:
            number += one.count("\n")


def _digits_text(path: str, text: str) -> str:
    digits = _DIGITS.search(text)
    line = 1 + text.count("\n", 0, digits.start() if digits else 0)
    return f"{path}:{line}: a number has too many digits"


def _syntax_text(path: str, text: str, message: str) -> str:
    position = _POSITION.search(message)
    line = int(position[1]) if position else text.count("\n") + 1
    column = f", column {position[2]}" if position else ""
    what = _POSITION.sub("", message).removesuffix(" (at end of document)")
    if "overwrite" in what:
        return f"{path}:{line}: not TOML{column}: {what}; a key stands in the file once: remove one of the lines"
    return f'{path}:{line}: not TOML{column}: {what}; write texts in quotes, as in out = "/data"'
