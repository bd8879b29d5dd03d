"""Typed columns: fields of market data frames as float64, from the bytes of a batch.

The number of a field is defined as the result of `parse_number` for its decoded value. This module computes the same
result in one of two ways:

* **The walk** of walk.pxd, in C. For valid JSON it gives the defined result or rejects the text.
* **The slow path**: `Frame.payload` (orjson, with invalid UTF-8 repaired) and `parse_number`. It decodes the texts that
  the walk rejects: those with escapes in a key or a wanted value, with numbers that decimals.pxd does not convert, or
  with anything else than one JSON object.

If the walk accepts a text that is not JSON, the columns have the values that the text contains. Otherwise orjson
rejects the text, no field of the frame is valid, and the frame is counted. `strict=True` always uses the slow path.
"""

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.unicode cimport PyUnicode_AsUTF8, PyUnicode_FromObject
from libc.math cimport NAN
from libc.string cimport memset

from .batch cimport Batch
from .column_view cimport column_view
from .frame cimport Frame
from .classifier cimport KIND_MARKET_DATA
from cpapi_fast._json.walk cimport KeySlot, LongKey, add_key, walk_object

import re
from collections.abc import Iterable

from cpapi_fast.errors import ConfigError, MalformedPayloadError
from cpapi_fast.protocol.fields import DEFAULT_TICK_FIELDS as _DEFAULT_TICK_FIELDS
from cpapi_fast.protocol.fields import FIELDS as _FIELDS
from cpapi_fast.protocol.fields import similar_keys
from cpapi_fast.protocol.numbers import number_prefix, parse_number

cdef object _parse_number = parse_number
cdef object _number_prefix = number_prefix

cdef object _similar_keys = similar_keys

cdef object _FIELD = re.compile(r"[A-Za-z0-9_]{1,32}")

# The codes by key. Frames have a member `conid` of their own.
cdef dict _CODES = {field.key: field.code for field in _FIELDS.values() if field.key != "conid"}
# The members of frames that are not fields.
cdef frozenset _MEMBERS = frozenset({"_updated", "conid", "conidEx", "server_id", "topic"})
cdef dict _KEYS = {code: key for key, code in _CODES.items()}


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
    return decoder._decode_frame(frame, 1, values_ptr, valid_ptr, prefixes_ptr)


@cython.final
cdef class TickDecoder:
    """Decodes fields of market data frames into float64 columns, without a Python object per frame.

    The number of a field is the result of `parse_number` for its decoded value: `C4,735.10` is 4735.1 with the prefix
    C, `12.2M` is 12200000.0, and a JSON number is unchanged. `N/A`, null, a list and a missing key are not numbers. If
    a key is repeated, the last one counts. Only keys of the outermost object count.

    Create a decoder once and use it for any number of batches. The cost grows with the length of the frames, and hardly
    with the number of fields. orjson decodes frames that have an escape in a key or in a requested value, or numbers of
    more than 19 digits or beyond 27 powers of ten. That takes about twenty times longer.

    Valid JSON is always decoded as described. For text that is not JSON, there are two cases by default. If the error
    is inside a value that was not requested, or inside a string that is not a number, the fields may have the values
    that the text contains. Otherwise no field of the frame is valid, and `Ticks.malformed` counts the frame. Invalid
    UTF-8 is not an error: it is decoded as U+FFFD, as in `Frame.payload`.

    Args:
        fields: keys of `cpapi_fast.FIELDS` such as `last_price`, or members as in the frames: codes such as `31`, and
            `_updated` or `87_raw`; each at most once, 1 to 32 characters. None decodes `cpapi_fast.protocol.fields.DEFAULT_TICK_FIELDS`.
        strict: decode each frame with orjson, so that `Ticks.malformed` counts every frame that orjson rejects. Slow.

    Raises:
        ConfigError: a field is invalid or given twice, or there is no field.
    """

    def __cinit__(self, fields=None, *, bint strict=False):
        self._fields = _checked(_DEFAULT_TICK_FIELDS if fields is None else fields)
        self._strict = strict
        self.field_count = len(self._fields)
        self._columns = {name: index for index, name in enumerate(self._fields)}
        self._columns.update({_KEYS[name]: index for index, name in enumerate(self._fields) if name in _KEYS})
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
        # The table is sparse, so that the lookup of an unwanted key usually ends at the first place.
        while size < 16 * self.field_count:
            size *= 2
        self.table.slots_ptr = <KeySlot*>PyMem_Calloc(<size_t>size, sizeof(KeySlot))
        self.table.long_keys_ptr = <LongKey*>PyMem_Calloc(<size_t>self.field_count, sizeof(LongKey))
        if self.table.slots_ptr == NULL or self.table.long_keys_ptr == NULL:
            raise MemoryError("no memory for the keys of a decoder")
        self.table.last_slot = <size_t>(size - 1)
        for field, name in enumerate(self._fields):
            key = name.encode()
            if len(key) > 8:
                # A pointer to the bytes inside the ASCII str object, which `_fields` references.
                self.table.long_keys_ptr[self.table.long_key_count] = LongKey(PyUnicode_AsUTF8(name), len(key), field)
                self.table.long_key_count += 1
            else:
                add_key(&self.table, int.from_bytes((key + b'"')[:8], "little"), field)
        return 0

    cdef int _decode_frame(
        self, Frame frame, Py_ssize_t stride, double* values_ptr, uint8_t* valid_ptr, uint8_t* prefixes_ptr
    ) except -1:
        # The slow path. Returns 0 if the payload is not JSON.
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
            value = (<dict>payload).get(self._fields[index]) if type(payload) is dict else None
            number = _parse_number(value)
            prefix = _number_prefix(value)
            values_ptr[index * stride] = NAN if number is None else <double>number
            valid_ptr[index * stride] = number is not None
            prefixes_ptr[index * stride] = 0 if prefix is None else <uint8_t>ord(prefix)
        return is_json

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
            uint8_t* valid_ptr
            uint8_t* prefixes_ptr

        for index in range(batch.frame_count):
            row_count += batch.kinds_ptr[index] == KIND_MARKET_DATA
        ticks._fields = self._fields
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
            if self._strict or not walk_object(
                &self.table, batch.arena_ptr + start, batch.offsets_ptr[index + 1] - start, row_count,
                values_ptr, valid_ptr, prefixes_ptr
            ):
                if not self._decode_frame(
                    batch.frame_at(index), row_count, values_ptr, valid_ptr, prefixes_ptr
                ):
                    ticks._malformed += 1
            ticks.rows_ptr[row] = <int32_t>index
            ticks.conids_ptr[row] = batch.conids_ptr[index]
            ticks.received_ns_ptr[row] = batch.received_ns_ptr[index]
            row += 1
        return ticks

    def __repr__(self):
        return f"TickDecoder({list(self._fields)}{', strict=True' if self._strict else ''})"

    def __reduce__(self):
        raise TypeError("a TickDecoder cannot be pickled; pickle its `fields`")


