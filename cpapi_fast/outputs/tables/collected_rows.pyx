"""Rows of a table in columns that are filled in place, and their export to Arrow"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memmove, memset

from cpapi_fast.frames.arrow cimport (
    ArrowColumn,
    array_capsule,
    fixed_column,
    record_batch,
    schema_capsule,
    text_column,
)
from cpapi_fast.frames.ticks cimport Ticks

from cpapi_fast.errors import UsageError


@cython.final
cdef class CollectedRows:
    """Collected rows of one table, for compiled modules; others pass them to `pyarrow.record_batch`, once."""

    def __init__(self):
        raise TypeError("CollectedRows come from TableRows.take(); the class cannot be called")

    @staticmethod
    cdef CollectedRows new(Ticks source, Py_ssize_t text_count, Py_ssize_t capacity, tuple names, bint has_segments):
        cdef:
            CollectedRows rows = CollectedRows.__new__(CollectedRows)
            Ticks ticks = Ticks.__new__(Ticks)
        ticks.names = source.names
        ticks.columns = source.columns
        ticks.text_columns = source.text_columns
        ticks.texts_table = source.texts_table
        # The memory of columns is touched when rows are added, so a large capacity costs nothing before.
        ticks.reserve(capacity, text_count)
        rows._memory = fixed_column("", b"l", 0, NULL, None, None)
        rows.late_ns_ptr = <int64_t*>rows._memory.allocate(capacity * (8 + 8 + 4))
        rows.segments_ptr = rows.late_ns_ptr + capacity
        rows.targets_ptr = <int32_t*>(rows.segments_ptr + capacity)
        rows.ticks = ticks
        rows.capacity = capacity
        rows._names = names
        rows._has_segments = has_segments
        return rows

    def __arrow_c_array__(self, requested_schema=None):
        """Return schema and array of the rows as Arrow PyCapsules. No other schema is supported."""
        cdef ArrowColumn batch = self.arrow()
        return schema_capsule(batch), array_capsule(batch)

    cdef ArrowColumn arrow(self):
        cdef:
            Ticks ticks = self.ticks
            list columns
            Py_ssize_t index, text
            str name
        if ticks is None:
            raise UsageError("these rows were not made by TableRows.take()")
        if self._is_closed_up:
            raise UsageError("CollectedRows are exported once; call TableRows.take() for others")
        self._close_up(sum(text >= 0 for text in ticks.text_columns))
        columns = [
            fixed_column("received", b"tsn:UTC", self.row_count, ticks.received_ns_ptr, ticks, None),
            ticks._number_column(UPDATED, ticks.names[UPDATED], self._names[UPDATED]),
            fixed_column("late_ns", b"l", self.row_count, self.late_ns_ptr, self, None),
            fixed_column("conid", b"l", self.row_count, ticks.conids_ptr, ticks, None),
            self._texts_of(self._names[SYMBOL], ticks.codes_of(ticks.names[SYMBOL]), ticks),
            self._texts_of("target", self.targets_ptr, self),
        ]
        if self._has_segments:
            columns.append(fixed_column("segment", b"l", self.row_count, self.segments_ptr, self, None))
        for index, name in enumerate(self._names):
            if index == UPDATED or index == SYMBOL:
                continue
            text = ticks.text_columns[index]
            if text >= 0:
                columns.append(self._texts_of(name, ticks.codes_ptr + text * self.row_count, ticks))
            else:
                columns.append(ticks._number_column(index, ticks.names[index], name))
            if index == LAST_PRICE:
                columns.append(self._prefixes(name + "_prefix", ticks.prefixes_ptr + index * self.row_count))
        return record_batch(columns, self.row_count, None)

    cdef void _close_up(self, Py_ssize_t text_count) noexcept:
        # Moves the used entries of all columns side by side.
        cdef:
            Ticks ticks = self.ticks
            Py_ssize_t count = self.row_count
            Py_ssize_t field_count = len(ticks.names)
            Py_ssize_t index, start
        if count == self.capacity:
            text_count = field_count = 0
        for index in range(1, field_count):
            start = index * self.capacity
            memmove(ticks.values_ptr + index * count, ticks.values_ptr + start, <size_t>count * sizeof(double))
            memmove(ticks.valid_ptr + index * count, ticks.valid_ptr + start, <size_t>count)
            memmove(ticks.prefixes_ptr + index * count, ticks.prefixes_ptr + start, <size_t>count)
        for index in range(1, text_count):
            start = index * self.capacity
            memmove(ticks.codes_ptr + index * count, ticks.codes_ptr + start, <size_t>count * sizeof(int32_t))
        ticks.row_count = count
        self._is_closed_up = True

    cdef ArrowColumn _texts_of(self, str name, int32_t* codes_ptr, object owner):
        # A dictionary-encoded column with the texts that occur in it only. Each code is replaced by the
        # position of its text, so this works once.
        cdef:
            list texts = self.ticks.texts_table.texts
            list used = []
            Py_ssize_t text_count = len(texts)
            Py_ssize_t index
            ArrowColumn column = fixed_column(name, b"i", self.row_count, codes_ptr, owner, None)
            int32_t* places_ptr = <int32_t*>column.allocate(text_count * sizeof(int32_t) + self.row_count)
            uint8_t* valid_ptr = <uint8_t*>(places_ptr + text_count)
            int32_t code
        memset(places_ptr, 0xFF, <size_t>text_count * sizeof(int32_t))
        for index in range(self.row_count):
            code = codes_ptr[index]
            if code < 0 or code >= text_count:
                codes_ptr[index] = 0
                continue
            if places_ptr[code] < 0:
                places_ptr[code] = <int32_t>len(used)
                used.append(texts[code])
            codes_ptr[index] = places_ptr[code]
            valid_ptr[index] = True
        column.dictionary = text_column("", used)
        column.is_nullable = True
        column.set_valid(valid_ptr)
        return column

    cdef ArrowColumn _prefixes(self, str name, const uint8_t* prefixes_ptr):
        cdef:
            ArrowColumn column = fixed_column(name, b"i", self.row_count, NULL, None, None)
            int32_t* codes_ptr = <int32_t*>column.allocate(self.row_count * sizeof(int32_t))
            Py_ssize_t index
        for index in range(self.row_count):
            codes_ptr[index] = prefixes_ptr[index] == c"H"
        column.buffers[1] = codes_ptr
        column.dictionary = text_column("", [b"C", b"H"])
        column.is_nullable = True
        column.set_valid(prefixes_ptr)
        return column

    def __reduce__(self):
        raise TypeError("CollectedRows cannot be copied or pickled")
