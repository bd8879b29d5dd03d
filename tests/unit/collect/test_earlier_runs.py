"""What a run does about those before it: the gap since their last frame, and an end that does not wait long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from cpapi_fast.collect import earlier_runs
from cpapi_fast.collect.earlier_runs import EarlierRuns
from cpapi_fast.events import Cause, Gap
from tests.support.batches import batch_of
from tests.support.files import quote, table_rows
from tests.support.written_runs import SECOND_NS, START_NS, written_run


@pytest.mark.parametrize("later_ns", [SECOND_NS, -SECOND_NS], ids=["later", "the clock was set back"])
def test_the_gap_has_no_negative_length(tmp_path: Path, later_ns: int) -> None:
    with written_run(tmp_path / "live") as run:
        killed = run.copied(tmp_path / "killed")
    last_ns = START_NS + (run.frames - 4) * SECOND_NS

    async def first_items() -> list[object]:
        earlier = EarlierRuns(killed, lambda _text: None)
        await earlier.begin()
        batch = batch_of([quote(1)], last_ns + later_ns)
        items = [*earlier.with_gap([batch]), *earlier.with_gap([batch])]
        await earlier.finish()
        return [item for item in items if item is not batch]

    first_ns = last_ns + later_ns
    assert asyncio.run(first_items()) == [Gap(None, min(last_ns, first_ns), first_ns, Cause.NOT_RUNNING)]


def test_the_end_of_a_run_does_not_wait_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with written_run(tmp_path / "live") as run:
        killed = run.copied(tmp_path / "killed")
    monkeypatch.setattr(earlier_runs, "_LONGEST_WAIT_S", 0.0)
    reports: list[str] = []

    async def end(*, stops: bool) -> None:
        earlier = EarlierRuns(killed, reports.append)
        if stops:
            earlier.stop()
        await earlier.begin()
        await earlier.finish()
        await asyncio.sleep(0)

    asyncio.run(end(stops=True))
    assert reports == [
        "stopped to finish the files of runs that were killed; the next run in this folder does the rest"
    ]
    monkeypatch.undo()
    asyncio.run(end(stops=False))
    assert table_rows(killed, "ticks-*.parquet") == table_rows(run.folder, "ticks-*.parquet")
