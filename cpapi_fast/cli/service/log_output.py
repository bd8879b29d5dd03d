"""Writes the log of a command to stderr: as lines of text, or as one JSON object per line"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal

from cpapi_fast.console import formatted_stderr
from cpapi_fast.feed.feed_log import FACTS, LOGGER
from cpapi_fast.redaction import redact_accounts

#: The forms of a log line.
LogFormat = Literal["text", "json"]

#: The levels that the options name.
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}

_PROGRAM: Final = "cpapi-fast: "


def json_line(message: str, level: str, facts: dict[str, Any], time_s: float) -> str:
    """Return one line of the log as JSON, in ASCII."""
    line = {"time": _time_text(time_s), "level": level.lower(), "message": message, **facts}
    return json.dumps(line, ensure_ascii=True, separators=(",", ":"), default=str)


class LogOutput(logging.Handler):
    """A handler that passes each record as one line to a function.

    Args:
        form: the form of the lines.
        names: names the options of the command in a text of the library.
        write: called with each line; it must not block.
    """

    def __init__(self, form: LogFormat, names: Callable[[str], str], write: Callable[[str], object]) -> None:
        super().__init__()
        self._form: Final = form
        self._names: Final = names
        self._write: Final = write

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. An error in it is passed to `handleError`, as by every handler."""
        try:
            message = redact_accounts(self._names(record.getMessage()))
            if record.exc_info and record.exc_info[1] is not None:
                message += f" ({type(record.exc_info[1]).__name__})"
            if self._form == "json":
                facts = dict(getattr(record, FACTS, None) or {"event": "request"})
                line = json_line(message, record.levelname, facts, record.created)
            else:
                line = f"{_time_text(record.created)} {record.levelname} {message}"
            self._write(line)
        except Exception:  # noqa: BLE001 - as `logging` does
            self.handleError(record)


@contextmanager
def log_to(output: LogOutput, level: str) -> Iterator[None]:
    """Pass the records of the library to a handler, until the block ends.

    Args:
        output: the handler.
        level: a key of `LEVELS`.
    """
    before = LOGGER.level
    LOGGER.setLevel(LEVELS[level])
    LOGGER.addHandler(output)
    try:
        yield
    finally:
        LOGGER.removeHandler(output)
        LOGGER.setLevel(before)


@contextmanager
def stderr_in(form: str | None) -> Iterator[None]:
    """While the block runs, write every line of stderr in the form of the log.

    Args:
        form: `json`; every other form changes nothing.
    """
    if form != "json":
        yield
        return
    with formatted_stderr(_told):
        yield


def _told(line: str) -> str:
    text = line.removeprefix(_PROGRAM)
    level = next((name for name in ("error", "warning") if text.startswith(f"{name}: ")), "info")
    return json_line(redact_accounts(text.removeprefix(f"{level}: ")), level, {"event": "notice"}, time.time())


def _time_text(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
