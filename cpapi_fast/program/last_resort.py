"""The last resort: an internal error becomes one line on stderr and a report in a file, never a traceback."""

from __future__ import annotations

import _thread
import logging
import os
import platform
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from cpapi_fast._version import __version__
from cpapi_fast.console import tell
from cpapi_fast.printable import printable_lines
from cpapi_fast.redaction import preview, redact

#: The folder of this package.
_PACKAGE: Final = Path(__file__).parents[1]

#: The exit code of an internal error: EX_SOFTWARE of sysexits.h.
EXIT_INTERNAL: Final = 70

#: With this environment variable, reports are written to stderr too.
TRACEBACK_VARIABLE: Final = "CPAPI_FAST_TRACEBACK"

#: A report ends after this many characters; an error that repeats must not fill the disk.
_MAX_REPORT: Final = 1_000_000

#: After this time, a Ctrl-C that Python has ignored is repeated, in seconds.
_REPEATED_S: Final = 0.01

#: How many warnings of other libraries are shown.
_MAX_WARNINGS: Final = 20


class LastResort:
    """Reports internal errors: one line on stderr for the first of them, and the details of all in one file.

    The file is in the folder for temporary files, is readable by its owner only, and is redacted. It has the versions
    and the traceback of each error. Safe to use from any thread.
    """

    def __init__(self) -> None:
        self._lock: Final = threading.Lock()
        self._path: str | None = None
        self._is_told = False
        self._size = 0
        self._warnings = 0

    def report(self, what: str, error: BaseException | None = None) -> None:
        """Report an internal error. It never raises.

        Args:
            what: where it happened, or a message.
            error: the exception; None if there is only the message.
        """
        try:
            self._report(what, error)
        except Exception as failure:  # noqa: BLE001 - the bug is in what a report needs
            name, cause = type(error).__name__, type(failure).__name__
            with suppress(OSError):
                # Without the messages, which could not be redacted.
                os.write(2, f"cpapi-fast: internal error: {name}; reporting it failed: {cause}\n".encode())

    def _report(self, what: str, error: BaseException | None) -> None:
        text = redact(f"{what}\n") if error is None else f"{redact(what)}\n{_details(error)}"
        with self._lock:
            self._write(text)
            if os.environ.get(TRACEBACK_VARIABLE):
                tell(*text.splitlines())
            if self._is_told:
                return
            self._is_told = True
        cause = what if error is None else ": ".join(filter(None, (type(error).__name__, str(error))))
        where = f"the full report is in {self._path}" if self._path else "a report could not be written"
        tell(f"cpapi-fast: internal error: {preview(cause.encode('utf-8', 'replace')) or what}; {where}")

    def warn(self, text: str) -> None:
        """Write a warning of another library to stderr, in one line. Only the first ones are written."""
        with self._lock:
            self._warnings += 1
            if self._warnings > _MAX_WARNINGS:
                return
        tell(f"cpapi-fast: warning: {preview(text.encode('utf-8', 'replace'))}")

    @contextmanager
    def installed(self, *, is_program: bool) -> Iterator[None]:
        """Report here what Python and its libraries would write to stderr, until the block ends.

        Args:
            is_program: whether the process runs nothing else, so that this stays until its end.
        """
        with ExitStack() as stack:
            self._install(stack)
            if is_program:
                stack.pop_all()
            yield

    def _install(self, stack: ExitStack) -> None:
        for module, name, hook in (
            (sys, "excepthook", self._on_uncaught),
            (sys, "unraisablehook", self._on_unraisable),
            (threading, "excepthook", self._on_thread),
            (warnings, "showwarning", self._on_warning),
        ):
            stack.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, hook)
        root, handler = logging.getLogger(), _Handler(self)
        root.addHandler(handler)
        stack.callback(root.removeHandler, handler)

    def _write(self, text: str) -> None:
        """Append to the report. The lock is held."""
        if self._size == 0:
            text = f"{_head()}\n{text}"
        text = printable_lines(text) + "\n"
        if self._size > _MAX_REPORT:
            return
        self._size += len(text)
        with suppress(OSError):
            if self._path is None:
                # `mkstemp` sets the mode 0600.
                number, self._path = tempfile.mkstemp(prefix="cpapi-fast-", suffix=".txt", text=True)
            else:
                number = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            with os.fdopen(number, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)

    def _on_uncaught(self, _kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            tell("cpapi-fast: interrupted")
        else:
            self.report("while the process ended", error)

    def _on_unraisable(self, unraisable: Any) -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            # It was raised where Python ignores exceptions: repeat it elsewhere, so that Ctrl-C is not lost.
            repeated = threading.Timer(_REPEATED_S, _thread.interrupt_main)
            repeated.daemon = True
            repeated.start()
            return
        # At the end of the process, the modules that a report needs are gone already.
        if unraisable.exc_value is not None and not sys.is_finalizing():
            self.report(unraisable.err_msg or "exception ignored", unraisable.exc_value)

    def _on_thread(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            self.report(f"in the thread {args.thread.name if args.thread else '?'}", args.exc_value)

    def _on_warning(self, message: Warning | str, category: type[Warning], *_where: object, **_more: object) -> None:
        self.warn(f"{category.__name__}: {message}")


class _Handler(logging.Handler):
    """Passes log records of libraries on: errors to the report, warnings to stderr."""

    def __init__(self, last_resort: LastResort) -> None:
        super().__init__(logging.WARNING)
        self._last_resort = last_resort

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is None and record.name.partition(".")[0] == "cpapi_fast":
            # The commands show the state of the feed themselves.
            return
        text = f"{record.name}: {_message(record)}"
        if error is not None or record.levelno >= logging.ERROR:
            self._last_resort.report(text, error)
        else:
            self._last_resort.warn(text)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a `repr` in the message may fail
        return str(record.msg)


def _head() -> str:
    return (
        f"cpapi_fast {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"{datetime.now(UTC).isoformat(timespec='seconds')}\n"
        f"arguments: {redact(' '.join(sys.argv[1:]))}"
    )


def _frame_text(frame: traceback.FrameSummary) -> str:
    # A program may have secrets in its source, which newer versions of Python also show of `python -c`.
    line = frame.line or ""
    source = line if Path(frame.filename).is_relative_to(_PACKAGE) else redact(line)
    return f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n' + (f"    {source}\n" if source else "")


def _details(error: BaseException) -> str:
    """The traceback of an error and of those that caused it, as Python writes it, with redacted messages.

    Names of files and lines of this package stay, because the rules for secrets would remove long names.
    """
    parts: list[str] = []
    seen: set[int] = set()

    def add(error: BaseException) -> None:
        seen.add(id(error))
        inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if inner is not None and id(inner) not in seen:
            add(inner)
            parts.append("which led to:\n")
        parts.extend(map(_frame_text, traceback.extract_tb(error.__traceback__)))
        parts.extend(redact(line) for line in traceback.format_exception_only(error))
        if isinstance(error, BaseExceptionGroup):
            for number, each in enumerate(error.exceptions, 1):
                if id(each) not in seen:
                    parts.append(f"exception {number} of the group:\n")
                    add(each)

    add(error)
    return "".join(parts)
