"""Typed columns: the fields of `smd` frames as float64, straight from the bytes of a batch.

What is a number, and which, is what `parse_number` says of the decoded value; that is the definition, and this module
is a faster way to the same answer. A frame takes one of two ways:

* **The walk**, in C: once over the keys of the outermost object, to its end, since the last of two equal keys wins. It
  compares keys as they are written, so a key with a backslash in it is none of its business. Values nobody asked for
  are stepped over; a wanted one is read by decimals.pxd.
* **The long way**: `Frame.payload` (orjson, invalid UTF-8 repaired) and `parse_number`. It is taken for what the walk
  finds odd: escapes in a key or in a wanted text, numbers that decimals.pxd is not sure of, and whatever does not look
  like one JSON object and nothing after it.

**For every valid JSON text the two agree.** The walk leaves a string at the first quote that is not escaped, and counts
brackets outside of strings, so that it sees exactly the keys of the top level; a key without a backslash is its own
text; later ones overwrite earlier ones. Bytes beyond ASCII are never taken for anything, and U+FFFD in their
place would not be either. On a text that is not valid JSON the walk may find nothing wrong, as it looks into no value
that nobody asked for: then the columns hold what is written there. Otherwise the decoder refuses the text, nothing
of the frame is valid, and it is counted. `strict=True` always takes the long way.
"""

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_AsUTF8
from libc.math cimport NAN
from libc.string cimport memcmp

from .batch cimport Batch, Frame, column_view
from .classifier cimport KIND_MARKET_DATA
from .decimals cimport NO_NUMBER, NUMBER, UNSURE, read_json_number, read_number_text
from .scan cimport (
    byte_at,
    bytes_equal,
    quote_or_backslash,
    skip_spaces,
    string_end,
    trailing_zeros,
    value_end,
    word_at,
)

import re
from collections.abc import Iterable

from .errors import ConfigError, MalformedPayloadError
from .fields import FIELDS as _FIELDS
from .numbers import number_prefix, parse_number

cdef object _parse_number = parse_number
cdef object _number_prefix = number_prefix

# Last, bid, ask, ask size, bid size, and when the gateway says so.
DEFAULT_FIELDS = ("31", "84", "85", "86", "88", "_updated")

cdef object _FIELD = re.compile(r"[A-Za-z0-9_]{1,32}")

# Names of fields that are not keys on the wire; `conid` is both.
cdef dict _CODES = {field.key: field.code for field in _FIELDS.values() if field.key != "conid"}

# Where the search for a multiplier starts, and how many it tries before it doubles the table. Any odd number will do.
cdef uint64_t _FIRST_MULTIPLIER = 0x9E3779B97F4A7C15u
cdef int _ATTEMPTS = 64

# What the walk knows of a key.
cdef enum:
    NOT_WANTED = -1
    ODD_KEY = -2


cdef tuple _checked(object fields):
    cdef list names = []
    cdef object name
    if isinstance(fields, (str, bytes, bytearray, memoryview)) or not isinstance(fields, Iterable):
        raise ConfigError(f"fields must be a list such as ['31', '84'], not a {type(fields).__name__}")
    for name in fields:
        if not isinstance(name, str):
            raise ConfigError(f"a field is a key of the wire as text, such as '31', not a {type(name).__name__}")
        if name in _CODES:
            raise ConfigError(f"on the wire the field {name!r} is called {_CODES[name]!r}; ask for that")
        if _FIELD.fullmatch(name) is None:
            raise ConfigError(
                f"a field is a key of the wire such as '31', '87_raw' or '_updated': 1 to 32 ASCII letters, digits "
                f"and underscores; {name[:40]!r} is none"
            )
        if name in names:
            raise ConfigError(f"the field {name!r} is there twice; ask for each field once")
        names.append(str(name))
    if not names:
        raise ConfigError("a decoder needs at least one field, such as '31'")
    return tuple(names)


cdef inline bint _is_wanted(Py_ssize_t field) noexcept nogil:
    return field >= 0


