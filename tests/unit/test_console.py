"""Lines on stdout and stderr: in any encoding, and what follows when a stream cannot be written."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cpapi_fast import console
from cpapi_fast.console import StreamError, say, say_at_end, standard_streams, tell


class Failing(io.StringIO):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp437", "utf-16"])
def test_a_character_that_the_encoding_lacks_is_an_escape(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, newline="\n"))
    say("a\n", "… д\udcff")
    lines = raw.getvalue().decode(encoding).split("\n")
    assert lines[0] == r"a\n"
    assert lines[1].replace(r"\u2026", "…").replace(r"\u0434", "д") == r"… д\udcff"


def test_libraries_that_print_are_safe_in_the_block() -> None:
    """And the streams are as before after it."""
    raw = io.BytesIO()
    before, sys.stdout = sys.stdout, io.TextIOWrapper(raw, encoding="ascii")
    try:
        with standard_streams():
            sys.stdout.write("…")
        assert raw.getvalue() == rb"\u2026"
        assert sys.stdout.errors == "strict"
    finally:
        sys.stdout = before


def test_an_error_of_stdout_is_typed_and_one_of_stderr_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Failing(errno.EPIPE))
    monkeypatch.setattr(sys, "stderr", Failing(errno.EPIPE))
    with pytest.raises(StreamError) as caught:
        say("x")
    assert caught.value.is_reader_gone
    assert not caught.value.is_terminal_closed
    with pytest.raises(StreamError):
        say_at_end("x")
    tell("x")
    monkeypatch.setattr(sys, "stderr", None)
    tell("x")


def test_a_closed_terminal_is_no_error_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Failing(errno.EIO)
    with Path(os.devnull).open() as device:
        stream.fileno = device.fileno  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(StreamError) as caught:
            say("x")
        assert caught.value.is_terminal_closed
        say_at_end("x")


def test_the_end_at_once_restores_terminals_and_runs_nothing_else(tmp_path: Path) -> None:
    """With every lock of the streams held, as by a thread that waits for a terminal."""
    program = (
        "import atexit, sys, threading; from cpapi_fast import console\n"
        "atexit.register(print, 'not printed')\n"
        "with console.changed_terminal(sys.stdout, '<restored>'):\n"
        "    console.end_now(2, 'the last\\nline')\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (130, "<restored>", "the last\\nline\n")


def test_a_stuck_stream_is_neither_flushed_nor_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    readable, writable = os.pipe()
    with os.fdopen(writable, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(console, "stuck_streams", {stream})
        tell("told")
        assert os.read(readable, 100) == b"told\n"
    os.close(readable)
