"""Typed columns: the fields of `smd` frames as float64, straight from the bytes of a batch.

What is a number, and which, is what `parse_number` says of the decoded value; that is the definition, and this module
is a faster way to the same answer. A frame takes one of two ways:

* **The walk** of walk.pxd, in C. It is right about every valid JSON text, or says that it is not sure.
* **The long way**: `Frame.payload` (orjson, invalid UTF-8 repaired) and `parse_number`. It is taken for what the walk
  finds odd: escapes in a key or in a wanted text, numbers that decimals.pxd is not sure of, and whatever does not look
  like one JSON object and nothing after it.

Text that is not JSON and in which the walk finds nothing odd has the columns that are written in it. Otherwise the
decoder refuses the text, nothing of the frame is valid, and it is counted. `strict=True` always takes the long way.
"""

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_AsUTF8, PyUnicode_FromObject
from libc.math cimport NAN
from libc.string cimport memset

from .batch cimport Batch, Frame, column_view
from .classifier cimport KIND_MARKET_DATA
from cpapi_fast._json.walk cimport KeySlot, LongKey, add_key, walk_object

import re
from collections.abc import Iterable

from cpapi_fast.errors import ConfigError, MalformedPayloadError
from cpapi_fast.protocol.fields import FIELDS as _FIELDS
from cpapi_fast.protocol.numbers import number_prefix, parse_number

cdef object _parse_number = parse_number
cdef object _number_prefix = number_prefix

# Last, bid, ask, ask size, bid size, and when the gateway says so.
DEFAULT_FIELDS = ("31", "84", "85", "86", "88", "_updated")

cdef object _FIELD = re.compile(r"[A-Za-z0-9_]{1,32}")

# Names of fields that are not keys on the wire; `conid` is both.
cdef dict _CODES = {field.key: field.code for field in _FIELDS.values() if field.key != "conid"}


cdef inline void _clear(Py_ssize_t count, double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr) noexcept nogil:
    cdef Py_ssize_t index
    for index in range(count):
        values_ptr[index] = NAN
    memset(valid_ptr, 0, <size_t>count)
    memset(prefixes_ptr, 0, <size_t>count)


cdef tuple _checked(object fields):
    cdef dict names = {}
    cdef object field
    cdef str name
    if isinstance(fields, (str, bytes, bytearray, memoryview)) or not isinstance(fields, Iterable):
        raise ConfigError(f"fields must be a list such as ['31', '84'], not a {type(fields).__name__}")
    for field in fields:
        if not isinstance(field, str):
            raise ConfigError(f"a field is a key of the wire as text, such as '31', not a {type(field).__name__}")
        # What the text is, whatever a subclass (an enum, say) makes of it.
        name = PyUnicode_FromObject(field)
        if name in _CODES:
            raise ConfigError(f"on the wire the field {name!r} is called {_CODES[name]!r}; ask for that")
        if _FIELD.fullmatch(name) is None:
            raise ConfigError(
                f"a field is a key of the wire such as '31', '87_raw' or '_updated': 1 to 32 ASCII letters, digits "
                f"and underscores; {name[:40]!r} is none"
            )
        if name in names:
            raise ConfigError(f"the field {name!r} is there twice; ask for each field once")
        names[name] = None
    if not names:
        raise ConfigError("a decoder needs at least one field, such as '31'")
    return tuple(names)


cdef bint walk_payload_ptr(
    TickDecoder decoder, const char* payload_ptr, Py_ssize_t payload_len,
    double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
) noexcept nogil:
    _clear(decoder.field_count, values_ptr, valid_ptr, prefixes_ptr)
    return walk_object(&decoder.table, payload_ptr, payload_len, 1, values_ptr, valid_ptr, prefixes_ptr)


