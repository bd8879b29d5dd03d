"""The C interface of column views: the function that creates one."""


# Creates a read-only memoryview over `count` items of `itemsize` bytes. As long as `owner` exists, the items must
# neither change nor move. `format_ptr` is a format of the struct module with static lifetime.
cdef object column_view(object owner, void* data_ptr, const char* format_ptr, Py_ssize_t count, Py_ssize_t itemsize)
