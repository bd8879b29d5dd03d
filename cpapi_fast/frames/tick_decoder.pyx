"""Decodes fields of market data frames into typed columns, from the bytes of a batch.

The number of a field is defined as the result of `parse_number` for its decoded value, and its text as the decoded
value if that is a string. This module computes the same result in one of two ways:

* **The walk** of walk.pxd, in C. For valid JSON it gives the defined result or rejects the text.
* **The slow path**: `Frame.payload` (orjson, with invalid UTF-8 repaired) and `parse_number`. It decodes the texts that
  the walk rejects: those with escapes in a key or a wanted value, with numbers that decimals.pxd does not convert, or
  with anything else than one JSON object.

If the walk accepts a text that is not JSON, the columns have the values that the text contains. Otherwise orjson
rejects the text, no field of the frame is valid, and the frame is counted. `strict=True` always uses the slow path.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.unicode cimport PyUnicode_AsUTF8, PyUnicode_FromObject
from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memset

from .batch cimport Batch
from .classifier cimport KIND_MARKET_DATA
from .frame cimport Frame
from .text_table cimport BYTES_BEFORE, TextTable, find_slot
from .ticks cimport Ticks
from cpapi_fast._json.walk cimport (
    NO_VALUE,
    NOT_JSON,
    TEXT_FIELD,
    KeySlot,
    LongKey,
    add_key,
    nan_of,
    span_of,
    walk_object,
)

import re
from collections.abc import Iterable

from cpapi_fast.errors import ConfigError, MalformedPayloadError
from cpapi_fast.protocol.fields import DEFAULT_TICK_FIELDS as _DEFAULT_TICK_FIELDS
from cpapi_fast.protocol.fields import FIELDS as _FIELDS
from cpapi_fast.protocol.fields import similar_keys as _similar_keys
from cpapi_fast.protocol.numbers import number_prefix, parse_number

cdef object _parse_number = parse_number
cdef object _number_prefix = number_prefix

cdef object _FIELD = re.compile(r"[A-Za-z0-9_]{1,32}")

# The codes by key. Frames have a member `conid` of their own.
cdef dict _CODES = {field.key: field.code for field in _FIELDS.values() if field.key != "conid"}
cdef dict _KEYS = {code: key for key, code in _CODES.items()}
# The members of frames that are not fields. Those of the second set are texts.
cdef frozenset _MEMBERS = frozenset({"_updated", "conid", "conidEx", "server_id", "topic"})
cdef frozenset _TEXT_MEMBERS = frozenset({"conidEx", "server_id", "topic"})

# The texts of all fields of a decoder share one table. A table that is larger than this is replaced before the next
# batch, so that a gateway cannot make it grow without a bound.
cdef enum:
    MOST_TEXTS = 65536
    MOST_TEXT_BYTES = 8 * 1024 * 1024


cdef inline void _clear(Py_ssize_t count, double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr) noexcept nogil:
    cdef Py_ssize_t index
    for index in range(count):
        values_ptr[index] = NAN
    memset(valid_ptr, 0, <size_t>count)
    memset(prefixes_ptr, 0, <size_t>count)


cdef tuple _checked(object fields):
    cdef dict names = {}
    cdef object field
    cdef str name, hint
    if isinstance(fields, (str, bytes, bytearray, memoryview)) or not isinstance(fields, Iterable):
        raise ConfigError(f"fields must be a list such as ['last_price', '84'], not a {type(fields).__name__}")
    for field in fields:
        if not isinstance(field, str):
            raise ConfigError(f"a field must be a str such as '31', not a {type(field).__name__}")
        # An exact str, also for a subclass of str such as an enum.
        name = PyUnicode_FromObject(field)
        name = _CODES.get(name, name)
        if _FIELD.fullmatch(name) is None:
            raise ConfigError(
                f"a field must be a key such as 'last_price', or a member of the frames such as '31', '87_raw' or "
                f"'_updated': 1 to 32 ASCII letters, digits and underscores; {name[:40]!r} is invalid"
            )
        if name not in _MEMBERS and not name.removesuffix("_raw").isdigit():
            # A frame could have a member of this name, but a mistyped key is far more likely.
            hint = _similar_keys(name, similarity=0.8)
            if hint:
                raise ConfigError(f"the field {name!r} is unknown.{hint}")
        if name in names:
            raise ConfigError(f"the field {name!r} is given twice; give each field once")
        names[name] = None
    if not names:
        raise ConfigError("a decoder needs at least one field, such as '31'")
    return tuple(names)


cdef bint _is_text(str name):
    # Whether a field is a text. Fields that the catalogue does not contain are passed on as texts.
    cdef object field = _FIELDS.get(name)
    if field is not None:
        return not field.is_number
    return name.isdigit() or name in _TEXT_MEMBERS


cdef inline bint _is_no_value(value):
    # A decoded value that states that there is none, as is_no_value() and null in the walk.
    return value is None or value == "" or value == "-" or value == "N/A"


cdef bint walk_payload_ptr(
    TickDecoder decoder, const char* payload_ptr, Py_ssize_t payload_len,
    double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
) noexcept nogil:
    cdef Py_ssize_t index
    _clear(decoder.field_count, values_ptr, valid_ptr, prefixes_ptr)
    if not walk_object(
        &decoder.table, payload_ptr, payload_len, 1, values_ptr, valid_ptr, prefixes_ptr, decoder.mismatches_ptr
    ):
        return False
    for index in range(decoder._text_count):
        values_ptr[decoder.text_fields_ptr[index]] = NAN
    return True


cdef int decode_payload_ptr(
    TickDecoder decoder, const char* payload_ptr, Py_ssize_t payload_len,
    double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
) except -1:
    cdef:
        Batch batch
        Frame frame
    if not decoder._strict and walk_payload_ptr(
        decoder, payload_ptr, payload_len, values_ptr, valid_ptr, prefixes_ptr
    ):
        return 1
    batch = Batch.new(payload_len, 1, None)
    batch.append_ptr(payload_ptr, payload_len)
    batch.finish(0)
    frame = batch.frame_at(0)
    # Decode the payload even if its own route is a heartbeat or malformed.
    frame._kind = KIND_MARKET_DATA
    return decoder._decode_frame(frame, 1, values_ptr, valid_ptr, prefixes_ptr, NULL)


@cython.final
cdef class TickDecoder:
    """Decodes fields of market data frames into typed columns, without a Python object per frame.

    The kind of a field in `cpapi_fast.FIELDS` decides its column. Texts and dates, and codes that the catalogue does
    not contain, become texts: the value if it is a JSON string. Texts are dictionary-encoded: a column of int32 codes,
    and a list of the distinct texts. All other fields become float64. The number of a field is the result of
    `parse_number` for its decoded value: `C4,735.10` is 4735.1 with the prefix C, `12.2M` is 12200000.0, and a JSON
    number is unchanged. `N/A`, null, a list and a missing key are not numbers. If a key is repeated, the last one
    counts. Only keys of the outermost object count.

    Create a decoder once and use it for any number of batches. The cost grows with the length of the frames, and hardly
    with the number of fields. orjson decodes frames that have an escape in a key or in a requested value, or numbers of
    more than 19 digits or beyond 27 powers of ten. That takes about twenty times longer.

    Valid JSON is always decoded as described. For text that is not JSON, there are two cases by default. If the error
    is inside a value that was not requested, or inside a string that is not a number, the fields may have the values
    that the text contains. Otherwise no field of the frame is valid, and `Ticks.malformed` counts the frame. Invalid
    UTF-8 is not an error: it is decoded as U+FFFD, as in `Frame.payload`.

    Args:
        fields: keys of `cpapi_fast.FIELDS` such as `last_price`, or members as in the frames: codes such as `31`, and
            `_updated` or `87_raw`; each at most once, 1 to 32 characters. None decodes
            `cpapi_fast.protocol.fields.DEFAULT_TICK_FIELDS`.
        strict: decode each frame with orjson, so that `Ticks.malformed` counts every frame that orjson rejects. Slow.

    Raises:
        ConfigError: a field is invalid or given twice, or there is no field.
    """

    def __cinit__(self, fields=None, *, bint strict=False):
        self._begin_texts()
        self._fields = _checked(_DEFAULT_TICK_FIELDS if fields is None else fields)
        self._strict = strict
        self.field_count = len(self._fields)
        self._columns = {name: index for index, name in enumerate(self._fields)}
        self._columns.update({_KEYS[name]: index for index, name in enumerate(self._fields) if name in _KEYS})
        self._index_keys()
        self._text_columns = tuple(self.text_columns_ptr[index] for index in range(self.field_count))

    def __dealloc__(self):
        PyMem_Free(self.mismatches_ptr)
        PyMem_Free(self.text_columns_ptr)
        PyMem_Free(self.table.slots_ptr)
        PyMem_Free(self.table.long_keys_ptr)

    cdef int _begin_texts(self) except -1:
        self._texts = TextTable()
        self._text_bytes = 0
        self._most_texts, self._most_text_bytes = MOST_TEXTS, MOST_TEXT_BYTES

    cdef void _keep_texts(self, Py_ssize_t moved_bytes) noexcept:
        self._text_bytes += moved_bytes
        self._most_texts = max(MOST_TEXTS, 2 * self._texts.text_count)
        self._most_text_bytes = max(MOST_TEXT_BYTES, 2 * self._text_bytes)

    cdef int32_t add_text(self, str text) except -1:
        cdef Py_ssize_t count = self._texts.text_count
        cdef int32_t code = self._texts.add(text)
        if self._texts.text_count > count:
            self._text_bytes += PyBytes_GET_SIZE(self._texts.texts[code])
        return code

    cdef int _index_keys(self) except -1:
        cdef:
            Py_ssize_t size = 256
            Py_ssize_t field
            bytes key
            str name
        # The table is sparse, so that the lookup of an unwanted key usually ends at the first place.
        while size < 16 * self.field_count:
            size *= 2
        self.table.slots_ptr = <KeySlot*>PyMem_Calloc(<size_t>size, sizeof(KeySlot))
        self.table.long_keys_ptr = <LongKey*>PyMem_Calloc(<size_t>self.field_count, sizeof(LongKey))
        self.mismatches_ptr = <int64_t*>PyMem_Calloc(<size_t>self.field_count, sizeof(int64_t))
        self.text_columns_ptr = <int32_t*>PyMem_Calloc(<size_t>(2 * self.field_count), sizeof(int32_t))
        self.text_fields_ptr = self.text_columns_ptr + self.field_count
        if not (self.table.slots_ptr and self.table.long_keys_ptr and self.mismatches_ptr and self.text_columns_ptr):
            raise MemoryError("no memory for the keys of a decoder")
        self.table.last_slot = <size_t>(size - 1)
        for field, name in enumerate(self._fields):
            key = name.encode()
            self.text_columns_ptr[field] = -1
            if _is_text(name):
                self.text_columns_ptr[field] = <int32_t>self._text_count
                self.text_fields_ptr[self._text_count] = <int32_t>field
                self._text_count += 1
                field |= TEXT_FIELD
            if len(key) > 8:
                # A pointer to the bytes inside the ASCII str object, which `_fields` references.
                self.table.long_keys_ptr[self.table.long_key_count] = LongKey(PyUnicode_AsUTF8(name), len(key), field)
                self.table.long_key_count += 1
            else:
                add_key(&self.table, int.from_bytes((key + b'"')[:8], "little"), field)
        return 0

    cdef int _decode_frame(
        self, Frame frame, Py_ssize_t stride, double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr,
        int32_t* codes_ptr
    ) except -1:
        # The slow path. Returns 0 if the payload is not JSON. Writes the codes of texts unless codes_ptr is NULL.
        cdef:
            object payload = None
            object value, number, prefix
            str name
            Py_ssize_t index
            bint is_valid, is_mismatch
            bint is_json = True
            double nan
        try:
            payload = frame.payload
        except MalformedPayloadError:
            is_json = False
        for index in range(self.field_count):
            name = self._fields[index]
            value = None
            nan = NAN if is_json else nan_of(NOT_JSON)
            if type(payload) is dict and name in <dict>payload:
                value = (<dict>payload)[name]
                nan = nan_of(NO_VALUE)
            number = prefix = None
            if self.text_columns_ptr[index] < 0:
                number = _parse_number(value)
                prefix = _number_prefix(value)
                is_valid = number is not None
                is_mismatch = not is_valid and not _is_no_value(value)
            else:
                is_valid = isinstance(value, str)
                is_mismatch = not is_valid and value is not None
                if is_valid:
                    nan = NAN
                    if codes_ptr != NULL:
                        codes_ptr[self.text_columns_ptr[index] * stride] = self.add_text(value)
            values_ptr[index * stride] = nan if number is None else <double>number
            valid_ptr[index * stride] = is_valid
            prefixes_ptr[index * stride] = 0 if prefix is None else <uint8_t>ord(prefix)
            self.mismatches_ptr[index] += is_mismatch
        return is_json

    cdef int _encode_texts(
        self, const char* text_ptr, Py_ssize_t text_len, Py_ssize_t stride, double* values_ptr, uint8_t* valid_ptr,
        int32_t* codes_ptr
    ) except -1:
        # Replaces the positions of the texts of one walked frame by codes.
        cdef:
            Py_ssize_t text, index, start, length
            int32_t code
        for text in range(self._text_count):
            index = self.text_fields_ptr[text]
            if not valid_ptr[index * stride]:
                continue
            start = span_of(values_ptr[index * stride], &length)
            values_ptr[index * stride] = NAN
            code = -1 if start < BYTES_BEFORE else find_slot(self._texts, text_ptr, text_len, start, length)
            if code < 0:
                # A new text, or one with bytes beyond ASCII. Invalid UTF-8 is replaced as in `Frame.payload`.
                code = self.add_text(text_ptr[start:start + length].decode("utf-8", "replace"))
            codes_ptr[text * stride] = code
        return 0

    @property
    def mismatches(self):
        """How many values of each field were not of its kind: texts in the place of numbers, and the like.

        A dict with an entry for each member of `fields`. `N/A`, `-`, an empty text and null state that there is no
        value, and do not count.
        """
        return {name: self.mismatches_ptr[index] for index, name in enumerate(self._fields)}

    @property
    def fields(self):
        """The decoded members as a tuple of str, in the given order: codes, and names such as `_updated`."""
        return self._fields

    @property
    def strict(self):
        """Whether orjson decodes every frame."""
        return self._strict

    def decode(self, Batch batch not None):
        """Decode the fields of all MARKET_DATA frames of a batch.

        Use a decoder in one thread at a time.

        The connection's counters `stats.payload_errors` and `stats.payloads_repaired` include the frames that orjson
        decodes here and that are not JSON or have invalid UTF-8.

        Args:
            batch: a finished batch.

        Returns:
            The columns, which own their memory and keep no reference to the batch.
        """
        cdef:
            Ticks ticks = Ticks.__new__(Ticks)
            Py_ssize_t row_count = 0
            Py_ssize_t row = 0
            Py_ssize_t index
            int32_t start
            double* values_ptr
            int32_t* codes_ptr
            uint8_t* valid_ptr
            uint8_t* prefixes_ptr

        if self._texts.text_count > self._most_texts or self._text_bytes > self._most_text_bytes:
            self._begin_texts()
        for index in range(batch.frame_count):
            row_count += batch.kinds_ptr[index] == KIND_MARKET_DATA
        ticks.names = self._fields
        ticks.columns = self._columns
        ticks.text_columns = self._text_columns
        ticks.texts_table = self._texts
        ticks.reserve(row_count, self._text_count)
        _clear(row_count * self.field_count, ticks.values_ptr, ticks.valid_ptr, ticks.prefixes_ptr)
        memset(ticks.codes_ptr, 0xFF, <size_t>(row_count * self._text_count) * sizeof(int32_t))
        for index in range(batch.frame_count):
            if batch.kinds_ptr[index] != KIND_MARKET_DATA:
                continue
            start = batch.offsets_ptr[index]
            values_ptr = ticks.values_ptr + row
            valid_ptr = ticks.valid_ptr + row
            prefixes_ptr = ticks.prefixes_ptr + row
            codes_ptr = ticks.codes_ptr + row
            if not self._strict and walk_object(
                &self.table, batch.arena_ptr + start, batch.offsets_ptr[index + 1] - start, row_count,
                values_ptr, valid_ptr, prefixes_ptr, self.mismatches_ptr
            ):
                if self._text_count:
                    self._encode_texts(
                        batch.arena_ptr + start, batch.offsets_ptr[index + 1] - start, row_count,
                        values_ptr, valid_ptr, codes_ptr
                    )
            elif not self._decode_frame(
                batch.frame_at(index), row_count, values_ptr, valid_ptr, prefixes_ptr, codes_ptr
            ):
                ticks.malformed_count += 1
            ticks.rows_ptr[row] = <int32_t>index
            ticks.conids_ptr[row] = batch.conids_ptr[index]
            ticks.received_ns_ptr[row] = batch.received_ns_ptr[index]
            row += 1
        return ticks

    def __repr__(self):
        return f"TickDecoder({list(self._fields)}{', strict=True' if self._strict else ''})"

    def __reduce__(self):
        raise TypeError("a TickDecoder cannot be pickled; pickle its `fields`")
