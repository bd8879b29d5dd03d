"""Runs a file, or a command of the package, and interrupts it once it has printed what was waited for.

Usage: python interrupting.py REGEX FILE|-m MODULE [ARGUMENTS...]      (an empty REGEX interrupts nothing)
"""

from __future__ import annotations

import _thread
import re
import runpy
import sys
from typing import TextIO


class Watched:
    """A stream that interrupts the main thread, as Ctrl-C does, once its text contains the pattern."""

    def __init__(self, stream: TextIO, pattern: str) -> None:
        self._stream = stream
        self._pattern = re.compile(pattern)
        self._printed = ""
        self.has_matched = False

    def write(self, text: str) -> int:
        count = self._stream.write(text)
        self._stream.flush()
        self._printed += text
        if not self.has_matched and self._pattern.search(self._printed):
            self.has_matched = True
            _thread.interrupt_main()
        return count

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def main() -> None:
    pattern, *program = sys.argv[1:]
    watched = []
    if pattern:
        sys.stdout = Watched(sys.stdout, pattern)
        sys.stderr = Watched(sys.stderr, pattern)
        watched = [sys.stdout, sys.stderr]
    try:
        if program[0] == "-m":
            sys.argv = program[1:]
            runpy.run_module(program[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = program
            sys.path[0] = "."
            runpy.run_path(program[0], run_name="__main__")
    except KeyboardInterrupt:
        if not any(stream.has_matched for stream in watched):
            raise
    if pattern and not any(stream.has_matched for stream in watched):
        sys.exit(f"ended without printing {pattern!r}")


if __name__ == "__main__":
    main()
