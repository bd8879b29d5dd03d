"""The benchmark of `collect`: its answers are checked, and a wrong one is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("resource")

from benchmarks import collecting, corpus, frames, sender
from benchmarks.run import WrongAnswerError
from cpapi_fast.outputs.tables.market_data import QuotesWriter, TicksWriter
from tests.support.batches import batch_of

FRAMES = corpus.frames(collecting.CORPUS)[:500]


def test_the_market_is_deltas_of_all_instruments() -> None:
    payloads = [json.loads(raw) for raw in corpus.frames(collecting.CORPUS)]
    assert {payload["conid"] for payload in payloads} == set(frames.CONIDS)
    assert {payload["topic"] for payload in payloads} == {f"smd+{conid}" for conid in frames.CONIDS}
    assert 150 < corpus.bytes_per_frame(collecting.CORPUS) < 190


def test_a_live_sender_has_the_time_of_sending() -> None:
    sent = sender.live(b"".join(corpus.wire(collecting.CORPUS)[:10]))
    assert b"%d" % frames.EVENT_MS not in sent
    assert sent.count(b'"_updated":') == 10


@pytest.mark.parametrize("name", ["ticks", "quotes"])
def test_a_wrong_table_is_noticed(tmp_path: Path, name: str) -> None:
    with (TicksWriter if name == "ticks" else QuotesWriter)(tmp_path, roll_rows=200) as writer:
        writer.write(batch_of(FRAMES))
    assert len(writer.files) == 3
    assert collecting.check_table(writer.files, collecting.expected_rows(FRAMES, name)) == len(FRAMES)
    other = "quotes" if name == "ticks" else "ticks"
    for wrong, count in ((FRAMES, 500), (FRAMES[1:], 499), (FRAMES[:-1], 499), ((*FRAMES, FRAMES[0]), 501)):
        table = other if count == 500 else name
        with pytest.raises(WrongAnswerError, match=r"row|too few"):
            collecting.check_table(writer.files, collecting.expected_rows(wrong, table))


@pytest.mark.time_limit(120.0)
def test_the_files_of_a_run_are_right() -> None:
    collecting.check(("ticks", "quotes"))
