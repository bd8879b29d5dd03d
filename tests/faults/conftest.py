"""Where a part of the generated texts is enough (CPAPI_FAST_CASES), a part of the faults is, too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

#: What tests/property does unless told otherwise.
ALL = 200_000
#: One of each kind: they meet all of the code that differs from one interpreter or build to the next.
SOME = frozenset(
    {
        *(
            f"test_fault_is_got_over[{name}]"
            for name in ("reset", "half_open", "garbage", "fragments", "burst", "session_changes", "logged_out")
        ),
        "test_fault_of_the_network_is_got_over_with_tls[cut_anywhere]",
        "test_fault_is_got_over[stream_dies]",
        "test_random_faults_are_got_over[11]",
        "test_consumer_that_never_reads_harms_nobody[conflate]",
        "test_step_of_the_clock_is_neither_a_death_nor_a_hole[20.0]",
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
