"""Totals that never decrease: those of consumers that come and go, and those of outputs whose files are lost"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import TYPE_CHECKING, Final, NamedTuple

from cpapi_fast.delivery.consumer import Consumer
from cpapi_fast.delivery.stats import ConsumerStats
from cpapi_fast.printable import printable
from cpapi_fast.redaction import redact_accounts

if TYPE_CHECKING:
    from cpapi_fast.delivery.callback_consumer import CallbackConsumer
    from cpapi_fast.outputs.interface import OutputCounts

#: How many names of consumers have totals of their own; the others share one.
MOST_CONSUMERS: Final = 32
OTHERS: Final = "other"
#: How many consumers are kept before those that have ended are added up.
_MOST_KEPT: Final = 64
_MOST_CHARACTERS: Final = 64

_FIELDS: Final = tuple(field.name for field in fields(ConsumerStats))


def label_of(text: str) -> str:
    """A text of the user as the value of a label: short, printable, and without an account."""
    return printable(redact_accounts(text))[:_MOST_CHARACTERS]


class ConsumerTotals:
    """The counters of all consumers of a feed by name, including those that have ended."""

    def __init__(self) -> None:
        self._consumers: list[Consumer | CallbackConsumer] = []
        self._past: Final[dict[str, Counter[str]]] = {}
        self._names: Final[set[str]] = set()

    def add(self, consumer: Consumer | CallbackConsumer) -> None:
        """Add a consumer."""
        self._consumers.append(consumer)
        if len(self._consumers) > _MOST_KEPT:
            self._retire()

    def read(self) -> dict[str, Counter[str]]:
        """The counters by name; also `limit_bytes`, the sum of the bounds on `pending_bytes`, where there is one."""
        self._retire()
        found = {name: Counter(past) for name, past in self._past.items()}
        for consumer in self._consumers:
            total = found.setdefault(self._name_of(consumer), Counter())
            self._add_stats(total, consumer)
            if isinstance(consumer, Consumer):
                total["limit_bytes"] += consumer.max_pending_bytes
        return found

    def _retire(self) -> None:
        # The counters of a closed consumer do not change any more.
        kept: list[Consumer | CallbackConsumer] = []
        for consumer in self._consumers:
            if consumer.is_closed:
                self._add_stats(self._past.setdefault(self._name_of(consumer), Counter()), consumer)
            else:
                kept.append(consumer)
        self._consumers = kept

    def _name_of(self, consumer: Consumer | CallbackConsumer) -> str:
        name = label_of(consumer.name)
        if name not in self._names:
            if len(self._names) >= MOST_CONSUMERS:
                return OTHERS
            self._names.add(name)
        return name

    @staticmethod
    def _add_stats(total: Counter[str], consumer: Consumer | CallbackConsumer) -> None:
        stats = consumer.stats
        for name in _FIELDS:
            total[name] += getattr(stats, name)


class OutputTotal(NamedTuple):
    """The counters of one output: received = written + dropped + pending.

    Attributes:
        unit: what it counts.
        received: how many items it received.
        written: how many it has written, including those that were lost or taken away later.
        dropped: how many it will never write, by reason.
        lost: how many of the written ones were lost later, by reason.
        pending: how many are pending.
    """

    unit: str
    received: int
    written: int
    dropped: dict[str, int]
    lost: dict[str, int]
    pending: int


class OutputTotals:
    """Reads the counts of outputs while another thread changes them, so that no total decreases."""

    def __init__(self) -> None:
        # By output, name of the total, and reason.
        self._highest: Final[dict[tuple[str, str, str], int]] = {}

    def read(self, name: str, unit: str, counts: OutputCounts) -> OutputTotal:
        """The totals of an output."""
        # In this order, so that a change between two reads makes a total too small and never too large.
        reasons = dict(counts.dropped)
        taken_away = counts.taken_away
        lost = {reason: count for reason, count in reasons.items() if counts.is_loss(reason)}
        written = counts.written + taken_away + sum(lost.values())
        return OutputTotal(
            unit,
            self._rising(name, "received", "", counts.received),
            self._rising(name, "written", "", written),
            {
                reason: self._rising(name, "dropped", reason, count)
                for reason, count in reasons.items()
                if reason not in lost
            },
            {reason: self._rising(name, "lost", reason, count) for reason, count in lost.items()},
            counts.pending,
        )

    def _rising(self, name: str, total: str, reason: str, value: int) -> int:
        key = (name, total, reason)
        highest = max(value, self._highest.get(key, 0))
        self._highest[key] = highest
        return highest
