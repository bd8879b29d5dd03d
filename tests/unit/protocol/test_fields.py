"""The catalogue of fields is complete, consistent and read-only."""

from __future__ import annotations

import pytest

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.protocol.fields import FIELDS, Field, FieldKind, field_code, similar_keys

#: Every code of the documented table, typed in from there and not read from the module.
_TABLE = """
31 55 58 70 71 73 74 75 76 77 78 79 80 82 83 84 85 86 87 88 201 6004 6008 6070 6072 6073 6119 6457 6508 6509
7051 7057 7058 7059 7068 7084 7085 7086 7087 7088 7089 7094 7184 7219 7220 7221 7280 7281 7282 7283 7284 7285
7286 7287 7288 7289 7290 7291 7292 7293 7294 7295 7296 7308 7309 7310 7311 7607 7633 7635 7636 7637 7638 7639
7644 7655 7671 7672 7674 7675 7676 7677 7678 7679 7681 7682 7683 7684 7685 7686 7687 7688 7689 7690 7694 7695
7696 7697 7698 7699 7700 7702 7703 7704 7705 7706 7707 7708 7714 7715 7718 7720 7724 7741 7762 7768 7899 7920
7921 7943
"""
DOCUMENTED = _TABLE.split()


def test_the_catalogue_has_every_documented_code_once_and_in_order() -> None:
    assert list(FIELDS) == DOCUMENTED
    assert list(FIELDS) == sorted(FIELDS, key=int)


def test_the_keys_of_the_price_fields() -> None:
    expected = {
        "31": "last_price",
        "84": "bid_price",
        "86": "ask_price",
        "85": "ask_size",
        "88": "bid_size",
        "87": "volume",
        "83": "change_percent",
        "7059": "last_size",
        "6509": "market_data_availability",
        "7762": "volume_long",
    }
    assert {code: FIELDS[code].key for code in expected} == expected


def test_every_key_and_every_code_gives_the_code() -> None:
    assert [field_code(field.key) for field in FIELDS.values()] == DOCUMENTED
    for code, field in FIELDS.items():
        assert field.code == code == field_code(code) == field_code(int(code))
        assert field.meaning
    assert field_code("9999") == "9999"


def test_the_kind_decides_unit_and_form() -> None:
    units = {FieldKind.PRICE: "currency", FieldKind.SIZE: "shares or contracts", FieldKind.PERCENT: "percent"}
    for field in FIELDS.values():
        assert field.unit == units.get(field.kind, field.unit if field.kind is FieldKind.NUMBER else "")
        assert field.form in ("text", "number", "text or number")
        assert field.form == "text" or field.is_number
        assert field.source
        assert field.is_number is (field.kind not in (FieldKind.TEXT, FieldKind.DATE))
        if field.key.endswith("_percent"):
            assert field.kind is FieldKind.PERCENT, field


def test_the_recorded_fields() -> None:
    recorded = "31 55 83 84 85 86 87 88 6119 6508 6509 7059"
    assert " ".join(code for code, field in FIELDS.items() if field.is_recorded) == recorded


@pytest.mark.parametrize(
    "name",
    ["", "last", "LAST_PRICE", "\u0663\u0661", "31 ", "-1", "1" * 20, "x" * 5000, -1, 2**63, True, 31.0, None, ["31"]],
)
def test_an_unknown_name_is_refused(name: object) -> None:
    with pytest.raises(SubscriptionError, match="unknown field") as caught:
        field_code(name)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "key"), [("last_pric", "last_price"), ("LAST_PRICE", "last_price"), ("askprice", "ask_price")]
)
def test_the_error_names_similar_keys(name: str, key: str) -> None:
    with pytest.raises(SubscriptionError, match=f"Did you mean .*{key}"):
        field_code(name)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("bid", "bid_price or bid_size"),
        ("ask", "ask_price or ask_size"),
        ("LAST", "last_price or "),
        ("price", "last_price or bid_price or ask_price"),
        ("mark", "mark_price"),
    ],
)
def test_keys_with_the_name_as_a_word_come_first(name: str, keys: str) -> None:
    assert similar_keys(name).startswith(f" Did you mean {keys}")
    # So does a decoder, which takes other names too.
    assert similar_keys(name, similarity=0.8).startswith(f" Did you mean {keys}")


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        FIELDS["31"] = Field("31", "x", "y")  # type: ignore[index]
    with pytest.raises(AttributeError):
        FIELDS["31"].key = "x"  # type: ignore[misc]
