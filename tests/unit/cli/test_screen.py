"""Screens: drawn in place by a thread and restored at the end; lines without a terminal; failures of the stream."""

from __future__ import annotations

import io
import re
import sys
import threading
import time
from collections.abc import Callable

import pytest

from cpapi_fast.cli.collect_progress import Progress
from cpapi_fast.cli.screen import LineScreen, TerminalScreen, missing_table, text_lines
from cpapi_fast.collect.reports import CollectStatus


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "20")
    return Terminal()


def draw(width: int, height: int) -> object:
    return text_lines([[("DISCONNECTED", "bold red"), (f" {width}x{height} ", ""), ("x" * 200, "")]])


def screen_on(stream: io.StringIO, **options: object) -> TerminalScreen:
    screen = TerminalScreen.on(stream, draw, **options)  # type: ignore[arg-type]
    assert screen is not None
    return screen


def drawn(terminal: Terminal) -> str:
    screen = screen_on(terminal, is_alternate=True)
    with screen:
        screen.refresh()
    assert screen.is_restored
    assert screen.width == 100
    return terminal.getvalue()


def wait_until(condition: Callable[[], object]) -> None:
    started_s = time.monotonic()
    while not condition():
        assert time.monotonic() - started_s < 60
        time.sleep(0.005)


def test_the_alternate_screen_is_entered_drawn_and_left(terminal: Terminal) -> None:
    out = drawn(terminal)
    assert out.startswith("\x1b[?1049h")
    assert out.endswith("\x1b[?25h\x1b[?1049l")
    assert "DISCONNECTED" in out
    assert "\x1b[1;31m" in out
    assert all("cpapi_fast screen" not in thread.name for thread in threading.enumerate())


def test_the_drawing_has_the_size_of_the_terminal(terminal: Terminal) -> None:
    out = drawn(terminal)
    assert "100x20" in out
    assert "x" * 100 not in out


def test_no_colour_with_the_variable_no_color(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = drawn(terminal)
    assert "DISCONNECTED" in out
    assert re.search(r"\x1b\[[0-9;]*3[0-7][0-9;]*m", out) is None


def test_without_the_alternate_screen_the_last_drawing_stays(terminal: Terminal) -> None:
    screen = screen_on(terminal)
    with screen:
        screen.notice("a notice [bold]")
    out = terminal.getvalue()
    assert "\x1b[?1049h" not in out
    assert out.index("a notice [bold]") < out.rindex("DISCONNECTED")
    assert out.endswith("\x1b[?25h")


def test_no_screen_without_a_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TerminalScreen.on(io.StringIO(), draw) is None
    monkeypatch.setitem(sys.modules, "rich.live", None)
    assert TerminalScreen.on(terminal, draw) is None
    monkeypatch.undo()


def test_a_terminal_without_rich_says_what_to_install(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_table(terminal) == ""
    for name in ("rich", "rich.console"):
        monkeypatch.setitem(sys.modules, name, None)
    assert missing_table(io.StringIO()) == "", "no table is expected there"
    hint = 'a table in the terminal needs rich: pip install "rich>=13"; until then, lines are printed'
    assert missing_table(terminal) == hint
    assert TerminalScreen.on(terminal, draw) is None
    with Progress(lambda: CollectStatus("starting", 0.0, None, 0, (), ()), terminal, interval_s=3600.0):
        wait_until(terminal.getvalue)
    assert terminal.getvalue() == f"cpapi-fast: {hint}\n"


def test_after_a_change_of_size_the_notices_are_printed_again(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows where the terminal has put the last drawing, so it is cleared."""
    with screen_on(terminal, interval_s=0.01) as screen:
        screen.notice("a notice")
        wait_until(lambda: terminal.getvalue().count("100x20") >= 2)
        before = len(terminal.getvalue())
        screen._console._width, screen._console._height = 40, 10
        wait_until(lambda: terminal.getvalue().count("40x10") >= 2)
    after = terminal.getvalue()[before:]
    assert after.count("\x1b[2J") == 1
    assert after.index("\x1b[2J") < after.index("a notice") < after.index("40x10")
    assert "x" * 41 not in after[after.index("\x1b[2J") :]
    assert after.endswith("\x1b[?25h")


def test_no_screen_on_a_dumb_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert TerminalScreen.on(terminal, draw) is None


def test_an_interval_draws_again_and_a_notice_does_not(terminal: Terminal) -> None:
    with screen_on(terminal, interval_s=0.01):
        wait_until(lambda: terminal.getvalue().count("DISCONNECTED") >= 3)
    lines = io.StringIO()
    with LineScreen(lines, lambda: "a line", 3600.0) as screen:
        screen.notice("a notice")
        wait_until(lambda: lines.getvalue())
    assert lines.getvalue() == "a notice\n"


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(5, "gone"), ValueError("closed")])
def test_a_stream_that_fails_ends_only_the_drawing(terminal: Terminal, error: Exception) -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise error

    screen = screen_on(Gone(), is_alternate=True)
    with screen:
        screen.refresh()
    assert screen.is_restored


def test_a_terminal_that_accepts_nothing_blocks_no_caller(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cpapi_fast.cli.screen._END_TIMEOUT_S", 0.05)
    released = threading.Event()

    class Held(Terminal):
        def write(self, text: str) -> int:
            released.wait(20)
            return len(text)

    screen = screen_on(Held(), is_alternate=True)
    with screen:
        for _ in range(1000):
            screen.refresh()
            screen.notice("a notice")
    assert not screen.is_restored
    released.set()
    screen._thread.join(20)
    assert screen.is_restored