cdef inline Py_ssize_t _long_key(
    TickDecoder decoder, const char* payload_ptr, Py_ssize_t start, Py_ssize_t end
) noexcept nogil:
    cdef Py_ssize_t index
    for index in range(decoder.long_key_count):
        if (
            decoder.long_keys_ptr[index].text_len == end - start
            and memcmp(decoder.long_keys_ptr[index].text_ptr, payload_ptr + start, <size_t>(end - start)) == 0
        ):
            return decoder.long_keys_ptr[index].field
    return NOT_WANTED


cdef inline Py_ssize_t _read_key(
    TickDecoder decoder, const char* payload_ptr, Py_ssize_t payload_len, Py_ssize_t* position
) noexcept nogil:
    # position[0] is the first byte of a key and becomes its closing quote; which field it is.
    cdef:
        Py_ssize_t start = position[0]
        Py_ssize_t end, index
        uint64_t packed = 0
        uint64_t quotes, stop
        KeySlot* slot_ptr

    if start <= payload_len - 8:
        packed = word_at(payload_ptr, payload_len, start)
        quotes = bytes_equal(packed, 0x2222222222222222u)
        stop = quotes | bytes_equal(packed, 0x5C5C5C5C5C5C5C5Cu)
        if stop != 0:
            stop &= ~stop + 1                  # its lowest bit: the first quote or backslash
            if not stop & quotes:
                return ODD_KEY
            end = start + (trailing_zeros(stop) >> 3)
            packed &= (stop << 1) - 1          # up to and with the quote
        else:
            end = quote_or_backslash(payload_ptr, payload_len, start + 8)
            if end >= payload_len or byte_at(payload_ptr, payload_len, end) != c'"':
                return ODD_KEY
            if end > start + 8:
                position[0] = end
                return _long_key(decoder, payload_ptr, start, end)
    else:
        # The last bytes of a payload hardly ever hold a key.
        end = quote_or_backslash(payload_ptr, payload_len, start)
        if end >= payload_len or byte_at(payload_ptr, payload_len, end) != c'"':
            return ODD_KEY
        for index in range(end - start + 1):
            packed |= <uint64_t>byte_at(payload_ptr, payload_len, start + index) << (8 * index)
    position[0] = end
    slot_ptr = decoder.slots_ptr + ((packed * decoder.multiplier) >> decoder.shift)
    return slot_ptr.field if slot_ptr.packed == packed else NOT_WANTED


cdef bint walk_payload_ptr(
    TickDecoder decoder, const char* payload_ptr, Py_ssize_t payload_len, Py_ssize_t stride,
    double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
) noexcept nogil:
    cdef:
        Py_ssize_t position = skip_spaces(payload_ptr, payload_len, 0)
        Py_ssize_t field, entry
        unsigned char byte
        double value = 0.0
        uint8_t prefix = 0
        int found

    for field in range(decoder.field_count):
        values_ptr[field * stride] = NAN
        valid_ptr[field * stride] = 0
        prefixes_ptr[field * stride] = 0
    if position >= payload_len or byte_at(payload_ptr, payload_len, position) != c"{":
        return False
    while True:
        # At the brace or comma before a key.
        position += 1
        if position >= payload_len:
            return False
        if byte_at(payload_ptr, payload_len, position) != c'"':
            position = skip_spaces(payload_ptr, payload_len, position)
            if position >= payload_len or byte_at(payload_ptr, payload_len, position) != c'"':
                return False
        position += 1
        field = _read_key(decoder, payload_ptr, payload_len, &position)
        if field == ODD_KEY:
            return False
        position += 1
        if position >= payload_len:
            return False
        if byte_at(payload_ptr, payload_len, position) != c":":
            position = skip_spaces(payload_ptr, payload_len, position)
            if position >= payload_len or byte_at(payload_ptr, payload_len, position) != c":":
                return False
        position += 1
        if position >= payload_len:
            return False
        byte = byte_at(payload_ptr, payload_len, position)
        if byte <= c" ":
            position = skip_spaces(payload_ptr, payload_len, position)
            if position >= payload_len:
                return False
            byte = byte_at(payload_ptr, payload_len, position)

        # At the first byte of a value; the end of this part is the first byte after it.
        found = NO_NUMBER
        prefix = 0
        if byte == c'"':
            position += 1
            if _is_wanted(field):
                found = read_number_text(payload_ptr, payload_len, &position, &value, &prefix)
                if found == UNSURE:
                    return False
                if found == NO_NUMBER:
                    position = quote_or_backslash(payload_ptr, payload_len, position)
                    if position >= payload_len or byte_at(payload_ptr, payload_len, position) != c'"':
                        return False
            else:
                position = string_end(payload_ptr, payload_len, position)
                if position < 0:
                    return False
            position += 1
        elif _is_wanted(field) and (byte == c"-" or c"0" <= byte <= c"9"):
            found = read_json_number(payload_ptr, payload_len, &position, &value)
            if found == UNSURE:
                return False
        else:
            position = value_end(payload_ptr, payload_len, position)
            if position < 0:
                return False
        if _is_wanted(field):
            entry = field * stride
            values_ptr[entry] = value if found == NUMBER else NAN
            valid_ptr[entry] = found == NUMBER
            prefixes_ptr[entry] = prefix

        if position >= payload_len:
            return False
        byte = byte_at(payload_ptr, payload_len, position)
        if byte <= c" ":
            position = skip_spaces(payload_ptr, payload_len, position)
            if position >= payload_len:
                return False
            byte = byte_at(payload_ptr, payload_len, position)
        if byte == c"}":
            return skip_spaces(payload_ptr, payload_len, position + 1) == payload_len
        if byte != c",":
            return False


