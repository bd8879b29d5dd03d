"""Failures of an output: their texts, their errors, and the phases in which it fails"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.errors import CpapiError, OutputError, UsageError
from cpapi_fast.outputs.run_events import OutputFailure
from cpapi_fast.redaction import preview

from .options import OutputOptions

#: How long an output has to work again until its failures are over, in real seconds.
_CALM_S: Final = 1.0


def error_of(name: str, exc: BaseException) -> CpapiError:
    """Return the error of a run for what a method of an output raised, without secrets."""
    if isinstance(exc, CpapiError):
        return exc
    error: CpapiError
    if isinstance(exc, Exception):
        error = OutputError(f"the output {name!r} raised {_text(exc)}", path="")
    else:
        error = UsageError(f"the output {name!r} raised {type(exc).__name__}; an output cannot end the program")
    error.__cause__ = exc
    return error


def _text(exc: BaseException) -> str:
    try:
        detail = preview(str(exc))
    except Exception:  # noqa: BLE001 - the text of an exception of a user can raise
        detail = ""
    return f"{type(exc).__name__}: {detail}" if detail else type(exc).__name__


class FailurePhases:
    """Reports when an output begins to fail, and when it has worked again for a while; not each failure.

    Args:
        name: the output.
        options: its options.
        clock: the clock of the durations.
        report: called with each event, in the thread that calls the methods.
    """

    def __init__(
        self, name: str, options: OutputOptions, clock: Clock, report: Callable[[OutputFailure], object]
    ) -> None:
        self._name: Final = name
        self._options: Final = options
        self._clock: Final = clock
        self._report: Final = report
        self._since_s: float | None = None
        self._last_s = 0.0
        #: How many failures there were. Other threads may read it.
        self.failures = 0

    def note_failure(self, exc: BaseException) -> None:
        """Note a failure."""
        self.failures += 1
        self._last_s = time.monotonic()
        if self._since_s is None:
            self._since_s = self._clock.monotonic_s()
            text = str(exc) if isinstance(exc, CpapiError) else _text(exc)
            self._report(OutputFailure(time.time_ns(), self._name, True, self._options.on_failure, text))

    def note_success(self) -> None:
        """Note that the output has done something without a failure."""
        if self._since_s is None:
            return
        # With `drop`, a call that works between two that fail is no end.
        if self._options.on_failure != "retry" and time.monotonic() - self._last_s < _CALM_S:
            return
        duration_s = self._clock.monotonic_s() - self._since_s
        self._since_s = None
        event = OutputFailure(time.time_ns(), self._name, False, self._options.on_failure, duration_s=duration_s)
        self._report(event)
