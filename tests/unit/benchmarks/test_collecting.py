"""The benchmark of `collect` and other collectors: their answers are checked, and a wrong one is noticed."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("resource")

from benchmarks import collecting, corpus, frames, registry, sender
from benchmarks.collectors import picows_pyarrow
from benchmarks.run import WrongAnswerError
from cpapi_fast.outputs.capture import CaptureWriter
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


@pytest.mark.time_limit(120.0)
def test_the_files_of_the_collector_in_python_are_right() -> None:
    collecting.check(collecting.PEER_TABLES, registry.COLLECTORS[1])


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        ("p.COLUMNS['88'] = 'volume'", "row .* of all kinds of frames is"),
        ("p.Quotes.add = lambda *_: -1", "wrong conids"),
    ],
)
def test_a_wrong_peer_is_noticed(mistake: str, complaint: str) -> None:
    code = f"from benchmarks.collectors import picows_pyarrow as p; {mistake}; p.main()"
    wrong = dataclasses.replace(registry.COLLECTORS[1], command=(sys.executable, "-c", code))
    with pytest.raises(WrongAnswerError, match=complaint):
        collecting.check_mixed(wrong)


def snapshots() -> list[bytes]:
    made = b'{"_updated":1,"6509":"RB","topic":"smd+%d","conid":%d}'
    return [made % (conid, conid) for conid in frames.CONIDS]


def quotes_of(folder: Path, made: list[bytes]) -> Any:
    """The quotes of frames, as `collect` writes them."""
    with QuotesWriter(folder) as writer:
        writer.write(batch_of(made))
    return pq.read_table(writer.files[0])


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [
        ("received", 5, "times"),
        ("updated", 5, "times"),
        ("segment", 5, "segments"),
        ("availability", None, "availability"),
        ("symbol", "ABC", "symbol"),
        ("target", "1@NYSE", "target"),
        ("last_price_prefix", "C", "last_price_prefix"),
        ("late_ns", 5, "late"),
    ],
)
def test_a_wrong_value_in_another_column_is_noticed(tmp_path: Path, column: str, value: object, complaint: str) -> None:
    made = quotes_of(tmp_path, [*snapshots(), *FRAMES])
    right = tmp_path / "right.parquet"
    # Snapshots of the sender are first; the rest is the corpus.
    times = [made[name].cast(pa.int64()).to_pylist()[len(frames.CONIDS) :] for name in ("received", "updated")]
    captured = list(zip(*times, strict=True))
    pq.write_table(made, right)
    collecting.check_other_columns([right], captured)
    place = made.schema.get_field_index(column)
    values = made[column].to_pylist()
    values[300] = value
    wrong = tmp_path / "wrong.parquet"
    pq.write_table(made.set_column(place, made.schema[place], pa.array(values, made.schema[place].type)), wrong)
    with pytest.raises(WrongAnswerError, match=complaint):
        collecting.check_other_columns([wrong], captured)


def test_a_column_of_another_type_is_noticed(tmp_path: Path) -> None:
    made = quotes_of(tmp_path, [*snapshots(), *FRAMES])
    other = tmp_path / "other.parquet"
    pq.write_table(
        made.set_column(2, pa.field("late_ns", pa.int32(), nullable=False), made["late_ns"].cast("int32")), other
    )
    with pytest.raises(WrongAnswerError, match="late_ns: int32"):
        collecting.check_other_columns([other], [])


@pytest.mark.parametrize("wrong", [FRAMES[1:], (*FRAMES[:-2], FRAMES[-1], FRAMES[-2]), (*FRAMES, FRAMES[0])])
def test_a_wrong_capture_is_noticed(tmp_path: Path, wrong: tuple[bytes, ...]) -> None:
    path = tmp_path / "capture-1.arrows"
    with CaptureWriter(path) as writer:
        writer.write(batch_of([b"{}"] * collecting.FIRST_FRAMES + list(FRAMES)))
    assert len(collecting.check_capture([path], FRAMES)) == len(FRAMES)
    with pytest.raises(WrongAnswerError, match="order"):
        collecting.check_capture([path], wrong)


def test_the_collector_in_python_carries_values_as_collect_does(tmp_path: Path) -> None:
    made = [
        b'{"topic":"smd+1","conid":1,"_updated":7,"6509":"RB","55":"ABC","31":"C4,735.10","87":"12.2M"}',
        b'{"topic":"smd+1","conid":1,"_updated":7,"6509":"RB","55":"ABC","31":"C4,735.10","87":"12.2M"}',
        b'{"topic":"smd+1","conid":1,"_updated":8,"84":"1.5","85":"1,200"}',
        b'{"topic":"smd+2@NYSE","conid":2,"31":"N/A","86":"2"}',
        b'{"topic":"smd+1","conid":1,"_updated":9,"31":"N/A","88":7}',
        b'{"topic":"smd+1","conid":1,"_updated":9,"6509":"DPB"}',
        b'{"topic":"smd+1","conid":1,"_updated":9,"6509":"DPB","31":"5"}',
        b'{"topic":"smd+1","conid":1,"_updated":10,"31":"H5"}',
    ]
    quotes = picows_pyarrow.Quotes()
    for raw in made:
        payload = json.loads(raw)
        quotes.add(payload["topic"][4:], payload, 1_000_000_000)
    columns = picows_pyarrow.arrays(picows_pyarrow.SCHEMA, quotes.rows)
    found = pa.Table.from_arrays(columns, schema=picows_pyarrow.SCHEMA)
    wanted = quotes_of(tmp_path, made)
    assert len(found) == 7
    names = [name for name in wanted.column_names if name not in ("received", "segment", "late_ns")]
    assert found.select(names).to_pylist() == wanted.select(names).to_pylist()


def test_the_peers_are_selected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "manifest.json"
    monkeypatch.delenv("CPAPI_FAST_REQUIRE_ALL", raising=False)
    assert collecting.selected("none", ["quotes"], manifest) == (collecting.OWN,)
    assert capsys.readouterr().err == ""
    assert collecting.selected("all", ["ticks"], manifest) == (collecting.OWN,)
    assert "the table quotes only" in capsys.readouterr().err
    assert collecting.selected("all", ["quotes"], manifest) == registry.COLLECTORS
    assert "make peers" in capsys.readouterr().err
    monkeypatch.setenv("CPAPI_FAST_REQUIRE_ALL", "1")
    with pytest.raises(SystemExit, match="make peers"):
        collecting.selected("all", ["quotes"], manifest)
    entry = {"command": ["rust"], "jobs": ["collect"], "label": "rust", "group": "peer", "frames": 9, "tls": False}
    manifest.write_text(json.dumps({"rust": entry}))
    assert [one.name for one in collecting.selected("all", ["quotes"], manifest)][2:] == ["rust"]
    assert set(registry.contenders(manifest)) == set(registry.PYTHON)


def test_the_table_has_a_row_for_each_collector(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"label": "a peer", "tables": ["quotes"], "frames": 2_000, "wall_ns": 500.0, "cpu_ns": 1_500.0}
    one |= {"loop_cpu_ns": 400.0, "bytes": {"capture": 60_000, "quotes": 8_000}}
    one |= {"memory_mb": [100.0], "max_rss_kib": 125_000}
    collecting.show({"writers_cpu_ns": {"capture": [100.0]}, "collect": [one, one | {"label": "another"}]})
    (line, other) = [line for line in capsys.readouterr().out.splitlines() if "2,000,000" in line]
    assert line.split("  ")[0] == "a peer"
    wanted = "capture, quotes 2,000 2,000,000 1,500 ns 400 ns 34.0 100 MB, at most 128 MB"
    assert " ".join(line.split()[2:]) == wanted
    assert other.startswith("another")
