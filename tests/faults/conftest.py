"""Runs only a part of the faults where CPAPI_FAST_CASES reduces the generated texts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

#: The default of tests/property.
ALL = 200_000
#: One of each kind: enough for all code that differs between interpreters and builds.
SOME = frozenset(
    {
        *(
            f"test_the_feed_recovers_from_each_fault[{name}]"
            for name in ("reset", "half_open", "garbage", "fragments", "burst", "session_changes", "logged_out")
        ),
        "test_the_feed_recovers_from_network_faults_with_tls[cut_anywhere]",
        "test_the_feed_recovers_from_each_fault[stream_ends]",
        "test_the_feed_recovers_from_random_faults[11]",
        "test_a_consumer_that_never_reads_affects_no_other[conflate]",
        "test_a_step_of_the_clock_causes_neither_a_reconnect_nor_a_gap[20.0]",
    }
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if int(os.environ.get("CPAPI_FAST_CASES", ALL)) >= ALL:
        return
    here = Path(__file__).parent
    others = [item for item in items if item.path.parent == here and item.path.name != "test_ledger.py"]
    left_out = [item for item in others if item.name not in SOME]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
