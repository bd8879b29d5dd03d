"""Typed columns: the fields of the market data frames of a batch, as float64 and as dictionary-encoded texts"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Malloc

from libc.math cimport floor

from .arrow cimport ArrowColumn, array_capsule, fixed_column, record_batch, schema_capsule, text_column
from .column_view cimport column_view
from .text_table cimport TextTable

from cpapi_fast._version import __version__
from cpapi_fast.errors import ConfigError
from cpapi_fast.protocol.fields import FIELDS as _FIELDS
from cpapi_fast.protocol.fields import FieldKind

from .dataframes import import_library

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

# The field whose value can have a prefix.
cdef str _PREFIXED = "31"
cdef list _PREFIX_TEXTS = [b"C", b"H"]


@cython.final
@cython.no_gc
cdef class Ticks:
    """Decoded columns with one row for each MARKET_DATA frame of a batch, in their order.

    The columns are read-only memoryviews over one block of memory that the object owns. They copy nothing, and each
    view keeps a reference to the object. `numpy.asarray(view)` and `pyarrow.py_buffer(view)` use them without a copy.
    Creating a view costs one small object. Ticks come from `TickDecoder.decode`; the class cannot be called.

    A field is named by its key (`last_price`) or by its name in the frames (`31`).
    """

    def __cinit__(self):
        # `Ticks.__new__(Ticks)` skips __init__. The result must be safe to use: no rows, no fields.
        self.names = ()
        self.columns = {}
        self.text_columns = ()
        self.texts_table = TextTable()

    def __init__(self):
        raise TypeError("Ticks come from TickDecoder.decode(); the class cannot be called")

    def __dealloc__(self):
        PyMem_Free(self.conids_ptr)

    cdef int reserve(self, Py_ssize_t row_count, Py_ssize_t text_count) except -1:
        cdef:
            Py_ssize_t row_bytes = (8 + 8 + 4) + len(self.names) * (8 + 1 + 1) + text_count * 4
            Py_ssize_t cells, codes
            char* block_ptr = NULL
        if 0 <= row_count <= PY_SSIZE_T_MAX // row_bytes:
            block_ptr = <char*>PyMem_Malloc(row_count * row_bytes)
        if block_ptr == NULL:
            raise MemoryError(f"no memory for the columns of {row_count} frames")
        cells = row_count * len(self.names)
        codes = row_count * text_count
        # Widest items first, so that each column is aligned.
        self.conids_ptr = <int64_t*>block_ptr
        self.received_ns_ptr = self.conids_ptr + row_count
        self.values_ptr = <double*>(self.received_ns_ptr + row_count)
        self.rows_ptr = <int32_t*>(self.values_ptr + cells)
        self.codes_ptr = self.rows_ptr + row_count
        self.valid_ptr = <uint8_t*>(self.codes_ptr + codes)
        self.prefixes_ptr = self.valid_ptr + cells
        self.row_count = row_count
        return 0

    cdef Py_ssize_t column_of(self, object field) except -1:
        # Returns the index of a field's column.
        cdef object index = self.columns.get(field) if isinstance(field, str) else None
        if index is None:
            shown = repr(field[:40]) if isinstance(field, str) else f"a {type(field).__name__}"
            raise ConfigError(f"these ticks have the fields {list(self.names)}, not {shown}; give it to TickDecoder")
        return <Py_ssize_t>index

    cdef Py_ssize_t number_column_of(self, object field) except -1:
        # Returns the entry at which the column of a number starts in the matrices of values and prefixes.
        cdef Py_ssize_t index = self.column_of(field)
        if <Py_ssize_t>self.text_columns[index] >= 0:
            raise ConfigError(f"the field {self.names[index]!r} is a text; use codes() or texts()")
        return index * self.row_count

    cdef int32_t* codes_of(self, object field) except NULL:
        # Returns the column of a text.
        cdef Py_ssize_t index = self.text_columns[self.column_of(field)]
        if index < 0:
            raise ConfigError(f"the field {field!r} is a number; use values()")
        return self.codes_ptr + index * self.row_count

    @property
    def fields(self):
        """The decoded fields by their names in the frames, as a tuple of str: codes, and members such as `_updated`."""
        return self.names

    @property
    def malformed(self):
        """The number of frames that are not JSON. Their rows have no valid fields."""
        return self.malformed_count

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
            ConfigError: the decoder was created without this field, or the field is a text.
        """
        return column_view(self, self.values_ptr + self.number_column_of(field), b"d", self.row_count, sizeof(double))

    def valid(self, field):
        """uint8, n entries: 1 where the frame has the field and its value is a number or text, as its kind is, else 0.

        The gateway sends only fields that changed, so 0 usually means that the field did not change.

        Raises:
            ConfigError: the decoder was created without this field.
        """
        return column_view(self, self.valid_ptr + self.column_of(field) * self.row_count, b"B", self.row_count, 1)

    def prefixes(self, field):
        """uint8, n entries: 67 (`C`) where a price is the prior close, 72 (`H`) where trading is halted, else 0.

        Raises:
            ConfigError: the decoder was created without this field, or the field is a text.
        """
        return column_view(self, self.prefixes_ptr + self.number_column_of(field), b"B", self.row_count, 1)

    def codes(self, field):
        """int32, n entries: the texts of a field, each as its index in `dictionary`; -1 where `valid` is 0.

        Raises:
            ConfigError: the decoder was created without this field, or the field is a number.
        """
        return column_view(self, self.codes_of(field), b"i", self.row_count, sizeof(int32_t))

    @property
    def dictionary(self):
        """The texts of all text fields as a tuple of str. A decoder adds to it with each batch; it is copied."""
        return tuple((<bytes>text).decode() for text in self.texts_table.texts)

    def texts(self, field):
        """Return the texts of a field as a list with one str per row, or None where `valid` is 0.

        Raises:
            ConfigError: the decoder was created without this field, or the field is a number.
        """
        cdef:
            int32_t* codes_ptr = self.codes_of(field)
            dict decoded = {-1: None}
            list texts = []
            Py_ssize_t index
            int32_t code
        for index in range(self.row_count):
            code = codes_ptr[index]
            if code not in decoded:
                decoded[code] = (<bytes>self.texts_table.texts[code]).decode()
            texts.append(decoded[code])
        return texts

    def __arrow_c_schema__(self):
        """Return the schema as an Arrow PyCapsule."""
        return schema_capsule(self.arrow())

    def __arrow_c_array__(self, requested_schema=None):
        """Return schema and array of the columns as Arrow PyCapsules; see `to_arrow`. No other schema is supported."""
        cdef ArrowColumn batch = self.arrow()
        return schema_capsule(batch), array_capsule(batch)

    def to_arrow(self):
        """Return the columns as a `pyarrow.RecordBatch`, without a copy of the numbers.

        The columns are `received` (timestamp in ns, UTC), `conid`, and the decoded fields in their order, named by
        their keys. `_updated` becomes `updated` (timestamp in ms, UTC). Numbers are float64, ids int64, flags bool,
        texts dictionary-encoded strings; null where `valid` is 0, and for an `updated` beyond the years 1 to 9999.
        `last_price_prefix` follows `last_price`. The
        metadata of each column has code, kind, unit and meaning.

        Every library that supports the Arrow PyCapsule interface accepts the object itself, without pyarrow.

        Raises:
            MissingDependencyError: pyarrow is not installed.
        """
        return import_library("pyarrow").record_batch(self)

    def to_pandas(self):
        """Return the columns of `to_arrow` as a `pandas.DataFrame`. Needs pandas and pyarrow."""
        import_library("pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self):
        """Return the columns of `to_arrow` as a `polars.DataFrame`. Needs polars only."""
        return import_library("polars").DataFrame(self)

    cdef ArrowColumn arrow(self):
        cdef:
            list columns = [
                fixed_column("received", b"tsn:UTC", self.row_count, self.received_ns_ptr, self, {
                    "description": "when the frame was received",
                }),
                fixed_column("conid", b"l", self.row_count, self.conids_ptr, self, {
                    "description": "contract id, from the topic of the frame; 0 is a real one (combos)",
                }),
            ]
            set used = {"received", "conid"}
            Py_ssize_t index
            str name, key
            ArrowColumn dictionary = None
        for index in range(len(self.names)):
            name = self.names[index]
            key = "updated" if name == "_updated" else _FIELDS[name].key if name in _FIELDS else name
            if key in used:
                key = f"{key}_{name}"
            used.add(key)
            if <Py_ssize_t>self.text_columns[index] < 0:
                columns.append(self._number_column(index, name, key))
            else:
                if dictionary is None:
                    dictionary = text_column("", list(self.texts_table.texts))
                columns.append(self._text_column(index, name, key, dictionary))
            if name == _PREFIXED:
                used.add(f"{key}_prefix")
                columns.append(self._prefix_column(index, f"{key}_prefix"))
        return record_batch(columns, self.row_count, {
            "cpapi_fast.format": "ticks", "cpapi_fast.version": __version__,
        })

    cdef ArrowColumn _number_column(self, Py_ssize_t index, str name, str key):
        cdef:
            object field = _FIELDS.get(name)
            object kind = FieldKind.ID if name == "conid" else None if field is None else field.kind
            dict metadata = _metadata(name)
            const double* values_ptr = self.values_ptr + index * self.row_count
            const uint8_t* valid_ptr = self.valid_ptr + index * self.row_count
            ArrowColumn column
            int64_t* numbers_ptr
            uint8_t* flags_ptr
            uint8_t* exact_ptr
            Py_ssize_t row
            bint is_updated = name == "_updated"
        if is_updated or kind is FieldKind.ID:
            column = fixed_column(key, b"tsm:UTC" if is_updated else b"l", self.row_count, NULL, self, metadata)
            numbers_ptr = <int64_t*>column.allocate(self.row_count * (sizeof(int64_t) + 1))
            exact_ptr = <uint8_t*>(numbers_ptr + self.row_count)
            for row in range(self.row_count):
                # From 2**53 on, a double may be a rounded integer.
                if valid_ptr[row] and (
                    is_time(values_ptr[row]) if is_updated
                    else -9007199254740992.0 < values_ptr[row] < 9007199254740992.0
                ):
                    numbers_ptr[row] = <int64_t>floor(values_ptr[row])
                    exact_ptr[row] = 1
            column.buffers[1] = numbers_ptr
            valid_ptr = exact_ptr
        elif kind is FieldKind.FLAG:
            column = fixed_column(key, b"b", self.row_count, NULL, self, metadata)
            flags_ptr = <uint8_t*>column.allocate(self.row_count // 8 + 1)
            for row in range(self.row_count):
                if valid_ptr[row] and values_ptr[row] != 0.0:
                    flags_ptr[row >> 3] |= 1 << (row & 7)
            column.buffers[1] = flags_ptr
        else:
            column = fixed_column(key, b"g", self.row_count, values_ptr, self, metadata)
        column.is_nullable = True
        column.set_valid(valid_ptr)
        return column

    cdef ArrowColumn _text_column(self, Py_ssize_t index, str name, str key, ArrowColumn dictionary):
        cdef:
            Py_ssize_t text_index = self.text_columns[index]
            ArrowColumn column = fixed_column(
                key, b"i", self.row_count, self.codes_ptr + text_index * self.row_count, self, _metadata(name)
            )
        column.dictionary = dictionary
        column.is_nullable = True
        column.set_valid(self.valid_ptr + index * self.row_count)
        return column

    cdef ArrowColumn _prefix_column(self, Py_ssize_t index, str key):
        cdef:
            const uint8_t* prefixes_ptr = self.prefixes_ptr + index * self.row_count
            ArrowColumn column = fixed_column(key, b"c", self.row_count, NULL, self, {
                "description": "C: the last price is the prior close; H: trading is halted",
            })
            uint8_t* codes_ptr = <uint8_t*>column.allocate(self.row_count)
            Py_ssize_t row
        for row in range(self.row_count):
            codes_ptr[row] = prefixes_ptr[row] == c"H"
        column.buffers[1] = codes_ptr
        column.dictionary = text_column("", _PREFIX_TEXTS)
        column.is_nullable = True
        column.set_valid(prefixes_ptr)
        return column

    def __len__(self):
        """The number of rows."""
        return self.row_count

    def __repr__(self):
        return f"<Ticks {self.row_count} rows {len(self.names)} fields>"

    def __reduce__(self):
        raise TypeError("Ticks cannot be pickled; copy their columns")


cdef dict _metadata(str name):
    cdef object field = _FIELDS.get(name)
    if field is None:
        return {"code": name}
    return {"code": name, "kind": field.kind.value, "unit": field.unit, "description": field.meaning}
