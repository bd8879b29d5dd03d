"""Runs a command in a pseudo-terminal of a given size, and reads its screen (POSIX only)."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from types import TracebackType

from tests.support.commands import LIMIT_S, PYTHON
from tests.support.vt_screen import VtScreen

_CODES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_HOME = b"\x1b[H"

#: How often a condition is checked. Parsing the screen more often would slow the program down.
_POLL_S = 0.02


class Terminal:
    """`python -m cpapi_fast ARGUMENTS` with stdin and stdout on a terminal.

    Args:
        is_err_shown: whether its stderr is on the terminal too.

    Attributes:
        shown: all bytes that the program wrote.
        seen: the screen that they make, in the current size.
        err: its stderr, after the end.
    """

    process: Process

    def __init__(
        self, *arguments: object, columns: int = 110, lines: int = 20, is_err_shown: bool = False, **environment: str
    ) -> None:
        self.shown = bytearray()
        self.seen = VtScreen(columns, lines)
        self.err = ""
        self._is_err_shown = is_err_shown
        self._arguments = tuple(map(str, arguments))
        self._size = (lines, columns)
        kept = {name: value for name, value in os.environ.items() if name not in _OVERRIDES}
        self._environment = {**kept, "TERM": "xterm-256color", **environment}

    async def __aenter__(self) -> Terminal:
        self._ours, theirs = pty.openpty()
        self._settings = termios.tcgetattr(theirs)
        self._theirs = theirs
        self.resize(*self._size[::-1])
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        self.process = await asyncio.create_subprocess_exec(
            *PYTHON, "-m", "cpapi_fast", *self._arguments, stdin=theirs, stdout=theirs,
            stderr=theirs if self._is_err_shown else PIPE,
            env=self._environment,
        )  # fmt: skip
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.communicate()
        asyncio.get_running_loop().remove_reader(self._ours)
        os.close(self._ours)
        os.close(self._theirs)
        if error is not None:
            sys.stderr.write(f"--- last drawing:\n{self.screen}\n--- screen:\n{self.seen.text}\n")

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the terminal."""
        self.seen.resize(columns, lines)
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def screen(self) -> str:
        """The last complete drawing, without escape codes."""
        drawings = bytes(self.shown).split(_HOME)
        # The last one may be incomplete.
        return _text(drawings[-2] if len(drawings) > 1 else drawings[-1])

    @property
    def left(self) -> str:
        """The text after the alternate screen was left."""
        return _text(bytes(self.shown).rpartition(b"\x1b[?1049l")[2])

    def row(self, name: str) -> str:
        """The line of the last drawing that starts with `name`, or an empty string."""
        return next((line for line in self.screen.splitlines() if line.startswith(name)), "")

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds. The time limit is that of the test."""
        while not condition():
            assert self.process.returncode is None, f"the process ended with exit code {self.process.returncode}"
            await asyncio.sleep(_POLL_S)

    async def ended(self) -> int:
        """Wait for the end of the process; its exit code."""
        _, err = await asyncio.wait_for(self.process.communicate(), LIMIT_S)
        await asyncio.sleep(0.05)
        self.err = (err or b"").decode()
        assert termios.tcgetattr(self._theirs) == self._settings, "the settings of the terminal are restored"
        assert self.process.returncode is not None
        return self.process.returncode

    def _read(self) -> None:
        data = os.read(self._ours, 65536)
        self.shown += data
        # A terminal driver writes a carriage return before each line feed.
        self.seen.feed(data)


#: Makes a process the leader of a session whose terminal is its stdin, as a shell in a new window is.
NEW_SESSION = "import fcntl, os, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)"

_RUN = "import runpy; runpy.run_module('cpapi_fast', run_name='__main__', alter_sys=True)"


class SessionTerminal:
    """`python -m cpapi_fast ARGUMENTS` on the terminal of its session: a test can close it, as a window is closed.

    Args:
        arguments: the arguments.
        first: Python code that the process runs before.
        out: a descriptor for its stdout; None for the terminal.

    Attributes:
        shown: all bytes that the program wrote to the terminal.
        process: the process.
    """

    process: Process

    def __init__(self, *arguments: object, first: str = NEW_SESSION, out: int | None = None) -> None:
        self._program = f"{first}\n{_RUN}"
        self._arguments = [*map(str, arguments)]
        self._out = out

    async def __aenter__(self) -> SessionTerminal:
        self.shown = bytearray()
        self._ours, theirs = pty.openpty()
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in _OVERRIDES}
        self.process = await asyncio.create_subprocess_exec(
            *(*PYTHON, "-c", self._program, *self._arguments),
            stdin=theirs,
            stdout=self._out or theirs,
            stderr=theirs,
            env={**kept, "TERM": "xterm-256color"},
        )
        os.close(theirs)
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        self.close()

    async def ended(self) -> int:
        """Wait for the end of the process; its exit code."""
        code = await asyncio.wait_for(self.process.wait(), LIMIT_S)
        await asyncio.sleep(0.05)
        return code

    async def until_shown(self, text: bytes) -> None:
        """Wait until the program has written this. The time limit is that of the test."""
        while text not in self.shown:
            assert self.process.returncode is None, bytes(self.shown)
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Close the terminal. The kernel sends SIGHUP to the process."""
        if self._ours >= 0:
            asyncio.get_running_loop().remove_reader(self._ours)
            os.close(self._ours)
            self._ours = -1

    def _read(self) -> None:
        try:
            self.shown += os.read(self._ours, 65536)
        except OSError:
            self.close()


#: Variables that rich uses instead of the properties of the terminal.
_OVERRIDES = frozenset({"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"})


def _text(shown: bytes) -> str:
    lines = _CODES.sub(b"", shown).decode().replace("\r", "").split("\n")
    return "\n".join(line.rstrip() for line in lines)
