"""MetricsCollector: the metrics of a feed or a run, for a registry of prometheus_client"""

from __future__ import annotations

import concurrent.futures
import time
from typing import TYPE_CHECKING, Any, Final

from cpapi_fast.collect.collector import Collector
from cpapi_fast.errors import ConfigError, MissingDependencyError, UsageError
from cpapi_fast.events import FeedState
from cpapi_fast.feed import Feed
from cpapi_fast.loop import required_loop, running_loop
from cpapi_fast.option_values import check_whole

from .catalogue import METRICS, Metric
from .loop_lag import LoopLag
from .meters import FrameMeter, WriteMeter
from .samples import Samples
from .totals import ConsumerTotals, OutputTotals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric as Family

    from .histogram import LatencyHistogram

#: How long a thread waits for the loop to read the counters, in real seconds.
_PATIENCE_S: Final = 10.0

#: The largest `max_conids`: each is a time series.
MOST_CONIDS: Final = 1000


def import_prometheus() -> Any:
    """Import `prometheus_client.core`.

    Raises:
        MissingDependencyError: prometheus-client is not installed.
    """
    try:
        import prometheus_client.core
    except ImportError as error:
        raise MissingDependencyError.of("a metrics endpoint", "prometheus_client") from error
    return prometheus_client.core


