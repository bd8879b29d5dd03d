"""Computes the expected answers of the contenders: FNV-1a digests of route, dict and columns, from a slow reference.

The reference decodes with `json` and converts numbers with `decimal`. It shares no code with the library.

A route has two dialects. `full` is the library's own. `common` is the one that every peer supports: only `smd+<digits>`
is market data, and `sld`, `ssl` and every `topic+account` are OTHER.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

HEARTBEAT, SYSTEM, MARKET_DATA, ORDER, PNL, OTHER, MALFORMED = range(7)

#: The top-level keys whose values are in the digest of a dict.
DICT_KEYS: Final = ("topic", "conid", "31", "84", "85", "86", "88", "_updated")
#: The L1 columns, in order.
COLUMNS: Final = ("31", "84", "85", "86", "88", "_updated")
#: The jobs whose answer has a digest; the others only count.
JOBS: Final = ("route", "dict", "columns")
DIALECTS: Final = ("full", "common")

_SMD_FULL: Final = re.compile(r"smd\+([0-9]+)(?:@.+|;;;.+)?", re.DOTALL)
_SMD_COMMON: Final = re.compile(r"smd\+([0-9]+)")
_PNL_FULL: Final = re.compile(r"(?:spl|pnl|ssd|sld|ssl)(?:\+.+)?", re.DOTALL)
_PNL_COMMON: Final = re.compile(r"spl|pnl|ssd")
_NUMBER: Final = re.compile(
    r"[CH]?([+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)([KMB]?)%?"
)


class Fnv:
    """The 64-bit FNV-1a hash of all added bytes."""

    def __init__(self) -> None:
        self.value = 0xCBF29CE484222325

    def add(self, data: bytes) -> None:
        value = self.value
        for byte in data:
            value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
        self.value = value

    def hex(self) -> str:
        return f"{self.value:016x}"


def route_bytes(kind: int, conid: int) -> bytes:
    """Return the bytes of one frame in a `route` digest; a conid of -1 means none."""
    return struct.pack("<Bq", kind, conid)


def dict_bytes(decoded: object) -> bytes:
    """Return the bytes of one frame in a `dict` digest; a value that is not an object counts as an empty object."""
    members = decoded if isinstance(decoded, Mapping) else {}
    parts = [f"{key}={_plain(members[key])};" for key in DICT_KEYS if key in members]
    return "".join(parts).encode() or b"-;"


def _plain(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise TypeError(f"a dict digest supports strings and integers, not {value!r}")
    return str(value)


def columns_bytes(values: Iterable[float | None]) -> bytes:
    """Return the bytes of one MARKET_DATA frame in a `columns` digest; a value of None means no number."""
    return b"".join(b"\0" if value is None else struct.pack("<Bd", 1, value) for value in values)


def reference(frames: Iterable[bytes], job: str, dialect: str = "full") -> str:
    """Return the digest of the expected answer.

    Args:
        frames: all frames, in order.
        job: `route`, `dict` or `columns`.
        dialect: `full` or `common`.

    Raises:
        ValueError: the job or dialect is unknown.
    """
    if job not in JOBS or dialect not in DIALECTS:
        raise ValueError(f"no reference for job {job!r} in dialect {dialect!r}")
    fnv = Fnv()
    for frame in frames:
        decoded, is_json = _decode(frame)
        kind, conid = reference_route(decoded, is_json, dialect)
        if job == "route":
            fnv.add(route_bytes(kind, conid))
        elif job == "dict":
            fnv.add(dict_bytes(decoded))
        elif kind == MARKET_DATA and isinstance(decoded, dict):
            fnv.add(columns_bytes(reference_number(decoded.get(key)) for key in COLUMNS))
    return fnv.hex()


def _decode(frame: bytes) -> tuple[object, bool]:
    try:
        return json.loads(frame), True
    except ValueError:
        return None, False


def reference_route(decoded: object, is_json: bool, dialect: str) -> tuple[int, int]:
    """Return kind and conid of a decoded frame; -1 for no conid."""
    if not is_json:
        return MALFORMED, -1
    if decoded == {} and isinstance(decoded, dict):
        return HEARTBEAT, -1
    topic = decoded.get("topic") if isinstance(decoded, dict) else None
    if not isinstance(topic, str):
        return OTHER, -1
    market_data = (_SMD_FULL if dialect == "full" else _SMD_COMMON).fullmatch(topic)
    if market_data is not None and int(market_data[1]) < 2**63:
        return MARKET_DATA, int(market_data[1])
    if topic == "system":
        return SYSTEM, -1
    if topic in ("sor", "ord", "ortd"):
        return ORDER, -1
    if (_PNL_FULL if dialect == "full" else _PNL_COMMON).fullmatch(topic):
        return PNL, -1
    return OTHER, -1


def reference_number(value: object) -> float | None:
    """Return the number in a field, in the forms of `cpapi_fast.protocol.numbers`; None if there is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    match = _NUMBER.fullmatch(value if isinstance(value, str) else repr(value))
    if match is None or ("e" in match[1].lower() and match[2]):
        return None
    try:
        number = float(Decimal(match[1].replace(",", "")).scaleb({"": 0, "K": 3, "M": 6, "B": 9}[match[2]]))
    except (InvalidOperation, OverflowError):
        return None
    return number if math.isfinite(number) else None
