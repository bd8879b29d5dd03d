"""The columns of the tables of market data: their names, types and descriptions, and the version of the schema"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple

from cpapi_fast._version import __version__
from cpapi_fast.outputs.interface import import_arrow
from cpapi_fast.protocol.fields import DEFAULT_FIELDS, FIELDS, FieldKind, field_code

#: The tables: each frame as sent, or the whole state after each frame.
TableName = Literal["ticks", "quotes"]

#: The version of the schema of both tables. Another version has columns of other names, types or meanings.
FORMAT_VERSION: Final = "2"

#: The names of the columns that every table has besides the fields, and those of two fields.
_NAMES: Final = {"_updated": "updated", "6509": "availability", "55": "symbol"}
_OTHER_NAMES: Final = frozenset({"received", "late_ns", "conid", "target", "segment", "last_price_prefix"})

#: The fields in every table, by their names in the frames.
ALWAYS: Final = (*_NAMES, *DEFAULT_FIELDS)

_ROWS: Final[dict[TableName, str]] = {
    "ticks": "one per market data frame, as sent; null in a field: not in this frame, or no value. The first snapshot "
    "of a subscription is sent twice",
    "quotes": "one per market data frame, with the whole state after it; null: no value. A value that is not in a "
    "frame is that of the row before, in the same segment. The second of two equal snapshots has no row",
}

_SEGMENT: Final = (
    "values are carried forward within a segment only: another number follows each gap. It is the receive time of the "
    "first row in ns since the Unix epoch, or a higher number, so that no two segments of an instrument share one"
)


class FieldColumn(NamedTuple):
    """The column of one field.

    Attributes:
        code: the code of the field, or the name of another member of the frames.
        name: the name of the column: the key of the field, or its code if the catalogue does not contain it.
        type_name: `text`, `float64`, `int64` or `bool`.
        meaning: the description of the field.
        unit: its unit; empty without one.
    """

    code: str
    name: str
    type_name: str
    meaning: str
    unit: str = ""


_TYPES: Final = {FieldKind.TEXT: "text", FieldKind.DATE: "text", FieldKind.ID: "int64", FieldKind.FLAG: "bool"}


def field_columns(fields: Iterable[str | int] = ()) -> tuple[FieldColumn, ...]:
    """Return a column for each field of a table: the event time, availability, symbol, the L1 fields, and the others.

    Args:
        fields: the keys or codes of the requested fields. A field whose key is the name of another column has its code
            at the end: `conid_6008`.

    Raises:
        SubscriptionError: a field is unknown; see `field_code`.
    """
    found: dict[str, FieldColumn] = {}
    taken = set(_OTHER_NAMES)
    for code in dict.fromkeys((*ALWAYS, *map(field_code, fields))):
        field = FIELDS.get(code)
        if code == "_updated":
            found[code] = FieldColumn(code, "updated", "time", "event time: when the gateway updated the values")
        elif field is None:
            found[code] = FieldColumn(code, code, "text", "a field that IB does not document, as received")
        else:
            name = _NAMES.get(code, field.key)
            name = f"{name}_{code}" if name in taken else name
            found[code] = FieldColumn(code, name, _TYPES.get(field.kind, "float64"), field.meaning, field.unit)
        taken.add(found[code].name)
    return tuple(found.values())


def ticks_schema(fields: Iterable[str | int] = ()) -> Any:
    """Return the pyarrow schema of the table `ticks`; see `table_schema`."""
    return table_schema("ticks", fields)


def quotes_schema(fields: Iterable[str | int] = ()) -> Any:
    """Return the pyarrow schema of the table `quotes`; see `table_schema`."""
    return table_schema("quotes", fields)


def table_schema(table: TableName, fields: Iterable[str | int] = ()) -> Any:
    """Return the pyarrow schema of a table, with descriptions, units and the version of the schema as metadata.

    Args:
        table: `ticks` or `quotes`.
        fields: the keys or codes of the requested fields. Each one without a column of its own gets one, after the
            others.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        SubscriptionError: a field is unknown.
    """
    pa = import_arrow("pyarrow")
    texts = pa.dictionary(pa.int32(), pa.string())
    types = {"text": texts, "float64": pa.float64(), "int64": pa.int64(), "bool": pa.bool_()}
    types["time"] = pa.timestamp("ms", "UTC")

    def column(name: str, type_: Any, description: str, *, nullable: bool = True, **metadata: str) -> Any:
        described = {"description": description, **{key: text for key, text in metadata.items() if text}}
        return pa.field(name, type_, nullable=nullable, metadata=described)

    def of_field(one: FieldColumn) -> list[Any]:
        columns = [column(one.name, types[one.type_name], one.meaning, code=one.code, unit=one.unit)]
        if one.code == "31":
            prefix = "C: last_price is the prior close; H: trading is halted"
            columns.append(column(f"{one.name}_prefix", texts, prefix, code=one.code))
        return columns

    updated, availability, symbol, *others = field_columns(fields)
    columns = [
        column("received", pa.timestamp("ns", "UTC"), "receive time, one per socket read", nullable=False),
        *of_field(updated),
        column(
            "late_ns",
            pa.int64(),
            "how late the row is: received - updated beyond the usual of its subscription; 0 up to 1 s",
            nullable=False,
            unit="ns",
        ),
        column("conid", pa.int64(), "contract id; 0 is a real one", nullable=False),
        column(symbol.name, texts, "ticker symbol, from the latest frame of the conid with field 55", code=symbol.code),
        column("target", texts, "the subscribed target if it is more than a conid: 265598@NYSE"),
    ]
    if table == "quotes":
        columns.append(column("segment", pa.int64(), _SEGMENT, nullable=False))
    columns.append(
        column(
            availability.name,
            texts,
            f"{availability.meaning}; from the latest frame with it, never across a gap, after which it is null until "
            "the gateway sends it again",
            code=availability.code,
        )
    )
    columns += [found for one in others for found in of_field(one)]
    return pa.schema(
        columns,
        metadata={
            "cpapi_fast.format": table,
            "cpapi_fast.format_version": FORMAT_VERSION,
            "cpapi_fast.version": __version__,
            "cpapi_fast.rows": _ROWS[table],
        },
    )
