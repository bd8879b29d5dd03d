"""The columns of the quotes: the name and type of each, and how the values of requested fields are read."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, NamedTuple

import orjson

from cpapi_fast._version import __version__
from cpapi_fast.protocol.fields import DEFAULT_FIELDS, FIELDS, FieldKind, field_code
from cpapi_fast.protocol.numbers import parse_number

from .interface import import_arrow

#: The fields that become float64 columns in every file, named by their keys.
NUMBER_CODES: Final = DEFAULT_FIELDS

#: From here on, a double may be a rounded integer.
_EXACT: Final = 2.0**53

#: The fields that have a column in every file, and the names of all columns in every file.
_ALWAYS: Final = frozenset({*NUMBER_CODES, "6509"})
_ALWAYS_NAMES: Final = frozenset(
    {"received_ns", "late_ns", "updated_ms", "conid", "target", "6509", "last_price_prefix"}
    | {FIELDS[code].key for code in NUMBER_CODES}
)


class FieldColumn(NamedTuple):
    """The column of one requested field.

    Attributes:
        code: the code of the field.
        name: the name of the column: the key of the field, or its code if the catalogue does not contain it.
        type_name: its pyarrow type: `float64` for numbers, `int64` for ids, `bool_` for flags, otherwise `string`.
        meaning: the description of the field.
        read: converts a decoded value of a frame; None for what the column cannot represent.
    """

    code: str
    name: str
    type_name: str
    meaning: str
    read: Callable[[object], Any]


def quotes_schema(fields: Iterable[str | int] = ()) -> Any:
    """Return the pyarrow schema of the quotes, with descriptions as metadata.

    Args:
        fields: the keys or codes of the requested fields. Each one without a column of its own gets one, after the
            others.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        SubscriptionError: a field is unknown.
    """
    pa = import_arrow("pyarrow")

    def field(name: str, type_: Any, description: str, *, nullable: bool = True, **metadata: str) -> Any:
        return pa.field(name, type_, nullable=nullable, metadata={"description": description, **metadata})

    return pa.schema(
        [
            field("received_ns", pa.int64(), "ns since the Unix epoch (UTC), the receive time", nullable=False),
            field(
                "late_ns",
                pa.int64(),
                "how late the row is in ns: received_ns - updated_ms beyond the usual of its subscription; 0 up to 1 s",
                nullable=False,
            ),
            field("updated_ms", pa.int64(), "ms since the Unix epoch (UTC), from the gateway", code="_updated"),
            field("conid", pa.int64(), "contract id; 0 is a real one", nullable=False),
            field("target", pa.string(), "the subscribed target if it is more than a conid: 265598@NYSE"),
            *(field(FIELDS[code].key, pa.float64(), FIELDS[code].meaning, code=code) for code in NUMBER_CODES),
            field("6509", pa.string(), FIELDS["6509"].meaning, code="6509", key=FIELDS["6509"].key),
            field("last_price_prefix", pa.string(), "C: last_price is the prior close; H: halted", code="31"),
            *(
                field(one.name, getattr(pa, one.type_name)(), one.meaning, code=one.code)
                for one in requested_columns(fields)
            ),
        ],
        metadata={
            "cpapi_fast.format": "quotes",
            "cpapi_fast.format_version": "1",
            "cpapi_fast.version": __version__,
            "cpapi_fast.rows": "one per market data frame; null: not in this frame, so it did not change; the first "
            "snapshot of a subscription is sent twice",
        },
    )


def requested_columns(fields: Iterable[str | int]) -> tuple[FieldColumn, ...]:
    """Return a column for each requested field that every file does not have anyway.

    Args:
        fields: the keys or codes of the fields.

    Raises:
        SubscriptionError: a field is unknown; see `field_code`.
    """
    return field_columns((code for code in map(field_code, fields) if code not in _ALWAYS), _ALWAYS_NAMES)


def field_columns(codes: Iterable[str], taken: Collection[str]) -> tuple[FieldColumn, ...]:
    """Return a column for each requested field, in the given order. Names and types are those of `Ticks.to_arrow`.

    Args:
        codes: the codes of the fields.
        taken: the names of the other columns. A field whose key is among them has its code at the end: `conid_6008`.
    """
    types: dict[FieldKind, tuple[str, Callable[[object], Any]]] = {
        FieldKind.TEXT: ("string", text_of),
        FieldKind.DATE: ("string", text_of),
        FieldKind.ID: ("int64", id_of),
        FieldKind.FLAG: ("bool_", flag_of),
    }
    found = []
    for code in dict.fromkeys(codes):
        field = FIELDS.get(code)
        if field is None:
            found.append(FieldColumn(code, code, "string", "a field that IB does not document, as received", text_of))
            continue
        name = f"{field.key}_{code}" if field.key in taken else field.key
        type_name, read = types.get(field.kind, ("float64", parse_number))
        found.append(FieldColumn(code, name, type_name, field.meaning, read))
    return tuple(found)


def id_of(value: object) -> int | None:
    """Return the value of an id as an integer; None for what is no number, and from 2**53 on, as `Ticks` does."""
    number = parse_number(value)
    return None if number is None or not abs(number) < _EXACT else math.floor(number)


def flag_of(value: object) -> bool | None:
    """Return the value of a flag: whether it is another number than 0; None for what is no number."""
    number = parse_number(value)
    return None if number is None else number != 0.0


def text_of(value: object) -> str | None:
    """Return a value as text: a JSON string itself, any other value as JSON; None for null and a missing value."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
