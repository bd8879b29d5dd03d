"""The spill for Kafka: records come back as they were, in order, without those that are finished or damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpapi_fast.outputs.kafka.records import ACKNOWLEDGED, IN_FLIGHT, REFUSED, RecordBlock
from cpapi_fast.outputs.kafka.spill import Spill
from tests.support.batches import numbered

RUN = b"0123456789abcdef"


def block_of(first: int, count: int = 10) -> RecordBlock:
    return RecordBlock.of_batch("raw", RUN, first, numbered(first, count, first + 1), 0.0)


def spill_in(folder: Path, notices: list[str] | None = None, limit: int = 10**9) -> Spill:
    return Spill(folder, "123456", limit, 0o600, (notices if notices is not None else []).append)


def plain(block: RecordBlock) -> tuple[object, ...]:
    values = [bytes(block.payloads[start:stop]) for start, stop in zip(block.offsets, block.offsets[1:], strict=False)]
    return block.topic, block.run, block.first_sequence, list(block.received_ns), list(block.conids), values


def test_blocks_come_back_in_order(tmp_path: Path) -> None:
    spill = spill_in(tmp_path)
    blocks = [block_of(first) for first in (0, 10, 20)]
    numbered_rows = RecordBlock.of_values("ticks", RUN, [5, 9], [1, 2], [3, -1], [b"{}", b""], 0.0)
    for block in (*blocks, numbered_rows):
        assert spill.put(block)
    assert spill.waiting == 32
    found = [spill.take()[0] for _ in range(4)]
    assert not spill
    assert [plain(block) for block in found if block] == [plain(block) for block in (*blocks, numbered_rows)]
    assert found[3] is not None
    assert list(found[3].sequences) == [5, 9]
    for block in found:
        assert block is not None
        spill.finish(block)
    assert list(tmp_path.iterdir()) == []


def test_merged_blocks_have_the_same_records(tmp_path: Path) -> None:
    blocks = [block_of(0, 3), block_of(3, 1), block_of(4, 5)]
    merged = RecordBlock.merged(blocks)
    parts = [plain(block) for block in blocks]
    assert plain(merged)[:3] == ("raw", RUN, 0)
    for column in (3, 4, 5):
        assert plain(merged)[column] == [value for part in parts for value in part[column]]  # type: ignore[attr-defined]


def test_the_next_run_gets_what_is_not_finished(tmp_path: Path) -> None:
    spill = spill_in(tmp_path)
    kept, done, part = block_of(0), block_of(10), block_of(20)
    for block in (kept, done, part):
        assert spill.keep(block)
    spill.finish(done)
    part.fates[:] = bytes([ACKNOWLEDGED, ACKNOWLEDGED, IN_FLIGHT, REFUSED, *[IN_FLIGHT] * 6])
    spill.note_progress(part)
    spill.close()

    notices: list[str] = []
    again = spill_in(tmp_path, notices)
    assert again.recover() == again.recovered_waiting == 17
    assert again.waiting_topics == {"raw"}
    assert "17 records that an earlier run did not send" in notices[0]
    first, second = again.take()[0], again.take()[0]
    assert first is not None
    assert second is not None
    assert plain(first) == plain(kept)
    assert (second.first_sequence, second.is_own) == (20, False)
    assert [index for index, fate in enumerate(second.fates) if not fate] == [2, 4, 5, 6, 7, 8, 9]
    again.close()


@pytest.mark.parametrize("lost", [1, 30, 500])
def test_a_torn_end_costs_only_the_last_block(tmp_path: Path, lost: int) -> None:
    spill = spill_in(tmp_path)
    for first in (0, 10):
        spill.put(block_of(first))
    (path,) = spill.paths
    spill.close()
    path.write_bytes(path.read_bytes()[:-lost])
    again = spill_in(tmp_path)
    assert again.recover() == 10
    block, _ = again.take()
    assert block is not None
    assert plain(block) == plain(block_of(0))
    again.close()


def test_a_damaged_block_is_left_out_and_reported(tmp_path: Path) -> None:
    spill = spill_in(tmp_path)
    for first in (0, 10):
        spill.put(block_of(first))
    (path,) = spill.paths
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(data)
    # The run that wrote it.
    assert spill.take() == (None, {"raw": 10})
    assert spill.take()[0] is not None
    spill.close()
    notices: list[str] = []
    again = spill_in(tmp_path, notices)
    assert again.recover() == 10
    assert "1 blocks of records" in notices[0]
    again.close()


def test_the_bound_is_kept_and_a_failed_write_leaves_the_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spill = spill_in(tmp_path, limit=5_000)
    assert spill.put(block_of(0))
    size = spill.nbytes
    assert not spill.put(block_of(10, 100))
    assert spill.nbytes == size

    def full(file: object, data: bytes) -> None:
        file.write(data[:100])  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cpapi_fast.outputs.kafka.spill_file.write_all", full)
    with pytest.raises(OSError, match="No space"):
        spill.put(block_of(10))
    monkeypatch.undo()
    assert spill.paths[0].stat().st_size == size
    assert spill.put(block_of(20))
    assert [block.first_sequence for block in (spill.take()[0], spill.take()[0]) if block] == [0, 20]
    spill.close()
