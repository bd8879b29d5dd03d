"""Members of decoded JSON: read as far as they are clear, otherwise None and counted; nothing raises."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.protocol.instruments import MAX_CONID
from cpapi_fast.protocol.members import Members, check_error, date_of
from cpapi_fast.protocol.shape import ErrorBodyError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.just(-(10**400))
    | st.floats()
    | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
READERS = ("flag", "text", "number", "whole", "list_of_texts", "id", "date", "object")


def read(reader: str, value: Any) -> tuple[Any, list[str]]:
    odd: list[str] = []
    return getattr(Members({"x": value}, odd), reader)("x"), odd


@given(st.sampled_from(READERS), JSON)
def test_any_value_is_read_or_counted(reader: str, value: Any) -> None:
    found, odd = read(reader, value)
    assert set(odd) <= {"x"}
    if value is None:
        assert odd == []
    if reader in ("number", "whole") and found is not None:
        assert math.isfinite(found)


@given(JSON)
def test_any_value_has_rows_and_parts(value: Any) -> None:
    odd: list[str] = []
    members = Members({"x": value}, odd)
    assert all(isinstance(row.payload, dict) for row in members.rows("x"))
    assert all(isinstance(part, str) and part.strip() == part for part in members.parts("x", ";"))
    assert set(odd) <= {"x"}


@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), float("nan"), "1e999", "9" * 400, True, [1], "x"])
def test_numbers_that_are_none(value: Any) -> None:
    assert read("number", value) == (None, ["x"])


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (265598, 265598), ("265598", 265598), (MAX_CONID, MAX_CONID)])
def test_contract_ids(value: Any, expected: int) -> None:
    assert read("id", value) == (expected, [])


@pytest.mark.parametrize(
    "value", [-1, "-1", True, 1.0, "1.0", "", " 1", "\u0663", MAX_CONID + 1, "9" * 19, "9" * 400, [1]]
)
def test_values_that_are_no_contract_ids(value: Any) -> None:
    assert read("id", value) == (None, ["x"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (20261218, dt.date(2026, 12, 18)),
        ("20261218", dt.date(2026, 12, 18)),
        ("", None),
        (20261301, None),
        ("2026-12-18", None),
        (202612, None),
        (10**400, None),
        (True, None),
        (1.5, None),
    ],
)
def test_dates(value: Any, expected: dt.date | None) -> None:
    found, odd = read("date", value)
    assert found == expected
    assert odd == ([] if expected is not None or value == "" else ["x"])
    assert date_of(value) == expected


def test_errors_in_place_of_a_result() -> None:
    for body in ({"error": "x"}, {"error": {"message": "x"}}, {"error": ["x"], "code": 5}):
        with pytest.raises(ErrorBodyError):
            check_error(body)
    for fine in ({}, [], None, {"error": None}, {"error": ""}, {"error": False}, {"message": "x"}, [{"error": "x"}]):
        check_error(fine)
