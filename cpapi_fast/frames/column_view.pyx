"""Read-only memoryviews over columns in C memory, without a copy; each view keeps a reference to the owner."""

cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_ND, PyBUF_STRIDES, PyBUF_WRITABLE


@cython.final
@cython.internal
cdef class _Column:
    # A read-only buffer over memory of `_owner`, to which it keeps a reference.
    cdef:
        object _owner
        void* _data_ptr
        const char* _format
        Py_ssize_t _shape[1]
        Py_ssize_t _strides[1]

    def __getbuffer__(self, Py_buffer* view, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("this memory is read-only")
        view.buf = self._data_ptr
        view.obj = self
        view.len = self._shape[0] * self._strides[0]
        view.itemsize = self._strides[0]
        view.readonly = 1
        view.ndim = 1
        view.format = <char*>self._format if flags & PyBUF_FORMAT else NULL
        view.shape = self._shape if flags & PyBUF_ND else NULL
        view.strides = self._strides if (flags & PyBUF_STRIDES) == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = NULL


cdef object column_view(object owner, void* data_ptr, const char* format_ptr, Py_ssize_t count, Py_ssize_t itemsize):
    cdef _Column column = _Column.__new__(_Column)
    column._owner = owner
    column._data_ptr = data_ptr
    column._format = format_ptr
    column._shape[0] = count
    column._strides[0] = itemsize
    return memoryview(column)
