"""The columns of the quotes for requested fields: which name and type each has, and how its values are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, NamedTuple

import orjson

from cpapi_fast.protocol.fields import FIELDS
from cpapi_fast.protocol.numbers import parse_number

#: The fields of the catalogue whose values are texts or dates. All others are numbers.
_TEXT_CODES: Final = frozenset(
    (
        "55", "58", "76", "77", "201", "6004", "6070", "6072", "6073", "6119", "6508", "6509", "7051", "7057", "7058",
        "7068", "7094", "7219", "7220", "7221", "7280", "7281", "7288", "7644", "7655", "7683", "7684", "7685", "7686",
        "7687", "7688", "7689", "7690", "7695", "7704", "7705", "7706", "7707", "7708", "7714", "7715", "7899",
    )
)  # fmt: skip


class FieldColumn(NamedTuple):
    """The column of one requested field.

    Attributes:
        code: the code of the field.
        name: the name of the column: the key of the field, or its code if the catalogue does not contain it.
        is_number: whether it is a float64 column; otherwise it has texts.
        meaning: the description of the field.
        read: converts a decoded value of a frame; None for what the column cannot represent.
    """

    code: str
    name: str
    is_number: bool
    meaning: str
    read: Callable[[object], Any]


def field_columns(codes: Iterable[str], taken: Collection[str]) -> tuple[FieldColumn, ...]:
    """Return a column for each requested field, in the given order.

    Args:
        codes: the codes of the fields.
        taken: the names of the other columns. A field whose key is among them has its code as the name (6008, `conid`).
    """
    found = []
    for code in dict.fromkeys(codes):
        field = FIELDS.get(code)
        name = code if field is None or field.key in taken else field.key
        is_number = field is not None and code not in _TEXT_CODES
        meaning = field.meaning if field is not None else "a field that IB does not document, as received"
        found.append(FieldColumn(code, name, is_number, meaning, parse_number if is_number else text_of))
    return tuple(found)


def text_of(value: object) -> str | None:
    """Return a value as text: a JSON string itself, any other value as JSON; None for null and a missing value."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
