"""DecisionRecorder: writes a decision record."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from cpapi_fast._version import __version__
from cpapi_fast.errors import OutputError
from cpapi_fast.feed.machine import Action, Activity
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.new_file import create_file
from cpapi_fast.redaction import ConsistentRedactor

from .record_format import FORMAT, VERSION, encode_action, encode_arguments, encode_options

#: Lines are written when this many characters are buffered, or when this many seconds have passed.
_MAX_PENDING: Final = 64 * 1024
_FLUSH_S: Final = 2.0
#: How many redacted texts are remembered, so that topics and payloads are redacted once only.
_MAX_TEXTS: Final = 10_000


class DecisionRecorder:
    """Writes every input of one machine to a new file, which only its owner can read.

    Lines are buffered, and written in the caller's thread after 2 s or 64 KiB. An input that cannot be written ends the
    record; the feed continues.

    Args:
        path: the file; it must not exist.
        options: the options of the machine.
        seed: the seed of the machine.
        on_error: called once with the reason if the record ends before the feed.
    """

    def __init__(
        self,
        path: str | Path,
        options: FeedOptions,
        seed: int,
        *,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        #: The error that ended the record before the feed; None while it is written.
        self.error: Exception | None = None
        self._on_error: Final = on_error
        self._path: Final = Path(path)
        self._redactor: Final = ConsistentRedactor()
        self._texts: Final[dict[str, str]] = {}
        self._activity: Final[dict[str, Activity]] = {}
        self._pending: list[str] = []
        self._pending_size = 0
        self._written_s = time.monotonic()
        self._file: TextIO | None = None
        self._add(
            {
                "format": FORMAT,
                "version": VERSION,
                "cpapi_fast": __version__,
                "seed": str(seed),
                "options": encode_options(options),
            }
        )

    def open(self) -> None:
        """Create the file.

        Raises:
            OutputError: it exists, or cannot be created.
        """
        try:
            self._file = io.TextIOWrapper(io.BufferedWriter(create_file(self._path)), encoding="ascii")
        except OSError as error:
            reason = error.strerror or str(error)
            raise OutputError(
                f"cannot write the decision record {self._path}: {reason}", path=str(self._path)
            ) from error

    def record(
        self,
        method: Callable[..., list[Action]],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        activity: Mapping[str, Activity],
        last_frame_s: float,
        outcome: list[Action] | Exception,
    ) -> None:
        """Record an input that the machine has handled.

        Args:
            method: the input, a method of the machine.
            args: its arguments by position.
            kwargs: its arguments by name.
            activity: the counts of received frames that were passed to `Machine.observe` before it.
            last_frame_s: when the last frame of any kind was received.
            outcome: its actions, or the error that it raised.
        """
        if self.error is not None:
            return
        try:
            self._add(self._line(method.__name__, args, kwargs, activity, last_frame_s, outcome))
        except Exception as error:  # noqa: BLE001 - numbers and trading hours of the user may be of any type
            # The lines before it are complete and can be replayed.
            self.flush()
            self._fail(error)
            return
        if self._pending_size >= _MAX_PENDING or time.monotonic() - self._written_s >= _FLUSH_S:
            self.flush()

    def _line(
        self,
        name: str,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        activity: Mapping[str, Activity],
        last_frame_s: float,
        outcome: list[Action] | Exception,
    ) -> dict[str, Any]:
        redact = self._redact
        line: dict[str, Any] = {"input": name, "arguments": encode_arguments(name, args, kwargs, redact)}
        known = self._activity
        changed = {topic: now for topic, now in activity.items() if known.get(topic) != now}
        if changed:
            known.update(changed)
            line["activity"] = {redact(topic): now for topic, now in changed.items()}
        line["last_frame_s"] = last_frame_s
        if isinstance(outcome, Exception):
            line["error"] = type(outcome).__name__
        else:
            line["actions"] = [encode_action(action, redact) for action in outcome]
        if name == "unsubscribe":
            # A later subscription to the same topic starts without activity.
            known.pop(args[0], None)
        return line

    def flush(self) -> None:
        """Write the buffered lines."""
        if self._file is None:
            return
        try:
            self._file.write("".join(self._pending))
            self._file.flush()
        except OSError as error:
            self._fail(error)
        self._pending.clear()
        self._pending_size = 0
        self._written_s = time.monotonic()

    def _fail(self, error: Exception) -> None:
        if self.error is not None:
            return
        self.error = error
        if self._file is not None:
            # Closing tries to write the rest again, and fails again.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        if self._on_error is not None:
            self._on_error(error)

    def close(self) -> None:
        """Write the buffered lines, and close the file. Idempotent."""
        self.flush()
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()
            except OSError as error:
                self._fail(error)

    def _add(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":")) + "\n"
        self._pending.append(text)
        self._pending_size += len(text)

    def _redact(self, text: str) -> str:
        redacted = self._texts.get(text)
        if redacted is None:
            redacted = self._redactor(text)
            if len(self._texts) < _MAX_TEXTS:
                self._texts[text] = redacted
        return redacted
