"""Screens of the commands: a thread draws in place on a terminal, or prints lines where there is no terminal."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Final, Self, TextIO

from cpapi_fast.console import changed_terminal, stuck_streams
from cpapi_fast.errors import MissingDependencyError
from cpapi_fast.printable import printable, printable_lines

#: Begins each further row of a notice that is wider than the terminal.
_INDENT: Final = "  "

#: How many of the last notices are printed again when the size of the terminal has changed.
_KEPT_NOTICES: Final = 20

#: How long to wait at the end for the last drawing, in seconds. A terminal that is stopped by Ctrl-S accepts nothing.
_END_TIMEOUT_S: Final = 1.0

#: Leaves the alternate screen, shows the cursor, and ends colours.
_RESTORED: Final = "\x1b[0m\x1b[?25h"
_RESTORED_ALTERNATE: Final = f"{_RESTORED}\x1b[?1049l"

#: Pieces of a line of text, each with a style that rich understands; an empty style is plain.
Line = Sequence[tuple[str, str]]


class Screen(ABC):
    """A thread that shows something on a stream, from entering the `with` block to leaving it.

    All output happens in the thread, so a stream that blocks never blocks the caller. If the stream fails, the thread
    ends and the command continues.

    Args:
        stream: where to draw.
        interval_s: the time between two drawings; None draws only after `refresh`.
    """

    #: Whether to draw once more at the end.
    _draws_at_end = True

    def __init__(self, stream: TextIO, interval_s: float | None) -> None:
        self._stream: Final = stream
        self._interval_s: Final = interval_s
        self._notices: Final[deque[str]] = deque()
        self._wake: Final = threading.Event()
        self._is_refresh_due = False
        self._is_done = False
        self._thread: Final = threading.Thread(target=self._run, name="cpapi_fast screen", daemon=True)

    @property
    def is_restored(self) -> bool:
        """Whether the thread has ended and the stream is as it was before."""
        return not self._thread.is_alive()

    def refresh(self) -> None:
        """Draw as soon as the previous drawing is finished. Several calls before that cause one drawing."""
        self._is_refresh_due = True
        self._wake.set()

    def notice(self, text: str) -> None:
        """Print a line that stays, above the drawing."""
        self._notices.append(text)
        self._wake.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_done = True
        self._wake.set()
        self._thread.join(_END_TIMEOUT_S)
        if not self.is_restored:
            stuck_streams.add(self._stream)

    @abstractmethod
    def _draw(self) -> None: ...

    @abstractmethod
    def _print(self, text: str) -> None: ...

    def _prepared(self) -> AbstractContextManager[object]:
        """Prepares the stream on entering, and restores it on leaving."""
        return nullcontext()

    def _run(self) -> None:
        # OSError or ValueError: the terminal or pipe was closed. That ends the output, not the command.
        try:
            with suppress(OSError, ValueError), self._prepared():
                self._loop()
        finally:
            stuck_streams.discard(self._stream)

    def _loop(self) -> None:
        last_s = time.monotonic()
        while True:
            timeout_s = None if self._interval_s is None else max(0.0, last_s + self._interval_s - time.monotonic())
            is_due = not self._wake.wait(timeout_s)
            self._wake.clear()
            is_done = self._is_done
            while self._notices:
                self._print(self._notices.popleft())
            if is_done:
                break
            if is_due or self._is_refresh_due:
                self._is_refresh_due = False
                last_s = time.monotonic()
                self._draw()
        if self._draws_at_end:
            self._draw()


class TerminalScreen(Screen):
    """A terminal that is drawn on in place, with rich. Create it with `on`."""

    def __init__(
        self,
        console: Any,
        live: Callable[[], Any],
        draw: Callable[[int, int], Any],
        interval_s: float | None,
        *,
        is_alternate: bool,
    ) -> None:
        super().__init__(console.file, interval_s)
        self._console = console
        self._make_live = live
        self._live = live()
        self._render = draw
        self._is_alternate = is_alternate
        self._restored = _RESTORED_ALTERNATE if is_alternate else _RESTORED
        self._size: tuple[int, int] | None = None
        self._printed: Final[deque[str]] = deque(maxlen=_KEPT_NOTICES)

    @classmethod
    def on(
        cls,
        stream: TextIO,
        draw: Callable[[int, int], Any],
        *,
        interval_s: float | None = None,
        is_alternate: bool = False,
    ) -> TerminalScreen | None:
        """A screen on a stream; None if the stream is not a terminal, or rich is not installed.

        Args:
            stream: where to draw.
            draw: called in the thread with the current width and height; returns what to draw, for rich.
            interval_s: the time between two drawings; None draws only after `refresh`.
            is_alternate: True draws on the alternate screen of the terminal until the end; False draws below the
                existing lines, and the last drawing stays.
        """
        if not stream.isatty():
            return None
        try:
            from rich.console import Console
            from rich.live import Live
        except ImportError:
            return None

        class QuietConsole(Console):
            def on_broken_pipe(self) -> None:
                """Stop output. The default of rich ends the process."""
                self.quiet = True

            def render(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
                """Render as rich does; texts that nobody made printable before are made so here."""
                return (_visible(segment, self.encoding) for segment in super().render(*args, **kwargs))

        # Texts are not markup: `[/x]` would be an error, `[link=...]` a link, and `:smile:` an emoji.
        console = QuietConsole(file=stream, highlight=False, markup=False, emoji=False)
        if not console.is_terminal or console.is_dumb_terminal:
            return None

        def live() -> Any:
            # Without auto_refresh: rich would draw in a thread of its own.
            return Live(
                console=console, screen=is_alternate, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            )

        return cls(console, live, draw, interval_s, is_alternate=is_alternate)

    @property
    def width(self) -> int:
        """The current width of the terminal in characters."""
        return int(self._console.width)

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        with changed_terminal(self._stream, self._restored):
            self._live.start()
            try:
                yield
            finally:
                self._live.stop()

    def _draw(self) -> None:
        width, height = self._console.size
        if self._size not in (None, (width, height)) and not self._is_alternate:
            self._start_over()
        self._size = width, height
        self._live.update(self._render(width, height), refresh=True)

    def _start_over(self) -> None:
        """Clear the terminal, and print the last notices again.

        Terminals wrap the lines of the last drawing when they become narrower, each in its own way, so nobody knows
        where that drawing begins.
        """
        self._live.stop()
        self._console.clear()
        for text in self._printed:
            self._print_wrapped(text)
        self._live = self._make_live()
        self._live.start()

    def _print(self, text: str) -> None:
        text = printable(text)
        self._printed.append(text)
        self._print_wrapped(text)

    def _print_wrapped(self, text: str) -> None:
        # The rows after the first are indented, so that a text from outside cannot look like a notice of its own.
        from rich.text import Text

        rows = Text(text).wrap(self._console, max(1, self._console.width - len(_INDENT)))
        for number, row in enumerate(rows):
            row.rstrip()
            self._console.print(
                row if number == 0 else Text(_INDENT) + row, no_wrap=True, overflow="ignore", crop=False
            )


class LineScreen(Screen):
    """A stream without a terminal: one line of text at each interval, and no escape codes.

    Args:
        stream: where to print.
        line: called in the thread; returns the line.
        interval_s: the time between two lines; None for notices only.
    """

    _draws_at_end = False

    def __init__(self, stream: TextIO, line: Callable[[], str], interval_s: float | None) -> None:
        super().__init__(stream, interval_s)
        self._line = line

    def _draw(self) -> None:
        self._print(self._line())

    def _print(self, text: str) -> None:
        self._stream.write(f"{printable(text)}\n")
        self._stream.flush()


def missing_table(stream: TextIO) -> str:
    """What to install for a table on a terminal; an empty text if nothing is missing, or there is no terminal."""
    if not stream.isatty() or find_spec("rich") is not None:
        return ""
    return f"{MissingDependencyError.of('a table in the terminal', 'rich')}; until then, lines are printed"


def text_lines(lines: Iterable[Line]) -> Any:
    """Lines of styled text for rich, each made printable and cut at the width of the terminal."""
    from rich.console import Group
    from rich.text import Text

    return Group(
        *(
            Text.assemble(*((printable(text), style) for text, style in line), no_wrap=True, overflow="crop")
            for line in lines
        )
    )


def _visible(segment: Any, encoding: str) -> Any:
    """A segment of rich with printable text. Codes that rich writes to control the terminal are separate segments.

    A character that the terminal's encoding does not have becomes `?`, because an escape would move the columns.
    """
    text = segment.text
    if segment.control or text == "\n":
        return segment
    if not text.isprintable():
        text = printable_lines(text)
    if not text.isascii() and not encoding.startswith("utf"):
        text = text.encode(encoding, "replace").decode(encoding)
    return segment if text is segment.text else segment._replace(text=text)
