"""The paths of the outputs: the columns of a capture, and the rows of the tables, without the encoding by Arrow.

The rows are collected and never taken, so that nothing depends on the version of pyarrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.pending_frames import PendingFrames
from cpapi_fast.outputs.tables.rows import TableRows
from cpapi_fast.outputs.tables.schema import field_columns

from . import frames

if TYPE_CHECKING:
    from .driver import Driver

TURNS: Final = 50


async def output_paths(driver: Driver, batch: Batch) -> None:
    """Run the paths with a batch of market data."""
    fields = [(column.code, column.name) for column in field_columns()]
    for table in ("ticks", "quotes"):
        rows = TableRows(fields, carries=table == "quotes", targets=map(str, frames.CONIDS))

        async def collect(times: int, rows: TableRows = rows) -> None:
            for _ in range(times):
                rows.begin(batch)
                rows.move(len(batch))

        await driver.drive(f"rows/{table}", collect, per_turn=len(batch), turns=TURNS)
        # Once as a warm-up, then with N and 2 N frames.
        if (len(rows), rows.malformed, rows.mismatches) != (4 * TURNS * len(batch), 0, {}):
            raise AssertionError(f"{table}: {len(rows)} rows, {rows.malformed} malformed, {rows.mismatches}")

    pending = PendingFrames()

    async def append(times: int) -> None:
        for _ in range(times):
            pending.append(batch)

    await driver.drive("rows/capture", append, per_turn=len(batch), turns=TURNS)
    # Each frame counts with 21 bytes of columns.
    frame_count, nbytes = 4 * TURNS * len(batch), 4 * TURNS * (batch.nbytes + 21 * len(batch))
    if (len(pending), pending.nbytes) != (frame_count, nbytes):
        raise AssertionError(f"capture: {len(pending)} frames with {pending.nbytes} bytes")