@cython.final
@cython.no_gc
cdef class Ticks:
    """Decoded columns with one row for each MARKET_DATA frame of a batch, in their order.

    The columns are read-only memoryviews over one block of memory that the object owns. They copy nothing, and each
    view keeps a reference to the object. `numpy.asarray(view)` and `pyarrow.py_buffer(view)` use them without a copy.
    Creating a view costs one small object. Ticks come from `TickDecoder.decode`; the class cannot be called.
    """

    def __cinit__(self):
        # `Ticks.__new__(Ticks)` skips __init__. The result must be safe to use: no rows, no fields.
        self._fields = ()
        self._columns = {}

    def __init__(self):
        raise TypeError("Ticks come from TickDecoder.decode(); the class cannot be called")

    def __dealloc__(self):
        PyMem_Free(self.conids_ptr)

    cdef int _reserve(self, Py_ssize_t row_count) except -1:
        cdef Py_ssize_t cells = row_count * len(self._fields)
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
        # Returns the entry at which the column of a field starts in each of the three matrices.
        cdef object index = self._columns.get(field) if isinstance(field, str) else None
        if index is None:
            shown = repr(field[:40]) if isinstance(field, str) else f"a {type(field).__name__}"
            raise ConfigError(f"these ticks have the fields {list(self._fields)}, not {shown}; give it to TickDecoder")
        return <Py_ssize_t>index * self.row_count

    @property
    def fields(self):
        """The decoded members, as a tuple of str. `values`, `valid` and `prefixes` accept these and their keys."""
        return self._fields

    @property
    def malformed(self):
        """The number of frames that are not JSON. Their rows have no valid fields."""
        return self._malformed

    @property
    def rows(self):
        """int32, n entries: the index of each row's frame in the batch."""
        return column_view(self, self.rows_ptr, b"i", self.row_count, sizeof(int32_t))

    @property
    def conids(self):
        """int64, n entries: the contract ids, from the topics of the frames. 0 is a real contract id (combos)."""
        return column_view(self, self.conids_ptr, b"q", self.row_count, sizeof(int64_t))

    @property
    def received_ns(self):
        """int64, n entries: the receive times, in ns since the Unix epoch."""
        return column_view(self, self.received_ns_ptr, b"q", self.row_count, sizeof(int64_t))

    def values(self, field):
        """float64, n entries: the numbers of a field, NaN where `valid` is 0.

        Numbers are in the units of the frames. `_updated` is in ms since the Unix epoch, without rounding.

        Raises:
            ConfigError: the decoder was created without this field.
        """
        return column_view(self, self.values_ptr + self._column(field), b"d", self.row_count, sizeof(double))

    def valid(self, field):
        """uint8, n entries: 1 where the frame has the field and its value is a number, else 0.

        The gateway sends only fields that changed, so 0 usually means that the field did not change.

        Raises:
            ConfigError: the decoder was created without this field.
        """
        return column_view(self, self.valid_ptr + self._column(field), b"B", self.row_count, 1)

    def prefixes(self, field):
        """uint8, n entries: 67 (`C`) where a price is the prior close, 72 (`H`) where trading is halted, else 0.

        Raises:
            ConfigError: the decoder was created without this field.
        """
        return column_view(self, self.prefixes_ptr + self._column(field), b"B", self.row_count, 1)

    def __len__(self):
        """The number of rows."""
        return self.row_count

    def __repr__(self):
        return f"<Ticks {self.row_count} rows {len(self._fields)} fields>"

    def __reduce__(self):
        raise TypeError("Ticks cannot be pickled; copy their columns")
