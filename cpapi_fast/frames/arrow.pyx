"""Exports columns through the Arrow C data interface, without pyarrow: schemas, arrays and streams as capsules

A consumer may keep an exported struct for any time, move it, and release it in any thread, also one without the GIL.
Each struct therefore has a reference to its `ArrowColumn`, which `release` gives up.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int32_t, uint64_t
from libc.string cimport memcpy, memset

from cpapi_fast._json.scan cimport word_at

import struct

cdef extern from "Python.h" nogil:
    int Py_IsInitialized()

# Error codes of errno.h, which the stream interface returns.
cdef enum:
    EIO = 5
    ENOMEM = 12


@cython.final
cdef class ArrowColumn:
    """A column or record batch to export, for compiled modules only. It has no Python methods."""

    def __cinit__(self):
        self.children = []

    def __dealloc__(self):
        PyMem_RawFree(self.memory_ptr)
        PyMem_RawFree(self.bitmap_ptr)

    def __reduce__(self):
        raise TypeError("an ArrowColumn cannot be copied or pickled")

    cdef void* allocate(self, Py_ssize_t size_bytes) except NULL:
        # One byte more, because the result for 0 bytes may be NULL.
        self.memory_ptr = PyMem_RawCalloc(1, <size_t>size_bytes + 1)
        if self.memory_ptr == NULL:
            raise MemoryError(f"no memory for {size_bytes} bytes of an Arrow column")
        return self.memory_ptr

    cdef int set_valid(self, const uint8_t* valid_ptr) except -1:
        cdef:
            Py_ssize_t index = 0
            int64_t valid_count = 0
            uint64_t flags
            uint8_t* bitmap_ptr = <uint8_t*>PyMem_RawCalloc(1, <size_t>(self.length // 8 + 1))
        if bitmap_ptr == NULL:
            raise MemoryError(f"no memory for the bitmap of {self.length} values")
        self.bitmap_ptr = bitmap_ptr
        # Eight flags at a time: each byte becomes 0 or 1, one product moves them side by side, another adds them up.
        while index <= self.length - 8:
            flags = word_at(<const char*>valid_ptr, self.length, index)
            flags = ((((flags & 0x7F7F7F7F7F7F7F7Fu) + 0x7F7F7F7F7F7F7F7Fu) | flags) >> 7) & 0x0101010101010101u
            bitmap_ptr[index >> 3] = <uint8_t>((flags * 0x0102040810204080u) >> 56)
            valid_count += <int64_t>((flags * 0x0101010101010101u) >> 56)
            index += 8
        while index < self.length:
            if valid_ptr[index]:
                bitmap_ptr[index >> 3] |= 1 << (index & 7)
                valid_count += 1
            index += 1
        self.null_count = self.length - valid_count
        self.buffers[0] = bitmap_ptr
        return 0


cdef bytes _encoded_metadata(dict metadata):
    # The numbers have the byte order of the machine.
    cdef list parts = [struct.pack("=i", len(metadata))]
    for text in (text for pair in metadata.items() for text in pair):
        encoded = text.encode()
        parts += (struct.pack("=i", len(encoded)), encoded)
    return b"".join(parts)


cdef ArrowColumn _column(str name, bytes format, int64_t length, object owner, dict metadata):
    cdef ArrowColumn column = ArrowColumn.__new__(ArrowColumn)
    column.name = name.encode()
    column.format = format
    column.length = length
    column.owner = owner
    column.metadata = None if metadata is None else _encoded_metadata(metadata)
    return column


cdef ArrowColumn fixed_column(
    str name, bytes format, int64_t length, const void* data_ptr, object owner, dict metadata
):
    cdef ArrowColumn column = _column(name, format, length, owner, metadata)
    column.buffer_count = 2
    column.buffers[1] = data_ptr
    return column


cdef ArrowColumn binary_column(
    str name, bytes format, int64_t length, const void* offsets_ptr, const void* bytes_ptr, object owner, dict metadata
):
    cdef ArrowColumn column = _column(name, format, length, owner, metadata)
    column.buffer_count = 3
    column.buffers[1] = offsets_ptr
    column.buffers[2] = bytes_ptr
    return column


cdef ArrowColumn text_column(str name, list texts):
    cdef:
        Py_ssize_t count = len(texts)
        Py_ssize_t index
        Py_ssize_t size_bytes = sum(map(len, texts))
        ArrowColumn column = _column(name, b"u", count, None, None)
        int32_t* offsets_ptr = <int32_t*>column.allocate((count + 1) * sizeof(int32_t) + size_bytes)
        char* bytes_ptr = <char*>(offsets_ptr + count + 1)
        bytes text
    for index in range(count):
        text = texts[index]
        memcpy(bytes_ptr + offsets_ptr[index], PyBytes_AS_STRING(text), <size_t>len(text))
        offsets_ptr[index + 1] = offsets_ptr[index] + <int32_t>len(text)
    column.buffer_count = 3
    column.buffers[1] = offsets_ptr
    column.buffers[2] = bytes_ptr
    return column


cdef ArrowColumn record_batch(list columns, int64_t length, dict metadata):
    cdef ArrowColumn batch = _column("", b"+s", length, None, metadata)
    batch.buffer_count = 1
    batch.children = columns
    return batch


# Schemas


cdef void _release_schema(ArrowSchema* schema) noexcept nogil:
    cdef int64_t index
    for index in range(schema.n_children):
        if schema.children[index].release != NULL:
            schema.children[index].release(schema.children[index])
        PyMem_RawFree(schema.children[index])
    PyMem_RawFree(schema.children)
    if schema.dictionary != NULL:
        if schema.dictionary.release != NULL:
            schema.dictionary.release(schema.dictionary)
        PyMem_RawFree(schema.dictionary)
    schema.release = NULL
    _give_up(schema.private_data)


cdef int _fill_schema(ArrowSchema* schema, ArrowColumn column) except -1:
    # `schema` must be zeroed. After an exception it can be released.
    cdef:
        Py_ssize_t index
        ArrowColumn child
    Py_INCREF(column)
    schema.private_data = <void*>column
    schema.release = _release_schema
    schema.format = PyBytes_AS_STRING(column.format)
    schema.name = PyBytes_AS_STRING(column.name)
    schema.metadata = NULL if column.metadata is None else PyBytes_AS_STRING(column.metadata)
    schema.flags = ARROW_FLAG_NULLABLE if column.is_nullable else 0
    if column.children:
        schema.children = <ArrowSchema**>_zeroed(len(column.children) * sizeof(ArrowSchema*))
        for index, child in enumerate(column.children):
            schema.children[index] = <ArrowSchema*>_zeroed(sizeof(ArrowSchema))
            schema.n_children = index + 1
            _fill_schema(schema.children[index], child)
    if column.dictionary is not None:
        schema.dictionary = <ArrowSchema*>_zeroed(sizeof(ArrowSchema))
        _fill_schema(schema.dictionary, column.dictionary)
    return 0


cdef void _destroy_schema_capsule(object capsule) noexcept:
    cdef ArrowSchema* schema = <ArrowSchema*>PyCapsule_GetPointer(capsule, b"arrow_schema")
    if schema.release != NULL:
        schema.release(schema)
    PyMem_RawFree(schema)


cdef object schema_capsule(ArrowColumn column):
    cdef:
        ArrowSchema* schema = <ArrowSchema*>_zeroed(sizeof(ArrowSchema))
        object capsule = PyCapsule_New(schema, b"arrow_schema", _destroy_schema_capsule)
    _fill_schema(schema, column)
    return capsule


# Arrays


cdef void _release_array(ArrowArray* array) noexcept nogil:
    cdef int64_t index
    for index in range(array.n_children):
        if array.children[index].release != NULL:
            array.children[index].release(array.children[index])
        PyMem_RawFree(array.children[index])
    PyMem_RawFree(array.children)
    if array.dictionary != NULL:
        if array.dictionary.release != NULL:
            array.dictionary.release(array.dictionary)
        PyMem_RawFree(array.dictionary)
    array.release = NULL
    _give_up(array.private_data)


cdef int _fill_array(ArrowArray* array, ArrowColumn column) except -1:
    # `array` must be zeroed. After an exception it can be released.
    cdef:
        Py_ssize_t index
        ArrowColumn child
    Py_INCREF(column)
    array.private_data = <void*>column
    array.release = _release_array
    array.length = column.length
    array.null_count = column.null_count
    array.n_buffers = column.buffer_count
    array.buffers = column.buffers
    if column.children:
        array.children = <ArrowArray**>_zeroed(len(column.children) * sizeof(ArrowArray*))
        for index, child in enumerate(column.children):
            array.children[index] = <ArrowArray*>_zeroed(sizeof(ArrowArray))
            array.n_children = index + 1
            _fill_array(array.children[index], child)
    if column.dictionary is not None:
        array.dictionary = <ArrowArray*>_zeroed(sizeof(ArrowArray))
        _fill_array(array.dictionary, column.dictionary)
    return 0


cdef void _destroy_array_capsule(object capsule) noexcept:
    cdef ArrowArray* array = <ArrowArray*>PyCapsule_GetPointer(capsule, b"arrow_array")
    if array.release != NULL:
        array.release(array)
    PyMem_RawFree(array)


cdef object array_capsule(ArrowColumn column):
    cdef:
        ArrowArray* array = <ArrowArray*>_zeroed(sizeof(ArrowArray))
        object capsule = PyCapsule_New(array, b"arrow_array", _destroy_array_capsule)
    _fill_array(array, column)
    return capsule


# Streams


@cython.final
@cython.internal
cdef class _Stream:
    # The private data of an exported stream.
    cdef:
        ArrowColumn schema
        # Returns one ArrowColumn after the other.
        object iterator
        bytes error


cdef void _release_stream(ArrowArrayStream* stream) noexcept nogil:
    stream.release = NULL
    _give_up(stream.private_data)


cdef int _stream_schema(ArrowArrayStream* stream, ArrowSchema* out) noexcept with gil:
    cdef _Stream state = <_Stream>stream.private_data
    memset(out, 0, sizeof(ArrowSchema))
    try:
        _fill_schema(out, state.schema)
    except BaseException as error:  # C cannot pass exceptions on; the consumer asks for the text
        state.error = _error_text(error)
        if out.release != NULL:
            out.release(out)
        return ENOMEM
    return 0


cdef int _stream_next(ArrowArrayStream* stream, ArrowArray* out) noexcept with gil:
    cdef:
        _Stream state = <_Stream>stream.private_data
        object column
    memset(out, 0, sizeof(ArrowArray))
    try:
        column = next(state.iterator, None)
        if column is not None:
            _fill_array(out, <ArrowColumn?>column)
    except BaseException as error:  # as in _stream_schema
        state.error = _error_text(error)
        if out.release != NULL:
            out.release(out)
        return EIO
    # At the end, the released array says that there is no more.
    return 0


cdef const char* _stream_error(ArrowArrayStream* stream) noexcept with gil:
    cdef _Stream state = <_Stream>stream.private_data
    return NULL if state.error is None else PyBytes_AS_STRING(state.error)


cdef bytes _error_text(error):
    return f"{type(error).__name__}: {error}".encode("utf-8", "replace").replace(b"\0", b" ")


cdef void _destroy_stream_capsule(object capsule) noexcept:
    cdef ArrowArrayStream* stream = <ArrowArrayStream*>PyCapsule_GetPointer(capsule, b"arrow_array_stream")
    if stream.release != NULL:
        stream.release(stream)
    PyMem_RawFree(stream)


cdef object stream_capsule(ArrowColumn schema, object iterator):
    cdef:
        _Stream state = _Stream.__new__(_Stream)
        ArrowArrayStream* stream = <ArrowArrayStream*>_zeroed(sizeof(ArrowArrayStream))
        object capsule = PyCapsule_New(stream, b"arrow_array_stream", _destroy_stream_capsule)
    state.schema = schema
    state.iterator = iterator
    Py_INCREF(state)
    stream.private_data = <void*>state
    stream.get_schema = _stream_schema
    stream.get_next = _stream_next
    stream.get_last_error = _stream_error
    stream.release = _release_stream
    return capsule


# Memory


cdef void* _zeroed(size_t size_bytes) except NULL:
    cdef void* memory_ptr = PyMem_RawCalloc(1, size_bytes)
    if memory_ptr == NULL:
        raise MemoryError(f"no memory for {size_bytes} bytes of an Arrow export")
    return memory_ptr


cdef void _give_up(void* owner_ptr) noexcept nogil:
    # After the end of the interpreter there is nothing left to free.
    if Py_IsInitialized():
        _decref(owner_ptr)


cdef void _decref(void* owner_ptr) noexcept with gil:
    Py_DECREF(<object>owner_ptr)
