"""Writes lines to stdout and stderr: printable, in the stream's encoding, and with one typed error if that fails."""

from __future__ import annotations

import _thread
import errno
import io
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn, TextIO

from .printable import printable

#: How long a write may take to a stream that may accept nothing, in seconds: a full pipe, or a stopped terminal.
_WRITE_TIMEOUT_S: Final = 0.5

#: The streams for which a thread still waits. It holds their locks, so any other use of them waits too, and Python
#: aborts when it exits.
stuck_streams: Final[set[TextIO]] = set()

#: The terminals that a screen has changed, with the codes that restore them.
_changed: Final[dict[int, str]] = {}


class StreamError(OSError):
    """stdout cannot be written: the reader of the pipe has ended, the disk is full, or the terminal is closed.

    Attributes:
        is_terminal_closed: whether the terminal is closed, so that nobody can read a message.
    """

    def __init__(self, error: OSError, *, is_terminal_closed: bool = False) -> None:
        super().__init__(error.errno, error.strerror or str(error))
        self.is_terminal_closed = is_terminal_closed

    @property
    def is_reader_gone(self) -> bool:
        """Whether the reader of the pipe has ended, as `head` does."""
        return self.errno == errno.EPIPE


@contextmanager
def standard_streams() -> Iterator[None]:
    r"""Prepare stdout and stderr for any text, also of libraries that print to them, until the block ends.

    A character that the stream's encoding does not have is written as an escape such as `\u2026`. If the process was
    started without one of the streams, `os.devnull` is used. At the end, what a stream does not accept is discarded;
    otherwise Python would report it once more when it exits.

    Raises:
        StreamError: stdout could not be flushed at the end of the block.
    """
    _open_descriptors()
    before: list[tuple[io.TextIOWrapper, str]] = []
    added: list[tuple[str, TextIO]] = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            added.append((name, Path(os.devnull).open("w", encoding="utf-8")))  # noqa: SIM115
            setattr(sys, *added[-1])
        elif isinstance(stream, io.TextIOWrapper):
            before.append((stream, stream.errors or "strict"))
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        error = _flushed(sys.stdout)
        _flushed(sys.stderr)
        for stream, errors in before:
            if stream not in stuck_streams:
                with suppress(OSError, ValueError):
                    stream.reconfigure(errors=errors)
        for name, null in added:
            setattr(sys, name, None)
            null.close()
    if error is not None:
        raise error


def say(*lines: str) -> None:
    """Write lines to stdout, each made printable.

    Raises:
        StreamError: they could not be written.
    """
    stream = sys.stdout
    try:
        _write(stream, lines)
    except OSError as exc:
        raise _stream_error(stream, exc) from None


def say_at_end(*lines: str) -> None:
    """Write the last lines of a command to stdout. If its terminal was closed while it ran, that is no error.

    Raises:
        StreamError: they could not be written for another reason.
    """
    try:
        say(*lines)
    except StreamError as exc:
        if not exc.is_terminal_closed:
            raise


class _Told:
    """What is written to stderr."""

    form: Callable[[str], str] = str


@contextmanager
def formatted_stderr(form: Callable[[str], str]) -> Iterator[None]:
    """While the block runs, `tell` and `end_now` write `form(line)` instead of each line."""
    before, _Told.form = _Told.form, staticmethod(form)
    try:
        yield
    finally:
        _Told.form = before


def tell(*lines: str) -> None:
    """Write lines to stderr, each made printable. If stderr cannot be written, nobody can be told."""
    lines = tuple(map(_Told.form, lines))
    # AttributeError: the process was started without stderr.
    with suppress(OSError, ValueError, AttributeError):
        if sys.stderr in stuck_streams:
            _write_files([(sys.stderr.fileno(), _encoded(sys.stderr, lines))])
        else:
            _write(sys.stderr, lines)


@contextmanager
def changed_terminal(stream: TextIO, codes: str) -> Iterator[None]:
    """While the block runs, `end_now` writes `codes` to this terminal, so that it is left as it was found."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # Not a file of the operating system.
        yield
        return
    _changed[number] = codes
    try:
        yield
    finally:
        _changed.pop(number, None)


def end_now(number: int, *lines: str) -> NoReturn:
    """End the process at once, as a signal does: restore the terminals, write lines to stderr, and run nothing else.

    Safe in a signal handler, and while other threads hold the locks of the streams. It takes half a second at most.

    Args:
        number: the signal. The process ends by SIGTERM itself; otherwise the exit code is 128 more than the number.
        lines: the lines, which are made printable.
    """
    outputs = [(terminal, codes.encode("ascii")) for terminal, codes in _changed.items()]
    with suppress(OSError, ValueError, AttributeError):
        outputs.append((sys.stderr.fileno(), _encoded(sys.stderr, map(_Told.form, lines))))
    _write_files(outputs)
    if number == signal.SIGTERM and os.name == "posix":
        # So the parent sees the signal, as if this program had not handled it.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(128 + number)


def _open_descriptors() -> None:
    """Open `os.devnull` in place of standard descriptors that are closed.

    Otherwise a socket or a file of data would get the number of stderr, and uvloop aborts when it closes that.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is used, which is this one.
            os.open(os.devnull, os.O_RDWR)


def _write(stream: TextIO, lines: Iterable[str]) -> None:
    text = _encoded(stream, lines).decode(_encoding(stream))
    stream.write(text)
    stream.flush()


def _encoded(stream: TextIO, lines: Iterable[str]) -> bytes:
    text = "".join(f"{printable(line)}\n" for line in lines)
    return text.encode(_encoding(stream), "backslashreplace")


def _encoding(stream: TextIO) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


def _write_files(outputs: Sequence[tuple[int, bytes]]) -> None:
    """Write to files of the operating system, without the locks of the streams, and without waiting for long."""
    written = _thread.allocate_lock()
    written.acquire()

    def write() -> None:
        for number, data in outputs:
            with suppress(OSError):
                os.write(number, data)
        written.release()

    # Not with `threading`, whose locks a thread may hold that a signal has interrupted.
    _thread.start_new_thread(write, ())
    written.acquire(timeout=_WRITE_TIMEOUT_S)


def _flushed(stream: TextIO) -> StreamError | None:
    """Flush a stream. If that fails, replace its file by `os.devnull` and return the error."""
    if stream in stuck_streams:
        return None
    try:
        stream.flush()
    except OSError as exc:
        error = _stream_error(stream, exc)
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
        return error
    except ValueError:  # The caller has closed it.
        pass
    return None


def _stream_error(stream: TextIO, error: OSError) -> StreamError:
    is_device = False
    with suppress(OSError, ValueError):
        # Not `isatty`, which is False for a terminal that is closed.
        is_device = stat.S_ISCHR(os.fstat(stream.fileno()).st_mode)
    return StreamError(error, is_terminal_closed=is_device and error.errno in (errno.EIO, errno.ENXIO))
