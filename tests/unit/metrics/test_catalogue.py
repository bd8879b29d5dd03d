"""The catalogue follows Prometheus' rules for names, units, labels and texts."""

from __future__ import annotations

import re

import pytest

from cpapi_fast.metrics import METRICS, Metric

#: Labels whose values the library defines or bounds: names of consumers and outputs, statuses, conids if asked for.
LABELS = {"version", "state", "kind", "cause", "consumer", "status", "output", "unit", "reason", "conid"}
#: Units that are not base units, and parts of names that a suffix of Prometheus would clash with.
NOT_BASE = re.compile(r"_(ms|ns|us|milliseconds|minutes|hours|kilobytes|kb|mb|percent)(_|$)")


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_names_units_labels_and_texts(metric: Metric) -> None:
    assert re.fullmatch(r"cpapi_fast_[a-z0-9]+(_[a-z0-9]+)*", metric.full_name)
    assert not NOT_BASE.search(metric.name)
    assert metric.name.endswith("_total") == (metric.type == "counter")
    assert not metric.name.endswith(("_count", "_sum", "_bucket", "_info")) or metric.name == "build_info"
    # The unit is last, before `_total`.
    assert not re.search(r"_(seconds|bytes)_(?!total$|by_kind_total$)", f"{metric.name}_".removesuffix("_")), (
        metric.name
    )
    if metric.type == "histogram":
        assert metric.name.endswith("_seconds")
    assert set(metric.labels) <= LABELS
    assert metric.text.endswith(".")
    assert not metric.text[0].islower()


def test_only_one_metric_has_ids_as_labels() -> None:
    assert [name for name, metric in METRICS.items() if "conid" in metric.labels] == ["tick_age_seconds"]
    assert METRICS["tick_age_seconds"].of == "option"
