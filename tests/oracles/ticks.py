"""A slow and simple model of typed columns, and the comparison with the real ones."""

from __future__ import annotations

import contextlib
import ctypes
import math
import re
import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import orjson

from cpapi_fast.frames import tick_decoder
from cpapi_fast.frames.tick_decoder import TickDecoder
from cpapi_fast.frames.ticks import Ticks
from cpapi_fast.protocol.fields import FIELDS, FieldKind
from cpapi_fast.protocol.numbers import number_prefix, parse_number
from tests.support.batches import batch_of

#: How many payloads share a batch.
BATCH_SIZE: Final = 512


class Cell(NamedTuple):
    """One field of one frame: the eight bytes of its double (None: not valid) and its prefix; or its text."""

    double: bytes | None
    prefix: int
    text: str | None = None


NOTHING: Final = Cell(None, 0)
#: The text of the C interface, which reports only that there is one.
ANY_TEXT: Final = "any text"


def is_text(field: str) -> bool:
    """Whether a field is decoded as a text."""
    if field in FIELDS:
        return FIELDS[field].kind in (FieldKind.TEXT, FieldKind.DATE)
    return field.isdigit() or field in ("conidEx", "server_id", "topic")


def cell(value: object, *, as_text: bool = False) -> Cell:
    """The definition: what the two functions say of a decoded value; a text is the value itself."""
    if as_text:
        return Cell(None, 0, value if isinstance(value, str) else None)
    number = parse_number(value)
    prefix = number_prefix(value)
    return Cell(None if number is None else struct.pack("=d", number), 0 if prefix is None else ord(prefix))


def decoded(payload: bytes) -> object:
    """The JSON value with invalid UTF-8 repaired; ValueError if the text is not JSON."""
    try:
        return orjson.loads(payload)
    except ValueError:
        return orjson.loads(payload.decode("utf-8", "replace"))


def expected(payload: bytes, fields: Sequence[str]) -> list[Cell] | None:
    """The row of a payload; None when it is not JSON."""
    try:
        value = decoded(payload)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return [NOTHING] * len(fields)
    return [cell(value.get(field), as_text=is_text(field)) for field in fields]


def spelled(payload: bytes, field: str) -> set[Cell]:
    """Whatever the text spells after this key, at any depth: what a field may be where the text is not JSON."""
    found = re.findall(
        rb'"' + field.encode() + rb'"[ \t\r\n]*:[ \t\r\n]*(?:"([^"\\]*)"|(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?))',
        payload,
    )
    cells = {NOTHING}
    for text, number in found:
        # `01` and `1e999` are no numbers of JSON.
        with contextlib.suppress(ValueError):
            if not is_text(field):
                cells.add(cell(orjson.loads(number) if number else text.decode("latin-1")))
            elif not number:
                cells.add(Cell(None, 0, text.decode("utf-8", "replace")))
    return cells


def rows_of(ticks: Ticks) -> list[list[Cell]]:
    """The columns, row by row. A value that is not valid has to be NaN."""
    columns = []
    for field in ticks.fields:
        if is_text(field):
            columns.append(_texts_of(ticks, field))
            continue
        values, valid, prefixes = ticks.values(field), ticks.valid(field), ticks.prefixes(field)
        assert len(values) == len(valid) == len(prefixes) == len(ticks)
        column = []
        for value, is_valid, prefix in zip(values, valid, prefixes, strict=True):
            assert is_valid in (0, 1)
            assert is_valid or math.isnan(value)
            column.append(Cell(struct.pack("=d", value) if is_valid else None, prefix))
        columns.append(column)
    return [list(row) for row in zip(*columns, strict=True)]


def _texts_of(ticks: Ticks, field: str) -> list[Cell]:
    """The column of a text."""
    codes, valid, texts = ticks.codes(field), ticks.valid(field), ticks.texts(field)
    assert len(codes) == len(valid) == len(texts) == len(ticks)
    dictionary = ticks.dictionary
    for code, is_valid, text in zip(codes, valid, texts, strict=True):
        assert is_valid is not None
        assert (code >= 0) == is_valid == (text is not None)
        assert text is None or dictionary[code] == text
    return [Cell(None, 0, text) for text in texts]


def _hidden(row: Iterable[Cell]) -> list[Cell]:
    return [cell if cell.text is None else cell._replace(text=ANY_TEXT) for cell in row]