cdef int decode_payload_ptr(
    TickDecoder decoder, const char* payload_ptr, Py_ssize_t payload_len,
    double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
) except -1:
    cdef:
        Batch batch
        Frame frame
    if not decoder.strict and walk_payload_ptr(
        decoder, payload_ptr, payload_len, values_ptr, valid_ptr, prefixes_ptr
    ):
        return 1
    batch = Batch.new(payload_len, 1, None)
    batch.append_ptr(payload_ptr, payload_len)
    batch.finish(0)
    frame = batch.frame_at(0)
    # The caller says so, and only what is routed has a payload: a heartbeat has none, nor has a malformed frame.
    frame._kind = KIND_MARKET_DATA
    return decoder._decode_frame(frame, 1, values_ptr, valid_ptr, prefixes_ptr)


@cython.final
cdef class TickDecoder:
    def __cinit__(self, fields=DEFAULT_FIELDS, *, bint strict=False):
        self.fields = _checked(DEFAULT_FIELDS if fields is None else fields)
        self.strict = strict
        self.field_count = len(self.fields)
        self._columns = {name: index for index, name in enumerate(self.fields)}
        self._index_keys()

    def __dealloc__(self):
        PyMem_Free(self.table.slots_ptr)
        PyMem_Free(self.table.long_keys_ptr)

    cdef int _index_keys(self) except -1:
        cdef:
            Py_ssize_t size = 256
            Py_ssize_t field
            bytes key
            str name
        # A key that nobody wants should find an empty place at once: a processor foresees that.
        while size < 16 * self.field_count:
            size *= 2
        self.table.slots_ptr = <KeySlot*>PyMem_Calloc(<size_t>size, sizeof(KeySlot))
        self.table.long_keys_ptr = <LongKey*>PyMem_Calloc(<size_t>self.field_count, sizeof(LongKey))
        if self.table.slots_ptr == NULL or self.table.long_keys_ptr == NULL:
            raise MemoryError("no memory for the keys of a decoder")
        self.table.last_slot = <size_t>(size - 1)
        for field, name in enumerate(self.fields):
            key = name.encode()
            if len(key) > 8:
                # ASCII text is kept as these bytes, inside of the str that `fields` holds.
                self.table.long_keys_ptr[self.table.long_key_count] = LongKey(PyUnicode_AsUTF8(name), len(key), field)
                self.table.long_key_count += 1
            else:
                add_key(&self.table, int.from_bytes((key + b'"')[:8], "little"), field)
        return 0

    cdef int _decode_frame(
        self, Frame frame, Py_ssize_t stride, double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
    ) except -1:
        # The long way; 0 where the payload is not JSON.
        cdef:
            object payload = None
            object value, number, prefix
            Py_ssize_t index
            bint is_json = True
        try:
            payload = frame.payload
        except MalformedPayloadError:
            is_json = False
        for index in range(self.field_count):
            value = (<dict>payload).get(self.fields[index]) if type(payload) is dict else None
            number = _parse_number(value)
            prefix = _number_prefix(value)
            values_ptr[index * stride] = NAN if number is None else <double>number
            valid_ptr[index * stride] = number is not None
            prefixes_ptr[index * stride] = 0 if prefix is None else <uint8_t>ord(prefix)
        return is_json

    def decode(self, Batch batch not None):
        cdef:
            Ticks ticks = Ticks.__new__(Ticks)
            Py_ssize_t row_count = 0
            Py_ssize_t row = 0
            Py_ssize_t index
            int32_t start
            double* values_ptr
            uint8_t* valid_ptr
            uint8_t* prefixes_ptr

        for index in range(batch.frame_count):
            row_count += batch.kinds_ptr[index] == KIND_MARKET_DATA
        ticks.fields = self.fields
        ticks._columns = self._columns
        ticks._reserve(row_count)
        _clear(row_count * self.field_count, ticks.values_ptr, ticks.valid_ptr, ticks.prefixes_ptr)
        for index in range(batch.frame_count):
            if batch.kinds_ptr[index] != KIND_MARKET_DATA:
                continue
            start = batch.offsets_ptr[index]
            values_ptr = ticks.values_ptr + row
            valid_ptr = ticks.valid_ptr + row
            prefixes_ptr = ticks.prefixes_ptr + row
            if self.strict or not walk_object(
                &self.table, batch.arena_ptr + start, batch.offsets_ptr[index + 1] - start, row_count,
                values_ptr, valid_ptr, prefixes_ptr
            ):
                if not self._decode_frame(
                    batch.frame_at(index), row_count, values_ptr, valid_ptr, prefixes_ptr
                ):
                    ticks.malformed += 1
            ticks.rows_ptr[row] = <int32_t>index
            ticks.conids_ptr[row] = batch.conids_ptr[index]
            ticks.received_ns_ptr[row] = batch.received_ns_ptr[index]
            row += 1
        return ticks

    def __repr__(self):
        return f"TickDecoder({list(self.fields)}{', strict=True' if self.strict else ''})"

    def __reduce__(self):
        raise TypeError("a TickDecoder cannot be pickled; pickle its `fields`")


