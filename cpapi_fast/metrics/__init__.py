"""Metrics and health of a feed or a run, for Prometheus

::

    catalogue.py   the metrics: names, types, labels and texts
    histogram.pyx  latencies in buckets, in C
    meters.pyx     what counts frames and latencies per batch while metrics are on
    loop_lag.py    how late the event loop is
    totals.py      totals that never decrease, of consumers and outputs that come and go
    samples.py     the samples of one moment
    collector.py   MetricsCollector, for a registry of your own
    health.py      the texts of /healthz and /readyz
    connections.py the limits of one HTTP connection
    server.py      MetricsServer
"""

from __future__ import annotations

from .catalogue import METRICS, Metric
from .collector import MetricsCollector
from .histogram import LatencyHistogram
from .server import MetricsServer

__all__ = ["METRICS", "LatencyHistogram", "Metric", "MetricsCollector", "MetricsServer"]