class MetricsCollector:
    """Reads the counters of a feed or a run when a registry collects it.

    Register it with `registry.register(collector)`. Creating it turns the metrics on: from then on each batch is
    counted by kind, its latency is measured, and a timer measures the event loop. Frames that were delivered before
    are not in these. Everything else is read when it is collected, and costs nothing before.

    Create it and `close` it in the loop of the feed. A registry may collect it in any thread: the counters are read in
    the loop, and that thread waits for it.

    Args:
        source: a `Feed`, or a `Collector` before its run.
        max_conids: of how many market data subscriptions the age of the last frame has a series of its own, those
            subscribed to first; at most 1,000. By default none.

    Raises:
        ConfigError: `source` is neither, or `max_conids` is no whole number from 0 to 1,000.
        UsageError: no event loop runs in this thread, the feed belongs to another one, or the source has metrics
            already.
        MissingDependencyError: prometheus-client is not installed.
    """

    def __init__(self, source: Feed | Collector, *, max_conids: int = 0) -> None:
        if not isinstance(source, Feed | Collector):
            raise ConfigError(f"the source of metrics must be a Feed or a Collector, not {type(source).__name__}")
        check_whole("max_conids", max_conids, least=0, most=MOST_CONIDS)
        self._core: Final = import_prometheus()
        self._loop: Final = required_loop("a MetricsCollector")
        self._source: Final = source
        self._max_conids: Final = max_conids
        self._feed: Feed | None = None
        self._meter: Final = FrameMeter()
        self._consumers: Final = ConsumerTotals()
        self._outputs: Final = OutputTotals()
        self._write_meters: Final[dict[str, WriteMeter]] = {}
        self._samples_s = 0.0
        self._is_closed = False
        if isinstance(source, Feed):
            self.on_feed(source)
        else:
            source._observe(self)
        self._lag: Final = LoopLag(self._loop)

    # --- called by the run ------------------------------------------------------------------------

    def on_feed(self, feed: Feed) -> None:
        """Measure a feed. A `Collector` calls it before the feed has consumers."""
        if running_loop() is not self._loop:
            raise UsageError(
                "start the run in the event loop in which its MetricsServer or MetricsCollector was created"
            )
        feed._set_meter(self._meter.on_batch)
        self._feed = feed
        feed._watch_consumers(self._consumers.add)

    def meter_of(self, output: str) -> WriteMeter | None:
        """Return what measures an output. A `Collector` calls it when it opens its outputs."""
        return self._write_meters.setdefault(output, WriteMeter())

    # --- for users --------------------------------------------------------------------------------

    @property
    def feed(self) -> Feed | None:
        """The feed; None while a run has none yet."""
        return self._feed

    @property
    def delivery_latency(self) -> LatencyHistogram:
        """The time from the receipt of a frame until all consumers have it."""
        return self._meter.latency

    def close(self) -> None:
        """Turn the metrics off. What was counted can still be collected. Idempotent.

        Raises:
            UsageError: called from another thread than that of the loop.
        """
        if not self._loop.is_closed() and running_loop() is not self._loop:
            raise UsageError("close a MetricsCollector in the event loop in which it was created")
        if self._is_closed:
            # The source may have other metrics by now.
            return
        self._is_closed = True
        self._lag.close()
        if self._feed is not None:
            self._feed._set_meter(None)
            self._feed._watch_consumers(None)
        if isinstance(self._source, Collector):
            self._source._observe(None)

    def describe(self) -> Iterator[Family]:
        """The metrics without samples, with which a registry checks their names."""
        for metric in METRICS.values():
            yield self._family(metric)

    def collect(self) -> Iterator[Family]:
        """The metrics with their samples at this moment. Those without a sample are left out.

        Raises:
            UsageError: called in another thread than that of the loop, and the loop did not run for 10 s.
        """
        samples = self._read()
        for name, metric in METRICS.items():
            family = self._family(metric)
            for labels, value in samples.values.get(name, ()):
                family.add_metric(labels, value)
            for labels, (cumulative, total, sum_s) in samples.histograms.get(name, ()):
                buckets = [(_bound(bound_s), count) for bound_s, count in cumulative]
                family.add_metric(labels, [*buckets, ("+Inf", total)], sum_s)
            if family.samples:
                yield family

    def _family(self, metric: Metric) -> Any:
        core, name = self._core, metric.full_name
        if metric.type == "counter":
            return core.CounterMetricFamily(name, metric.text, labels=metric.labels)
        if metric.type == "gauge":
            return core.GaugeMetricFamily(name, metric.text, labels=metric.labels)
        return core.HistogramMetricFamily(name, metric.text, labels=metric.labels)

    def _read(self) -> Samples:
        if running_loop() is self._loop or not self._loop.is_running():
            return self._read_here()
        # Readers of consumers count in the loop's thread, so the counters are read there too.
        reading: concurrent.futures.Future[Samples] = concurrent.futures.Future()

        def read() -> None:
            try:
                reading.set_result(self._read_here())
            except Exception as error:  # noqa: BLE001 - raised in the thread that waits
                reading.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(read)
        except RuntimeError:
            # The loop has ended since the check.
            return self._read_here()
        try:
            return reading.result(_PATIENCE_S)
        except TimeoutError:
            raise UsageError(
                f"the event loop of the feed did not run for {_PATIENCE_S:g} s; see the loop lag"
            ) from None

    def _read_here(self) -> Samples:
        start_s = time.perf_counter()
        samples, feed = Samples(), self._feed
        samples.add_state(FeedState.DISCONNECTED if feed is None else feed.state)
        if feed is not None:
            samples.add_feed(feed, self._meter)
            samples.add_subscriptions(feed, self._max_conids)
            samples.add_consumers(self._consumers)
        samples.add_requests(self._source.client.stats.by_status)
        samples.add_histogram("event_loop_lag_seconds", self._lag.latency)
        if isinstance(self._source, Collector):
            latencies = {name: meter.latency for name, meter in self._write_meters.items()}
            samples.add_outputs(self._source.output_counts, self._outputs, latencies)
            samples.add_output_queues(self._source.output_queues)
        samples.add("scrape_samples_seconds", self._samples_s)
        self._samples_s = time.perf_counter() - start_s
        return samples


def _bound(bound_s: float) -> str:
    """A bound of a bucket as text: `0.000016`, not `1.6e-05`."""
    return f"{bound_s:.6f}".rstrip("0")
