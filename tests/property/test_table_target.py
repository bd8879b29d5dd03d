"""The seeds of the fuzz target `tables` reach what it compares: one of them finds a fault in the slow definition."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

from tests.fuzz import targets
from tests.fuzz.seeds import seeds
from tests.oracles import tables as table_oracle

#: What is wrong, the text of the slow definition, and the text in its place.
FAULTS = [
    ("lateness", '"late_ns": late_ns', '"late_ns": 0'),
    ("target", '"target": frame.target', '"target": None'),
    ("malformed", 'self.dropped["malformed"] += 1', "pass"),
    ("lost connection", "item.subscription is None and item.state in UNCONNECTED", "False"),
    ("gap of one", "if ended in (None, topic):", "if True:"),
    ("gap of all", "if ended in (None, topic):", "if ended == topic:"),
    ("end of a gap", "if frame.received_ns >= self._gap_ends", "if False and self._gap_ends"),
    ("first frame after a gap", "frame.received_ns >= self._gap_ends", "frame.received_ns > self._gap_ends"),
    ("one end of a gap", "self._gap_ends[topic] = 0", "pass"),
    ("joined gaps", "max(item.first_good_ns, ends.get(topic, everywhere))", "item.first_good_ns"),
    ("number of a segment", "self._last_segments.get(topic, 0) + 1", "0"),
    ("time of a segment", "max(frame.received_ns,", "max(0,"),
    ("repeated snapshot", "if self._carries and is_snapshot and", "if False and"),
    ("repeated snapshot in ticks", "if self._carries and is_snapshot and", "if is_snapshot and"),
    (
        "repeated later",
        "self._first_snapshots.pop(topic, None)\n        if",
        "self._first_snapshots.get(topic)\n        if",
    ),
    (
        "repeated with a change",
        "if all(state.get(code, nothing) == value for code, value in sent.items()):",
        "if True:",
    ),
    ("symbol of exchanges", 'instrument = topic if ";" in topic else frame.conid', "instrument = topic"),
    ("symbol of combinations", 'instrument = topic if ";" in topic else frame.conid', "instrument = frame.conid"),
    ("no symbol", 'if symbol not in (None, "-"):', "if symbol is not None:"),
    ("long text", "return isinstance(value, str) and len(value.encode()) > 1024", "return False"),
    ("longest text", "> 1024", ">= 1024"),
    ("bytes of a long text", "len(value.encode())", "len(value)"),
    ("availability", 'state.get("6509", (None, None))[0],', 'sent.get("6509", (None, None))[0],'),
    ("prefix", 'row["last_price_prefix"] = prefix', 'row["last_price_prefix"] = None'),
    ("no number", 'value in ("", "-", "N/A")', 'value in ("", "-")'),
    ("mismatch", "self.mismatches[column.name] += found is None and not nothing", "pass"),
    ("mismatch of a time", 'self.mismatches["updated"] += 1', "pass"),
    ("last year", "253402300799999", "253402300800000"),
    ("first year", "-62135596800000", "-62135596800001"),
]


@pytest.mark.parametrize(("old", "new"), [pytest.param(old, new, id=name) for name, old, new in FAULTS])
def test_a_fault_is_found(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    source = inspect.getsource(table_oracle)
    assert old in source
    wrong = ModuleType(table_oracle.__name__)
    exec(compile(source.replace(old, new), "wrong", "exec"), wrong.__dict__)
    monkeypatch.setattr(targets, "table_oracle", wrong)
    assert any(is_found(seed) for seed in seeds("tables"))


def is_found(seed: bytes) -> bool:
    try:
        targets.tables(seed)
    except AssertionError:
        return True
    return False
