"""Reads files of conids and of symbols: one instrument per line, with comments"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TypeVar

from cpapi_fast.cli.arguments import instruments, symbols

from .errors import SettingsError
from .text_file import read_text

_T = TypeVar("_T", bound=int | str)


def instruments_of(args: argparse.Namespace) -> tuple[tuple[int | str, ...], tuple[str, ...]]:
    """Return the conids and the symbols of a command: those of its options, and then those of its files.

    Raises:
        SettingsError: a file cannot be read, or lines of it are wrong. One error names all of them.
    """
    problems: list[str] = []
    conids: tuple[int | str, ...] = args.conids
    names: tuple[str, ...] = args.symbols
    if args.conids_file is not None:
        conids += tuple(_read(args.conids_file, instruments, problems))
    if args.symbols_file is not None:
        names += tuple(_read(args.symbols_file, symbols, problems))
    if problems:
        raise SettingsError(problems)
    return conids, names


def _read(path: str, parse: Callable[[str], Sequence[_T]], problems: list[str]) -> list[_T]:
    """Return the instruments of a file. What is wrong in its lines is added to `problems`."""
    found: list[_T] = []
    try:
        text = read_text(path)
    except SettingsError as exc:
        problems += exc.problems
        return found
    for number, line in enumerate(text.split("\n"), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        try:
            parsed = parse(content)
        except argparse.ArgumentTypeError as exc:
            problems.append(f"{path}:{number}: {exc}")
            continue
        if len(parsed) != 1:
            problems.append(f"{path}:{number}: write one instrument per line")
        found += parsed
    return found
