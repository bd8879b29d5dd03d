"""The rows of a snapshot: merged over its responses, and complete when nothing more is to be expected."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.messages import MarketDataMessage
from cpapi_fast.protocol.shape import ErrorBodyError, ShapeError
from cpapi_fast.protocol.snapshot import MAX_SNAPSHOT_FIELDS, SnapshotRows, check_fields
from tests.unit.protocol.contracts.bodies import changed

STARTED = {"conid": 265598, "conidEx": "265598", "server_id": "q0", "6509": "DPB", "_updated": 1777552119103}
ROWS = [STARTED | {"31": "187.05", "84": "187.04", "83": 0.56}, {"conid": 8314, "31": "C240.10"}]


def rows_after(*bodies: Any, codes: tuple[str, ...] = ("31", "84")) -> SnapshotRows:
    rows = SnapshotRows([265598, 8314], codes)
    for body in bodies:
        rows.add(body)
    return rows


def test_the_first_response_only_starts_the_quotes() -> None:
    assert not rows_after([STARTED]).are_complete
    assert not rows_after([STARTED], [STARTED]).are_complete
    assert not rows_after([STARTED], [STARTED | {"31": "1"}]).are_complete


def test_complete_with_every_field_or_when_no_more_arrives() -> None:
    every = [row | {"84": "1"} for row in ROWS]
    assert rows_after(every).are_complete
    assert not rows_after([STARTED], ROWS).are_complete
    rows = rows_after([STARTED], ROWS, ROWS)
    assert rows.are_complete
    assert rows.by_conid[265598]["84"] == "187.04"
    assert rows.by_conid[8314] == {"conid": 8314, "31": "C240.10"}
    # A conid without any value is waited for.
    assert not rows_after([STARTED], ROWS[:1], ROWS[:1]).are_complete


def test_a_request_for_the_availability_alone() -> None:
    rows = SnapshotRows([265598], ["6509"])
    rows.add([STARTED])
    assert rows.are_complete


def test_rows_of_other_contracts_and_odd_rows_are_left_out() -> None:
    rows = SnapshotRows([265598], ["31"])
    odd = rows.add([None, 5, {"conid": 7, "31": "1"}, {"31": "1"}, {"conid": "x"}, {"conid": "265598", "31": "2"}])
    assert rows.by_conid == {265598: {"conid": 265598, "31": "2"}}
    assert odd == ["the rows", "the rows", "the rows.conid"]


def test_bodies_that_are_no_rows() -> None:
    with pytest.raises(ErrorBodyError):
        rows_after({"error": "x"})
    for wrong in ({}, None, 5, "x"):
        with pytest.raises(ShapeError):
            rows_after(wrong)


@given(st.lists(changed(ROWS), max_size=3))
def test_any_change_of_the_rows(bodies: list[Any]) -> None:
    rows = SnapshotRows([265598, 8314], ("31", "84"))
    for body in bodies:
        try:
            rows.add(body)
        except ShapeError:
            continue
        assert rows.are_complete in (True, False)
    assert list(rows.by_conid) == [265598, 8314]
    for conid, row in rows.by_conid.items():
        message = MarketDataMessage(row)
        assert message.conid == conid
        assert isinstance(message.problems, tuple)


def test_the_fields_of_a_snapshot() -> None:
    assert check_fields(None) == ("31", "84", "86", "85", "88", "87")
    assert check_fields(["last_price", 84]) == ("31", "84")
    with pytest.raises(SubscriptionError, match="at most 50 fields"):
        check_fields(range(1, MAX_SNAPSHOT_FIELDS + 2))
    with pytest.raises(SubscriptionError):
        check_fields(["last_prise"])
