"""OptionNames: shows the options of a command where a text names those of the library.

Advice and errors are written for programs, which have keyword arguments. Every text that a command shows passes through
`OptionNames`: `--competing reclaim` for `competing='reclaim'`. So advice names what exists where it is read.
"""

from __future__ import annotations

import argparse
import re
from functools import partial
from typing import Final

#: Calls of the library, and the options that stand for them; the first one that the command has.
_CALLS: Final = (
    (r"Tls\.verify\(\)", ("--tls-verify",)),
    (r"Tls\.ca_file\([^()]*\)", ("--ca-file",)),
    (r"Tls\.pinned\((?:'(?P<text>[0-9A-Fa-f:]+)'|[^()]*)\)", ("--fingerprint",)),
    (r"Tls\.insecure\(\)", ("--insecure",)),
    (r"(?:Client\.)?init_brokerage_session\(compete=True\)", ("--init", "--competing reclaim")),
)

#: No part of a longer word or of a path.
_START, _END = r"(?<![\w./\\=-])", r"(?![\w/\\=]|\.\w)"


class OptionNames:
    """Translates the texts of the library for one command.

    Args:
        parser: the parser of the command, with all of its options.
    """

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        actions = {action.dest: action for action in parser._actions if action.option_strings}
        given = {option for action in actions.values() for option in action.option_strings}
        self._calls: Final = [
            (re.compile(_START + pattern), option)
            for pattern, options in _CALLS
            if (option := next((one for one in options if one.split()[0] in given), None)) is not None
        ]
        self._names: Final = []
        for dest, action in actions.items():
            # A duration has its unit in its name, which an option has not.
            name = f"{dest}(?:_s)?" + ("" if "_" in dest else "(?==)")
            value = r"(?:=(?:'(?P<text>[^']*)'|(?P<word>\w+(?:\.\d+)?|\.\.\.)))?"
            pattern = rf"{_START}(?P<call>\w+Options\()?{name}{value}(?(call)\)){_END}"
            self._names.append((re.compile(pattern), action.option_strings[-1], action.nargs == 0))

    def __call__(self, text: str) -> str:
        """Return the text with the options of the command."""
        for pattern, option in self._calls:
            text = pattern.sub(partial(_called, option), text)
        for pattern, option, is_flag in self._names:
            text = pattern.sub(partial(_written, option, is_flag), text)
        return text


def _called(option: str, match: re.Match[str]) -> str:
    value = match.groupdict().get("text")
    return f"{option} {value}" if value else option


def _written(option: str, is_flag: bool, match: re.Match[str]) -> str:
    value = match["text"] if match["text"] is not None else match["word"]
    if is_flag or value in (None, "..."):
        return option
    return f"{option} {value.replace('_', '-')}"
