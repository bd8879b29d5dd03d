"""The benchmarks themselves: corpora, digests, command lines, and one run of each kind."""

from __future__ import annotations

import json
import random
from array import array
from pathlib import Path

import pytest

from benchmarks import corpus, digest, flatness, registry, run, sender, throughput, worker
from benchmarks.registry import Contender
from benchmarks.run import Cell, Sample, WrongAnswerError
from cpapi_fast.protocol.numbers import parse_number
from tests.oracles import reference

# The sender and the workers measure with it; Windows has none.
pytest.importorskip("resource")


@pytest.mark.parametrize("name", corpus.FRAMES)
def test_corpus_has_the_size_it_is_named_for(name: str) -> None:
    made = corpus.frames(name)
    assert len(made) == corpus.FRAMES[name]
    length = {"smd151": 151, "smd1400": 1_400, "smd60k": 60_000}.get(name)
    if length is not None:
        assert {len(frame) for frame in made} == {length}


def test_corpus_is_the_same_every_time() -> None:
    first = corpus.frames("mixed")
    corpus.frames.cache_clear()
    assert corpus.frames("mixed") == first


@pytest.mark.parametrize(
    ("name", "job", "dialect", "known"),
    [
        ("smd151", "route", "full", "c7ba9d77563b1323"),
        ("smd151", "columns", "full", "5c4eac66af0a205e"),
        ("mixed", "route", "full", "960337fb9096f50c"),
        ("mixed", "route", "common", "0ccc26496a6d20b3"),
        ("mixed", "dict", "common", "a6c35fbd644dd87e"),
    ],
)
def test_digests_are_the_same_on_every_machine(name: str, job: str, dialect: str, known: str) -> None:
    assert digest.reference(corpus.frames(name), job, dialect) == known


def test_unknown_corpus_is_refused() -> None:
    with pytest.raises(ValueError, match="no corpus 'smd2'; there are smd151, smd1400, smd60k, mixed, market"):
        corpus.frames("smd2")


def test_mixed_has_every_kind_in_both_dialects() -> None:
    kinds = {name: set[int]() for name in digest.DIALECTS}
    for frame in corpus.frames("mixed"):
        try:
            decoded, is_json = json.loads(frame), True
        except ValueError:
            decoded, is_json = None, False
        for dialect in digest.DIALECTS:
            kinds[dialect].add(digest.reference_route(decoded, is_json, dialect)[0])
    assert kinds["full"] == set(range(7))
    assert kinds["common"] == set(range(7))


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_frames_are_encoded_as_in_rfc_6455(length: int) -> None:
    encoded = corpus.encode(b"x" * length)
    header = {0: b"\x82\x00", 125: b"\x82\x7d", 126: b"\x82\x7e\x00\x7e", 65_535: b"\x82\x7e\xff\xff"}
    assert encoded[: -length or None] == header.get(length, b"\x82\x7f" + (65_536).to_bytes(8, "big"))


def test_reference_routes_as_the_oracle_of_the_tests_does() -> None:
    for frame in corpus.frames("mixed") + corpus.frames("smd151"):
        answer = reference.full_decode(frame)
        try:
            decoded, is_json = json.loads(frame), True
        except ValueError:
            decoded, is_json = None, False
        conid = -1 if answer.conid is None else answer.conid
        assert digest.reference_route(decoded, is_json, "full") == (int(answer.kind), conid)


@pytest.mark.parametrize(
    ("topic", "full", "common"),
    [
        ("smd+265598", (digest.MARKET_DATA, 265598), (digest.MARKET_DATA, 265598)),
        ("smd+265598@NYSE", (digest.MARKET_DATA, 265598), (digest.OTHER, -1)),
        ("smd+0;;;1/1", (digest.MARKET_DATA, 0), (digest.OTHER, -1)),
        ("spl", (digest.PNL, -1), (digest.PNL, -1)),
        ("ssd+U1234567", (digest.PNL, -1), (digest.OTHER, -1)),
        ("sld", (digest.PNL, -1), (digest.OTHER, -1)),
        ("sor", (digest.ORDER, -1), (digest.ORDER, -1)),
        ("system", (digest.SYSTEM, -1), (digest.SYSTEM, -1)),
        ("str", (digest.OTHER, -1), (digest.OTHER, -1)),
    ],
)
def test_dialects(topic: str, full: tuple[int, int], common: tuple[int, int]) -> None:
    assert digest.reference_route({"topic": topic}, True, "full") == full
    assert digest.reference_route({"topic": topic}, True, "common") == common