@cython.final
@cython.no_gc
cdef class Ticks:
    def __cinit__(self):
        # `Ticks.__new__(Ticks)` gets past __init__; what it makes must be safe to look at: no rows, no fields.
        self.fields = ()
        self._columns = {}

    def __init__(self):
        raise TypeError("Ticks come from TickDecoder.decode(); they are not made by hand")

    def __dealloc__(self):
        PyMem_Free(self.conids_ptr)

    cdef int _reserve(self, Py_ssize_t row_count) except -1:
        cdef Py_ssize_t cells = row_count * len(self.fields)
        # Widest items first, so that each column is aligned.
        cdef char* block_ptr = <char*>PyMem_Malloc(row_count * (8 + 8 + 4) + cells * (8 + 1 + 1))
        if block_ptr == NULL:
            raise MemoryError(f"no memory for the columns of {row_count} frames")
        self.conids_ptr = <int64_t*>block_ptr
        self.received_ns_ptr = self.conids_ptr + row_count
        self.values_ptr = <double*>(self.received_ns_ptr + row_count)
        self.rows_ptr = <int32_t*>(self.values_ptr + cells)
        self.valid_ptr = <uint8_t*>(self.rows_ptr + row_count)
        self.prefixes_ptr = self.valid_ptr + cells
        self.row_count = row_count
        return 0

    cdef Py_ssize_t _column(self, object field) except -1:
        # Where the column of a field starts in each of the three matrices.
        cdef object index = self._columns.get(field) if isinstance(field, str) else None
        if index is None:
            shown = repr(field[:40]) if isinstance(field, str) else f"a {type(field).__name__}"
            raise ConfigError(f"these ticks have the fields {list(self.fields)}, not {shown}; give it to TickDecoder")
        return <Py_ssize_t>index * self.row_count

    @property
    def rows(self):
        return column_view(self, self.rows_ptr, b"i", self.row_count, sizeof(int32_t))

    @property
    def conids(self):
        return column_view(self, self.conids_ptr, b"q", self.row_count, sizeof(int64_t))

    @property
    def received_ns(self):
        return column_view(self, self.received_ns_ptr, b"q", self.row_count, sizeof(int64_t))

    def values(self, field):
        return column_view(self, self.values_ptr + self._column(field), b"d", self.row_count, sizeof(double))

    def valid(self, field):
        return column_view(self, self.valid_ptr + self._column(field), b"B", self.row_count, 1)

    def prefixes(self, field):
        return column_view(self, self.prefixes_ptr + self._column(field), b"B", self.row_count, 1)

    def __len__(self):
        return self.row_count

    def __repr__(self):
        return f"<Ticks {self.row_count} rows {len(self.fields)} fields>"

    def __reduce__(self):
        raise TypeError("Ticks cannot be pickled; copy their columns")
