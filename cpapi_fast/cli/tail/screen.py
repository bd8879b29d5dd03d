"""The terminal under `tail`: a screen of its own, drawn in place by a thread, and given back as it was."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, TextIO

from .text import lines
from .view import View

#: How long to wait for the last drawing at the end: a terminal that is held by Ctrl-S takes nothing.
_LAST_S: Final = 1.0


class Screen:
    """Shows views on a terminal, from entering the `with` block to leaving it.

    It is drawn by a thread, so that a terminal that takes nothing holds up nobody; views that it had no time for are
    left out. The size is asked anew for each drawing.
    """

    def __init__(self, console: Any, live: Any) -> None:
        self._console = console
        self._live = live
        self._view: View | None = None
        self._wake = threading.Event()
        self._is_done = False
        self._thread = threading.Thread(target=self._run, name="cpapi_fast tail", daemon=True)

    @classmethod
    def on(cls, stream: TextIO) -> Screen | None:
        """A screen on this stream; None when it is no terminal, or rich is not installed."""
        if not stream.isatty():
            return None
        try:
            from rich.console import Console
            from rich.live import Live
        except ImportError:
            return None

        class Terminal(Console):
            def on_broken_pipe(self) -> None:
                """Fall silent. What rich does by default ends the process."""
                self.quiet = True

        console = Terminal(file=stream, highlight=False)
        if not console.is_terminal or console.is_dumb_terminal:
            return None
        live = Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        return cls(console, live)

    @property
    def width(self) -> int:
        """How many characters a line has now."""
        return int(self._console.width)

    @property
    def is_free(self) -> bool:
        """Whether the terminal was given back."""
        return not self._thread.is_alive()

    def show(self, view: View) -> None:
        """Draw this as soon as the terminal has taken what was drawn before."""
        self._view = view
        self._wake.set()

    def __enter__(self) -> Screen:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_done = True
        self._wake.set()
        self._thread.join(_LAST_S)

    def _run(self) -> None:
        # The terminal may go away: that ends the drawing, not the process.
        with suppress(OSError, ValueError):
            self._live.start()
        try:
            with suppress(OSError, ValueError):
                while not self._is_done:
                    self._wake.wait()
                    self._wake.clear()
                    if self._view is not None:
                        self._draw(self._view)
        finally:
            with suppress(OSError, ValueError):
                self._live.stop()

    def _draw(self, view: View) -> None:
        from rich.console import Group
        from rich.text import Text

        width, height = self._console.size
        texts = [Text.assemble(*line, no_wrap=True, overflow="crop") for line in lines(view, width, height)]
        self._live.update(Group(*texts), refresh=True)