def check_row(
    payload: bytes, fields: Sequence[str], row: list[Cell], *, strict: bool = False, has_texts: bool = True
) -> None:
    """One frame's row against the oracle. Without `has_texts`, the row is one of the C interface."""
    wanted = expected(payload, fields)
    if wanted is not None and not has_texts:
        wanted = _hidden(wanted)
    if wanted is None and not strict:
        for field, got in zip(fields, row, strict=True):
            found = spelled(payload, field)
            assert got in (found if has_texts else _hidden(found)), f"{field} of {payload!r} is {got}"
    else:
        assert row == (wanted or [NOTHING] * len(fields)), f"{payload!r} gives {row}, not {wanted}"


def check_payloads(payloads: Iterable[bytes], decoder: TickDecoder) -> int:
    """Hold all payloads that are market data against the oracle, many to a batch; how many these are."""
    count = 0
    waiting: list[bytes] = []
    for payload in payloads:
        waiting.append(payload)
        if len(waiting) == BATCH_SIZE:
            count += _check_batch(waiting, decoder)
            waiting = []
    return count + (_check_batch(waiting, decoder) if waiting else 0)


def _check_batch(payloads: list[bytes], decoder: TickDecoder) -> int:
    ticks = decoder.decode(batch_of(payloads))
    rows = rows_of(ticks)
    refused = full = 0
    for index, row in zip(ticks.rows, rows, strict=True):
        payload = payloads[index]
        check_row(payload, decoder.fields, row, strict=decoder.strict)
        if expected(payload, decoder.fields) is None:
            refused += 1
            full += row != [NOTHING] * len(row)
    assert ticks.malformed == refused if decoder.strict else ticks.malformed <= refused - full
    return len(ticks)


class CDecoder:
    """The functions of ticks.pxd, called through their pointers as a Cython module calls them."""

    def __init__(self, decoder: TickDecoder) -> None:
        self.decoder: Final = decoder
        count = len(decoder.fields)
        self._values = (ctypes.c_double * count)()
        self._valid = (ctypes.c_uint8 * count)()
        self._prefixes = (ctypes.c_uint8 * count)()
        arrays = [ctypes.c_void_p] * 3
        address, length = ctypes.c_void_p, ctypes.c_ssize_t
        self._decode = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, address, length, *arrays)(
            _pointer("decode_payload_ptr")
        )
        self._walk = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, address, length, *arrays)(
            _pointer("walk_payload_ptr")
        )

    def decode(self, address: int, length: int) -> tuple[int, list[Cell]]:
        """Whether the payload at an address is JSON, and its row."""
        done = self._decode(self.decoder, address, length, self._values, self._valid, self._prefixes)
        return done, self._row()

    def walk(self, address: int, length: int) -> list[Cell] | None:
        """The row of the payload at an address; None when it is not for the walk."""
        done = self._walk(self.decoder, address, length, self._values, self._valid, self._prefixes)
        return self._row() if done else None

    def decode_bytes(self, payload: bytes) -> tuple[int, list[Cell]]:
        """The same for bytes."""
        buffer = ctypes.create_string_buffer(payload, len(payload) + 1)
        return self.decode(ctypes.addressof(buffer), len(payload))

    def walk_bytes(self, payload: bytes) -> list[Cell] | None:
        """The same for bytes."""
        buffer = ctypes.create_string_buffer(payload, len(payload) + 1)
        return self.walk(ctypes.addressof(buffer), len(payload))

    def _row(self) -> list[Cell]:
        rows = zip(self._values, self._valid, self._prefixes, strict=True)
        cells = []
        for field, (value, valid, prefix) in zip(self.decoder.fields, rows, strict=True):
            if is_text(field):
                assert math.isnan(value)
                cells.append(Cell(None, prefix, ANY_TEXT if valid else None))
            else:
                cells.append(Cell(struct.pack("=d", value) if valid else None, prefix))
        return cells


def _pointer(name: str) -> int:
    capsule = tick_decoder.__pyx_capi__[name]  # type: ignore[attr-defined]
    get_name, get_pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    get_name.argtypes, get_name.restype = [ctypes.py_object], ctypes.c_char_p
    get_pointer.argtypes, get_pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    return int(get_pointer(capsule, get_name(capsule)))
