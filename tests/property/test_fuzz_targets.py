"""The fuzz targets without a fuzzer: their seeds pass, damaged seeds pass, and a wrong library would not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from cpapi_fast.feed.last_values import LastValues
from cpapi_fast.feed.tracker import Tracker
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.topic_table import TopicTable
from cpapi_fast.outputs.tables.rows import TableRows
from tests.fuzz import targets, wire
from tests.fuzz.seeds import dictionary, seeds
from tests.oracles import comparison
from tests.oracles import last_values as last_values_oracle
from tests.oracles import messages as message_oracle
from tests.oracles import ticks as tick_oracle
from tests.oracles import tracker as tracker_oracle
from tests.support import frames


@pytest.mark.parametrize("target", targets.TARGETS)
def test_seeds_and_damaged_seeds_pass(target: str):
    chance = random.Random(1)
    pool = seeds(target)
    assert len(pool) > 10
    for seed in pool:
        targets.TARGETS[target](seed)
        damaged = bytearray(seed)
        for _ in range(3):
            if damaged:
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        targets.TARGETS[target](bytes(damaged))


def test_seeds_of_the_fragments_bring_messages_fragments_and_every_way_to_end():
    outcomes = []
    for seed in seeds("fragments"):
        reader = targets.Reader(seed[5:])
        outcomes.append(wire.expected(targets._stream(reader)))
    assert {outcome.close_code for outcome in outcomes} == {None, 1000, 1005, 4001}
    assert sum(len(outcome.messages) for outcome in outcomes) > 100
    assert sum(outcome.fragments for outcome in outcomes) > 100
    assert sum(outcome.pings for outcome in outcomes) > 50


@pytest.mark.parametrize("form", ["batch", "frame", "pull"])
def test_a_message_in_fragments_arrives_whole_however_it_is_cut(form: str):
    text = frames.smd(8314)
    stream = b"".join(frames.ws_fragments(text, [1, 0, 40])) + frames.ws_ping() + frames.ws_close(1001)
    for size in range(1, len(stream) + 1):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert wire.receive(pieces, form=form) == wire.Outcome([text], 1001, fragments=4, pings=1, pongs=0)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (frames.ws_frame(b"a") + frames.ws_frame(b"b", rsv=4) + frames.ws_frame(b"c"), [b"a"]),
        (frames.ws_frame(b"a") + b"\x83\x00" + frames.ws_frame(b"c"), [b"a"]),
        (frames.ws_frame(b"a") + frames.ws_frame(b"b", frames.CONTINUATION), [b"a"]),
        (frames.ws_frame(b"a", fin=False) + frames.ws_frame(b"b"), []),
        (frames.ws_frame(b"a" * wire.MAX_FRAME_BYTES), [b"a" * wire.MAX_FRAME_BYTES]),
        (frames.ws_frame(b"a" * (wire.MAX_FRAME_BYTES + 1)), []),
        (b"".join(frames.ws_fragments(b"a" * wire.MAX_MESSAGE_BYTES, [3_000])), [b"a" * wire.MAX_MESSAGE_BYTES]),
        (b"".join(frames.ws_fragments(b"a" * (wire.MAX_MESSAGE_BYTES + 1), [3_000])), []),
        (frames.ws_frame(b"a") + frames.ws_close(1005), [b"a"]),
        (frames.ws_frame(b"a") + frames.ws_close() + frames.ws_frame(b"b"), [b"a"]),
    ],
)
def test_the_rules_of_a_stream(stream: bytes, expected: list[bytes]):
    """The oracle and the client, on what each rule is about."""
    assert wire.expected(stream).messages == expected
    assert wire.receive([stream], form="frame").messages == expected


class _BlindTracker:
    """A tracker that never picks a frame to inspect."""

    def __init__(self, topics: TopicTable) -> None:
        self._tracker = Tracker(topics)

    def __getattr__(self, name: str) -> object:
        return getattr(self._tracker, name)

    def scan(self, batch: Batch, now_s: float) -> None:
        self._tracker.scan(batch, now_s)


class _ForgetfulValues:
    """Last values without the first field of each topic."""

    def __init__(self, topics: TopicTable) -> None:
        self._last = LastValues(topics)

    def __getattr__(self, name: str) -> object:
        return getattr(self._last, name)

    def get(self, slot: int) -> dict[str, object]:
        return dict(list((self._last.get(slot) or {}).items())[1:])


class _UncarriedRows:
    """Rows in which no value is carried forward."""

    def __init__(self, fields: Iterable[tuple[str, str]], *, carries: bool, **options: Any) -> None:
        self._rows = TableRows(fields, carries=carries, **options)

    def __getattr__(self, name: str) -> object:
        return getattr(self._rows, name)

    def __len__(self) -> int:
        return len(self._rows)

    def begin(self, batch: Batch) -> int:
        self._rows.states.end_segments(None)
        return self._rows.begin(batch)


def _data(target: str) -> bytes:
    if target == "tables":
        return b'\x00\x08"31":"1"\xc0\x00\x08"84":"2"'
    if target == "columns":
        return b"t187.05"
    if target == "last_values":
        return b'\x00\x00\x06"31":1'
    return max((seed for seed in seeds(target) if b"smd+" in seed), key=len)


@pytest.mark.parametrize(
    ("target", "module", "name", "wrong"),
    [
        ("classifier", comparison, "classify", lambda data, *, strict=False: targets.classify(b"ech+hb")),
        ("batch", targets, "slice_of", lambda batch, start, stop: batch),
        ("batch", targets, "classify", lambda data: comparison.classify(b"ech+hb")),
        ("columns", tick_oracle, "cell", lambda value, **_: tick_oracle.Cell(bytes(8), 0)),
        ("tracker", tracker_oracle, "Tracker", _BlindTracker),
        ("last_values", last_values_oracle, "LastValues", _ForgetfulValues),
        ("fragments", wire, "expected", lambda stream: wire.Outcome([], None, 0, 0, 0)),
        ("messages", message_oracle, "classify", lambda data, *, strict=False: targets.classify(b'{"topic":"smd+1"}')),
        ("tables", targets, "TableRows", _UncarriedRows),
        ("messages", message_oracle, "value_of", lambda member, value: message_oracle.WRONG),
    ],
)
def test_a_wrong_result_is_detected(
    monkeypatch: pytest.MonkeyPatch, target: str, module: object, name: str, wrong: Callable[..., object]
):
    data = _data(target)
    targets.TARGETS[target](data)
    monkeypatch.setattr(module, name, wrong)
    with pytest.raises(AssertionError):
        targets.TARGETS[target](data)


def test_the_dictionary_is_in_the_form_that_libfuzzer_reads():
    lines = dictionary().splitlines()
    assert len(lines) > 50
    for line in lines:
        assert line[0] == line[-1] == '"'
        assert bytes.fromhex(line[1:-1].replace("\\x", ""))
