"""OutputOptions: the queue of an output, how much it gets at a time, and what its failure means for the run"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cpapi_fast.errors import ConfigError
from cpapi_fast.option_values import check_positive, check_whole
from cpapi_fast.redaction import repr_without_accounts, shown

#: What happens to frames beyond the bound of the queue of an output.
QueuePolicy = Literal["block", "drop_oldest", "drop_newest"]

#: What the failure of an output means.
FailurePolicy = Literal["stop", "retry", "drop"]


@repr_without_accounts
@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Options of one output. Durations are seconds of the client's clock.

    The defaults are those for an output of a program. Those of the files of a run follow from its `CollectOptions`.

    Args:
        policy: what happens to frames beyond the bound of the queue. `block` stops reading the socket until half of the
            bound is free, for all outputs. `drop_oldest` and `drop_newest` drop frames of this output only: whole
            socket reads, counted, with a gap in what the output gets.
        max_queue_bytes: how many bytes may wait for the output, with 64 more for each frame.
        batch_bytes: the output is called when this many bytes wait, or earlier; see `batch_delay_s`.
        batch_delay_s: the longest time that a frame or event waits for further ones before the output is called; 0 to
            call it as soon as it is free.
        on_failure: what follows when the output raises an exception. `stop` ends the run with an error, after all
            other outputs are finished. `retry` passes the same frames and events again. `drop` counts them as dropped
            and continues with the next ones.
        retry_attempts: with `retry`, after how many failures in a row the frames and events are dropped; None to try
            until the run ends.
        retry_delay_s: the time before the first retry; it doubles with each failure in a row.
        retry_max_delay_s: the longest time before a retry.
        flush_deadline_s: how long the output may take to finish at the end of the run, at least 5 real seconds. What is
            not written then counts as dropped (`flush deadline`), and the run ends. None waits without a limit.

    Raises:
        ConfigError: a value is invalid, or `retry` has neither a number of attempts nor a deadline.
    """

    policy: QueuePolicy = "drop_oldest"
    max_queue_bytes: int = 32 * 1024 * 1024
    batch_bytes: int = 1024 * 1024
    batch_delay_s: float = 1.0
    on_failure: FailurePolicy = "retry"
    retry_attempts: int | None = None
    retry_delay_s: float = 1.0
    retry_max_delay_s: float = 60.0
    flush_deadline_s: float | None = 60.0

    def __post_init__(self) -> None:
        for name, known in (("policy", get_args(QueuePolicy)), ("on_failure", get_args(FailurePolicy))):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise ConfigError(f"{name} must be one of {', '.join(known)}, not {shown(value)}")
        check_whole("max_queue_bytes", self.max_queue_bytes)
        check_whole("batch_bytes", self.batch_bytes)
        if isinstance(self.batch_delay_s, bool) or self.batch_delay_s != 0:
            check_positive("batch_delay_s", self.batch_delay_s, "seconds")
        check_positive("retry_delay_s", self.retry_delay_s, "seconds")
        check_positive("retry_max_delay_s", self.retry_max_delay_s, "seconds")
        if self.retry_attempts is not None:
            check_whole("retry_attempts", self.retry_attempts)
        if self.flush_deadline_s is not None:
            check_positive("flush_deadline_s", self.flush_deadline_s, "seconds")
        elif self.on_failure == "retry" and self.retry_attempts is None:
            raise ConfigError("on_failure='retry' needs retry_attempts or flush_deadline_s, so that a run can end")

    def delay_s(self, failures: int) -> float:
        """The time before the next attempt, in seconds of the clock, after this many failures in a row."""
        # The exponent is bounded, because a float is.
        return min(self.retry_delay_s * 2.0 ** min(failures - 1, 60), self.retry_max_delay_s)