def test_fnv_is_the_published_function() -> None:
    fnv = digest.Fnv()
    assert fnv.hex() == "cbf29ce484222325"
    fnv.add(b"foobar")
    assert fnv.hex() == "85944171f73967e8"


@pytest.mark.parametrize(
    "text",
    [
        *("1", "-0.5", "+3", "C4735.10", "H1,300", "12.2M", "350K", "1B", "0.54%", "1e5", "2.0201311791131118E8", ".5"),
        *("5.", "N/A", "-", "", "1,30", "C", "1e5K", "1e400", "K", "1.2.3", "x", "12,345,678.9", "0.1M", "1,300%"),
    ],
)
def test_reference_numbers_are_the_documented_ones(text: str) -> None:
    assert digest.reference_number(text) == parse_number(text)


@pytest.mark.parametrize("value", [1, 0.56, -3, 1.22e7, True, None, [], {}])
def test_reference_numbers_of_json_values(value: object) -> None:
    assert digest.reference_number(value) == parse_number(value)


def test_digest_formats() -> None:
    assert digest.route_bytes(2, 265598) == b"\x02" + (265598).to_bytes(8, "little")
    assert digest.route_bytes(5, -1) == b"\x05" + b"\xff" * 8
    assert (
        digest.dict_bytes({"x": 1, "31": "1.5", "topic": "smd+1", "_updated": 7}) == b"topic=smd+1;31=1.5;_updated=7;"
    )
    assert digest.dict_bytes({}) == digest.dict_bytes(None) == b"-;"
    assert digest.columns_bytes([None, 1.0]) == b"\0\1" + b"\0" * 6 + b"\xf0\x3f"
    with pytest.raises(TypeError, match="strings and integers"):
        digest.dict_bytes({"31": 1.5})


def test_reference_refuses_unknown_jobs_and_dialects() -> None:
    for job, dialect in (("count", "full"), ("route", "other")):
        with pytest.raises(ValueError, match="no reference"):
            digest.reference([b"{}"], job, dialect)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--corpus", "none"],
        ["--corpus", "mixed", "--repeats", "0"],
        ["--corpus", "mixed", "--frames", "10"],
        ["--corpus", "mixed", "--frames", "10", "--burst", "3", "--stamps", "x"],
    ],
)
def test_sender_refuses_bad_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sender.parse(arguments)
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["x"], ["x", "--url", "ws://a", "--job", "none"], ["x", "--url", "ws://a", "--job", "latency"]],
)
def test_worker_refuses_bad_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        worker.parse(arguments)
    assert "usage:" in capsys.readouterr().err


def contender(name: str) -> Contender:
    return registry.select(registry.PYTHON, [name])[0]


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("name", ["cpapi_on_batch", "cpapi_feed"])
def test_a_right_answer_passes(name: str, is_tls: bool) -> None:
    run.check(contender(name), Cell("smd151", "route", is_tls))


def test_a_wrong_answer_is_refused() -> None:
    cell = Cell("smd151", "route")
    with pytest.raises(WrongAnswerError, match="the reference has"):
        run.compare(contender("picows_orjson"), cell, "0" * 16, "common")


def test_a_contender_that_fails_is_named() -> None:
    broken = Contender("broken", "", "peer", (registry.sys.executable, "-c", "raise SystemExit(3)"), ("route",), 1)
    with pytest.raises(WrongAnswerError, match=r"broken .*exit code 3"):
        run.check(broken, Cell("smd151", "route"))


def test_a_contender_that_does_not_start_is_named(tmp_path: Path) -> None:
    gone = Contender("gone", "", "peer", (str(tmp_path / "gone"),), ("route",), 1)
    with pytest.raises(WrongAnswerError, match=r"gone does not start: .*make peers"):
        run.call(gone, [])


