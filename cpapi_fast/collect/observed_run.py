"""ObservedRun: the parts of a run that metrics read, and what observes the run from its start"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from cpapi_fast.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpapi_fast.feed import Feed
    from cpapi_fast.outputs.contract.queue_items import OutputQueueStats
    from cpapi_fast.outputs.interface import OutputCounts, WriteMeter
    from cpapi_fast.outputs.recorder import Recorder
    from cpapi_fast.rest.client import Client


class RunObserver(Protocol):
    """Observes a run from its start: the metrics."""

    def on_feed(self, feed: Feed) -> None:
        """Take note of the feed, before it has consumers."""

    def meter_of(self, output: str) -> WriteMeter | None:
        """Return what measures the output with this name, or None."""


class ObservedRun:
    """The base of `Collector`: its client, feed and outputs.

    Args:
        client: the client of the gateway.
    """

    def __init__(self, client: Client) -> None:
        self._client: Final = client
        self._feed: Feed | None = None
        self._recorder: Recorder | None = None
        self._observer: RunObserver | None = None

    @property
    def client(self) -> Client:
        """The client of the gateway."""
        return self._client

    @property
    def feed(self) -> Feed | None:
        """The feed of the run; None until `run` has created it."""
        return self._feed

    @property
    def output_counts(self) -> tuple[tuple[str, str, OutputCounts], ...]:
        """Name, unit and counts of each output; empty until the outputs are open. The counts are copies."""
        recorder = self._recorder
        return tuple((one.name, one.unit, one.counts) for one in recorder.runners) if recorder else ()

    @property
    def output_queues(self) -> tuple[tuple[str, OutputQueueStats, int], ...]:
        """Name, counters and bound in bytes of the queue of each output; empty until the outputs are open."""
        recorder = self._recorder
        return tuple((one.name, one.queue_stats, one.max_bytes) for one in recorder.runners) if recorder else ()

    def _observe(self, observer: RunObserver | None) -> None:
        # For `metrics`. Outputs are only measured if this is called before the run.
        if observer is not None and self._observer is not None:
            raise UsageError("this Collector has metrics already; use one MetricsServer or MetricsCollector for it")
        if observer is not None and self._feed is not None:
            observer.on_feed(self._feed)
        self._observer = observer

    def _on_feed(self, feed: Feed) -> None:
        if self._observer is not None:
            self._observer.on_feed(feed)

    @property
    def _meter_of(self) -> Callable[[str], WriteMeter | None] | None:
        return None if self._observer is None else self._observer.meter_of
