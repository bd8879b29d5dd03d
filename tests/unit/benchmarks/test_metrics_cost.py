"""The benchmark of metrics measures what it names. Its figures are not checked."""

from __future__ import annotations

import pytest

from benchmarks import metrics_cost


def test_it_measures_every_size_and_a_scrape(capsys: pytest.CaptureFixture[str]) -> None:
    metrics_cost.main(calls=2, rounds=1, subscriptions=3)
    out = capsys.readouterr().out
    assert out.count("write latency") == len(metrics_cost.SIZES)
    assert "a scrape with 3 subscriptions" in out
    assert out.count(" ms\n") == 2
