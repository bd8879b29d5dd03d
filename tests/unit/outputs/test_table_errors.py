"""Rows of tables after errors of any kind: none is forgotten in the counts."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cpapi_fast.errors import OutputError
from cpapi_fast.outputs.tables.market_data import TicksWriter
from tests.support.batches import batch_of
from tests.support.files import quote


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (pa.ArrowInvalid("array cannot contain more than 2147483646 bytes"), OutputError),
        (MemoryError("no memory"), OutputError),
        (RuntimeError("a bug"), RuntimeError),
    ],
)
@pytest.mark.parametrize("broken", ["take", "begin", "move"])
def test_no_row_is_forgotten_by_an_error_that_is_not_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception], broken: str
) -> None:
    class Broken:
        def __init__(self, rows: Any) -> None:
            self._rows = rows

        def __getattr__(self, name: str) -> Any:
            if name == broken:
                raise error
            return getattr(self._rows, name)

        def __len__(self) -> int:
            return len(self._rows)

    writer = TicksWriter(tmp_path, group_rows=4)
    writer.write(batch_of([quote(number) for number in range(6)]))
    monkeypatch.setattr(writer, "_rows", Broken(writer._rows))
    with pytest.raises(raised, match=str(error)[:9]):
        writer.write(batch_of([*(quote(number) for number in range(35)), b"{}"]))
    assert (writer.counts.received, writer.counts.dropped, writer.counts.pending) == (41, {"write error": 41}, 0)
    with pytest.raises(OutputError, match=str(error)[:9]):
        writer.write(batch_of([quote()]))
    assert writer.counts.dropped == {"write error": 42}
    writer.close()
    assert writer.counts.received == writer.counts.dropped_total
    assert list(tmp_path.iterdir()) == []


def test_counts_add_up_for_readers_in_other_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each step of the writer, no row is received before it has its place in the other counts."""
    writer = TicksWriter(tmp_path, group_rows=10)
    missing = []
    move = TicksWriter._move_rows

    def look(self: TicksWriter) -> None:
        for step in (None, move):
            if step is not None:
                step(self)
            counts = self.counts
            missing.append(counts.received - counts.written - counts.dropped_total - counts.pending)

    monkeypatch.setattr(TicksWriter, "_move_rows", look)
    with writer:
        writer.write(batch_of([quote(number) for number in range(95)]))
    assert len(missing) == 20
    assert set(missing) == {0}


UNFINISHED = """
import gc, sys
from pathlib import Path
from cpapi_fast.outputs.tables.market_data import TicksWriter
from tests.support.batches import batch_of
from tests.support.files import quote

writer = TicksWriter(Path(sys.argv[1]), group_rows=4)
writer.write(batch_of([quote(number) for number in range(6)]))
# So that it is freed at the very end.
sys.writer = writer.itself = writer
gc.disable()
"""


def test_a_process_that_ends_with_an_unfinished_file_is_quiet(tmp_path: Path) -> None:
    command = [sys.executable, "-c", UNFINISHED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stderr == ""
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]


@pytest.mark.parametrize("error", [MemoryError("no memory"), OSError(28, "No space left on device")])
def test_nothing_is_left_of_a_file_that_arrow_cannot_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: Exception
) -> None:
    class Failing(pq.ParquetWriter):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            raise type(error)(*error.args)

    writer = TicksWriter(tmp_path, group_rows=4)
    with monkeypatch.context() as patch:
        patch.setattr(pq, "ParquetWriter", Failing)
        with pytest.raises(OutputError, match=r"no memory|No space"):
            writer.write(batch_of([quote(number) for number in range(6)]))
    writer.close()
    assert (writer.counts.received, writer.counts.dropped, writer.counts.pending) == (6, {"write error": 6}, 0)
    assert list(tmp_path.iterdir()) == []
    # The buffers of Arrow are written when they are freed.
    del writer
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""