def test_a_missing_frame_is_an_error() -> None:
    answer = json.dumps({"frames": 3})
    script = f"print({answer!r})"
    short = Contender("short", "", "peer", (registry.sys.executable, "-c", script), ("count",), 1)
    with pytest.raises(WrongAnswerError, match="received 3 of 1000 frames"):
        run.one(short, Cell("smd151", "count"), 1)


def test_interleaved_runs_give_samples() -> None:
    batches, orjson = contender("cpapi_on_batch"), contender("picows_orjson")
    cell = Cell("smd151", "route")
    samples = run.interleaved([(batches, cell), (orjson, cell)], 2, scale=0.02)
    assert [len(taken) for taken in samples.values()] == [2, 2]
    assert all(sample.wall_ns > 0 for taken in samples.values() for sample in taken)
    assert samples["picows_orjson", cell][0].versions.keys() == {"picows", "orjson"}


def sample(cpu_ns: float, wall_ns: float) -> Sample:
    return Sample(10, cpu_ns * 10, wall_ns * 10, 1, 1.0, 1.0, {"stack": "1.2"})


def test_contenders_limited_by_the_sender_are_marked() -> None:
    cell = Cell("smd151", "bytes")
    peers = [Contender(name, name, "peer", (), ("bytes",), 1) for name in ("raw_recv", "near", "far")]
    walls = {"raw_recv": 100.0, "near": 110.0, "far": 130.0}
    rows = throughput.rows(peers, {(name, cell): [sample(1, wall)] for name, wall in walls.items()})
    assert {row["contender"]: row["is_bound_by_sender"] for row in rows} == {
        "raw_recv": False,
        "near": True,
        "far": False,
    }


def test_manifest_of_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "manifest.json"
    monkeypatch.delenv("CPAPI_FAST_REQUIRE_ALL", raising=False)
    assert set(registry.contenders(manifest)) == set(registry.PYTHON)
    assert "make peers" in capsys.readouterr().err
    monkeypatch.setenv("CPAPI_FAST_REQUIRE_ALL", "1")
    with pytest.raises(SystemExit, match="make peers"):
        registry.contenders(manifest)
    entry = {"command": ["raw"], "jobs": ["bytes"], "label": "raw", "group": "limit", "frames": 9, "tls": False}
    manifest.write_text(json.dumps({"raw": entry}))
    (peer,) = set(registry.contenders(manifest)) - set(registry.PYTHON)
    assert (peer.name, peer.label, peer.jobs, peer.needs_frame_count) == ("raw", "raw", ("bytes",), True)
    assert peer.can("mixed", is_tls=False)
    assert not peer.can("mixed", is_tls=True)
    manifest.write_text(json.dumps({"raw": {"command": ["raw"]}}))
    with pytest.raises(ValueError, match=r"manifest.json cannot be read"):
        registry.contenders(manifest)


def test_unknown_contender_is_refused() -> None:
    with pytest.raises(ValueError, match="no contender unknown; there are "):
        registry.select(registry.PYTHON, ["unknown"])


@pytest.mark.parametrize("size", flatness.SIZES)
@pytest.mark.parametrize("position", flatness.POSITIONS)
def test_frames_of_the_flatness_table(position: str, size: int) -> None:
    frame = flatness.frame_with_topic(position, size, random.Random(3))
    assert len(frame) == (size + 5 if (position, size) == ("escaped", 151) else size)
    keys = list(json.loads(frame))
    assert keys.index("topic") == {"head": 0, "walk": 2}.get(position, len(keys) - 1)
    flatness.check(position, [frame])


def test_paced_sender_and_worker_stamp_every_frame(tmp_path: Path) -> None:
    sent_path, seen_path = tmp_path / "sent", tmp_path / "seen"
    cell = Cell("smd151", "latency")
    pace = ["--frames", "200", "--burst", "10", "--gap-us", "100", "--stamps", str(sent_path)]
    with run.sender(cell, *pace) as (address, process):
        options = ["--job", "latency", "--frames", "200", "--stamps", str(seen_path)]
        assert run.call(contender("cpapi_on_frame"), [*address, *options])["frames"] == 200
        process.wait(30)
    sent, seen = array("q", sent_path.read_bytes()), array("q", seen_path.read_bytes())
    assert len(sent) == len(seen) == 200
    assert all(there <= here for there, here in zip(sent, seen, strict=True))