cdef int decode_payload_ptr(
    TickDecoder decoder, const char* payload_ptr, Py_ssize_t payload_len,
    double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
) except -1:
    cdef:
        Batch batch
        Frame frame
    if not decoder.strict and walk_payload_ptr(
        decoder, payload_ptr, payload_len, 1, values_ptr, valid_ptr, prefixes_ptr
    ):
        return 1
    batch = Batch.new(payload_len, None)
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
        PyMem_Free(self.slots_ptr)
        PyMem_Free(self.long_keys_ptr)

    cdef int _index_keys(self) except -1:
        # A table in which no two keys share a place: one look-up and one comparison tell whether a key is wanted.
        cdef:
            list packed_keys = []
            bytes key
            str name
            Py_ssize_t index
            uint64_t multiplier = _FIRST_MULTIPLIER
            int bits = 4

        self.long_keys_ptr = <LongKey*>PyMem_Calloc(self.field_count, sizeof(LongKey))
        if self.long_keys_ptr == NULL:
            raise MemoryError("no memory for the keys of a decoder")
        for index, name in enumerate(self.fields):
            key = name.encode()
            if len(key) > 8:
                # ASCII text is kept as these bytes, inside of the str that `fields` holds.
                self.long_keys_ptr[self.long_key_count] = LongKey(PyUnicode_AsUTF8(name), len(key), index)
                self.long_key_count += 1
            else:
                packed_keys.append((int.from_bytes((key + b'"')[:8], "little"), index))
        while len(packed_keys) > 1 << (bits - 2):
            bits += 1
        while True:
            for _ in range(_ATTEMPTS):
                if self._try_multiplier(multiplier, bits, packed_keys):
                    return 0
                multiplier = multiplier * 0xD1342543DE82EF95u + 2
            bits += 1

    cdef bint _try_multiplier(self, uint64_t multiplier, int bits, list packed_keys):
        cdef:
            KeySlot* slot_ptr
            uint64_t packed
            Py_ssize_t field
        PyMem_Free(self.slots_ptr)
        self.slots_ptr = <KeySlot*>PyMem_Calloc(<size_t>1 << bits, sizeof(KeySlot))
        if self.slots_ptr == NULL:
            raise MemoryError("no memory for the keys of a decoder")
        self.multiplier = multiplier
        self.shift = 64 - bits
        for packed, field in packed_keys:
            slot_ptr = self.slots_ptr + ((packed * multiplier) >> self.shift)
            if slot_ptr.packed != 0:
                return False
            slot_ptr.packed = packed
            slot_ptr.field = field
        return True

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
        for index in range(batch.frame_count):
            if batch.kinds_ptr[index] != KIND_MARKET_DATA:
                continue
            start = batch.offsets_ptr[index]
            values_ptr = ticks.values_ptr + row
            valid_ptr = ticks.valid_ptr + row
            prefixes_ptr = ticks.prefixes_ptr + row
            if self.strict or not walk_payload_ptr(
                self, batch.arena_ptr + start, batch.offsets_ptr[index + 1] - start, row_count,
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
