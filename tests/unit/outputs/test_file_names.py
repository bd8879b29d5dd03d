"""The names of files sort in the order in which the files were begun, whatever the clock does."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpapi_fast.outputs.file_names import FileNames, NamesAfter, new_run, time_in_name
from cpapi_fast.outputs.tables.market_data import QuotesWriter
from tests.support.batches import batch_of
from tests.support.files import quote

SECOND_NS = 1_000_000_000
NOON_NS = 1_767_268_800 * SECOND_NS


class Clocks:
    """The system clock, which can be set, and the monotonic one."""

    def __init__(self, now_ns: int = NOON_NS) -> None:
        self.now_ns = now_ns
        self.monotonic = 5 * SECOND_NS

    def pass_time(self, duration_ns: int) -> None:
        self.now_ns += duration_ns
        self.monotonic += duration_ns

    def names(self, folder: Path, run: str = "") -> FileNames:
        return FileNames(
            folder, "quotes", ".parquet", run=run, clock_ns=lambda: self.now_ns, monotonic_ns=lambda: self.monotonic
        )


def taken(names: FileNames) -> str:
    path = names.next()
    path.write_bytes(b"")
    return path.name


def test_the_name_has_the_time_and_the_run(tmp_path: Path) -> None:
    names = Clocks().names(tmp_path, "1f9a3c")
    assert names.next() == tmp_path / "quotes-20260101T120000.000000Z-1f9a3c.parquet"


def test_more_files_than_a_counter_of_five_digits(tmp_path: Path) -> None:
    clocks = Clocks()
    names = clocks.names(tmp_path)
    made = []
    for _ in range(120_000):
        made.append(names.next().name)
        clocks.pass_time(SECOND_NS // 10_000_000)
    assert made == sorted(set(made))
    assert len({len(name) for name in made}) == 1


@pytest.mark.parametrize(
    "now_ns", [0, 1, NOON_NS, 253_370_764_799 * SECOND_NS], ids=["1970", "1970 too", "2026", "9998"]
)
def test_the_width_never_changes(tmp_path: Path, now_ns: int) -> None:
    made = [Clocks(now_ns).names(tmp_path).next().name for _ in range(3)]
    assert {len(name) for name in made} == {len("quotes-20260101T120000.000000Z.parquet")}


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("pass"), st.integers(0, 10**12)),
            st.tuples(st.just("set"), st.integers(-(10**17), 10**17)),
            st.tuples(st.just("file"), st.integers(0, 2)),
            st.tuples(st.just("restart"), st.integers(0, 2)),
        ),
        max_size=40,
    )
)
def test_any_steps_of_the_clock_restarts_and_runs(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    """Three runs write to one folder while the clock is set and the runs restart."""
    folder = tmp_path_factory.mktemp("names")
    clocks = Clocks()
    runs = [clocks.names(folder, run) for run in "abc"]
    made = []
    for number, (step, value) in enumerate(steps):
        if step == "pass":
            clocks.pass_time(value)
        elif step == "set":
            # Never back to exactly the time before, as if it had not been set: that cannot be noticed.
            clocks.now_ns = max(0, clocks.now_ns + value) + (number + 1) * 1_000_003
        elif step == "restart":
            runs[value] = clocks.names(folder, "abc"[value])
        else:
            # Names of one moment are ordered by their runs.
            clocks.pass_time(2000)
            made.append(taken(runs[value]))
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_the_names_of_earlier_versions_come_first(tmp_path: Path) -> None:
    old = [tmp_path / f"quotes-20260101T120000Z{more}-{n:05d}.parquet" for more in ("", "_2") for n in (1, 2)]
    for path in old:
        path.write_bytes(b"")
    assert all(path.name < Clocks().names(tmp_path).next().name for path in old)


@pytest.mark.parametrize(
    "name", ["quotes-99991231T235959.999999Z.parquet", "quotes-20261399T000000.000000Z.parquet", "quotes-x.parquet"]
)
def test_names_of_others_do_no_harm(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert Clocks().names(tmp_path).next().name == "quotes-20260101T120000.000000Z.parquet"


def test_a_given_path_comes_first(tmp_path: Path) -> None:
    names = NamesAfter(tmp_path / "a.arrows")
    made = [names.next().name for _ in range(3)]
    assert made[0] == "a.arrows"
    assert made[1].startswith("a_")
    assert made == sorted(made)


def test_a_reserved_name_has_the_time_of_the_reservation(tmp_path: Path) -> None:
    clocks = Clocks()
    names = clocks.names(tmp_path)
    names.reserve()
    clocks.pass_time(SECOND_NS)
    names.reserve()
    made = [names.next().name for _ in range(2)]
    assert [name[7:22] for name in made] == ["20260101T120000", "20260101T120001"]


def test_a_run_has_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["aaaaaa", "bbbbbb"])
    monkeypatch.setattr("cpapi_fast.outputs.file_names.secrets.randbelow", lambda _end: 7)
    monkeypatch.setattr("cpapi_fast.outputs.file_names.secrets.token_hex", lambda _bytes: next(drawn))
    (tmp_path / "capture-20260101T120000.000000Z-7aaaaa.arrows").write_bytes(b"")
    assert new_run(tmp_path) == "7bbbbb"
    monkeypatch.setattr("cpapi_fast.outputs.file_names.secrets.token_hex", lambda _bytes: "cccccc")
    assert new_run(tmp_path / "missing") == "7ccccc"


def test_files_of_one_writer_are_in_the_order_of_the_rows(tmp_path: Path) -> None:
    with QuotesWriter(tmp_path, roll_rows=1) as writer:
        for number in range(50):
            writer.write(batch_of([quote(number)]))
    assert all(one < two for one, two in pairwise(writer.files))


def test_time_in_name() -> None:
    assert time_in_name(1_767_268_800_123_456) == "20260101T120000.123456Z"
