"""Output: the base class of an output of a program, and the check of an object before a run uses it"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from cpapi_fast.callbacks import check_callback
from cpapi_fast.errors import ConfigError
from cpapi_fast.outputs.interface import OutputCounts
from cpapi_fast.outputs.run_events import RecordedEvent
from cpapi_fast.redaction import shown

from .options import OutputOptions

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")

#: The methods that an output may have.
_METHODS: Final = ("write", "write_event", "open", "flush", "recover", "close")

#: The further ones of an output that counts itself. Methods of others with these names mean something else.
_COUNTING_METHODS: Final = ("observe_event", "poll", "discard", "discard_event", "units_of")


class Output:
    """The base class of an output of a program, which a `Collector` runs beside its files.

    Set `name`, and override `write`, `write_event` or both. An object with such methods of another class works too.

    All methods are called in one thread, which is that of this output alone; never in the event loop. So an output may
    block: only its own queue grows. It gets all frames and events in the order in which they were received, from the
    start of the run to its end. A call of `open` comes first, and one of `close` last.

    The frames that wait are passed to `write` batch by batch, with the events between them to `write_event`. Then comes
    a call of `flush`. What was passed counts as written when `flush` returns. If a method raises any exception, all
    frames and events since the last `flush` count as not written, and `OutputOptions.on_failure` decides what follows.
    With `retry` they are passed again, after a call of `recover`; so what was written of them before can be there twice
    unless `recover` removes it.

    Where frames of this output were dropped, the next event is a `Gap` with the cause `CONSUMER_OVERFLOW` and their
    number, right before the first frame after them.

    Attributes:
        name: the name in the status, the summary and events: small letters, digits, `_` and `-`.
        options: its queue, and what its failure means.
    """

    name: str = ""
    options: OutputOptions = OutputOptions()

    def open(self) -> None:
        """Prepare the output. Called again before the next frames if it raised."""

    def write(self, batch: Batch) -> None:
        """Write the frames of a batch. A batch is immutable and shared with the other outputs."""

    def write_event(self, event: RecordedEvent, row: int) -> None:
        """Write an event of the feed or of the run. `row` is the number of frames before it in the stream."""

    def flush(self) -> None:
        """Make what was written since the last call safe."""

    def recover(self, error: BaseException) -> None:
        """Undo what was written since the last `flush`, before it is passed again or dropped.

        Args:
            error: the exception that a method raised.
        """

    def close(self) -> None:
        """Release what the output holds, after everything was flushed or dropped. Not called if `open` has failed."""


class CheckedOutput:
    """An output with its options, and its methods as far as it has them.

    Args:
        output: an `Output`, or an object with such methods. An output with `counts` (`OutputCounts`) counts what it is
            passed itself.
        options: its options; None for those of the object, or for the defaults.

    Raises:
        ConfigError: it is no such object. The message states what is missing.
    """

    def __init__(self, output: object, options: OutputOptions | None = None) -> None:
        if isinstance(output, type):
            raise ConfigError(f"an output is an object, not a class; pass {output.__name__}(...)")
        name = getattr(output, "name", None)
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"an output of the type {type(output).__name__} needs a name of small letters, digits, _ and -, "
                f"not {shown(name)}"
            )
        counts = getattr(output, "counts", None)
        #: The counts of an output that counts itself; None for one whose frames or events are counted for it.
        self.own_counts: Final = counts if isinstance(counts, OutputCounts) else None
        wanted = _METHODS if self.own_counts is None else (*_METHODS, *_COUNTING_METHODS)
        methods: dict[str, Any] = dict.fromkeys(_COUNTING_METHODS)
        methods |= {method: self._method(output, name, method) for method in wanted}
        if not any(methods[method] for method in ("write", "write_event")):
            raise ConfigError(f"the output {name!r} needs a method write(batch), write_event(event, row), or both")
        given = getattr(output, "options", None) if options is None else options
        if not isinstance(given, OutputOptions) and given is not None:
            raise ConfigError(f"the options of the output {name!r} must be OutputOptions, not {type(given).__name__}")
        self.output: Final = output
        self.name: Final = name
        self.options: Final = OutputOptions() if given is None else given
        self.write: Final[Callable[[Batch], object] | None] = methods["write"]
        observe = methods["observe_event"]
        self.write_event: Final[Callable[[RecordedEvent, int], object] | None] = (
            methods["write_event"] if observe is None else lambda event, _row: observe(event)
        )
        self.open: Final = methods["open"]
        self.flush: Final = methods["flush"]
        self.recover: Final = methods["recover"]
        self.poll: Final = methods["poll"]
        self.close: Final = methods["close"]
        self.discard: Final = methods["discard"]
        self.discard_event: Final = methods["discard_event"]
        #: How many of its units a batch has, for what never reaches it.
        self.units_of: Final[Callable[[Batch], int]] = methods["units_of"] or len
        unit = "frames" if self.write is not None else "events"
        self.unit: Final[str] = unit if self.own_counts is None else getattr(output, "unit", unit)
        if self.own_counts is not None and self.options.on_failure == "retry" and self.recover is None:
            raise ConfigError(
                f"the output {name!r} cannot be retried, because its file ends with the first failure; "
                "let its failure stop the run, or drop what it cannot write"
            )

    @staticmethod
    def _method(output: object, name: str, method: str) -> Any:
        found = getattr(output, method, None)
        inherited = getattr(Output, method, None)
        if found is None or getattr(found, "__func__", None) is inherited:
            return None
        check_callback(found, f"{method} of the output {name!r}")
        return found


def check_names(outputs: list[CheckedOutput]) -> None:
    """Check that every name is there once.

    Raises:
        ConfigError: two outputs have the same name.
    """
    seen: set[str] = set()
    for output in outputs:
        if output.name in seen:
            raise ConfigError(f"there are two outputs with the name {output.name!r}; give each a name of its own")
        seen.add(output.name)
